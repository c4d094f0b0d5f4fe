"""Tools, schemas, thought, caches and refusals, as the real OpenAI SDK sees them."""

import base64
import json
from typing import Any

import jsonschema_rs
import openai
import pytest

from tests.simulator.process import MODEL, Simulator

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "days": {"type": "integer", "minimum": 2, "maximum": 5},
        "unit": {"enum": ["C", "F"]},
        "wind": {"type": ["boolean", "null"]},
        "hours": {"type": "array", "items": {"type": "number", "maximum": 24}, "minItems": 2},
        "where": {"$ref": "#/$defs/point"},
    },
    "required": ["city", "days", "unit", "where"],
    "additionalProperties": False,
    "$defs": {
        "point": {
            "type": "object",
            "properties": {"x": {"type": "number"}, "next": {"$ref": "#/$defs/point"}},
            "required": ["x"],
        }
    },
}
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}},
]
SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": PARAMETERS, "strict": True},
}
LONG = "The same long beginning, word for word. " * 200


def fits(text: str, schema: dict[str, Any] = PARAMETERS) -> bool:
    return jsonschema_rs.validator_for(schema).is_valid(json.loads(text))


async def test_a_tool_is_called_with_arguments_that_fit_its_schema(simulator: Simulator) -> None:
    choice = (await simulator.ask(tools=TOOLS, max_completion_tokens=500)).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    calls = choice.message.tool_calls or []
    assert len(calls) == 1
    call = calls[0]
    assert call.type == "function"
    assert (call.function.name, fits(call.function.arguments)) == ("weather", True)


async def test_a_choice_forces_forbids_or_doubles_the_call(simulator: Simulator) -> None:
    async def called(prompt: str, **options: Any) -> list[str]:
        answer = await simulator.ask(prompt, tools=TOOLS, max_completion_tokens=500, **options)
        calls = answer.choices[0].message.tool_calls or ()
        assert len({call.id for call in calls}) == len(calls)
        return [call.function.name for call in calls if call.type == "function"]

    named: Any = {"type": "function", "function": {"name": "tide"}}
    assert await called("Why?", tool_choice=named) == ["tide"]
    assert await called("Why?", tool_choice="none") == []
    assert await called("Ask tide.") == ["tide"]
    assert await called("All [parallel]") == ["weather", "tide"]
    assert await called("All [parallel]", parallel_tool_calls=False) == ["weather"]


async def test_the_result_of_a_tool_gets_a_text(simulator: Simulator) -> None:
    asked: Any = {"role": "user", "content": "Weather?"}
    async with simulator.client() as client:
        first = await client.chat.completions.create(model=MODEL, messages=[asked], tools=TOOLS)
        turn: Any = first.choices[0].message.model_dump(exclude_none=True)
        call = turn["tool_calls"][0]
        result: Any = {"role": "tool", "tool_call_id": call["id"], "content": "rain"}
        second = await client.chat.completions.create(
            model=MODEL, messages=[asked, turn, result], tools=TOOLS
        )
        with pytest.raises(openai.BadRequestError, match="role 'tool'"):
            await client.chat.completions.create(model=MODEL, messages=[asked, result])
        with pytest.raises(openai.BadRequestError, match=call["id"]):
            await client.chat.completions.create(model=MODEL, messages=[asked, turn, asked])
    assert second.choices[0].message.content
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


async def test_a_stream_tells_a_call_in_pieces(simulator: Simulator) -> None:
    async with simulator.client() as client:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "[parallel]"}],
            tools=TOOLS,
            stream=True,
        )
        chunks = [chunk.choices[0] async for chunk in stream]
    deltas = [call for chunk in chunks for call in chunk.delta.tool_calls or ()]
    names = [delta.function.name for delta in deltas if delta.function and delta.function.name]
    first = [
        delta.function.arguments or "" for delta in deltas if delta.index == 0 and delta.function
    ]
    assert names == ["weather", "tide"]
    assert len(first) > 3
    assert fits("".join(first))
    assert chunks[-1].finish_reason == "tool_calls"


