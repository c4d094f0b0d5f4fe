"""Gemini in a project of Google Cloud: the same wire behind another door, with tokens for keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, TransportError

from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, GenerationRequest, RequestKind
from tests.adapters import gemini_calls
from tests.adapters.canned import Canned
from tests.adapters.conftest import Noon
from tests.adapters.gemini_replies import REPLY, error, piece, reply
from worker.adapters import vertex
from worker.adapters.base import CallError
from worker.adapters.transport import Connections
from worker.adapters.vertex import VertexAdapter

PLACE = "/v1beta1/projects/our-project/locations/europe-west4/publishers/google/models"
EMBEDDING = GenerationRequest(model="ours", kind=RequestKind.EMBEDDING, input="a")


class Granted(Credentials):
    """A credential whose token was asked for already."""

    def __init__(self, failing: Exception | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.token = None if failing else "a-token"
        self.failing = failing

    def refresh(self, _: object) -> None:
        if self.failing:
            raise self.failing


@asynccontextmanager
async def opened(
    url: str, credentials: Credentials, location: str = "europe-west4"
) -> AsyncIterator[VertexAdapter]:
    adapter = VertexAdapter(
        base_url=url,
        project="our-project",
        location=location,
        connections=Connections(2),
        connect_timeout=5.0,
        clock=Noon(),
        api_version="v1beta1",
        credentials=credentials,
    )
    try:
        yield adapter
    finally:
        await adapter.close()


async def call(
    adapter: VertexAdapter,
    told: list[Delta] | None = None,
    request: GenerationRequest = gemini_calls.REQUEST,
) -> str:
    answer = await adapter.complete(
        request,
        model=gemini_calls.MODEL,
        attempt_id="att_1",
        timeout=10,
        told=None if told is None else told.append,
    )
    return answer.result.content


async def test_a_call_goes_to_the_project_under_a_token(
    provider: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "leaked")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "leaked")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "leaked")
    provider.says(REPLY)
    async with opened(provider.url, Granted()) as adapter:
        assert await call(adapter) == "Fine."
        provider.says({"publisherModels": []})
        await adapter.check(timeout=5)
    assert provider.asked == [
        f"POST {PLACE}/{gemini_calls.MODEL}:generateContent HTTP/1.1",
        "GET /v1beta1/publishers/google/models HTTP/1.1",
    ]
    for headers, _ in provider.heard:
        assert headers["authorization"] == "Bearer a-token"
        assert "x-goog-api-key" not in headers
        assert "leaked" not in str(headers)
    assert provider.heard[0][1]["contents"] == [
        {"role": "user", "parts": [{"text": "Why tea? ☕"}]}
    ]


async def test_it_streams(provider: Canned) -> None:
    provider.streams(piece({"text": "Fi"}), reply({"text": "ne."}))
    told: list[Delta] = []
    async with opened(provider.url, Granted()) as adapter:
        assert await call(adapter, told) == "Fine."
    assert told == [Delta(text="Fi"), Delta(text="ne.")]
    [asked] = provider.asked
    assert asked == (f"POST {PLACE}/{gemini_calls.MODEL}:streamGenerateContent?alt=sse HTTP/1.1")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("global", "https://aiplatform.googleapis.com/"),
        ("europe-west4", "https://europe-west4-aiplatform.googleapis.com/"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com/"),
    ],
)
async def test_each_location_has_its_address(location: str, url: str) -> None:
    async with opened(vertex.GOOGLES, Granted(), location) as adapter:
        asked = adapter._client._build_request("post", f"{vertex.MODELS}/m:generateContent", {})  # noqa: SLF001 - the address alone, as nobody may be called
    place = f"projects/our-project/locations/{location}/publishers/google/models/m"
    assert asked.url == f"{url}v1beta1/{place}:generateContent"


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        (DefaultCredentialsError("none were found"), FailureKind.AUTH),  # type: ignore[no-untyped-call]
        (TransportError("nobody there"), FailureKind.UNREACHABLE),  # type: ignore[no-untyped-call]
    ],
)
async def test_without_a_token_nothing_is_sent(
    provider: Canned, failing: Exception, kind: FailureKind
) -> None:
    async with opened(provider.url, Granted(failing)) as adapter:
        with pytest.raises(CallError, match="no credential for Google Cloud") as failed:
            await call(adapter)
    assert failed.value.kind is kind
    assert provider.heard == []


async def test_a_refusal_has_its_kind_and_an_embedding_no_place(provider: Canned) -> None:
    provider.says(error(429, "RESOURCE_EXHAUSTED", "Resource exhausted."), 429)
    async with opened(provider.url, Granted()) as adapter:
        with pytest.raises(CallError) as limited:
            await call(adapter)
        with pytest.raises(CallError) as unknown:
            await call(adapter, request=EMBEDDING)
    assert limited.value.kind is FailureKind.RATE_LIMITED
    assert unknown.value.kind is FailureKind.BAD_REQUEST
    assert len(provider.heard) == 1
