"""What chat completions become: calls, refusals, usage and money, at all who give them."""

from typing import Any

import pytest

from shared.domain.conversation import ToolCall
from shared.domain.generation import FinishReason, Usage
from tests.adapters.canned import COMPLETION
from worker.adapters.base import WireError
from worker.adapters.openai_usage import usage_from_wire
from worker.adapters.openai_wire import from_wire

PLAIN = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}


def answer(finish_reason: Any = "stop", **message: Any) -> dict[str, Any]:
    """A completion that says this."""
    message = {"role": "assistant", "content": None, **message}
    return {**COMPLETION, "choices": [{"message": message, "finish_reason": finish_reason}]}


def call(**entry: Any) -> dict[str, Any]:
    return {
        "id": "call_9",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
    } | entry


@pytest.mark.parametrize("finish_reason", ["tool_calls", "stop"])
def test_tool_calls_are_what_it_stopped_for(finish_reason: str) -> None:
    result = from_wire(answer(finish_reason, tool_calls=[call(), call(id="call_8")]))
    assert result.finish_reason is FinishReason.TOOL_CALLS
    assert result.content == ""
    assert result.tool_calls == (
        ToolCall(id="call_9", name="f", arguments="{}"),
        ToolCall(id="call_8", name="f", arguments="{}"),
    )


@pytest.mark.parametrize(
    ("entries", "calls"),
    [
        ([call(id=None), call(id="")], [("call_0", "{}"), ("call_1", "{}")]),
        ([call(function={"name": "f"})], [("call_9", "{}")]),
        ([call(function={"name": "f", "arguments": ""})], [("call_9", "{}")]),
        ([call(function={"name": "f", "arguments": {"a": 1}})], [("call_9", '{"a":1}')]),
    ],
)
def test_calls_of_compatible_servers_are_made_whole(
    entries: list[Any], calls: list[tuple[str, str]]
) -> None:
    result = from_wire(answer(tool_calls=entries))
    assert [(each.id, each.arguments) for each in result.tool_calls] == calls


def test_a_refusal_is_why_it_stopped() -> None:
    result = from_wire(answer(refusal="I will not."))
    assert (result.refusal, result.finish_reason) == ("I will not.", FinishReason.REFUSAL)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_may_be_cut_before_its_first_word(reason: str) -> None:
    result = from_wire(answer(reason))
    assert (result.content, result.finish_reason) == ("", FinishReason(reason))


def test_text_may_come_in_parts() -> None:
    thought = {"type": "thinking", "thinking": []}
    result = from_wire(answer(content=[thought, {"type": "text", "text": "Fine."}]))
    assert result.content == "Fine."


@pytest.mark.parametrize(
    "message",
    [{"content": 7}, {"content": {}}, {"refusal": 7}, {"tool_calls": 7}, {"tool_calls": [{}]}],
)
def test_a_message_of_another_shape_is_no_answer(message: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        from_wire(answer(**message))


def test_citations_are_told_once_each() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://a.example"}}
    body = answer(content="Fine.", annotations=[note, note, {"type": "other"}])
    body["citations"] = ["https://b.example", "https://a.example"]
    assert from_wire(body).citations == ("https://a.example", "https://b.example")


def test_every_kind_of_token_is_counted() -> None:
    usage = {
        **PLAIN,
        "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 30, "audio_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 6},
    }
    result = from_wire({**COMPLETION, "usage": usage, "service_tier": "flex"})
    assert result.usage == Usage(
        input_tokens=100,
        cached_tokens=40,
        cache_write_tokens=30,
        output_tokens=50,
        reasoning_tokens=20,
        audio_input_tokens=5,
        audio_output_tokens=6,
        service_tier="flex",
    )


def test_reasoning_that_the_completion_leaves_out_is_output_all_the_same() -> None:
    details = {"reasoning_tokens": 25}
    inside = {**PLAIN, "completion_tokens_details": details}
    beside = {**inside, "total_tokens": 175}
    outputs = [usage_from_wire(usage) for usage in (inside, beside)]
    assert [usage and usage.output_tokens for usage in outputs] == [50, 75]


@pytest.mark.parametrize(
    ("said", "nano"),
    [
        ({"cost_in_usd_ticks": 12_345_670}, 1_234_567),
        ({"cost_in_usd_ticks": 15}, 2),
        ({"cost_in_usd_ticks": 0}, 0),
        ({"cost": {"total_cost": 0.005433}}, 5_433_000),
        ({"cost": {"total_cost": 1e-9}}, 1),
        ({"cost": {"total_cost": 0.1}}, 100_000_000),
        ({"cost": {"total_cost": "0.000000003"}}, 3),
        ({"cost": {"total_cost": None}}, None),
        ({"cost": 0.7}, None),
        ({}, None),
    ],
)
def test_what_the_provider_says_it_billed_is_exact(said: dict[str, Any], nano: int | None) -> None:
    usage = usage_from_wire({**PLAIN, **said})
    assert usage is not None
    assert usage.cost_nano == nano


@pytest.mark.parametrize(
    "said",
    [
        {"cost_in_usd_ticks": -10},
        {"cost_in_usd_ticks": "many"},
        {"cost": {"total_cost": float("nan")}},
        {"cost": {"total_cost": 1e40}},
        {"cost": {"total_cost": "much"}},
    ],
)
def test_a_cost_that_no_bill_can_hold_loses_no_answer(said: dict[str, Any]) -> None:
    result = from_wire({**COMPLETION, "usage": {**PLAIN, **said}})
    assert (result.content, result.usage) == (from_wire(COMPLETION).content, None)


def test_an_answer_is_not_thrown_away_because_nobody_names_its_model() -> None:
    body = {name: value for name, value in COMPLETION.items() if name != "model"}
    assert (from_wire(body).content, from_wire(body).model) == ("Fine.", "")
