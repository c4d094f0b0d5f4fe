"""The same faults, the same ledger and the same strictness on every wire."""

from typing import Any

import httpx2
import pytest

from tests.simulator.process import MODEL, PLAIN, Simulator

KEYS = {
    "authorization": "Bearer key",
    "api-key": "key",
    "x-goog-api-key": "key",
    "anthropic-version": "2026-10-21",
    "x-client-request-id": "att_1",
}
CHAT: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 90}
GROK = {**CHAT, "model": "grok-4.7"}
CLAUDE = {**CHAT, "model": "claude-sonnet-5-5"}
INPUT = {"model": MODEL, "input": "Why?"}
SONAR = {**INPUT, "model": "perplexity/sonar"}
GEMINI: Any = {"contents": [{"parts": [{"text": "Why?"}]}]}
GEMINI_PATH = "/gemini/v1/models/gemini-3.8-flash"
VERTEX_PATH = (
    "/vertex/v1beta1/projects/ours/locations/global/publishers/google/models/gemini-3.8-flash"
)
WIRES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/responses", INPUT),
    ("/v1/completions", {"model": MODEL, "prompt": "Why?"}),
    ("/v1/embeddings", {**INPUT, "model": "text-embedding-3-small"}),
    ("/azure/openai/v1/chat/completions", CHAT),
    (f"/azure/openai/deployments/{MODEL}/chat/completions?api-version=2024-10-21", CHAT),
    ("/xai/v1/chat/completions", GROK),
    ("/perplexity/v1/responses", SONAR),
    ("/compatible/v1/chat/completions", CHAT),
    ("/anthropic/v1/messages", CLAUDE),
    (f"{GEMINI_PATH}:generateContent", GEMINI),
    (f"{VERTEX_PATH}:generateContent", GEMINI),
    ("/gemini/v1beta/models/gemini-embedding-001:embedContent", {"content": GEMINI["contents"][0]}),
]
STREAMS = [
    (path, {**body, "stream": True})
    for path, body in WIRES
    if "embed" not in path and "gemini" not in path
]
STREAMS += [
    (f"{path}:streamGenerateContent?alt=sse", GEMINI) for path in (GEMINI_PATH, VERTEX_PATH)
]
ENDS = ("[DONE]", "response.completed", "message_stop", "finishReason")
BROKEN = (httpx2.RemoteProtocolError, httpx2.ReadError)


async def post(simulator: Simulator, path: str, body: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(**PLAIN) as client:
        return await client.post(simulator.url + path, json=body, headers=KEYS)


@pytest.mark.parametrize(("path", "body"), WIRES, ids=[path for path, _ in WIRES])
async def test_every_wire_misbehaves_as_scripted(
    simulator: Simulator, path: str, body: dict[str, Any]
) -> None:
    faults: list[dict[str, Any]] = [
        {"no_usage": True},
        {"garbage": True},
        {"error_200": True, "message": "Lost."},
        {"status": 503, "message": "Busy."},
        {"stream_error": True, "message": "Broken."},
        {"slow_bytes": 0.00001},
        {"truncate": True},
        {"reset": "before"},
        {"reset": "after"},
    ]
    await simulator.script(*({"times": 1, "do": fault} for fault in faults))
    before = len(simulator.ledger())
    bare, html, error, busy, broken, slow = [await post(simulator, path, body) for _ in range(6)]
    for _ in range(3):
        with pytest.raises(BROKEN):
            await post(simulator, path, body)
    assert not {"usage", "usageMetadata"} & set(bare.json())
    assert html.text.startswith("<html>")
    assert (error.status_code, "Lost." in error.text) == (200, True)
    assert (busy.status_code, "Busy." in busy.text) == (503, True)
    assert (broken.status_code, "Broken." in broken.text) == (500, True)
    assert slow.status_code == 200
    lines = simulator.ledger()[before:]
    words = ["no_usage", "garbage", "error_200", "stream_error", "slow_bytes", "truncate", "reset"]
    assert [line.outcome for line in lines] == words
    assert {line.client_request_id for line in lines} == {"att_1"}
    assert all(line.cost_nano > 0 for line in lines)
    assert len({line.request_id for line in lines}) == len(lines)


@pytest.mark.parametrize(("path", "body"), STREAMS, ids=[path for path, _ in STREAMS])
async def test_every_stream_breaks_as_scripted(
    simulator: Simulator, path: str, body: dict[str, Any]
) -> None:
    faults: list[dict[str, Any]] = [
        {"cut": True},
        {"stream_error": True, "message": "Broken."},
        {"no_usage": True},
        {"truncate": True},
    ]
    await simulator.script(*({"times": 1, "do": fault} for fault in faults))
    cut, broken, bare = [(await post(simulator, path, body)).text for _ in range(3)]
    with pytest.raises(BROKEN):
        await post(simulator, path, body)
    whole = (await post(simulator, path, body)).text
    assert any(end in whole for end in ENDS)
    assert not any(end in cut + broken for end in ENDS)
    assert "Broken." in broken.split("\n\n")[-2]
    assert "promptTokenCount" not in bare
    assert '"output_tokens":' not in bare


@pytest.mark.parametrize(("path", "body"), WIRES, ids=[path for path, _ in WIRES])
async def test_every_wire_wants_its_key_and_a_well_formed_body(
    simulator: Simulator, path: str, body: dict[str, Any]
) -> None:
    async with httpx2.AsyncClient(**PLAIN) as client:
        keyless = await client.post(simulator.url + path, json=body)
        torn = await client.post(simulator.url + path, content=b"{", headers=KEYS)
        empty = await client.post(simulator.url + path, content=b"{}", headers=KEYS)
    assert keyless.status_code in ({200} if "compatible" in path else {401, 403})
    assert (torn.status_code, empty.status_code) == (400, 400)
    assert all(reply.json()["error"] for reply in (torn, empty))
