"""Responses, embeddings and legacy completions, as the real OpenAI SDK sees them."""

import json
from typing import Any

import jsonschema_rs
import openai
import pytest
from openai.types.responses import Response

from tests.simulator.process import MODEL, Simulator

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
TOOL: Any = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": False}
SEARCH: Any = {"type": "web_search"}
THINK: Any = {"effort": "medium"}


async def create(simulator: Simulator, given: Any = "Why tea?", **options: Any) -> Response:
    options = {"model": MODEL, "max_output_tokens": 900, **options}
    async with simulator.client() as client:
        answer: Response = await client.responses.create(input=given, **options)
        return answer


async def test_a_response_has_its_shape_and_its_bill(simulator: Simulator) -> None:
    answer = await create(simulator, extra_headers={"x-client-request-id": "att_1"})
    line, usage = simulator.ledger()[-1], answer.usage
    assert (answer.status, bool(answer.output_text)) == ("completed", True)
    assert usage is not None
    assert line.client_request_id == "att_1"
    assert (line.prompt_tokens, line.completion_tokens) == (usage.input_tokens, usage.output_tokens)
    assert line.cost_nano == usage.input_tokens * 400 + usage.output_tokens * 1600
    cut = await create(simulator, max_output_tokens=5)
    assert cut.incomplete_details is not None
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


async def test_a_function_is_called_and_its_output_gets_a_text(simulator: Simulator) -> None:
    first = await create(
        simulator, tools=[TOOL], reasoning=THINK, include=["reasoning.encrypted_content"]
    )
    thought, call = first.output
    assert thought.type == "reasoning"
    assert thought.encrypted_content
    assert call.type == "function_call"
    assert jsonschema_rs.validator_for(PARAMETERS).is_valid(json.loads(call.arguments))
    asked = {"role": "user", "content": "Weather?"}
    turn = [item.model_dump(exclude_none=True) for item in first.output]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = await create(simulator, [asked, *turn, result], tools=[TOOL])
    assert second.output_text
    with pytest.raises(openai.BadRequestError, match="No tool call found"):
        await create(simulator, [asked, result])
    with pytest.raises(openai.BadRequestError, match="No tool output found"):
        await create(simulator, [asked, *turn])
    none = await create(simulator, tools=[TOOL], tool_choice="none")
    both = await create(simulator, "[parallel]", tools=[TOOL])
    assert [item.type for item in none.output] == ["message"]
    assert [item.type for item in both.output] == ["function_call", "function_call"]


async def test_an_answer_is_json_of_the_schema(simulator: Simulator) -> None:
    form = {"format": {"type": "json_schema", "name": "a", "schema": PARAMETERS, "strict": True}}
    answer = await create(simulator, text=form)
    assert jsonschema_rs.validator_for(PARAMETERS).is_valid(json.loads(answer.output_text))


async def test_a_search_is_an_item_with_a_citation_and_a_price(simulator: Simulator) -> None:
    answer = await create(simulator, tools=[SEARCH])
    assert [item.type for item in answer.output] == ["web_search_call", "message"]
    message = answer.output[1]
    assert message.type == "message"
    assert message.content[0].type == "output_text"
    assert message.content[0].annotations[0].type == "url_citation"
    line = simulator.ledger()[-1]
    tokens = line.prompt_tokens * 400 + line.completion_tokens * 1600
    assert (line.searches, line.cost_nano) == (1, tokens + 10_000_000)


@pytest.mark.parametrize(
    "options", [{}, {"tools": [TOOL], "reasoning": THINK}, {"tools": [SEARCH]}]
)
async def test_a_stream_puts_together_the_same_response(
    simulator: Simulator, options: dict[str, Any]
) -> None:
    async with (
        simulator.client() as client,
        client.responses.stream(model=MODEL, input="Why tea?", **options) as stream,
    ):
        events = [event async for event in stream]
        final = await stream.get_final_response()
    numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert numbers == sorted(set(numbers))
    assert final.usage is not None
    assert final.usage.output_tokens == simulator.ledger()[-1].completion_tokens
    last = final.output[-1]
    if last.type == "function_call":
        deltas = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
        assert "".join(deltas) == last.arguments
    else:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(deltas) == final.output_text


async def test_faults_are_told_as_responses_tell_them(simulator: Simulator) -> None:
    await simulator.script(
        {"times": 1, "do": {"refusal": "No."}},
        {"times": 1, "do": {"stream_error": True, "message": "Lost."}},
        {"times": 1, "do": {"cut": True}},
        {"do": {"finish_reason": "content_filter"}},
    )
    refused = (await create(simulator)).output[0]
    assert refused.type == "message"
    assert refused.content[0].type == "refusal"
    async with simulator.client() as client:

        async def types() -> list[str]:
            stream = await client.responses.create(model=MODEL, input="Why?", stream=True)
            return [event.type async for event in stream]

        assert (await types())[-1] == "error"
        assert "response.completed" not in await types()
    filtered = await create(simulator)
    assert filtered.incomplete_details is not None
    assert filtered.incomplete_details.reason == "content_filter"


async def test_a_text_has_the_same_vector_packed_or_not(simulator: Simulator) -> None:
    async with simulator.client() as client:
        options: Any = {"model": "text-embedding-3-small", "input": ["tea", "coffee"]}
        packed = await client.embeddings.create(**options, dimensions=8)
        plain = await client.embeddings.create(**options, dimensions=8, encoding_format="float")
        whole = await client.embeddings.create(**options)
        with pytest.raises(openai.BadRequestError):
            await client.embeddings.create(model="text-embedding-3-small", input="")
    assert [each.embedding for each in packed.data] == [each.embedding for each in plain.data]
    assert packed.data[0].embedding != packed.data[1].embedding
    assert sum(each * each for each in whole.data[0].embedding) == pytest.approx(1)
    assert [len(each.embedding) for each in whole.data] == [1536, 1536]
    line = simulator.ledger()[-1]
    assert line.prompt_tokens == whole.usage.prompt_tokens
    assert line.cost_nano == line.prompt_tokens * 20


async def test_a_prompt_is_continued_whole_and_streamed(simulator: Simulator) -> None:
    options: Any = {"model": "gpt-3.5-turbo-instruct", "prompt": "Tea is", "max_tokens": 40}
    async with simulator.client() as client:
        whole = await client.completions.create(**options, stop=[" fox"])
        stream = await client.completions.create(
            **options, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert whole.choices[0].text.endswith("quick brown")
    assert whole.choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == simulator.ledger()[-1].completion_tokens
    assert chunks[-2].choices[0].finish_reason in {"stop", "length"}
    assert len("".join(chunk.choices[0].text for chunk in chunks[:-1])) > 20
