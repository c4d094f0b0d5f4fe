"""Anthropic's messages as tables, outwards: what goes on the wire."""

import base64
from typing import Any

import pytest

from shared.domain.conversation import (
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Role,
    TextPart,
    ToolCall,
)
from shared.domain.failure import FailureKind
from shared.domain.generation import (
    GenerationRequest,
    NamedTool,
    ReasoningEffort,
    RequestKind,
    ResponseSchema,
    Tool,
    ToolMode,
)
from worker.adapters.anthropic_request import to_wire
from worker.adapters.base import CallError

USER = Message(role=Role.USER, content="?")
ASKED = {"role": "user", "content": [{"type": "text", "text": "?"}]}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = Tool(name="weather", parameters=SCHEMA)
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "b3BhcXVl"}


def wire(*messages: Message, **options: Any) -> dict[str, Any]:
    """The body of a request of these messages."""
    return to_wire(GenerationRequest(model="ours", messages=messages, **options), "theirs")


def block(part: Part) -> dict[str, Any]:
    """What one part becomes."""
    [turn] = wire(Message(role=Role.USER, content=(part,)))["messages"]
    [only] = turn["content"]
    return dict(only)


def refused(request: GenerationRequest) -> str:
    with pytest.raises(CallError) as caught:
        to_wire(request, "theirs")
    assert caught.value.kind is FailureKind.BAD_REQUEST
    return caught.value.message


def test_absent_parameters_stay_absent() -> None:
    assert wire(USER) == {"model": "theirs", "messages": [ASKED]}


def test_every_parameter_arrives_but_those_that_the_api_has_no_more() -> None:
    body = wire(
        USER,
        max_tokens=9,
        temperature=0.0,
        top_p=1.0,
        presence_penalty=1.0,
        frequency_penalty=1.0,
        seed=0,
        stop=("a", "b"),
        tools=(Tool(name="weather", description="Of a city.", parameters=SCHEMA, strict=True),),
        tool_choice=ToolMode.REQUIRED,
        parallel_tool_calls=False,
        response_schema=ResponseSchema(schema=SCHEMA),
        reasoning_effort=ReasoningEffort.HIGH,
        metadata={"user_id": "u-1", "batch": "b"},
    )
    assert body == {
        "model": "theirs",
        "messages": [ASKED],
        "max_tokens": 9,
        "stop_sequences": ["a", "b"],
        "tools": [
            {
                "name": "weather",
                "description": "Of a city.",
                "input_schema": SCHEMA,
                "strict": True,
            }
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
        "thinking": {"type": "adaptive"},
        "metadata": {"user_id": "u-1"},
    }


def test_a_stream_is_asked_for() -> None:
    request = GenerationRequest(model="ours", messages=(USER,))
    assert to_wire(request, "theirs", stream=True)["stream"] is True


def test_what_the_system_says_stands_apart() -> None:
    system = [Message(role=Role.SYSTEM, content=text) for text in ("Be kind.", "", "Be brief.")]
    body = wire(system[0], USER, system[1], system[2])
    assert body["system"] == "Be kind.\n\nBe brief."
    assert body["messages"] == [ASKED]


def test_calls_go_back_with_their_arguments_as_objects() -> None:
    calls = (
        ToolCall(id="toolu_1", name="weather", arguments='{"city": "Bern"}'),
        ToolCall(id="toolu_2", name="now", arguments=""),
    )
    turn = Message(role=Role.ASSISTANT, content="Let me look.", tool_calls=calls)
    assert wire(USER, turn)["messages"][1] == {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}},
            {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
        ],
    }


def test_results_of_parallel_calls_come_in_one_turn() -> None:
    body = wire(
        Message(role=Role.TOOL, tool_call_id="toolu_1", content="Rain."),
        Message(role=Role.TOOL, tool_call_id="toolu_2", content="No city.", is_error=True),
        Message(role=Role.TOOL, tool_call_id="toolu_3"),
        Message(role=Role.USER, content="And?"),
    )
    rain, no_city, and_so = (
        [{"type": "text", "text": text}] for text in ("Rain.", "No city.", "And?")
    )
    results: list[dict[str, Any]] = [
        {"tool_use_id": "toolu_1", "content": rain},
        {"tool_use_id": "toolu_2", "content": no_city, "is_error": True},
        {"tool_use_id": "toolu_3"},
    ]
    assert body["messages"] == [
        {
            "role": "user",
            "content": [{"type": "tool_result", **each} for each in results] + and_so,
        }
    ]


