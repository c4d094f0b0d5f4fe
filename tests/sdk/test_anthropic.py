"""The unmodified Anthropic SDK asks for messages, of Anthropic's models and of anybody's."""

import json
from datetime import datetime
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message, ToolUseBlock
from pydantic import BaseModel

from shared.domain.clock import SystemClock
from tests.sdk.conftest import CLAUDE, MODEL, Stack, ledger_of
from tests.sdk.lossy import LOSE_REPLY, PASS, lossy_proxy

BOTH = pytest.mark.parametrize("model", [CLAUDE, MODEL])
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q"
    "DwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WEATHER: Any = {
    "name": "weather",
    "description": "The weather now.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


class Place(BaseModel):
    city: str
    people: int


def said(content: Any, role: str = "user") -> list[Any]:
    return [{"role": role, "content": content}]


def asked(prompt: str = "Why blue?", **more: Any) -> dict[str, Any]:
    """The parameters of a small message."""
    return {"model": CLAUDE, "max_tokens": 200, "messages": said(prompt), **more}


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(message: Any) -> list[ToolUseBlock]:
    return [block for block in message.content if block.type == "tool_use"]


@BOTH
def test_a_message_is_answered_with_its_usage_and_its_cost(
    claude: anthropic.Anthropic, model: str
) -> None:
    raw = claude.messages.with_raw_response.create(**asked(model=model))
    message = raw.parse()
    assert message.id.removeprefix("msg_") == raw.headers["x-promptmill-job"].removeprefix("job_")
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert message.model == raw.headers["x-promptmill-model"]
    assert text_of(message)
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert float(raw.headers["x-promptmill-cost-usd"]) > 0
    assert raw.headers["request-id"].startswith("req_")
    assert "x-promptmill-dropped" not in raw.headers


@BOTH
def test_what_a_stream_has_told_is_the_message(claude: anthropic.Anthropic, model: str) -> None:
    with claude.messages.stream(**asked("Tell me of tea.", model=model)) as stream:
        told = "".join(stream.text_stream)
        whole = stream.get_final_message()
    assert text_of(whole) == told
    assert len(told) > 10
    assert (whole.stop_reason, whole.type) == ("end_turn", "message")
    assert whole.usage.input_tokens > 0
    assert whole.usage.output_tokens > 0


