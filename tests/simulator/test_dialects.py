"""Azure, xAI, Perplexity and a compatible server, as the real OpenAI SDK sees them."""

from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAsyncHttpxClient

from tests.simulator.process import DEADLINE_SECONDS, MODEL, PLAIN, Simulator

ASKED: Any = [{"role": "user", "content": "Why tea?"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather"}}]


def client_of(simulator: Simulator, path: str) -> AsyncOpenAI:
    return AsyncOpenAI(
        api_key="sk-test",
        base_url=f"{simulator.url}/{path}",
        max_retries=0,
        timeout=DEADLINE_SECONDS,
        http_client=DefaultAsyncHttpxClient(**PLAIN),
    )


def azure(simulator: Simulator) -> AsyncAzureOpenAI:
    return AsyncAzureOpenAI(
        api_key="key",
        azure_endpoint=f"{simulator.url}/azure",
        api_version="2024-10-21",
        max_retries=0,
        timeout=DEADLINE_SECONDS,
        http_client=DefaultAsyncHttpxClient(**PLAIN),
    )


async def test_azure_serves_deployments_with_its_filters(simulator: Simulator) -> None:
    async with azure(simulator) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=ASKED)
        stream = await client.chat.completions.create(model=MODEL, messages=ASKED, stream=True)
        chunks = [chunk async for chunk in stream]
        vectors = await client.embeddings.create(model="text-embedding-3-small", input="tea")
        assert (await client.models.list()).data
    filters: Any = answer.choices[0].model_extra
    assert not filters["content_filter_results"]["hate"]["filtered"]
    assert chunks[0].choices == []
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(vectors.data[0].embedding) == 1536
    assert {line.provider for line in simulator.ledger()[-3:]} == {"azure"}


async def test_azure_refuses_in_its_own_words(simulator: Simulator) -> None:
    await simulator.script(
        {"times": 1, "do": {"status": 400, "code": "content_filter", "message": "Filtered."}}
    )
    async with azure(simulator) as client:
        with pytest.raises(openai.BadRequestError) as filtered:
            await client.chat.completions.create(model=MODEL, messages=ASKED)
        with pytest.raises(openai.NotFoundError) as lost:
            await client.chat.completions.create(model="my-deployment", messages=ASKED)
        await simulator.limit(rpm=2, window=30)
        await client.chat.completions.create(model=MODEL, messages=ASKED)
        with pytest.raises(openai.RateLimitError) as limited:
            await client.chat.completions.create(model=MODEL, messages=ASKED)
    body: Any = filtered.value.body
    assert filtered.value.code == "content_filter"
    assert body["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert lost.value.code == "DeploymentNotFound"
    assert limited.value.code == "429"
    assert int(limited.value.response.headers["retry-after-ms"]) > 29_000


async def test_azures_newer_address_is_openais(simulator: Simulator) -> None:
    async with client_of(simulator, "azure/openai/v1") as client:
        answer = await client.chat.completions.create(model=MODEL, messages=ASKED)
        response = await client.responses.create(model=MODEL, input="Why tea?")
        assert (await client.models.list()).data
    assert answer.choices[0].message.content
    assert response.output_text


async def test_xai_tells_its_cost_and_counts_thought_apart(simulator: Simulator) -> None:
    async with client_of(simulator, "xai/v1") as client:
        answer = await client.chat.completions.create(
            model="grok-4.7", messages=ASKED, reasoning_effort="high"
        )
        await simulator.script({"do": {"status": 429, "message": "Slower."}})
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="grok-4.7", messages=ASKED)
    line, usage = simulator.ledger()[-1], answer.usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    thought = usage.completion_tokens_details.reasoning_tokens or 0
    assert thought > 0
    assert line.completion_tokens == usage.completion_tokens + thought
    assert usage.total_tokens == line.prompt_tokens + line.completion_tokens
    extra: Any = usage.model_extra
    assert extra["cost_in_usd_ticks"] == line.cost_nano * 10
    assert line.cost_nano == line.prompt_tokens * 2000 + line.completion_tokens * 6000
    told: Any = answer.choices[0].message.model_extra
    assert told["reasoning_content"]
    assert caught.value.response.json() == {
        "code": "Some resource has been exhausted",
        "error": "Slower.",
    }


async def test_perplexity_tells_its_cost_and_what_it_found(simulator: Simulator) -> None:
    async with client_of(simulator, "perplexity/v1") as client:
        raw = await client.responses.with_raw_response.create(
            model="perplexity/sonar", input="Why tea?", tools=[{"type": "web_search"}]
        )
    body, line = raw.http_response.json(), simulator.ledger()[-1]
    assert [item["type"] for item in body["output"]] == ["search_results", "message"]
    assert line.searches == 1
    assert round(body["usage"]["cost"]["total_cost"] * 10**9) == line.cost_nano
    tokens = line.prompt_tokens * 250 + line.completion_tokens * 2500
    assert line.cost_nano == tokens + 2_500_000


async def test_a_compatible_server_is_nearly_like_openais(simulator: Simulator) -> None:
    async with client_of(simulator, "compatible/v1") as client:
        answer = await client.chat.completions.create(
            model=MODEL, messages=ASKED, max_tokens=500, tools=TOOLS
        )
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(
                model=MODEL, messages=ASKED, max_completion_tokens=5
            )
        await simulator.script({"times": 1, "do": {"refusal": "No."}})
        refused = await client.chat.completions.create(model=MODEL, messages=ASKED)
        long: Any = [{"role": "user", "content": "word for word " * 500}]
        for _ in range(2):
            await client.chat.completions.create(model=MODEL, messages=long)
        assert simulator.ledger()[-1].cached_tokens == 0
        await simulator.limit(rpm=1)
        with pytest.raises(openai.RateLimitError) as limited:
            await client.chat.completions.create(model=MODEL, messages=ASKED)
    (call,) = answer.model_dump()["choices"][0]["message"]["tool_calls"]
    assert (call.get("id"), call["function"]["name"]) == (None, "weather")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is None
    assert refused.choices[0].message.content == "No."
    assert isinstance(caught.value.response.json()["error"], str)
    assert "retry-after" not in limited.value.response.headers
    assert simulator.ledger()[-1].provider == "compatible"


async def test_accounts_have_limits_and_counters_of_their_own(simulator: Simulator) -> None:
    await simulator.limit(rpm=1)
    for path in ("v1", "azure/openai/v1", "compatible/v1"):
        async with client_of(simulator, path) as client:
            await client.chat.completions.create(model=MODEL, messages=ASKED)
            with pytest.raises(openai.RateLimitError):
                await client.chat.completions.create(model=MODEL, messages=ASKED)
    stats = await simulator.stats()
    assert (stats["accepted"], stats["rejected"], stats["max_requests_in_window"]) == (3, 3, 1)
    assert set(stats["providers"]) == {"openai", "azure", "compatible"}
    assert stats["providers"]["azure"]["billed_nano"] == simulator.ledger()[-2].cost_nano
    reply = await refused_limit(simulator)
    assert "provider: 'nobody' is none of openai, azure" in reply


async def refused_limit(simulator: Simulator) -> str:
    async with DefaultAsyncHttpxClient(**PLAIN) as client:
        reply = await client.post(
            f"{simulator.url}/_sim/limits", json={"provider": "nobody", "rpm": 1}
        )
    assert reply.status_code == 400
    return str(reply.json()["error"])
