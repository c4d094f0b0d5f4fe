"""What every provider answers: text, turns, tools, images, schemas, thought, vectors."""

import json
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest

from shared.domain.conversation import ImagePart, Message, OpaquePart, Role, TextPart
from shared.domain.failure import FailureKind
from shared.domain.generation import (
    Delta,
    FinishReason,
    GenerationRequest,
    NamedTool,
    ReasoningEffort,
    RequestKind,
    ResponseSchema,
    Tool,
    ToolMode,
    message_of,
)
from tests.conformance.conftest import Caller
from tests.conformance.targets import conforms
from worker.pipeline.output import check_output

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WEATHER = Tool(
    name="get_weather",
    description="The weather of a city.",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
)
SEALS = {"signature", "encrypted_content"}
"""What proves that a thought is the provider's own."""
EITHER_WAY = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
WORDS_OF_FILTERS = {"anthropic": "refusal", "gemini": "SAFETY", "vertex": "SAFETY"}
"""How an adapter's provider says that a filter cut the answer; others as OpenAI does."""
CLOCK = Tool(
    name="get_time",
    description="The time in a city.",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)


def says(text: str) -> Message:
    return Message(role=Role.USER, content=text)


def chat(*messages: Message, **options: object) -> GenerationRequest:
    return GenerationRequest(model="", messages=messages, max_tokens=400, **options)  # type: ignore[arg-type]


TALK = chat(says("Why is the sky blue?"))


@conforms("text")
async def test_a_question_gets_an_answer(caller: Caller) -> None:
    answer = await caller.answer(TALK)
    result = answer.result
    assert len(result.content) > 20
    assert result.finish_reason is FinishReason.STOP
    assert result.model
    assert (result.tool_calls, result.refusal, result.embeddings) == ((), None, ())
    assert answer.provider_request_id


@conforms("system prompt")
async def test_a_system_prompt_is_part_of_what_is_billed(caller: Caller) -> None:
    system = Message(role=Role.SYSTEM, content="Answer like a pirate, in verse, at length.")
    with_system = await caller.result(replace(TALK, messages=(system, *TALK.messages)))
    without = await caller.result(TALK)
    assert with_system.usage is not None
    assert without.usage is not None
    assert with_system.usage.input_tokens > without.usage.input_tokens + 5


@conforms("several turns")
async def test_a_conversation_goes_on(caller: Caller) -> None:
    first = await caller.result(TALK)
    again = chat(*TALK.messages, message_of(first), says("And at night?"))
    result = await caller.result(again)
    assert result.content != first.content
    assert result.finish_reason is FinishReason.STOP


@conforms("length limit")
async def test_a_limit_of_length_cuts_and_says_so(caller: Caller) -> None:
    await caller.simulator.script()
    result = await caller.result(replace(TALK, max_tokens=2))
    assert result.finish_reason is FinishReason.LENGTH
    assert result.usage is not None
    assert result.usage.output_tokens == 2


@conforms("stop sequence")
async def test_a_stop_sequence_ends_it_and_is_not_part_of_it(caller: Caller) -> None:
    await caller.simulator.script()
    result = await caller.result(replace(TALK, stop=(" fox",)))
    assert result.content.endswith("brown")
    assert result.finish_reason is FinishReason.STOP


@conforms("tools and their results")
async def test_a_tool_is_called_and_its_result_is_used(caller: Caller) -> None:
    asked = chat(says("What is the weather in Paris?"), tools=(WEATHER,))
    call = await caller.result(asked)
    assert call.finish_reason is FinishReason.TOOL_CALLS
    [tool_call] = call.tool_calls
    assert tool_call.name == "get_weather"
    assert tool_call.id
    arguments = json.loads(tool_call.arguments)
    assert isinstance(arguments["city"], str)
    assert isinstance(arguments["days"], int)
    done = Message(role=Role.TOOL, tool_call_id=tool_call.id, content='{"sky": "clear"}')
    result = await caller.result(replace(asked, messages=(*asked.messages, message_of(call), done)))
    assert result.finish_reason is FinishReason.STOP
    assert result.content
    assert result.tool_calls == ()


@conforms("parallel tools")
async def test_two_tools_are_called_at_once(caller: Caller) -> None:
    asked = chat(says("[parallel] Weather and time in Paris?"), tools=(WEATHER, CLOCK))
    call = await caller.result(asked)
    assert len(call.tool_calls) == 2
    assert len({each.id for each in call.tool_calls}) == 2
    done = [
        Message(role=Role.TOOL, tool_call_id=each.id, content=f"result {n}", is_error=bool(n))
        for n, each in enumerate(call.tool_calls)
    ]
    result = await caller.result(
        replace(asked, messages=(*asked.messages, message_of(call), *done))
    )
    assert result.content
    assert result.tool_calls == ()


