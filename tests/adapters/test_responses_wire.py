"""The Responses dialect as tables: what goes out, what comes in."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    FinishReason,
    GenerationRequest,
    NamedTool,
    ReasoningEffort,
    ResponseSchema,
    Tool,
    ToolMode,
    Usage,
    message_of,
)
from tests.adapters.responses import MESSAGE, RESPONSE, THOUGHT, USAGE, calling, response, said
from tests.adapters.test_openai_wire import JSON
from worker.adapters.base import CallError, WireError
from worker.adapters.responses_wire import from_wire, to_wire

SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}}


def body(*messages: Message, **options: Any) -> dict[str, Any]:
    return to_wire(GenerationRequest(model="m", messages=messages, **options), "m")


def test_a_plain_request_is_short_and_leaves_no_copy_at_the_provider() -> None:
    asked = body(
        Message(role=Role.SYSTEM, content="Be kind."),
        Message(role=Role.USER, content="Why tea?"),
        Message(role=Role.ASSISTANT, content="Why not?"),
        max_tokens=50,
    )
    assert asked == {
        "model": "m",
        "input": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Why tea?"},
            {"role": "assistant", "content": "Why not?"},
        ],
        "max_output_tokens": 50,
        "store": False,
    }


def test_every_wish_has_its_name() -> None:
    asked = body(
        temperature=0.0,
        top_p=0.5,
        tools=(Tool(name="f", description="Does.", parameters=SCHEMA, strict=True), Tool(name="g")),
        tool_choice=NamedTool(name="f"),
        parallel_tool_calls=False,
        response_schema=ResponseSchema(schema=SCHEMA, name="sum"),
        reasoning_effort=ReasoningEffort.LOW,
        web_search=True,
        metadata={"team": "blue"},
    )
    nothing = {"type": "object", "properties": {}}
    assert asked == {
        "model": "m",
        "input": [],
        "temperature": 0.0,
        "top_p": 0.5,
        "tools": [
            {
                "type": "function",
                "name": "f",
                "description": "Does.",
                "parameters": SCHEMA,
                "strict": True,
            },
            {"type": "function", "name": "g", "parameters": nothing, "strict": False},
            {"type": "web_search"},
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "text": {
            "format": {"type": "json_schema", "name": "sum", "schema": SCHEMA, "strict": True}
        },
        "reasoning": {"effort": "low"},
        "max_tool_calls": 5,
        "include": ["reasoning.encrypted_content"],
        "metadata": {"team": "blue"},
        "store": False,
    }


def test_a_mode_of_calling_is_a_word() -> None:
    assert body(tool_choice=ToolMode.REQUIRED)["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("effort", "tools"),
    [
        (None, (Tool(name="f"),)),
        (ReasoningEffort.NONE, (Tool(name="f"),)),
        (ReasoningEffort.LOW, ()),
    ],
)
def test_thought_is_asked_for_only_where_it_must_go_back(
    effort: ReasoningEffort | None, tools: tuple[Tool, ...]
) -> None:
    assert "include" not in body(reasoning_effort=effort, tools=tools)


def test_images_and_files_are_parts() -> None:
    parts = (
        TextPart(text="What is this?"),
        ImagePart(url="https://example.com/cat.png"),
        ImagePart(url="data:image/png;base64,AA==", detail="high"),
        FilePart(url="https://example.com/a.pdf", filename="a.pdf"),
        FilePart(url="data:application/pdf;base64,AA=="),
        OpaquePart(wire="anthropic", data={}),
    )
    [item] = body(Message(role=Role.USER, content=parts))["input"]
    assert item["content"] == [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "https://example.com/cat.png", "detail": "auto"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "high"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {
            "type": "input_file",
            "file_data": "data:application/pdf;base64,AA==",
            "filename": "document.pdf",
        },
    ]


def test_calls_and_their_results_are_items() -> None:
    call = ToolCall(id="call_1", name="f", arguments='{"a":1}')
    items = body(
        Message(role=Role.ASSISTANT, content="Let me see.", tool_calls=(call,)),
        Message(role=Role.TOOL, tool_call_id="call_1", content="rain"),
    )["input"]
    assert items == [
        {"role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
    ]


def test_thought_goes_back_untouched_in_its_place_among_the_calls() -> None:
    output = [THOUGHT, said("Let me see."), calling("1"), {**THOUGHT, "id": "rs_2"}, calling("2")]
    result = from_wire(response(output=output))
    assert [call.id for call in result.tool_calls] == ["call_1", "call_2"]
    items = body(message_of(result))["input"]
    assert items == [
        THOUGHT,
        {"role": "assistant", "content": "Let me see."},
        calling("1"),
        {**THOUGHT, "id": "rs_2"},
        calling("2"),
    ]


def test_thought_that_the_provider_has_forgotten_does_not_go_back() -> None:
    forgotten = {"type": "reasoning", "id": "rs_1", "summary": []}
    result = from_wire(response(output=[forgotten, calling("1")]))
    assert result.parts == ()
    [item] = body(message_of(result))["input"]
    assert item["call_id"] == "call_1"


def test_what_another_wire_thought_stays_behind() -> None:
    foreign = OpaquePart(wire="anthropic", data={"type": "thinking"})
    turn = Message(role=Role.ASSISTANT, content=(foreign, TextPart(text="Fine.")))
    assert body(turn)["input"] == [{"role": "assistant", "content": "Fine."}]


def test_a_response_becomes_the_normal_form() -> None:
    result = from_wire({**RESPONSE, "service_tier": "flex"})
    assert (result.content, result.parts, result.refusal) == ("Fine.", (), None)
    assert result.finish_reason is FinishReason.STOP
    assert result.model == "gpt-5.4-mini"
    assert result.usage == Usage(
        input_tokens=9,
        cached_tokens=4,
        cache_write_tokens=2,
        output_tokens=7,
        reasoning_tokens=3,
        service_tier="flex",
    )


def test_a_call_is_why_it_stopped() -> None:
    result = from_wire(response(output=[calling("1"), calling("2")]))
    assert result.finish_reason is FinishReason.TOOL_CALLS
    assert result.tool_calls[1] == ToolCall(id="call_2", name="f", arguments='{"a":1}')


def test_a_refusal_is_why_it_stopped() -> None:
    part = {"type": "refusal", "refusal": "I will not."}
    result = from_wire(response(output=[{**MESSAGE, "content": [part]}]))
    assert (result.content, result.refusal) == ("", "I will not.")
    assert result.finish_reason is FinishReason.REFUSAL


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("max_output_tokens", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
    ],
)
def test_an_incomplete_response_says_why(reason: str, finish_reason: FinishReason) -> None:
    cut = response(status="incomplete", incomplete_details={"reason": reason}, output=[])
    result = from_wire(cut)
    assert (result.content, result.finish_reason) == ("", finish_reason)


def test_searches_are_counted_and_what_they_found_is_cited() -> None:
    def search(action: Any) -> dict[str, Any]:
        return {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action}

    notes = [
        {"type": "url_citation", "url": "https://a.example", "title": "A"},
        {"type": "file_citation", "file_id": "f"},
        {"type": "url_citation", "url": "https://a.example", "title": "A"},
    ]
    found = {"type": "search_results", "results": [{"url": "https://b.example"}, {"id": 1}]}
    result = from_wire(
        response(
            output=[
                search({"type": "search", "query": "tea"}),
                search({"type": "open_page", "url": "https://a.example"}),
                search(None),
                found,
                said("Fine.", annotations=notes),
            ]
        )
    )
    assert result.usage is not None
    assert result.usage.searches == 2, "opening a page is no search"
    assert result.citations == ("https://a.example", "https://b.example")


def test_perplexitys_word_on_the_cost_is_exact() -> None:
    cost = {"currency": "USD", "input_cost": 0.00001, "total_cost": 0.005433, "output_cost": 0}
    result = from_wire(response(usage={**USAGE, "cost": cost}))
    assert result.usage is not None
    assert result.usage.cost_nano == 5_433_000


@pytest.mark.parametrize(
    "odd",
    [
        response(status="in_progress"),
        response(status="cancelled"),
        response(status=None),
        response(status="incomplete"),
        response(status="incomplete", incomplete_details={"reason": "unheard_of"}),
        response(output=None),
        response(output=[{}]),
        response(output=[said(7)]),
        {},
        [],
        None,
    ],
)
def test_what_is_no_response_is_refused(odd: Any) -> None:
    with pytest.raises(WireError, match="the reply is not a response"):
        from_wire(odd)


@pytest.mark.parametrize("usage", [{"input_tokens": 1}, {"total_tokens": 3}, "many", [1]])
def test_a_usage_that_says_too_little_loses_no_answer(usage: Any) -> None:
    result = from_wire(response(usage=usage))
    assert (result.content, result.usage) == (from_wire(RESPONSE).content, None)


@given(junk=JSON, name=st.sampled_from(sorted(RESPONSE)))
def test_any_reply_is_read_or_refused_and_breaks_nothing(junk: Any, name: str) -> None:
    for odd in (
        junk,
        {**RESPONSE, name: junk},
        response(output=[{"type": "message", "content": junk}]),
    ):
        with suppress(WireError, CallError):
            assert isinstance(from_wire(odd).content, str)
