"""The Responses adapter, whole and streamed: one request, and the right word for its failures."""

from typing import Any

import pytest

from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, FinishReason
from tests.adapters.canned import Canned
from tests.adapters.conftest import Open
from tests.adapters.responses import MESSAGE, RESPONSE, THOUGHT, USAGE, calling, response
from tests.adapters.test_openai import REQUEST
from worker.adapters.base import Adapter, Answer, CallError
from worker.adapters.responses import ResponsesAdapter
from worker.adapters.responses_wire import from_wire


def event(name: str, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{name}", "sequence_number": 0, **more}


def delta(name: str, text: str, output_index: int = 0) -> dict[str, Any]:
    return event(f"{name}.delta", delta=text, output_index=output_index, item_id="x")


def added(item: dict[str, Any], output_index: int = 0) -> dict[str, Any]:
    return event("output_item.added", item=item, output_index=output_index)


BEGIN = event("created", response=response(status="in_progress", output=[], usage=None))
EVENTS = (
    BEGIN,
    added({**THOUGHT, "encrypted_content": ""}),
    delta("reasoning_summary_text", "Hm."),
    added({**MESSAGE, "content": []}, 1),
    delta("output_text", "Fi", 1),
    delta("output_text", "ne.", 1),
    event("output_text.done", text="Fine.", output_index=1),
)
END = event("completed", response=RESPONSE)
TOLD = [Delta(reasoning="Hm."), Delta(text="Fi"), Delta(text="ne.")]


async def ask(open_adapter: Open, provider: Canned, told: list[Delta] | None = None) -> Answer:
    adapter: Adapter = open_adapter(provider.url, adapter_class=ResponsesAdapter)
    return await adapter.complete(
        REQUEST,
        model="m",
        attempt_id="att_1",
        timeout=10,
        told=None if told is None else told.append,
    )


async def failure(
    open_adapter: Open, provider: Canned, told: list[Delta] | None = None
) -> CallError:
    with pytest.raises(CallError) as caught:
        await ask(open_adapter, provider, told)
    assert len(provider.heard) == 1
    return caught.value


async def test_an_answer_comes_whole(provider: Canned, open_adapter: Open) -> None:
    provider.says(RESPONSE, x_request_id="req_9")
    answer = await ask(open_adapter, provider)
    assert (answer.result.content, answer.provider_request_id) == ("Fine.", "req_9")
    assert provider.asked == ["POST /v1/responses HTTP/1.1"]
    [(headers, body)] = provider.heard
    assert headers["x-client-request-id"] == "att_1"
    assert "stream" not in body


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", FailureKind.SERVER),
        ("rate_limit_exceeded", FailureKind.RATE_LIMITED),
        ("invalid_prompt", FailureKind.CONTENT_FILTERED),
        ("bio_policy", FailureKind.CONTENT_FILTERED),
        ("image_content_policy_violation", FailureKind.CONTENT_FILTERED),
        ("invalid_image_url", FailureKind.BAD_REQUEST),
        ("image_file_too_large", FailureKind.TOO_LARGE),
        ("vector_store_timeout", FailureKind.SERVER),
        ("unheard_of", FailureKind.SERVER),
    ],
)
async def test_a_failed_response_has_its_kind_whole_and_streamed(
    provider: Canned, open_adapter: Open, code: str, kind: FailureKind
) -> None:
    error = {"code": code, "message": "It failed."}
    failed = response(status="failed", error=error, output=[], usage=USAGE)
    provider.says(failed)
    whole = await failure(open_adapter, provider)
    provider.heard.clear()
    provider.streams(*EVENTS, event("failed", response=failed))
    streamed = await failure(open_adapter, provider, [])
    for refusal in (whole, streamed):
        assert (refusal.kind, refusal.message) == (kind, "status 200 with an error: It failed.")
        assert refusal.usage is not None
        assert refusal.usage.output_tokens == 7, "what was billed is told"