def test_thought_goes_back_untouched_in_its_place_before_the_calls() -> None:
    turn = Message(
        role=Role.ASSISTANT,
        content=(
            OpaquePart(wire="anthropic", data=THOUGHT),
            OpaquePart(wire="gemini", data={"thoughtSignature": "x"}),
            OpaquePart(wire="anthropic", data=REDACTED),
            TextPart(text="Let me look."),
        ),
        tool_calls=(ToolCall(id="toolu_1", name="weather", arguments="{}"),),
    )
    content = wire(USER, turn)["messages"][1]["content"]
    assert content[:2] == [THOUGHT, REDACTED]
    assert [each["type"] for each in content[2:]] == ["text", "tool_use"]


def test_what_says_nothing_is_left_out() -> None:
    """The API refuses empty text and empty turns."""
    silent = Message(role=Role.ASSISTANT, content=(TextPart(text=""),))
    assert wire(USER, silent, Message(role=Role.ASSISTANT))["messages"] == [ASKED]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            ImagePart(url="data:image/png;base64,aGk=", detail="low"),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
            },
        ),
        (
            ImagePart(url="https://a.example/tea.webp"),
            {"type": "image", "source": {"type": "url", "url": "https://a.example/tea.webp"}},
        ),
        (
            FilePart(url="data:application/pdf;base64,aGk=", filename="tea.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
                "title": "tea.pdf",
            },
        ),
        (
            FilePart(url="https://a.example/tea.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://a.example/tea.pdf"}},
        ),
        (
            FilePart(
                url="data:text/csv;charset=utf-8;base64,"
                + base64.b64encode("ü,1".encode()).decode()
            ),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "ü,1"},
            },
        ),
    ],
)
def test_images_and_documents_by_address_or_by_their_bytes(
    part: Part, expected: dict[str, Any]
) -> None:
    assert block(part) == expected


@pytest.mark.parametrize("effort", ReasoningEffort)
def test_every_effort_has_its_word(effort: ReasoningEffort) -> None:
    body = wire(USER, reasoning_effort=effort)
    thinks = effort is not ReasoningEffort.NONE
    assert body["thinking"] == {"type": "adaptive" if thinks else "disabled"}
    assert ("output_config" in body) is thinks
    if thinks:
        assert body["output_config"]["effort"] in {"low", "medium", "high", "xhigh", "max"}


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        ({}, None),
        ({"tool_choice": ToolMode.AUTO}, {"type": "auto"}),
        ({"tool_choice": ToolMode.NONE}, {"type": "none"}),
        ({"tool_choice": ToolMode.REQUIRED}, {"type": "any"}),
        ({"tool_choice": NamedTool(name="weather")}, {"type": "tool", "name": "weather"}),
        ({"parallel_tool_calls": True}, None),
        (
            {"parallel_tool_calls": False},
            {"type": "auto", "disable_parallel_tool_use": True},
        ),
        ({"tool_choice": ToolMode.NONE, "parallel_tool_calls": False}, {"type": "none"}),
        (
            {"tool_choice": NamedTool(name="weather"), "parallel_tool_calls": False},
            {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_every_choice_of_tools(options: dict[str, Any], choice: dict[str, Any] | None) -> None:
    assert wire(USER, tools=(TOOL,), **options).get("tool_choice") == choice


def test_without_tools_there_is_no_word_on_how_they_are_called() -> None:
    assert "tool_choice" not in wire(USER, parallel_tool_calls=False)


def test_a_tool_without_parameters_takes_none_and_a_search_is_a_tool_of_the_server() -> None:
    body = wire(USER, tools=(Tool(name="now"),), web_search=True)
    assert body["tools"] == [
        {"name": "now", "input_schema": {"type": "object", "properties": {}}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
    ]


@pytest.mark.parametrize("kind", [RequestKind.COMPLETION, RequestKind.EMBEDDING])
def test_what_is_no_chat_is_refused(kind: RequestKind) -> None:
    assert kind in refused(GenerationRequest(model="ours", kind=kind, prompt="Once"))


@pytest.mark.parametrize(
    "message",
    [
        Message(
            role=Role.ASSISTANT,
            tool_calls=(ToolCall(id="toolu_1", name="weather", arguments='{"city": "Be'),),
        ),
        Message(
            role=Role.ASSISTANT, tool_calls=(ToolCall(id="toolu_1", name="w", arguments="[1]"),)
        ),
        Message(role=Role.USER, content=(ImagePart(url="gs://bucket/tea.png"),)),
        Message(role=Role.USER, content=(ImagePart(url="data:image/png,raw"),)),
        Message(role=Role.USER, content=(FilePart(url="data:text/plain;base64,/w=="),)),
        Message(role=Role.USER, content=(FilePart(url="data:text/plain;base64,*"),)),
    ],
)
def test_what_the_wire_cannot_say_is_refused_by_its_field(message: Message) -> None:
    said = refused(GenerationRequest(model="ours", messages=(message,)))
    assert said.startswith(("tool_calls: ", "url: "))
