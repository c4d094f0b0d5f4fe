"""The unmodified OpenAI SDK asks for chats, completions, embeddings and models, of anybody."""

import asyncio
import json
import struct
from base64 import b64decode
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from shared.domain.failure import FailureKind
from tests.sdk.conftest import CLAUDE, MODEL, Stack

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q"
    "DwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


class Place(BaseModel):
    city: str
    people: int


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_chat_is_answered_with_its_usage_and_its_cost(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=said("Why blue?"))
    answer = raw.parse()
    assert answer.id == f"chatcmpl-{raw.headers['x-promptmill-job']}"
    assert (answer.object, answer.model) == ("chat.completion", raw.headers["x-promptmill-model"])
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert float(raw.headers["x-promptmill-cost-usd"]) > 0
    assert raw.headers["x-request-id"].startswith("req_")
    assert "x-promptmill-dropped" not in raw.headers


@pytest.mark.parametrize("model", [MODEL, CLAUDE])
def test_a_stream_says_who_speaks_what_why_it_ends_and_what_it_used(
    client: openai.OpenAI, model: str
) -> None:
    chunks = list(
        client.chat.completions.create(
            model=model,
            messages=said("Tell me of tea."),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *told, last = chunks
    assert len({chunk.id for chunk in chunks}) == 1
    assert told[0].choices[0].delta.role == "assistant"
    assert len("".join(chunk.choices[0].delta.content or "" for chunk in told)) > 10
    assert len(told) >= 3
    assert [chunk.choices[0].finish_reason for chunk in told[-2:]] == [None, "stop"]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in told)


@pytest.mark.parametrize("model", [MODEL, CLAUDE])
def test_tools_are_called_whole_and_in_a_stream(client: openai.OpenAI, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "messages": said("[parallel] Weather in Ulm?")}
    answer = client.chat.completions.create(**asked, tools=[WEATHER])
    calls = answer.choices[0].message.tool_calls or []
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None
    assert [call.type for call in calls] == ["function", "function"]
    with client.chat.completions.stream(**asked, tools=[WEATHER]) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls or []
    assert len(streamed) == 2
    assert all(json.loads(call.function.arguments) is not None for call in streamed)
    results = [{"role": "tool", "tool_call_id": call.id, "content": "Rain."} for call in calls]
    turns: Any = [*asked["messages"], answer.choices[0].message, *results]
    after = client.chat.completions.create(model=model, messages=turns)
    assert after.choices[0].message.content


def test_an_answer_of_a_schema_is_parsed_by_the_sdk(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=said("A place, please."), response_format=Place
    )
    assert isinstance(answer.choices[0].message.parsed, Place)


@pytest.mark.parametrize("model", [MODEL, CLAUDE])
def test_an_image_is_sent_on(client: openai.OpenAI, model: str) -> None:
    image: Any = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}
    turns: Any = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    answer = client.chat.completions.create(model=model, messages=turns)
    assert answer.choices[0].message.content


def test_what_nobody_can_obey_is_named_in_a_header(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=CLAUDE,
        messages=said("Seeded."),
        seed=7,
        logit_bias={"50": 5},
        metadata={"ticket": "4711"},
        user="user-7",
    )
    assert raw.parse().choices[0].message.content
    assert sorted(raw.headers["x-promptmill-dropped"].split(", ")) == ["logit_bias", "seed"]


def test_the_extension_says_what_only_this_server_knows(
    client: openai.OpenAI, stack: Stack
) -> None:
    own = {"lane": "bulk", "tags": ["tea"], "deadline_seconds": 600, "project": "shop"}
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=said("Extended."),
        user="user-8",
        metadata={"a": "b"},
        extra_body={"promptmill": own},
    )
    with stack.http() as http:
        job = http.get(f"/api/v1/jobs/{raw.headers['x-promptmill-job']}").json()
    assert {name: job[name] for name in ("lane", "tags", "project")} == {
        "lane": "bulk", "tags": ["tea"], "project": "shop",
    }  # fmt: skip
    assert (job["end_user"], job["metadata"]) == ("user-8", {"a": "b"})
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=MODEL, messages=said("x"), extra_body={"promptmill": {"lain": "bulk"}}
        )
    assert refused.value.param == "promptmill.lain"


def test_completions_come_whole_and_in_a_stream(client: openai.OpenAI) -> None:
    model = "gpt-3.5-turbo-instruct"
    whole = client.completions.create(model=model, prompt="The sky is")
    assert whole.id.startswith("cmpl-job_")
    assert whole.choices[0].text
    chunks = list(
        client.completions.create(
            model=model, prompt="The sea is", stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1])
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    with pytest.raises(openai.BadRequestError, match="one string") as refused:
        client.completions.create(model=model, prompt=["a", "b"])
    assert refused.value.param == "prompt"