@conforms("tool choice")
async def test_a_choice_of_tools_is_obeyed(caller: Caller) -> None:
    asked = chat(says("Hello."), tools=(WEATHER, CLOCK))
    named = await caller.result(replace(asked, tool_choice=NamedTool(name="get_time")))
    assert {call.name for call in named.tool_calls} == {"get_time"}
    required = await caller.result(replace(asked, tool_choice=ToolMode.REQUIRED))
    assert required.tool_calls
    none = await caller.result(replace(asked, tool_choice=ToolMode.NONE))
    assert none.tool_calls == ()
    assert none.content


@conforms("image")
async def test_an_image_is_seen_and_billed(caller: Caller) -> None:
    parts = (TextPart(text="Why is the sky blue?"), ImagePart(url=PIXEL))
    seen = await caller.result(chat(Message(role=Role.USER, content=parts)))
    blind = await caller.result(TALK)
    assert seen.content
    assert seen.usage is not None
    assert blind.usage is not None
    assert seen.usage.input_tokens > blind.usage.input_tokens


@conforms("image by URL")
async def test_an_image_at_an_address_is_seen(caller: Caller) -> None:
    parts = (TextPart(text="Why is the sky blue?"), ImagePart(url="https://example.com/sky.png"))
    seen = (await caller.result(chat(Message(role=Role.USER, content=parts)))).usage
    blind = (await caller.result(TALK)).usage
    assert seen is not None
    assert blind is not None
    assert seen.input_tokens > blind.input_tokens


@conforms("refusal")
@EITHER_WAY
async def test_a_refusal_is_told_as_one(caller: Caller, *, streamed: bool) -> None:
    await caller.simulator.script({"do": {"refusal": "I would rather not."}})
    told: list[Delta] | None = [] if streamed else None
    result = (await caller.answer(TALK, told)).result
    assert result.finish_reason in {FinishReason.REFUSAL, FinishReason.CONTENT_FILTER}
    assert (result.content, result.tool_calls) == ("", ())


@conforms("filtered answer")
@EITHER_WAY
async def test_an_answer_that_a_filter_cut_says_so(caller: Caller, *, streamed: bool) -> None:
    word = WORDS_OF_FILTERS.get(caller.target.adapter, "content_filter")
    await caller.simulator.script({"do": {"finish_reason": word}})
    result = (await caller.answer(TALK, [] if streamed else None)).result
    assert result.finish_reason in {FinishReason.REFUSAL, FinishReason.CONTENT_FILTER}
    assert result.usage is not None


@conforms("answer of a schema")
@EITHER_WAY
async def test_an_answer_is_of_the_schema(caller: Caller, *, streamed: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    asked = replace(TALK, response_schema=ResponseSchema(schema=schema, name="place"))
    answer = await caller.answer(asked, [] if streamed else None)
    check_output(asked, answer)
    assert set(orjson.loads(answer.result.content)) == {"city", "people"}


@conforms("thought that must come back")
@EITHER_WAY
async def test_thought_comes_back_untouched(caller: Caller, *, streamed: bool) -> None:
    asked = chat(
        says("What is the weather in Paris?"),
        tools=(WEATHER,),
        reasoning_effort=ReasoningEffort.MEDIUM,
    )
    call = (await caller.answer(asked, [] if streamed else None)).result
    [tool_call] = call.tool_calls
    opaque = [part for part in call.parts if isinstance(part, OpaquePart)]
    assert opaque or tool_call.signature
    done = Message(role=Role.TOOL, tool_call_id=tool_call.id, content="clear")
    turn = message_of(call)
    whole = replace(asked, messages=(*asked.messages, turn, done))
    assert (await caller.result(whole)).content, "the provider takes its own thought back"
    for spoilt in spoilings(turn):
        error = await caller.failure(replace(asked, messages=(*asked.messages, spoilt, done)))
        assert error.kind is FailureKind.BAD_REQUEST, "the provider looks at what comes back"


def spoilings(turn: Message) -> Iterator[Message]:
    """The turn with another thought, and where the thought stands apart, without it."""
    parts = tuple(
        replace(part, data={**part.data, **dict.fromkeys(SEALS & part.data.keys(), "another")})
        if isinstance(part, OpaquePart)
        else part
        for part in turn.parts
    )
    calls = tuple(
        replace(call, signature=call.signature and "YW5vdGhlcg==") for call in turn.tool_calls
    )
    yield replace(turn, content=parts, tool_calls=calls)
    if not any(call.signature for call in turn.tool_calls):
        yield replace(turn, content=turn.text)


@conforms("embedding")
async def test_each_input_gets_its_vector(caller: Caller) -> None:
    asked = GenerationRequest(
        model=caller.target.embedding_model,
        kind=RequestKind.EMBEDDING,
        input=("red", "green", "red"),
        dimensions=256,
    )
    result = await caller.result(asked)
    red, green, again = result.embeddings
    assert (len(red), len(green)) == (256, 256)
    assert red == again != green
    assert result.content == ""


@conforms("legacy completion")
async def test_a_prompt_is_continued(caller: Caller) -> None:
    asked = GenerationRequest(
        model=caller.target.completion_model,
        kind=RequestKind.COMPLETION,
        prompt="Once upon a time",
        max_tokens=400,
    )
    result = await caller.result(asked)
    assert result.content
    assert result.finish_reason is FinishReason.STOP
