"""Gemini's dialect outward: what a request of ours becomes on its wire."""

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
from worker.adapters.base import CallError
from worker.adapters.gemini_turns import NO_SIGNATURE, contents_of
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


def result(call_id: str, content: str, *, is_error: bool = False) -> Message:
    return Message(role=Role.TOOL, tool_call_id=call_id, content=content, is_error=is_error)


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


def test_a_prompt_to_be_continued_is_a_users_turn() -> None:
    request = GenerationRequest(model="m", kind=RequestKind.COMPLETION, prompt="Once")
    assert to_wire(request, MODEL)["contents"] == [{"role": "user", "parts": [{"text": "Once"}]}]


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
        (RequestKind.COMPLETION, False, "models/m:generateContent"),
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


def test_turns_of_one_speaker_are_one_turn() -> None:
    messages = (
        Message(role=Role.SYSTEM, content="A"),
        user("one"),
        user("two"),
        Message(role=Role.ASSISTANT, content="three"),
        Message(role=Role.ASSISTANT, content=""),
        Message(role=Role.SYSTEM, content="B"),
        Message(role=Role.ASSISTANT, content="four"),
        user("five"),
    )
    body = to_wire(chat(*messages), MODEL)
    assert body["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "one"}, {"text": "two"}]},
        {"role": "model", "parts": [{"text": "three"}, {"text": "four"}]},
        {"role": "user", "parts": [{"text": "five"}]},
    ]


def test_a_turn_without_a_word_is_left_out() -> None:
    assert contents_of([user("one"), Message(role=Role.ASSISTANT, content="")], MODEL) == [
        {"role": "user", "parts": [{"text": "one"}]}
    ]


def test_calls_and_results_carry_the_names_and_ids_that_came() -> None:
    messages = (
        calls(call("fc_9", arguments='{"city": "Oslo"}', signature="c2ln"), call("fc_8", "stop")),
        result("fc_9", '{"time": 7}'),
        result("fc_8", "no", is_error=True),
    )
    assert contents_of(messages, MODEL) == [
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"id": "fc_9", "name": "get_time", "args": {"city": "Oslo"}},
                    "thoughtSignature": "c2ln",
                },
                {"functionCall": {"id": "fc_8", "name": "stop", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "fc_9",
                        "name": "get_time",
                        "response": {"time": 7},
                    }
                },
                {
                    "functionResponse": {
                        "id": "fc_8",
                        "name": "stop",
                        "response": {"error": "no"},
                    }
                },
            ],
        },
    ]


def test_results_without_ids_go_in_the_order_of_their_calls_before_other_words() -> None:
    messages = (
        calls(call("call_0"), call("call_1", "stop")),
        user("Well?"),
        result("call_1", "second"),
        result("call_0", "[1]"),
    )
    [model, answers] = contents_of(messages, OLD)
    assert model["parts"] == [
        {"functionCall": {"name": "get_time", "args": {}}},
        {"functionCall": {"name": "stop", "args": {}}},
    ]
    assert answers["parts"] == [
        {"functionResponse": {"name": "get_time", "response": {"result": "[1]"}}},
        {"functionResponse": {"name": "stop", "response": {"result": "second"}}},
        {"text": "Well?"},
    ]


def test_an_image_that_a_tool_gave_follows_its_result() -> None:
    image = ImagePart(url="data:image/png;base64,AAAA")
    shown = Message(role=Role.TOOL, tool_call_id="call_0", content=(TextPart(text="Look"), image))
    [_, answers] = contents_of((calls(call("call_0")), shown), OLD)
    assert answers["parts"] == [
        {"functionResponse": {"name": "get_time", "response": {"result": "Look"}}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    ]


def test_another_models_calls_are_marked_for_models_that_want_signatures() -> None:
    foreign = calls(call("toolu_1"), call("toolu_2"))
    [new], [old] = contents_of([foreign], MODEL), contents_of([foreign], OLD)
    assert [part.get("thoughtSignature") for part in new["parts"]] == [NO_SIGNATURE, None]
    assert [part.get("thoughtSignature") for part in old["parts"]] == [None, None]


def test_what_only_gemini_understands_goes_back_untouched() -> None:
    thought = {"text": "Hm.", "thought": True, "thoughtSignature": "b25l"}
    content = (
        OpaquePart(wire="gemini", data=thought),
        OpaquePart(wire="anthropic", data={"type": "thinking"}),
        TextPart(text="Fine."),
        OpaquePart(wire="gemini", data={"thoughtSignature": "dHdv"}),
        OpaquePart(wire="gemini", data={"text": "", "thoughtSignature": "dGhyZWU="}),
        OpaquePart(wire="gemini", data={"thoughtSignature": "Zm91cg=="}),
    )
    [turn] = contents_of([Message(role=Role.ASSISTANT, content=content)], MODEL)
    assert turn["parts"] == [
        thought,
        {"text": "Fine.", "thoughtSignature": "dHdv"},
        {"text": "", "thoughtSignature": "dGhyZWU="},
        {"text": "", "thoughtSignature": "Zm91cg=="},
    ]


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (
            ImagePart(url="data:image/png;base64,AA=="),
            {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        ),
        (
            FilePart(url="data:application/pdf;name=a.pdf;base64,AA=="),
            {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
        ),
        (
            FilePart(url="gs://bucket/a.pdf"),
            {"fileData": {"fileUri": "gs://bucket/a.pdf", "mimeType": "application/pdf"}},
        ),
        (
            FilePart(
                url="https://generativelanguage.googleapis.com/v1beta/files/abc", filename="a.txt"
            ),
            {
                "fileData": {
                    "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                    "mimeType": "text/plain",
                }
            },
        ),
        (ImagePart(url="gs://bucket/a"), {"fileData": {"fileUri": "gs://bucket/a"}}),
    ],
)
def test_images_and_files_are_bytes_or_files_that_google_holds(part: Part, wire: Any) -> None:
    [turn] = contents_of([user(part)], MODEL)
    assert turn["parts"] == [wire]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ((user(ImagePart(url="https://a.example/a.png?key=secret")),), "begins with 'https://'"),
        ((user(ImagePart(url="data:image/svg+xml,%3Csvg")),), "begins with 'data:ima'"),
        ((user("?"), result("call_7", "x")), "'call_7' answers no tool call"),
        ((calls(call("fc", arguments="[1]")),), "'fc' must be a JSON object"),
        ((calls(call("fc", arguments="{")),), "'fc' must be a JSON object"),
    ],
)
def test_what_cannot_be_said_is_refused_before_it_is_sent(
    messages: tuple[Message, ...], complaint: str
) -> None:
    with pytest.raises(CallError, match=complaint) as refused:
        to_wire(chat(*messages), MODEL)
    assert refused.value.kind is FailureKind.BAD_REQUEST
    assert "secret" not in refused.value.message


def test_the_conversations_calls_are_counted() -> None:
    assert calls_in(chat(user("?"), calls(call("a"), call("b")), calls(call("c")))) == 3