async def test_an_answer_is_json_of_the_schema_that_was_asked_for(simulator: Simulator) -> None:
    whole = await simulator.ask(response_format=SCHEMA, max_completion_tokens=500)
    loose = await simulator.ask(response_format={"type": "json_object"})
    assert fits(whole.choices[0].message.content or "")
    assert isinstance(json.loads(loose.choices[0].message.content or ""), dict)
    cut = await simulator.ask(response_format=SCHEMA, max_completion_tokens=5)
    assert cut.choices[0].finish_reason == "length"
    assert len(cut.choices[0].message.content or "") == 20


async def test_thought_is_counted_inside_the_output(simulator: Simulator) -> None:
    usage = (await simulator.ask(reasoning_effort="high", max_completion_tokens=900)).usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    thought = usage.completion_tokens_details.reasoning_tokens or 0
    assert 128 <= thought < usage.completion_tokens
    assert simulator.ledger()[-1].reasoning_tokens == thought


async def test_a_long_prompt_is_cached_from_the_second_time_on(simulator: Simulator) -> None:
    async def cached(prompt: str) -> tuple[int, int]:
        usage = (await simulator.ask(prompt)).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        return usage.prompt_tokens_details.cached_tokens or 0, usage.prompt_tokens

    assert (await cached(LONG))[0] == 0
    again, prompt = await cached(LONG)
    assert again == prompt // 128 * 128
    other, longer = await cached(LONG + "But another end, " + "of other words. " * 100)
    assert 1024 <= other <= again < longer
    line = simulator.ledger()[-2]
    assert line.cached_tokens == again
    fresh = line.prompt_tokens - again
    assert line.cost_nano == fresh * 400 + again * 100 + line.completion_tokens * 1600


async def test_a_dear_cache_tells_what_was_written_to_it(simulator: Simulator) -> None:
    usage = (await simulator.ask(LONG, model="gpt-6.1-sol")).usage
    assert usage is not None
    line = simulator.ledger()[-1]
    assert line.cache_write_tokens == usage.prompt_tokens // 128 * 128
    expected = line.prompt_tokens * 2000 + line.cache_write_tokens * 500
    assert line.cost_nano == expected + line.completion_tokens * 10_000


async def test_an_image_counts(simulator: Simulator) -> None:
    url = "data:image/png;base64," + base64.b64encode(b"png").decode()
    parts: Any = [
        {"type": "text", "text": "Tea?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    async with simulator.client() as client:
        seen = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": parts}]
        )
    unseen = await simulator.ask("Tea?")
    assert seen.usage is not None
    assert unseen.usage is not None
    assert seen.usage.prompt_tokens == unseen.usage.prompt_tokens + 85


async def test_a_stop_sequence_ends_the_answer(simulator: Simulator) -> None:
    answer = (await simulator.ask(stop=[" fox"])).choices[0]
    assert (answer.message.content or "").endswith("quick brown")
    assert answer.finish_reason == "stop"


async def test_the_script_makes_it_refuse_or_break_in_mid_stream(simulator: Simulator) -> None:
    await simulator.script(
        {"match": {"nth": [1]}, "do": {"refusal": "I would rather not."}},
        {"do": {"stream_error": True, "code": "server_error", "message": "Broken."}},
    )
    refused = (await simulator.ask()).choices[0]
    assert (refused.message.refusal, refused.message.content) == ("I would rather not.", None)
    async with simulator.client() as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Why?"}], stream=True
        )
        with pytest.raises(openai.APIError, match=r"Broken\.") as caught:
            [chunk async for chunk in stream]
    assert caught.value.code == "server_error"
    assert [line.outcome for line in simulator.ledger()[-2:]] == ["refusal", "stream_error"]


async def test_a_rule_and_a_limit_can_be_of_one_provider_alone(simulator: Simulator) -> None:
    await simulator.script({"match": {"provider": "anthropic"}, "do": {"content": "not here"}})
    await simulator.post("limits", {"provider": "anthropic", "rpm": 1})
    answers = [await simulator.ask(), await simulator.ask()]
    assert all(answer.choices[0].message.content != "not here" for answer in answers)
    assert (await simulator.stats())["providers"]["openai"]["accepted"] == 2