def test_embeddings_are_base64_by_default_and_numbers_on_request(client: openai.OpenAI) -> None:
    model = "text-embedding-3-small"
    asked: Any = {"model": model, "input": ["blue", "red"], "dimensions": 16}
    found = client.embeddings.create(**asked)
    assert [len(each.embedding) for each in found.data] == [16, 16]
    assert found.usage.prompt_tokens > 0
    plain = client.embeddings.create(**asked, encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(found.data[0].embedding, rel=1e-6)
    raw = client.embeddings.with_raw_response.create(**asked, encoding_format="base64")
    packed = raw.http_response.json()["data"][0]["embedding"]
    assert struct.unpack("<16f", b64decode(packed)) == pytest.approx(found.data[0].embedding)


def test_models_of_every_provider_are_listed_under_each_of_their_names(
    client: openai.OpenAI, stack: Stack
) -> None:
    names = {model.id: model for model in client.models.list()}
    assert {MODEL, CLAUDE, "gemini-2.5-flash"} <= names.keys()
    assert names[CLAUDE].owned_by == "anthropic"
    assert client.models.retrieve(CLAUDE).id == CLAUDE
    with pytest.raises(openai.NotFoundError) as unknown:
        client.models.retrieve("gpt-nothing")
    assert unknown.value.code == "model_not_found"
    with stack.claude() as claude:
        assert {model.id for model in claude.models.list()} == names.keys()
        assert claude.models.retrieve(CLAUDE).max_input_tokens


@pytest.mark.parametrize(
    ("changes", "kind", "code", "param"),
    [
        ({"model": "gpt-nothing"}, openai.NotFoundError, "model_not_found", "model"),
        ({"max_tokens": 10**9}, openai.BadRequestError, "invalid_request", "max_tokens"),
        ({"n": 2}, openai.BadRequestError, "invalid_request", "n"),
        ({"messages": [{"role": "x"}]}, openai.BadRequestError, "invalid_request",
         "messages[0].role"),
        ({"model": "gpt-4o-mini", "messages": said("tea " * 150_000)}, openai.BadRequestError,
         "context_length_exceeded", "messages"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_request_is_an_exception_of_the_sdk(
    client: openai.OpenAI,
    changes: dict[str, Any],
    kind: type[openai.APIStatusError],
    code: str,
    param: str,
) -> None:
    with pytest.raises(kind) as refused:
        client.chat.completions.create(**{"model": MODEL, "messages": said("x"), **changes})
    error = refused.value
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    assert error.request_id is not None


@pytest.mark.parametrize(
    ("scripted", "kind", "code"),
    [
        ({"status": 400, "code": "content_filter"}, openai.BadRequestError, "content_filter"),
        ({"status": 500}, openai.InternalServerError, FailureKind.SERVER),
        ({"status": 400, "code": "unsupported"}, openai.BadRequestError, FailureKind.BAD_REQUEST),
    ],
)
def test_a_call_that_fails_for_good_is_told_once(
    client: openai.OpenAI, stack: Stack, scripted: Any, kind: type[openai.APIError], code: str
) -> None:
    prompt = f"fails with {code}"
    stack.script({"match": {"contains": prompt}, "do": scripted})
    for stream in (False, True):
        with pytest.raises(kind) as refused:
            client.chat.completions.create(
                model=MODEL,
                messages=said(prompt),
                stream=stream,
                extra_body={"promptmill": {"max_tries": 1}},
            )
        assert refused.value.code == code
    assert len(stack.jobs(prompt)) == 2


def test_a_stream_that_breaks_off_ends_with_an_error(client: openai.OpenAI, stack: Stack) -> None:
    stack.script(
        {"match": {"contains": "breaks off", "nth": [1]}, "do": {"cut": True, "slow_bytes": 0.05}}
    )
    chunks = client.chat.completions.create(
        model=MODEL, messages=said("It breaks off."), stream=True
    )
    told: list[Any] = []
    with pytest.raises(openai.APIError, match="broke off"):
        told.extend(chunks)
    assert any(chunk.choices[0].delta.content for chunk in told)


def test_a_key_that_does_not_count_is_an_authentication_error(stack: Stack) -> None:
    with stack.sdk("nonsense") as client, pytest.raises(openai.AuthenticationError) as refused:
        client.models.list()
    assert refused.value.code == "invalid_api_key"


def test_a_limit_of_requests_is_told_in_openais_words(stack: Stack) -> None:
    key = stack.new_key("slow")
    stack.sql("UPDATE tenants SET requests_per_minute = 2 WHERE name = 'slow'")
    with stack.sdk(key, max_retries=0) as client:
        heads = [client.models.with_raw_response.list().headers for _ in range(2)]
        with pytest.raises(openai.RateLimitError) as refused:
            client.models.list()
    assert [head["x-ratelimit-remaining-requests"] for head in heads] == ["1", "0"]
    assert heads[0]["x-ratelimit-limit-requests"] == "2"
    assert heads[0]["x-ratelimit-reset-requests"].endswith("s")
    assert refused.value.code == "rate_limit_exceeded"
    assert 0 < int(refused.value.response.headers["retry-after"]) <= 60


def test_an_async_client_asks_many_at_once(stack: Stack) -> None:
    async def ask_all() -> set[str]:
        async with stack.async_sdk() as client:
            answers = await asyncio.gather(
                *(
                    client.chat.completions.create(model=MODEL, messages=said(f"number {number}"))
                    for number in range(20)
                )
            )
        return {answer.id for answer in answers}

    assert len(asyncio.run(ask_all())) == 20


def test_a_path_that_is_not_there_has_openais_shape(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.post("/nowhere", cast_to=object)
    assert missing.value.type == "invalid_request_error"
