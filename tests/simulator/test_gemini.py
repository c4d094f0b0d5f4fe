"""What the real google-genai SDK sees."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from google import genai
from google.genai import errors, types
from google.genai.client import AsyncClient

from tests.simulator.process import DEADLINE_SECONDS, PLAIN, Simulator

MODEL = "gemini-3.8-flash"
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
DECLARED: Any = {"name": "weather", "parameters_json_schema": PARAMETERS}
TOOLS: Any = [types.Tool(function_declarations=[types.FunctionDeclaration(**DECLARED)])]
LONG = "The same long beginning, word for word. " * 200


@asynccontextmanager
async def client_of(simulator: Simulator, version: str = "v1") -> AsyncIterator[AsyncClient]:
    """The SDK does not close connections that it was given."""
    async with httpx2.AsyncClient(**PLAIN) as connections:
        yield genai.Client(
            api_key="key",
            http_options=types.HttpOptions(
                base_url=f"{simulator.url}/gemini",
                api_version=version,
                timeout=int(DEADLINE_SECONDS * 1000),
                httpx_async_client=connections,
            ),
        ).aio


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[AsyncClient]:
    async with client_of(simulator) as client:
        yield client


async def ask(
    client: AsyncClient, contents: Any = "Why tea?", model: str = MODEL, **config: Any
) -> types.GenerateContentResponse:
    config = {"automatic_function_calling": {"disable": True}, **config}
    return await client.models.generate_content(
        model=model, contents=contents, config=types.GenerateContentConfig(**config)
    )


def first_part(answer: types.GenerateContentResponse) -> types.Part:
    assert answer.candidates
    assert answer.candidates[0].content
    assert answer.candidates[0].content.parts
    return answer.candidates[0].content.parts[0]


async def test_an_answer_has_its_shape_and_its_bill(
    client: AsyncClient, simulator: Simulator
) -> None:
    answer = await ask(client, http_options={"headers": {"x-client-request-id": "att_1"}})
    line, usage = simulator.ledger()[-1], answer.usage_metadata
    assert answer.text
    assert usage is not None
    assert (line.provider, line.client_request_id) == ("gemini", "att_1")
    assert line.prompt_tokens == usage.prompt_token_count
    written = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    assert (line.completion_tokens, line.reasoning_tokens) == (written, usage.thoughts_token_count)
    assert line.cost_nano == line.prompt_tokens * 750 + written * 3750
    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    counted = await client.models.count_tokens(model=MODEL, contents="Why tea?")
    assert counted.total_tokens == line.prompt_tokens
    assert f"models/{MODEL}" in [model.name async for model in await client.models.list()]
    assert (await client.models.get(model=MODEL)).name == f"models/{MODEL}"


async def test_thought_can_be_shown_and_is_part_of_the_maximum(client: AsyncClient) -> None:
    shown = await ask(client, thinking_config={"include_thoughts": True, "thinking_budget": 800})
    assert first_part(shown).thought
    cut = await ask(client, thinking_config={"thinking_budget": 800}, max_output_tokens=5)
    assert cut.candidates
    assert cut.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert cut.candidates[0].content is None
    assert cut.usage_metadata is not None
    assert cut.usage_metadata.thoughts_token_count == 5
    assert cut.usage_metadata.candidates_token_count is None
    none = await ask(client, thinking_config={"thinking_budget": 0})
    assert none.usage_metadata is not None
    assert none.usage_metadata.thoughts_token_count is None


@pytest.mark.parametrize(("version", "has_id"), [("v1", False), ("v1beta", True)])
async def test_a_function_is_called_and_its_signature_must_come_back(
    simulator: Simulator, version: str, *, has_id: bool
) -> None:
    async with client_of(simulator, version) as client:
        asked = types.Content(role="user", parts=[types.Part(text="Weather?")])
        first = await ask(client, [asked], tools=TOOLS)
        part = first_part(first)
        call = part.function_call
        assert call is not None
        assert (call.name, bool(call.id)) == ("weather", has_id)
        assert jsonschema_rs.validator_for(PARAMETERS).is_valid(call.args)
        assert part.thought_signature
        result = types.Content(
            role="user",
            parts=[types.Part.from_function_response(name="weather", response={"sky": "rain"})],
        )

        async def told(signature: bytes | None) -> types.GenerateContentResponse:
            turn = types.Part(function_call=call, thought_signature=signature)
            model = types.Content(role="model", parts=[turn])
            return await ask(client, [asked, model, result], tools=TOOLS)

        assert (await told(part.thought_signature)).text
        with pytest.raises(errors.ClientError, match="missing a thought_signature"):
            await told(None)
        with pytest.raises(errors.ClientError, match="signature is not valid"):
            await told(b"forged")
        with pytest.raises(errors.ClientError, match="number of function response parts"):
            await ask(client, [asked, result], tools=TOOLS)


async def test_a_mode_forbids_and_a_word_doubles_the_call(client: AsyncClient) -> None:
    async def called(mode: str) -> int:
        config = {"function_calling_config": {"mode": mode}}
        answer = await ask(client, "[parallel]", tools=TOOLS, tool_config=config)
        return len(answer.function_calls or ())

    assert [await called("AUTO"), await called("ANY"), await called("NONE")] == [2, 2, 0]


@pytest.mark.parametrize(
    "asked",
    [
        {"response_json_schema": PARAMETERS},
        {
            "response_schema": {
                "type": "OBJECT",
                "properties": {"city": {"type": "STRING"}, "days": {"type": "INTEGER"}},
                "required": ["city", "days"],
            }
        },
    ],
)
async def test_an_answer_is_json_of_the_schema(client: AsyncClient, asked: dict[str, Any]) -> None:
    answer = await ask(client, response_mime_type="application/json", **asked)
    assert jsonschema_rs.validator_for(PARAMETERS).is_valid(json.loads(answer.text or ""))


async def test_a_stream_counts_up_and_ends_with_its_reason(
    client: AsyncClient, simulator: Simulator
) -> None:
    stream = await client.models.generate_content_stream(model=MODEL, contents="Why?")
    chunks = [chunk async for chunk in stream]
    usage, line = chunks[-1].usage_metadata, simulator.ledger()[-1]
    assert len(chunks) > 3
    assert chunks[-1].candidates
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert usage is not None
    assert usage.total_token_count == line.prompt_tokens + line.completion_tokens
    await simulator.script(
        {"times": 1, "do": {"cut": True}},
        {"do": {"stream_error": True, "message": "Lost."}},
    )
    stream = await client.models.generate_content_stream(model=MODEL, contents="Why?")
    reasons = [chunk.candidates[0].finish_reason async for chunk in stream if chunk.candidates]
    assert set(reasons) == {None}
    with pytest.raises(errors.ServerError, match=r"Lost\."):
        async for _ in await client.models.generate_content_stream(model=MODEL, contents="Why?"):
            pass


async def test_a_block_and_a_safety_stop_are_told(
    client: AsyncClient, simulator: Simulator
) -> None:
    await simulator.script(
        {"times": 1, "do": {"block_reason": "PROHIBITED_CONTENT"}}, {"do": {"refusal": "No."}}
    )
    blocked = await ask(client)
    assert blocked.prompt_feedback is not None
    assert blocked.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    assert blocked.candidates is None
    assert simulator.ledger()[-1].completion_tokens == 0
    stopped = await ask(client)
    assert stopped.candidates
    assert stopped.candidates[0].finish_reason == types.FinishReason.SAFETY


async def test_a_search_an_image_and_a_cached_prompt_are_counted(
    client: AsyncClient, simulator: Simulator
) -> None:
    search: Any = [types.Tool(google_search=types.GoogleSearch())]
    found = await ask(client, tools=search)
    assert found.candidates
    grounding = found.candidates[0].grounding_metadata
    assert grounding is not None
    assert len(grounding.web_search_queries or ()) == simulator.ledger()[-1].searches == 1
    image = types.Part.from_bytes(data=b"png", mime_type="image/png")
    await ask(client, ["Why tea?", image])
    await ask(client, ["Why tea?"])
    seen, unseen = (line.prompt_tokens for line in simulator.ledger()[-2:])
    assert seen == unseen + 85
    await ask(client, LONG)
    again = (await ask(client, LONG)).usage_metadata
    assert again is not None
    assert simulator.ledger()[-1].cached_tokens == again.cached_content_token_count
    assert (again.cached_content_token_count or 0) >= 1024


async def test_texts_are_embedded(client: AsyncClient, simulator: Simulator) -> None:
    config = types.EmbedContentConfig(output_dimensionality=8)
    found = await client.models.embed_content(
        model="gemini-embedding-001", contents=["tea", "coffee", "tea"], config=config
    )
    one, two, three = (each.values for each in found.embeddings or ())
    assert one == three != two
    assert len(one or ()) == 8
    line = simulator.ledger()[-1]
    assert line.cost_nano == line.prompt_tokens * 150
    assert line.completion_tokens == 0


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
    ],
)
async def test_each_status_has_its_word(
    client: AsyncClient, simulator: Simulator, status: int, word: str
) -> None:
    await simulator.script({"do": {"status": status}})
    with pytest.raises(errors.APIError) as caught:
        await ask(client)
    assert (caught.value.code, caught.value.status) == (status, word)


async def test_limits_count_input_only_and_the_day_and_are_told_in_the_body(
    client: AsyncClient, simulator: Simulator
) -> None:
    async def refused() -> tuple[str, str]:
        with pytest.raises(errors.ClientError) as caught:
            await ask(client, max_output_tokens=9000)
        assert caught.value.status == "RESOURCE_EXHAUSTED"
        quota, retry = caught.value.details["error"]["details"]
        return quota["violations"][0]["quotaId"], retry["retryDelay"]

    await simulator.limit(tpm=20, window=30)
    await ask(client, max_output_tokens=9000)
    await ask(client)
    quota, wait = await refused()
    assert "InputTokensPerModelPerMinute" in quota
    assert 29 < float(wait.removesuffix("s")) <= 30
    await simulator.limit(tpm=0, rpd=1)
    await ask(client)
    assert "PerDay" in (await refused())[0]


async def test_an_unknown_model_and_a_bad_key_are_refused(simulator: Simulator) -> None:
    async with client_of(simulator) as client:
        with pytest.raises(errors.ClientError, match="gemini-imaginary is not found"):
            await ask(client, model="gemini-imaginary")
    async with httpx2.AsyncClient(**PLAIN) as bare:
        reply = await bare.get(f"{simulator.url}/gemini/v1/models")
    assert reply.status_code == 403