def test_the_events_of_a_stream_come_in_anthropics_order(claude: anthropic.Anthropic) -> None:
    events = [event.type for event in claude.messages.create(**asked("Events."), stream=True)]
    assert events[:2] == ["message_start", "content_block_start"]
    assert events[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(events[2:-3]) == {"content_block_delta"}


@BOTH
def test_a_message_that_is_cut_off_says_so(claude: anthropic.Anthropic, model: str) -> None:
    message = claude.messages.create(**asked(model=model, max_tokens=3))
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens <= 3


@pytest.mark.parametrize("model", [CLAUDE, MODEL, "claude-sonnet-5-5"])
@pytest.mark.parametrize("streamed", [False, True])
def test_tools_are_called_and_their_results_are_answered(
    claude: anthropic.Anthropic, model: str, *, streamed: bool
) -> None:
    ask = asked("[parallel] Weather in Ulm?", model=model, tools=[WEATHER], max_tokens=2000)
    if model == "claude-sonnet-5-5":
        ask["thinking"] = {"type": "adaptive"}
    message: Message = _streamed(claude, ask) if streamed else claude.messages.create(**ask)
    calls = calls_of(message)
    assert message.stop_reason == "tool_use"
    assert len(calls) == 2
    assert all(isinstance(call.input["city"], str) for call in calls)
    results = [{"type": "tool_result", "tool_use_id": c.id, "content": "Rain."} for c in calls]
    turns = [*ask["messages"], *said(message.content, "assistant"), *said(results)]
    after = claude.messages.create(**{**ask, "messages": turns, "tools": []})
    assert text_of(after)


def _streamed(claude: anthropic.Anthropic, ask: dict[str, Any]) -> Message:
    with claude.messages.stream(**ask) as stream:
        return stream.get_final_message()


def test_thought_is_told_while_it_comes_and_signed_where_the_answer_is_whole(
    claude: anthropic.Anthropic,
) -> None:
    ask = asked(model="claude-sonnet-5-5", thinking={"type": "adaptive"}, max_tokens=4000)
    whole = claude.messages.create(**ask)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert whole.content[0].signature
    streamed = _streamed(claude, ask)
    assert [block.type for block in streamed.content][:2] == ["thinking", "text"]
    assert streamed.content[0].thinking  # type: ignore[union-attr]


@BOTH
def test_an_image_is_sent_on(claude: anthropic.Anthropic, model: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    blocks = [{"type": "text", "text": "What is it?"}, {"type": "image", "source": source}]
    assert text_of(claude.messages.create(**asked(model=model, messages=said(blocks))))


@BOTH
def test_an_answer_of_a_schema_is_parsed_by_the_sdk(
    claude: anthropic.Anthropic, model: str
) -> None:
    message = claude.messages.parse(**asked("A place.", model=model), output_format=Place)
    assert isinstance(message.parsed_output, Place)


def test_tokens_are_counted_before_a_call(claude: anthropic.Anthropic, stack: Stack) -> None:
    before = len(ledger_of(stack))
    short = claude.messages.count_tokens(model=CLAUDE, messages=said("Hi."))
    long = claude.messages.count_tokens(
        model=MODEL, messages=said("Tea. " * 100), system="Be short.", tools=[WEATHER]
    )
    assert 0 < short.input_tokens < long.input_tokens
    assert len(ledger_of(stack)) == before


def test_what_nobody_can_obey_is_named_in_a_header(claude: anthropic.Anthropic) -> None:
    raw = claude.messages.with_raw_response.create(
        **asked(metadata={"user_id": "user-7"}), extra_body={"top_k": 5, "temperature": 0.5}
    )
    assert text_of(raw.parse())
    assert sorted(raw.headers["x-promptmill-dropped"].split(", ")) == ["temperature", "top_k"]


def test_the_extension_says_what_only_this_server_knows(
    claude: anthropic.Anthropic, stack: Stack
) -> None:
    own = {"lane": "bulk", "tags": ["tea"], "project": "shop"}
    message = claude.messages.create(
        **asked("Extended.", metadata={"user_id": "user-8"}), extra_body={"promptmill": own}
    )
    with stack.http() as http:
        job = http.get(f"/api/v1/jobs/job_{message.id.removeprefix('msg_')}").json()
    assert {name: job[name] for name in (*own, "end_user")} == {**own, "end_user": "user-8"}
    with pytest.raises(anthropic.BadRequestError, match=r"promptmill\.lain"):
        claude.messages.create(**asked(), extra_body={"promptmill": {"lain": "bulk"}})


@pytest.mark.parametrize(
    ("changes", "kind", "type_"),
    [
        ({"model": "claude-nothing"}, anthropic.NotFoundError, "not_found_error"),
        ({"max_tokens": 10**9}, anthropic.BadRequestError, "invalid_request_error"),
        ({"messages": said("x", "robot")}, anthropic.BadRequestError, "invalid_request_error"),
        ({"messages": said("tea " * 300_000)}, anthropic.BadRequestError, "invalid_request_error"),
        ({"stop_sequences": [5]}, anthropic.BadRequestError, "invalid_request_error"),
    ],
)
def test_what_is_wrong_with_a_request_is_an_exception_of_the_sdk(
    claude: anthropic.Anthropic,
    changes: dict[str, Any],
    kind: type[anthropic.APIStatusError],
    type_: str,
) -> None:
    with pytest.raises(kind) as refused:
        claude.messages.create(**{**asked(), **changes})
    assert refused.value.type == type_
    assert str(refused.value.request_id).startswith("req_")
    assert next(iter(changes)) in str(refused.value)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_that_fails_for_good_is_told_once(
    claude: anthropic.Anthropic, stack: Stack, *, streamed: bool
) -> None:
    prompt = f"It fails, streamed {streamed}."
    stack.script({"match": {"contains": prompt}, "do": {"status": 400}})
    with pytest.raises(anthropic.BadRequestError) as refused:
        claude.messages.create(**asked(prompt), stream=streamed)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert len(stack.jobs(prompt)) == 1


def test_a_stream_that_breaks_off_ends_with_an_error(
    claude: anthropic.Anthropic, stack: Stack
) -> None:
    fault = {"cut": True, "slow_bytes": 0.05}
    stack.script({"match": {"contains": "breaks off", "nth": [1]}, "do": fault})
    told: list[str] = []
    with (
        pytest.raises(anthropic.APIStatusError, match="broke off") as broken,
        claude.messages.stream(**asked("It breaks off.")) as stream,
    ):
        told.extend(stream.text_stream)
    assert any(told)
    assert (broken.value.status_code, broken.value.type) == (200, "api_error")


def test_a_limit_of_requests_is_told_in_anthropics_words(stack: Stack) -> None:
    key = stack.new_key("slow")
    stack.sql("UPDATE tenants SET requests_per_minute = 1 WHERE name = 'slow'")
    words = [f"anthropic-ratelimit-requests-{word}" for word in ("limit", "remaining", "reset")]
    with stack.claude(key, max_retries=0) as claude:
        heads = claude.messages.with_raw_response.count_tokens(
            model=CLAUDE, messages=[{"role": "user", "content": "Why?"}]
        ).headers
        with pytest.raises(anthropic.RateLimitError) as refused:
            claude.models.list()
    assert [heads[word] for word in words[:2]] == ["1", "0"]
    seconds = (datetime.fromisoformat(heads[words[2]]) - SystemClock().now()).total_seconds()
    assert 0 < seconds <= 61
    assert not [name for name in heads if name.startswith("x-ratelimit")]
    assert refused.value.response.headers[words[1]] == "0"
    assert 0 < int(refused.value.response.headers["retry-after"]) <= 60


def test_either_header_has_the_key(stack: Stack) -> None:
    with anthropic.Anthropic(auth_token=stack.key, base_url=stack.url) as bearer:
        assert text_of(bearer.messages.create(**asked("As a bearer.")))
    headers = {"x-api-key": stack.key, "anthropic-version": "2023-06-01"}
    with httpx2.Client(base_url=stack.url, headers=headers, timeout=30) as old:
        assert old.post("/v1/messages", json=asked("As a key.")).json()["type"] == "message"
    with stack.claude("nonsense") as nobody, pytest.raises(anthropic.AuthenticationError) as no:
        nobody.messages.create(**asked())
    assert no.value.type == "authentication_error"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_retry_finds_the_answer_whose_reply_was_lost(stack: Stack, *, streamed: bool) -> None:
    prompt = f"Asked once, streamed {streamed}."
    ask = asked(prompt)
    with lossy_proxy(stack.url, LOSE_REPLY) as line, stack.claude(base_url=line.url) as claude:
        message: Message = _streamed(claude, ask) if streamed else claude.messages.create(**ask)
    assert [fate for _, fate in line.seen] == [LOSE_REPLY, PASS]
    [job] = stack.jobs(prompt)
    assert message.id.removeprefix("msg_") == job.removeprefix("job_")
    assert text_of(message)
    [call] = stack.billed(prompt)
    assert call["state"] == "answered"


def test_what_a_stream_sends_has_a_name_in_every_event(stack: Stack) -> None:
    with stack.http() as http:
        body = http.post("/v1/messages", json=asked("Raw.", stream=True)).text
    events = [event.split("\n") for event in body.strip().split("\n\n")]
    names = [lines[0].removeprefix("event: ") for lines in events]
    data = [json.loads(lines[1].removeprefix("data: "))["type"] for lines in events]
    assert names == data
    assert {"message_start", "ping", "message_stop"} <= set(names)
