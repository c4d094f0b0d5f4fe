"""The Gemini adapter at the wire: what it sends and what it makes of an answer."""

from collections.abc import AsyncIterator

import pytest

from shared.domain.errors import ConfigurationError
from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, FinishReason, GenerationRequest, RequestKind, Usage
from tests.adapters.canned import Canned, canned
from tests.adapters.gemini_calls import MODEL, call, opened
from tests.adapters.gemini_replies import REPLY, error, piece, reply
from worker.adapters.base import CallError
from worker.adapters.gemini import GeminiAdapter

EMBEDDING = GenerationRequest(model="ours", kind=RequestKind.EMBEDDING, input=("a", "b"))


@pytest.fixture
async def provider() -> AsyncIterator[Canned]:
    async with canned() as said:
        said.says(REPLY)
        yield said


@pytest.fixture
async def adapter(provider: Canned) -> AsyncIterator[GeminiAdapter]:
    async with opened(provider.url) as adapter:
        yield adapter


@pytest.fixture(params=["whole", "streamed"])
def told(request: pytest.FixtureRequest) -> list[Delta] | None:
    """What is told of a call, which is made without and with a stream."""
    return [] if request.param == "streamed" else None


async def test_the_wire_carries_exactly_what_was_asked(
    provider: Canned, adapter: GeminiAdapter
) -> None:
    answer = await call(adapter)
    [(headers, body)] = provider.heard
    assert provider.asked == [f"POST /gemini/v1beta/models/{MODEL}:generateContent HTTP/1.1"]
    assert headers["x-goog-api-key"] == "ours"
    assert headers["x-client-request-id"] == "att_1"
    assert headers["content-type"] == "application/json"
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "Why tea? ☕"}]}],
        "generationConfig": {"maxOutputTokens": 50},
    }
    assert answer.provider_request_id == "resp_1"
    assert (answer.result.content, answer.result.first_token_ms) == ("Fine.", None)


async def test_a_stream_is_told_as_it_comes(provider: Canned, adapter: GeminiAdapter) -> None:
    provider.streams(piece({"text": "Fi"}), ": alive\n\n", reply({"text": "ne."}), end="\r\n")
    told: list[Delta] = []
    answer = await call(adapter, told)
    assert told == [Delta(text="Fi"), Delta(text="ne.")]
    assert answer.result.content == "Fine."
    assert answer.result.finish_reason is FinishReason.STOP
    assert answer.result.usage == Usage(input_tokens=9, output_tokens=7, reasoning_tokens=3)
    assert answer.result.first_token_ms is not None
    assert answer.provider_request_id == "resp_1"
    [asked] = provider.asked
    assert asked == f"POST /gemini/v1beta/models/{MODEL}:streamGenerateContent?alt=sse HTTP/1.1"


async def test_texts_are_embedded_by_one_request_that_is_never_a_stream(
    provider: Canned, adapter: GeminiAdapter, told: list[Delta] | None
) -> None:
    provider.says({"embeddings": [{"values": [1, 0]}, {"values": [0, 1]}]})
    answer = await call(adapter, told, request=EMBEDDING)
    assert answer.result.embeddings == ((1.0, 0.0), (0.0, 1.0))
    assert provider.asked == [f"POST /gemini/v1beta/models/{MODEL}:batchEmbedContents HTTP/1.1"]
    assert not told


async def test_a_check_asks_for_the_models(provider: Canned, adapter: GeminiAdapter) -> None:
    await adapter.check(timeout=5)
    assert provider.asked == ["GET /gemini/v1beta/models HTTP/1.1"]
    provider.says(error(403, "PERMISSION_DENIED", "no"), 403)
    with pytest.raises(CallError, match="403: no") as refused:
        await adapter.check(timeout=5)
    assert refused.value.kind is FailureKind.AUTH


async def test_the_environment_puts_nothing_on_the_wire(
    provider: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    ambient = {
        "GOOGLE_API_KEY": "leak-google",
        "GEMINI_API_KEY": "leak-gemini",
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_GENAI_USE_ENTERPRISE": "true",
        "GOOGLE_CLOUD_PROJECT": "leak-project",
        "GOOGLE_CLOUD_LOCATION": "leak-location",
        "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9/leak",
        "GOOGLE_VERTEX_BASE_URL": "http://127.0.0.1:9/leak",
        "GOOGLE_GENAI_API_VERSION": "leak-version",
        "GOOGLE_GENAI_CLIENT_MODE": "replay",
        "GOOGLE_GENAI_REPLAYS_DIRECTORY": "/leak",
        "GOOGLE_GENAI_HTTP_CLIENT": "httpx2",
        "GOOGLE_APPLICATION_CREDENTIALS": "/leak",
    }
    for name, value in ambient.items():
        monkeypatch.setenv(name, value)
    for key in ("ours", None):
        async with opened(provider.url, key=key) as adapter:
            await call(adapter)
    sent = [headers for headers, _ in provider.heard]
    assert [headers["x-goog-api-key"] for headers in sent] == ["ours", "none"]
    assert len(set(provider.asked)) == 1
    assert "/gemini/v1beta/models/" in provider.asked[0]
    assert "leak" not in str((provider.heard, provider.asked))


async def test_a_client_that_is_not_there_is_told_with_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_HTTP_CLIENT", "httpx")
    with pytest.raises(ConfigurationError, match="Unset GOOGLE_GENAI_HTTP_CLIENT"):
        async with opened("http://127.0.0.1:9"):
            pass
