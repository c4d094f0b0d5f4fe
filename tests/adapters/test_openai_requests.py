"""What a chat request is on OpenAI's wire: parts, tools, schemas, thought."""

from typing import Any

import pytest

from shared.domain.conversation import (
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Role,
    TextPart,
    ToolCall,
)
from shared.domain.generation import (
    GenerationRequest,
    NamedTool,
    ReasoningEffort,
    ResponseSchema,
    Tool,
    ToolMode,
)
from worker.adapters.openai_wire import to_wire

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}}


def body(*messages: Message, **options: Any) -> dict[str, Any]:
    return to_wire(GenerationRequest(model="m", messages=messages, **options), "m")


def user(*parts: Any) -> Message:
    return Message(role=Role.USER, content=parts)


def test_images_and_files_are_parts() -> None:
    [turn] = body(
        user(
            TextPart(text="What is this?"),
            ImagePart(url="https://example.com/cat.png", detail="low"),
            ImagePart(url="data:image/png;base64,AA=="),
            FilePart(url="data:application/pdf;base64,AA==", filename="a.pdf"),
            FilePart(url="data:application/pdf;base64,BB=="),
        )
    )["messages"]
    assert turn == {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {
                "type": "image_url",
                "image_url": {"url": "https://example.com/cat.png", "detail": "low"},
            },
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
            },
            {
                "type": "file",
                "file": {
                    "file_data": "data:application/pdf;base64,BB==",
                    "filename": "document.pdf",
                },
            },
        ],
    }


def test_text_in_parts_is_text_and_what_is_foreign_stays_behind() -> None:
    opaque = OpaquePart(wire="anthropic", data={"type": "thinking"})
    [turn] = body(user(TextPart(text="a"), opaque, TextPart(text="b")))["messages"]
    assert turn == {"role": "user", "content": "ab"}


def test_tool_calls_and_their_results_go_back() -> None:
    call = ToolCall(id="call_1", name="weather", arguments='{"city":"Rome"}')
    asked, answered = body(
        Message(role=Role.ASSISTANT, tool_calls=(call,)),
        Message(role=Role.TOOL, tool_call_id="call_1", content="rain", is_error=True),
    )["messages"]
    assert asked == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
            }
        ],
    }
    assert answered == {"role": "tool", "tool_call_id": "call_1", "content": "rain"}


def test_a_turn_may_speak_and_call() -> None:
    call = ToolCall(id="call_1", name="weather", arguments="{}")
    [turn] = body(Message(role=Role.ASSISTANT, content="Let me see.", tool_calls=(call,)))[
        "messages"
    ]
    assert turn["content"] == "Let me see."
    assert len(turn["tool_calls"]) == 1


def test_tools_are_functions() -> None:
    described = Tool(name="w", description="Tells.", parameters=PARAMETERS, strict=True)
    assert body(tools=(described, Tool(name="now")))["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "w",
                "description": "Tells.",
                "parameters": PARAMETERS,
                "strict": True,
            },
        },
        {"type": "function", "function": {"name": "now"}},
    ]


@pytest.mark.parametrize(
    ("choice", "on_the_wire"),
    [
        (ToolMode.AUTO, "auto"),
        (ToolMode.NONE, "none"),
        (ToolMode.REQUIRED, "required"),
        (NamedTool(name="w"), {"type": "function", "function": {"name": "w"}}),
    ],
)
def test_a_choice_of_tools(choice: ToolMode | NamedTool, on_the_wire: Any) -> None:
    assert body(tool_choice=choice)["tool_choice"] == on_the_wire


def test_the_other_wishes_have_their_names() -> None:
    asked = body(
        parallel_tool_calls=False,
        response_schema=ResponseSchema(schema=SCHEMA, name="sum", strict=False),
        reasoning_effort=ReasoningEffort.HIGH,
        metadata={"team": "blue"},
    )
    assert asked == {
        "model": "m",
        "messages": [],
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "sum", "schema": SCHEMA, "strict": False},
        },
        "reasoning_effort": "high",
        "metadata": {"team": "blue"},
    }
