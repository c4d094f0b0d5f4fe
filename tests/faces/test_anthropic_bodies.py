"""What the real Anthropic SDK sends comes into the normal form."""

import json
from base64 import b64decode
from typing import Any

import anthropic
import httpx2
import pytest
from pydantic import BaseModel, TypeAdapter

from shared.domain.conversation import FilePart, ImagePart, OpaquePart, Role, TextPart, ToolCall
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest, NamedTool, ReasoningEffort, ToolMode
from shared.faces.anthropic_request import read_message

REQUEST = TypeAdapter(GenerationRequest)
WEATHER: Any = {
    "name": "weather",
    "description": "Now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class Place(BaseModel):
    city: str


class Sent:
    """The SDK, and the last body that it sent."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self.client = anthropic.Anthropic(
            api_key="none",
            base_url="http://mill.test",
            max_retries=0,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self._take)),
        )

    def _take(self, request: httpx2.Request) -> httpx2.Response:
        self.body = json.loads(request.content)
        return httpx2.Response(400, json={"type": "error", "error": {"message": "seen"}})

    def ask(self, **body: Any) -> GenerationRequest:
        asked = {"model": "m", "max_tokens": 9, "messages": said("Hi."), **body}
        with pytest.raises(anthropic.BadRequestError):
            self.client.messages.create(**asked)
        return REQUEST.validate_python(read_message(self.body).request)


@pytest.fixture
def sdk() -> Sent:
    return Sent()


def said(content: Any, role: str = "user") -> list[Any]:
    return [{"role": role, "content": content}]


def read(**body: Any) -> GenerationRequest:
    return REQUEST.validate_python(read_message({"model": "m", "messages": [], **body}).request)


def test_every_kind_of_block_of_a_user_is_read(sdk: Sent) -> None:
    page = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    note = {"type": "text", "media_type": "text/plain", "data": "Note."}
    found = {"type": "search_result", "source": "https://a.test/", "title": "A", "content": []}
    blocks = [
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"type": "url", "url": "https://a.test/a.png"}},
        {"type": "image", "source": {**page, "media_type": "image/png"}},
        {"type": "document", "source": page, "title": "a.pdf"},
        {**found, "content": [{"type": "text", "text": "Passage."}]},
        {"type": "document", "source": note},
    ]
    request = sdk.ask(system=[{"type": "text", "text": "Be short."}], messages=said(blocks))
    system, user = request.messages
    assert (system.role, system.text) == (Role.SYSTEM, "Be short.")
    *parts, text = user.parts
    assert parts == [
        TextPart(text="look"),
        ImagePart(url="https://a.test/a.png"),
        ImagePart(url="data:image/png;base64,JVBERi0="),
        FilePart(url="data:application/pdf;base64,JVBERi0=", filename="a.pdf"),
        TextPart(text="A\nhttps://a.test/\nPassage."),
    ]
    assert isinstance(text, FilePart)
    assert b64decode(text.url.partition(",")[2]) == b"Note."


def test_calls_of_tools_and_their_results_are_read(sdk: Sent) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    asked = [
        thought,
        {"type": "thinking", "thinking": "Nobody signed this.", "signature": ""},
        {"type": "text", "text": "I ask."},
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Ulm"}},
    ]
    given = [
        {"type": "tool_result", "tool_use_id": "c1", "content": "rain"},
        {"type": "tool_result", "tool_use_id": "c2", "is_error": True},
        {"type": "text", "text": "And now?"},
    ]
    request = sdk.ask(messages=[*said(asked, "assistant"), *said(given)])
    assistant, first, second, more = request.messages
    assert assistant.parts == (OpaquePart(wire="anthropic", data=thought), TextPart(text="I ask."))
    assert assistant.tool_calls == (ToolCall(id="c1", name="weather", arguments='{"city":"Ulm"}'),)
    results = [(each.role, each.tool_call_id, each.text) for each in (first, second)]
    assert results == [(Role.TOOL, "c1", "rain"), (Role.TOOL, "c2", "")]
    assert (first.is_error, second.is_error) == (False, True)
    assert (more.role, more.text) == (Role.USER, "And now?")


def test_tools_and_what_ends_an_answer_are_read(sdk: Sent) -> None:
    request = sdk.ask(
        tools=[WEATHER, {"type": "web_search_20250305", "name": "web_search"}],
        tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
    )
    assert [tool.name for tool in request.tools] == ["weather"]
    assert request.tools[0].parameters == WEATHER["input_schema"]
    assert (request.web_search, request.parallel_tool_calls) == (True, False)
    assert (request.tool_choice, request.stop) == (NamedTool(name="weather"), ("END",))
    assert request.max_tokens == 9


def test_a_schema_that_the_sdk_made_of_a_class_is_read(sdk: Sent) -> None:
    with pytest.raises(anthropic.BadRequestError):
        sdk.client.messages.parse(
            model="m", max_tokens=9, messages=said("Where?"), output_format=Place
        )
    schema = REQUEST.validate_python(read_message(sdk.body).request).response_schema
    assert schema is not None
    assert schema.schema["required"] == ["city"]


@pytest.mark.parametrize(
    ("body", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, "none"),
        ({"thinking": {"type": "adaptive"}}, "high"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 32_000}}, "high"),
        ({"output_config": {"effort": "xhigh"}}, "xhigh"),
    ],
)
def test_thinking_and_effort_are_one_wish(body: dict[str, Any], effort: str | None) -> None:
    assert read(**body).reasoning_effort == (ReasoningEffort(effort) if effort else None)


@pytest.mark.parametrize(
    ("choice", "mode"),
    [("auto", ToolMode.AUTO), ("any", ToolMode.REQUIRED), ("none", ToolMode.NONE)],
)
def test_the_choice_of_tools_is_read(choice: str, mode: ToolMode) -> None:
    asked = read(tool_choice={"type": choice})
    assert (asked.tool_choice, asked.parallel_tool_calls) == (mode, None)


def test_the_prompt_is_kept_as_long_as_any_mark_says() -> None:
    def marked(**mark: str) -> Any:
        return said([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", **mark}}])

    assert read(messages=marked()).prompt_cache == "5m"
    assert read(messages=marked() + marked(ttl="1h")).prompt_cache == "1h"
    assert read(messages=said("a"), cache_control={"type": "ephemeral"}).prompt_cache == "5m"
    assert read(messages=said("a")).prompt_cache is None
    assert read(system=marked()[0]["content"]).prompt_cache == "5m"


def test_the_end_user_is_told_by_a_digest_where_the_id_is_long() -> None:
    def user(user_id: str | None) -> str | None:
        return read_message({"metadata": {"user_id": user_id}}).end_user

    assert (user("u-1"), user(None)) == ("u-1", None)
    long = user("u" * 200)
    assert long is not None
    assert long.startswith("sha256:")
    assert len(long) <= 128


def test_what_nobody_can_obey_is_set_aside_and_named() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.test"]}
    body = {"top_k": 5, "temperature": 0.5, "container": None, "service_tier": "auto"}
    asked = read_message({"model": "m", "messages": [], "tools": [search], **body})
    assert asked.set_aside == ("top_k", "tools[0].allowed_domains")
    assert asked.request["temperature"] == 0.5


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": ""}]}, "messages[0].role"),
        ({"messages": said(5)}, "messages[0].content"),
        ({"messages": said([5])}, "messages[0].content[0]"),
        ({"messages": said([{"type": "audio"}])}, "messages[0].content[0].type"),
        ({"messages": said([{"type": "text"}])}, "messages[0].content[0].text"),
        ({"messages": said([{"type": "image"}])}, "messages[0].content[0].source"),
        (
            {"messages": said([{"type": "image", "source": {"type": "file", "file_id": "f"}}])},
            "messages[0].content[0].source.file_id",
        ),
        (
            {"messages": said([{"type": "tool_use", "input": 1}], "assistant")},
            "messages[0].content[0].input",
        ),
        (
            {
                "messages": said(
                    [{"type": "redacted_thinking", "data": "promptmill:5"}], "assistant"
                )
            },
            "messages[0].content[0].data",
        ),
        ({"tools": [{"type": "bash_20250124"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ],
)
def test_what_is_wrong_is_refused_by_the_callers_own_name(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_message({"model": "m", **body})
    assert refused.value.field == field
    assert refused.value.message.startswith(f"{field}: ")
