"""What the real OpenAI SDK sees."""

import asyncio
import hashlib
import re
from typing import Any

import httpx2
import openai
import pytest
import toktok

from tests.simulator.process import MODEL, PLAIN, Simulator, ask

MESSAGES = [{"role": "user", "content": "Why tea?"}]
BODY: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
KEY = {"authorization": "Bearer sk-test"}


async def test_an_answer_has_openais_shape(simulator: Simulator) -> None:
    answer = await simulator.ask()
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.model == MODEL
    assert answer.created > 0
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.refusal is None
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0


async def test_a_prompt_is_counted_exactly(simulator: Simulator) -> None:
    prompt = "Grüße, 世界: why does tea cool? " * 20
    answer = await simulator.ask(prompt)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == toktok.batch_count([prompt], "o200k_base")[0] + 6


async def test_a_maximum_cuts_the_answer_and_says_so(simulator: Simulator) -> None:
    cut = await simulator.ask(max_completion_tokens=5)
    whole = await simulator.ask(max_completion_tokens=500)
    assert cut.usage is not None
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 5)
    assert whole.usage is not None
    assert whole.choices[0].finish_reason == "stop"
    assert 20 <= whole.usage.completion_tokens <= 200
    assert len(whole.choices[0].message.content or "") == pytest.approx(
        whole.usage.completion_tokens * 4, abs=2
    )


async def test_each_answer_is_unlike_all_others(simulator: Simulator) -> None:
    async with simulator.client() as client:
        answers = await asyncio.gather(*(ask(client, "the same") for _ in range(50)))
    assert len({(a.choices[0].message.content or "").split()[0] for a in answers}) == 50


async def test_a_stream_tells_the_answer_its_end_and_its_usage(simulator: Simulator) -> None:
    async with simulator.client() as client:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Why tea?"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert hashlib.sha256(text.encode()).hexdigest() == simulator.ledger()[-1].answer_sha256
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_each_reply_names_its_request(simulator: Simulator) -> None:
    async with simulator.client() as client:
        raw = await client.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": "Why tea?"}]
        )
    assert raw.headers["x-request-id"] == simulator.ledger()[-1].request_id


async def test_models_are_those_with_a_price_per_token(simulator: Simulator) -> None:
    async with simulator.client() as client:
        names = [model.id async for model in client.models.list()]
    assert {"gpt-4.1-mini", "gpt-4o", "gpt-5", "o3"} <= set(names)
    assert not [name for name in names if re.search("image|tts|davinci", name)]


async def test_an_unknown_model_is_not_found(simulator: Simulator) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await simulator.ask(model="gpt-imaginary")
    assert caught.value.code == "model_not_found"
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id


async def test_a_key_is_wanted(simulator: Simulator) -> None:
    async with httpx2.AsyncClient(**PLAIN) as client:
        reply = await client.post(f"{simulator.url}/v1/chat/completions", json=BODY)
        models = await client.get(f"{simulator.url}/v1/models")
    assert (reply.status_code, models.status_code) == (401, 401)
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b"{}", "model"),
        (b'{"model": ["x"], "messages": []}', "model"),
        (b'{"model": "gpt-4o", "messages": []}', "messages"),
        (b'{"model": "gpt-4o", "messages": [{"role": "user", "content": 5}]}', "messages.0"),
        (b'{"model": "gpt-4o", "messages": [{"role": "user"}], "max_tokens": 0}', "max_tokens"),
        (b'{"model": "gpt-4o", "messages": [{"role": "user"}], "n": 2}', "n"),
    ],
)
async def test_a_malformed_request_is_told_what_is_wrong(
    simulator: Simulator, body: bytes, param: str | None
) -> None:
    async with httpx2.AsyncClient(**PLAIN) as client:
        url = f"{simulator.url}/v1/chat/completions"
        reply = await client.post(url, content=body, headers=KEY)
        fine = await client.post(url, json=BODY, headers=KEY)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (400, "invalid_request_error")
    assert (error["param"] or "").startswith(param or "")
    assert fine.status_code == 200, "the connection serves on"


async def test_a_client_that_closes_is_closed(simulator: Simulator) -> None:
    async with httpx2.AsyncClient(**PLAIN) as client:
        headers = {**KEY, "connection": "close"}
        reply = await client.get(f"{simulator.url}/v1/models", headers=headers)
    assert reply.headers["connection"] == "close"


async def test_what_is_not_http_is_refused(simulator: Simulator) -> None:
    host, port = simulator.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"what is this\r\n\r\n")
    reply = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert reply.startswith(b"HTTP/1.1 400 Bad Request")