async def test_each_piece_is_told_and_the_last_event_brings_the_answer(
    provider: Canned, open_adapter: Open
) -> None:
    provider.streams(*EVENTS, END)
    provider.holds = True
    told: list[Delta] = []
    answer = await ask(open_adapter, provider, told)
    assert told == TOLD
    assert (answer.result.content, answer.result.finish_reason) == ("Fine.", FinishReason.STOP)
    assert answer.result.usage is not None
    assert answer.result.first_token_ms is not None
    [(_, body)] = provider.heard
    assert body["stream"] is True
    assert "stream_options" not in body


async def test_calls_and_refusals_come_in_pieces(provider: Canned, open_adapter: Open) -> None:
    first, second = calling("1"), calling("2")
    provider.streams(
        BEGIN,
        added(THOUGHT),
        added({**first, "arguments": ""}, 1),
        added({**second, "arguments": ""}, 2),
        delta("function_call_arguments", '{"a"', 1),
        delta("function_call_arguments", '{"a":1}', 2),
        delta("function_call_arguments", ":1}", 1),
        delta("refusal", "No."),
        event("completed", response=response(output=[THOUGHT, first, second])),
    )
    told: list[Delta] = []
    answer = await ask(open_adapter, provider, told)
    assert told == [
        Delta(tool_call=0, tool_call_id="call_1", tool_name="f"),
        Delta(tool_call=1, tool_call_id="call_2", tool_name="f"),
        Delta(tool_call=0, arguments='{"a"'),
        Delta(tool_call=1, arguments='{"a":1}'),
        Delta(tool_call=0, arguments=":1}"),
        Delta(refusal="No."),
    ]
    assert [call.id for call in answer.result.tool_calls] == ["call_1", "call_2"]


async def test_an_end_that_says_only_how_it_went_is_filled_with_the_items_before(
    provider: Canned, open_adapter: Open
) -> None:
    done = event("output_item.done", item=MESSAGE, output_index=1)
    cut = {"reason": "max_output_tokens"}
    end = response(output=[], status="incomplete", incomplete_details=cut)
    provider.streams(*EVENTS, done, event("incomplete", response=end))
    answer = await ask(open_adapter, provider, [])
    assert (answer.result.content, answer.result.finish_reason) == ("Fine.", FinishReason.LENGTH)


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        ((), FailureKind.CONNECTION),
        (
            ({"type": "error", "code": "server_is_overloaded", "message": "Busy."},),
            FailureKind.OVERLOADED,
        ),
        (({"type": "error", "error": {"code": "slow_down"}},), FailureKind.SLOW_DOWN),
        ((event("failed", response=response(status="failed")),), FailureKind.SERVER),
        (({"type": 7},), FailureKind.CONNECTION),
        (({"kind": "none"},), FailureKind.BAD_RESPONSE),
        ((event("completed", response=7),), FailureKind.BAD_RESPONSE),
        ((delta("function_call_arguments", "{}", 9),), FailureKind.BAD_RESPONSE),
        (({**delta("output_text", ""), "delta": 7},), FailureKind.BAD_RESPONSE),
    ],
)
async def test_a_stream_that_goes_wrong_has_its_kind(
    provider: Canned, open_adapter: Open, odd: tuple[Any, ...], kind: FailureKind
) -> None:
    provider.streams(*EVENTS, *odd)
    told: list[Delta] = []
    assert (await failure(open_adapter, provider, told)).kind is kind
    assert told == TOLD


@pytest.mark.parametrize(
    "output", [[], [THOUGHT], [{**MESSAGE, "content": []}], [{"type": "web_search_call"}]]
)
def test_a_response_that_says_nothing_is_no_answer(output: list[Any]) -> None:
    with pytest.raises(CallError, match="neither text nor a refusal nor a call") as failed:
        from_wire(response(output=output))
    assert failed.value.kind is FailureKind.BAD_RESPONSE
    assert failed.value.usage is not None, "it is billed all the same"
    cut = response(
        output=output, status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    )
    assert from_wire(cut).finish_reason is FinishReason.LENGTH
