"""What the real OpenAI SDK sends comes into the normal form; what it gets back it can read."""

import json
from typing import Any

import httpx2
import openai
import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.completion import Completion
from pydantic import BaseModel, TypeAdapter

from shared.domain.conversation import FilePart, ImagePart, Role, TextPart
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest, NamedTool, ReasoningEffort, ToolMode
from shared.faces.openai_reply import reply_of
from shared.faces.openai_request import CHATS, COMPLETIONS, EMBEDDINGS, read_body

REQUEST = TypeAdapter(GenerationRequest)
PIXEL = "data:image/png;base64,iVBORw0KGgo="
PAGE = "data:application/pdf;base64,JVBERi0="
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "Now.", "parameters": {"type": "object"}},
}


class Place(BaseModel):
    city: str


class Sent:
    """The SDK, and the last body that it sent."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self.url = ""
        transport = httpx2.MockTransport(self._take)
        self.client = openai.OpenAI(
            api_key="none",
            base_url="http://mill.test/v1",
            max_retries=0,
            http_client=httpx2.Client(transport=transport),
        )

    def _take(self, request: httpx2.Request) -> httpx2.Response:
        self.body, self.url = json.loads(request.content), request.url.path
        return httpx2.Response(400, json={"error": {"message": "seen"}})

    @property
    def read(self) -> GenerationRequest:
        return REQUEST.validate_python(read_body(self.url, self.body).request)


@pytest.fixture
def sdk() -> Sent:
    return Sent()


def test_a_chat_of_every_kind_of_turn_is_read(sdk: Sent) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "file", "file": {"file_data": PAGE, "filename": "a.pdf"}},
    ]
    messages: Any = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
    ]
    with pytest.raises(openai.BadRequestError):
        sdk.client.chat.completions.create(
            model="m",
            messages=messages,
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "weather"}},
            parallel_tool_calls=False,
            max_completion_tokens=7,
            stop="END",
            reasoning_effort="low",
            user="u",
            n=1,
        )
    read = sdk.read
    system, user, assistant, tool = read.messages
    assert (system.role, system.content) == (Role.SYSTEM, "Be short.")
    assert user.parts == (
        TextPart(text="look"),
        ImagePart(url=PIXEL, detail="low"),
        FilePart(url=PAGE, filename="a.pdf"),
    )
    [asked] = assistant.tool_calls
    assert (asked.id, asked.name, asked.arguments, assistant.content) == ("c1", "weather", "{}", "")
    assert (tool.tool_call_id, tool.text) == ("c1", "sun")
    assert (read.tools[0].name, read.tool_choice) == ("weather", NamedTool(name="weather"))
    assert (read.parallel_tool_calls, read.max_tokens, read.stop) == (False, 7, ("END",))
    assert read.reasoning_effort is ReasoningEffort.LOW


def test_a_schema_that_the_sdk_made_of_a_class_is_read(sdk: Sent) -> None:
    with pytest.raises(openai.BadRequestError):
        sdk.client.chat.completions.parse(
            model="m", messages=[{"role": "user", "content": "Where?"}], response_format=Place
        )
    schema = sdk.read.response_schema
    assert schema is not None
    assert (schema.name, schema.strict) == ("Place", True)
    assert schema.schema["properties"] == {"city": {"title": "City", "type": "string"}}


def test_completions_and_embeddings_are_read(sdk: Sent) -> None:
    with pytest.raises(openai.BadRequestError):
        sdk.client.completions.create(model="m", prompt="Once", max_tokens=3)
    completion = sdk.read
    with pytest.raises(openai.BadRequestError):
        sdk.client.embeddings.create(model="e", input=["a", "b"], dimensions=8)
    embedding = sdk.read
    assert (completion.kind, completion.prompt, completion.max_tokens) == ("completion", "Once", 3)
    assert (embedding.kind, embedding.input, embedding.dimensions) == ("embedding", ("a", "b"), 8)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages[0].content[0].file.file_data",
        ),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_by_the_callers_own_name(
    body: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_body(CHATS, body)
    assert refused.value.field == field
    assert refused.value.message.startswith(f"{field}: ")


def test_token_numbers_and_several_prompts_are_refused() -> None:
    for url, body, field in (
        (EMBEDDINGS, {"input": [1, 2]}, "input"),
        (COMPLETIONS, {"prompt": ["a", "b"]}, "prompt"),
        ("/v1/images", {}, "url"),
        (CHATS, [], "body"),
    ):
        with pytest.raises(InvalidRequestError) as refused:
            read_body(url, body)
        assert refused.value.field == field


def test_a_lenient_reader_sets_aside_what_it_cannot_obey_and_names_it() -> None:
    asked = read_body(CHATS, {"model": "m", "logprobs": True, "n": 1, "seed": 3}, lenient=True)
    assert asked.request == {"model": "m", "seed": 3}
    assert asked.set_aside == ("logprobs",)


def test_the_other_words_of_a_chat_are_read() -> None:
    body = {
        "tool_choice": "required",
        "response_format": {"type": "json_object"},
        "web_search_options": {},
        "messages": [{"role": "assistant", "content": None, "refusal": "No."}],
        "seed": None,
    }
    request = read_body(CHATS, {"model": "m", **body}).request
    read = REQUEST.validate_python(request)
    assert (read.tool_choice, read.web_search, read.seed) == (ToolMode.REQUIRED, True, None)
    assert read.response_schema is not None
    assert read.response_schema.schema == {"type": "object"}
    assert read.messages[0].text == "No."
    plain = read_body(CHATS, {"response_format": {"type": "text"}})
    assert plain.request == {}


USAGE = {"input_tokens": 10, "cached_tokens": 4, "output_tokens": 6, "reasoning_tokens": 2}


def test_a_chats_answer_is_what_the_sdk_reads() -> None:
    calls = [{"id": "c1", "name": "weather", "arguments": "{}", "signature": "sig"}]
    result = {
        "content": "", "tool_calls": calls, "finish_reason": "tool_calls", "model": "m-1",
        "usage": USAGE, "citations": ["https://a.test/"],
    }  # fmt: skip
    body = reply_of(CHATS, "job_1", 5, result)
    told = ChatCompletion.model_validate(body, strict=True)
    [choice] = told.choices
    assert (told.id, told.created, told.model) == ("chatcmpl-job_1", 5, "m-1")
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls
    assert choice.message.tool_calls[0].id == "c1"
    assert choice.message.annotations
    assert choice.message.annotations[0].url_citation.url == "https://a.test/"
    assert told.usage
    assert told.usage.prompt_tokens_details
    assert told.usage.completion_tokens_details
    assert (told.usage.total_tokens, told.usage.prompt_tokens_details.cached_tokens) == (16, 4)
    assert told.usage.completion_tokens_details.reasoning_tokens == 2
    again = read_body(CHATS, {"messages": [body["choices"][0]["message"]]}).request["messages"]
    assert again[0]["tool_calls"] == calls, "a thought signature comes back with its call"


def test_a_refusal_ends_as_openai_ends_it() -> None:
    result = {"refusal": "No.", "finish_reason": "refusal", "model": "m", "usage": None}
    told = ChatCompletion.model_validate(reply_of(CHATS, "job_1", 5, result), strict=True)
    [choice] = told.choices
    assert (choice.finish_reason, choice.message.refusal) == ("stop", "No.")
    assert (choice.message.content, told.usage) == (None, None)


def test_a_completion_and_its_text_are_what_the_sdk_reads() -> None:
    result = {"content": "upon", "finish_reason": "length", "model": "m", "usage": USAGE}
    told = Completion.model_validate(reply_of(COMPLETIONS, "job_1", 5, result), strict=True)
    assert (told.choices[0].text, told.choices[0].finish_reason) == ("upon", "length")


def test_embeddings_come_as_the_sdk_asks_for_them() -> None:
    result = {
        "embeddings": [[0.5, -1.0], [0.25, 2.0]], "finish_reason": "stop", "model": "e",
        "usage": {"input_tokens": 3},
    }  # fmt: skip
    seen = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)
        seen.append(asked["encoding_format"])
        body = reply_of(EMBEDDINGS, "job_1", 5, result, encoding_format=asked["encoding_format"])
        return httpx2.Response(200, json=body)

    client = openai.OpenAI(
        api_key="none",
        base_url="http://mill.test/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )
    told: CreateEmbeddingResponse = client.embeddings.create(model="e", input=["a", "b"])
    plain = client.embeddings.create(model="e", input=["a", "b"], encoding_format="float")
    assert seen == ["base64", "float"]
    assert [each.embedding for each in told.data] == [each.embedding for each in plain.data]
    assert told.data[1].embedding == [0.25, 2.0]
    assert (told.usage.prompt_tokens, told.usage.total_tokens) == (3, 3)
