"""What the OpenAI SDK sends to /v1/responses comes into the normal form, and jobs come back."""

import json
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel, TypeAdapter

from shared.domain.conversation import FilePart, ImagePart, Role, TextPart
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest, NamedTool, ReasoningEffort, sparse
from shared.faces.responses_items import answer_turn, items_of
from shared.faces.responses_request import parameter_of, read_response

REQUEST = TypeAdapter(GenerationRequest)
PIXEL = "data:image/png;base64,iVBORw0KGgo="
PAGE = "data:application/pdf;base64,JVBERi0="
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "Now.",
    "parameters": {"type": "object"},
    "strict": False,
}
CALL = {"id": "call_1", "name": "weather", "arguments": '{"city":"Ulm"}'}


class Place(BaseModel):
    city: str


class Sent:
    """The SDK, and the last body that it sent."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self.client = openai.OpenAI(
            api_key="none",
            base_url="http://mill.test/v1",
            max_retries=0,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self._take)),
        )

    def _take(self, request: httpx2.Request) -> httpx2.Response:
        self.body = json.loads(request.content)
        return httpx2.Response(400, json={"error": {"message": "seen"}})

    def read(self, **asked: Any) -> GenerationRequest:
        """What becomes of a create; nothing of it is set aside."""
        with pytest.raises(openai.BadRequestError):
            self.client.responses.create(**{"model": "gpt-4.1-mini", "input": "Why?", **asked})
        return REQUEST.validate_python(read_response(self.body).request)


@pytest.fixture
def sdk() -> Sent:
    return Sent()


def test_a_string_and_instructions_are_two_turns(sdk: Sent) -> None:
    request = sdk.read(
        instructions="Be brief.", max_output_tokens=9, temperature=0.5, top_p=0.9, user="me",
        metadata={"a": "b"}, store=True, truncation="disabled", service_tier="auto",
        parallel_tool_calls=False, safety_identifier="x", background=True, include=[],
    )  # fmt: skip
    assert [(turn.role, turn.content) for turn in request.messages] == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "Why?"),
    ]
    assert (request.max_tokens, request.temperature, request.top_p) == (9, 0.5, 0.9)
    assert (request.metadata, request.parallel_tool_calls) == ({"a": "b"}, False)


def test_items_are_turns_with_their_parts(sdk: Sent) -> None:
    request = sdk.read(
        input=[
            {"role": "developer", "content": "Be kind."},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": PIXEL, "detail": "low"},
                    {"type": "input_file", "file_data": PAGE, "filename": "a.pdf"},
                    {"type": "input_file", "file_url": "https://a.test/b.pdf"},
                ],
            },
        ]
    )
    first, second = request.messages
    assert (first.role, first.content) == (Role.SYSTEM, "Be kind.")
    assert second.parts == (
        TextPart(text="What is it?"),
        ImagePart(url=PIXEL, detail="low"),
        FilePart(url=PAGE, filename="a.pdf"),
        FilePart(url="https://a.test/b.pdf"),
    )


def test_calls_and_what_is_said_beside_them_are_one_turn_and_thought_is_set_aside(
    sdk: Sent,
) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
    said = [{"type": "output_text", "text": "Let me look.", "annotations": []}]
    message = {"type": "message", "id": "msg_1", "role": "assistant", "content": said}
    result = {"type": "function_call_output", "call_id": "c1", "output": "cold"}
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": PIXEL}]
    other = {**call, "call_id": "c2"}
    thought: Any = {"type": "reasoning", "id": "rs_1", "summary": []}
    for items in ([thought, message, call, other], [call, other, message]):
        request = sdk.read(input=[{"role": "user", "content": "Cold?"}, *items, result,
                                  {**result, "call_id": "c2", "output": parts}])  # fmt: skip
        _, turn, first, second = request.messages
        assert (turn.role, turn.text) == (Role.ASSISTANT, "Let me look.")
        assert [each.id for each in turn.tool_calls] == ["c1", "c2"]
        assert (first.role, first.tool_call_id, first.content) == (Role.TOOL, "c1", "cold")
        assert second.parts == (TextPart(text="a"), ImagePart(url=PIXEL, detail=None))


def test_tools_search_schema_and_effort_have_their_fields(sdk: Sent) -> None:
    request = sdk.read(
        tools=[WEATHER, {"type": "web_search"}],
        tool_choice={"type": "function", "name": "weather"},
        reasoning={"effort": "low"},
        text={"format": {"type": "json_object"}, "verbosity": "medium"},
    )
    [tool] = request.tools
    assert (tool.name, tool.description, tool.strict) == ("weather", "Now.", False)
    assert request.web_search
    assert request.tool_choice == NamedTool(name="weather")
    assert request.reasoning_effort is ReasoningEffort.LOW
    assert request.response_schema is not None
    assert request.response_schema.schema == {"type": "object"}
    with pytest.raises(openai.BadRequestError):
        sdk.client.responses.parse(model="gpt-4.1-mini", input="Where?", text_format=Place)
    read = REQUEST.validate_python(read_response(sdk.body).request)
    assert read.response_schema is not None
    assert (read.response_schema.name, read.response_schema.strict) == ("Place", True)
    assert sdk.read(tools=[], text={"format": {"type": "text"}}).response_schema is None


def test_what_nothing_obeys_is_set_aside_by_name_or_refused() -> None:
    body = {
        "model": "m", "input": "Why?", "truncation": "auto", "text": {"verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["a"], "max_tool_calls": 3,
        "tool_choice": {"type": "web_search_preview"}, "tools": [{"type": "web_search_preview"}],
    }  # fmt: skip
    asked = read_response(body, lenient=True)
    assert asked.set_aside == (
        "truncation", "text.verbosity", "reasoning.summary", "include", "max_tool_calls",
        "tool_choice",
    )  # fmt: skip
    assert asked.request["reasoning_effort"] == "low"
    with pytest.raises(InvalidRequestError) as refused:
        read_response(body)
    assert refused.value.field == "truncation"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "a"}]}, "input[0].role"),
        ({"input": [{"type": "mcp_call"}]}, "input[0].type"),
        ({"input": [{"type": ["message"]}]}, "input[0].type"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
         "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}]},
         "input[0].content[0].image_url"),
        ({"tools": [{"type": "mcp", "server_label": "a"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": {"type": "custom", "name": "a"}}, "tool_choice.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"instructions": ["a"]}, "instructions"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_parameter(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_response({"model": "m", "input": "Why?", **changes}, lenient=True)
    assert refused.value.field == field
    assert refused.value.message.startswith(field)


def test_a_field_of_the_normal_form_is_named_as_the_caller_knows_it() -> None:
    fields = ("max_tokens", "messages[0].content", "response_schema.name", "model", "tools[0]")
    assert [parameter_of(each) for each in fields] == [
        "max_output_tokens", "input", "text", "model", "tools[0]",
    ]  # fmt: skip


def test_an_earlier_response_comes_before_the_input_and_after_the_instructions() -> None:
    before = [
        {"role": "user", "content": "Cold?"},
        answer_turn({"content": "I look.", "tool_calls": [CALL]}),
    ]
    result = {"type": "function_call_output", "call_id": "call_1", "output": "5"}
    body = {"model": "m", "input": [result], "previous_response_id": "r", "instructions": "Hm."}
    request = REQUEST.validate_python(read_response(body, before=before).request)
    assert [turn.role for turn in request.messages] == ["system", "user", "assistant", "tool"]
    turns = sparse(request)["messages"]
    items = items_of(turns[1:], "x")
    assert [item["type"] for item in items] == [
        "message", "message", "function_call", "function_call_output",
    ]  # fmt: skip
    assert len({item["id"] for item in items}) == 4
    again = read_response({"model": "m", "input": items}).request["messages"]
    assert again == turns[1:]
