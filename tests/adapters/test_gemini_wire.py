"""Gemini's dialect outward: what a request of ours becomes on its wire."""

from typing import Any

import pytest

from shared.domain.conversation import (
    Message,
    Part,
    Role,
    ToolCall,
)
from shared.domain.generation import (
    GenerationRequest,
    NamedTool,
    ReasoningEffort,
    RequestKind,
    ResponseSchema,
    Tool,
    ToolMode,
)
from worker.adapters.gemini_wire import calls_in, path_of, to_wire

MODEL = "gemini-3.8-flash"
OLD = "gemini-2.5-flash"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def user(content: str | Part) -> Message:
    said = content if isinstance(content, str) else (content,)
    return Message(role=Role.USER, content=said)


def chat(*messages: Message, **options: Any) -> GenerationRequest:
    return GenerationRequest(model="ours", messages=messages or (user("?"),), **options)


def calls(*calls: ToolCall) -> Message:
    return Message(role=Role.ASSISTANT, tool_calls=calls)


def call(call_id: str, name: str = "get_time", **options: Any) -> ToolCall:
    return ToolCall(**{"id": call_id, "name": name, "arguments": "{}", **options})


def test_absent_parameters_stay_absent() -> None:
    assert to_wire(chat(), MODEL) == {"contents": [{"role": "user", "parts": [{"text": "?"}]}]}


def test_every_parameter_arrives_zeros_too() -> None:
    request = chat(
        Message(role=Role.SYSTEM, content="Be kind."),
        user("Hi"),
        max_tokens=1,
        temperature=0.0,
        top_p=0.0,
        presence_penalty=-2.0,
        frequency_penalty=0.0,
        stop=("a", "b"),
        seed=0,
        response_schema=ResponseSchema(schema=SCHEMA),
        web_search=True,
    )
    assert to_wire(request, MODEL) == {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {
            "maxOutputTokens": 1,
            "temperature": 0.0,
            "topP": 0.0,
            "presencePenalty": -2.0,
            "frequencyPenalty": 0.0,
            "stopSequences": ["a", "b"],
            "seed": 0,
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
        },
        "tools": [{"googleSearch": {}}],
    }


def test_texts_to_embed_are_one_batch() -> None:
    request = GenerationRequest(
        model="m", kind=RequestKind.EMBEDDING, input=("red", "green"), dimensions=256
    )
    assert to_wire(request, "gemini-embedding-001") == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": text}]},
                "outputDimensionality": 256,
            }
            for text in ("red", "green")
        ]
    }
    one = GenerationRequest(model="m", kind=RequestKind.EMBEDDING, input="red")
    assert to_wire(one, "tunedModels/x") == {
        "requests": [{"model": "tunedModels/x", "content": {"parts": [{"text": "red"}]}}]
    }


@pytest.mark.parametrize(
    ("kind", "stream", "path"),
    [
        (RequestKind.CHAT, False, "models/m:generateContent"),
        (RequestKind.CHAT, True, "models/m:streamGenerateContent?alt=sse"),
        (RequestKind.EMBEDDING, False, "models/m:batchEmbedContents"),
    ],
)
def test_each_kind_has_its_address(kind: RequestKind, stream: bool, path: str) -> None:  # noqa: FBT001
    assert path_of(GenerationRequest(model="ours", kind=kind), "m", stream=stream) == path


def test_tools_are_functions_of_json_schema() -> None:
    tools = (Tool(name="get_time", description="Time.", parameters=SCHEMA), Tool(name="stop"))
    assert to_wire(chat(tools=tools, web_search=True), MODEL)["tools"] == [
        {
            "functionDeclarations": [
                {"name": "get_time", "description": "Time.", "parametersJsonSchema": SCHEMA},
                {"name": "stop"},
            ]
        },
        {"googleSearch": {}},
    ]


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolMode.AUTO, {"mode": "AUTO"}),
        (ToolMode.NONE, {"mode": "NONE"}),
        (ToolMode.REQUIRED, {"mode": "ANY"}),
        (NamedTool(name="stop"), {"mode": "ANY", "allowedFunctionNames": ["stop"]}),
    ],
)
def test_a_choice_of_tools_is_a_mode(choice: ToolMode | NamedTool, config: Any) -> None:
    body = to_wire(chat(tools=(Tool(name="stop"),), tool_choice=choice), MODEL)
    assert body["toolConfig"] == {"functionCallingConfig": config}
    assert "toolConfig" not in to_wire(chat(tool_choice=choice), MODEL)


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-2.5-flash", ReasoningEffort.NONE, {"thinkingBudget": 0}),
        ("gemini-2.5-pro", ReasoningEffort.NONE, {"thinkingBudget": 128}),
        ("gemini-2.5-pro", ReasoningEffort.HIGH, {"thinkingBudget": 24576}),
        ("gemini-3.8-flash", ReasoningEffort.NONE, {"thinkingLevel": "LOW"}),
        ("gemini-3.1-pro-preview", ReasoningEffort.MEDIUM, {"thinkingLevel": "MEDIUM"}),
        ("gemini-4-argon", ReasoningEffort.MAX, {"thinkingLevel": "HIGH"}),
        ("gemini-flash-latest", ReasoningEffort.LOW, {"thinkingLevel": "LOW"}),
    ],
)
def test_effort_is_a_budget_for_old_models_and_a_level_for_new_ones(
    model: str, effort: ReasoningEffort, thinking: dict[str, Any]
) -> None:
    body = to_wire(chat(reasoning_effort=effort), model)
    assert body["generationConfig"]["thinkingConfig"] == thinking
    shown = {"includeThoughts": True} if effort is not ReasoningEffort.NONE else {}
    streamed = to_wire(chat(reasoning_effort=effort, stream=True), model)
    assert streamed["generationConfig"]["thinkingConfig"] == {**thinking, **shown}


def test_the_conversations_calls_are_counted() -> None:
    assert calls_in(chat(user("?"), calls(call("a"), call("b")), calls(call("c")))) == 3
