"""Replies are bounded: no server can fill a worker's memory, packed or not."""

import gzip
import json
import zlib
from typing import Any

import pytest

from shared.domain.failure import FailureKind
from tests.adapters import anthropic_calls, gemini_calls, test_openai
from tests.adapters.canned import COMPLETION, Canned
from tests.adapters.conftest import Open
from worker.adapters import listening, transport
from worker.adapters.base import CallError

LARGE = {"choices": [{"message": {"content": "x" * 5000}}]}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "REPLY_BYTES", 2000)
    monkeypatch.setattr(transport, "COMPLAINT_BYTES", 2000)
    monkeypatch.setattr(listening, "EVENT_BYTES", 1000)


async def fails(
    provider: Canned, open_adapter: Open, wire: str, told: list[Any] | None
) -> CallError:
    """How the call fails on this wire."""
    if wire == "anthropic":
        async with anthropic_calls.opened(provider.url) as adapter:
            return await anthropic_calls.failure(adapter, told=told)
    if wire == "gemini":
        async with gemini_calls.opened(provider.url) as gemini:
            return await gemini_calls.failure(gemini, told)
    with pytest.raises(CallError) as caught:
        await open_adapter(provider.url).complete(
            test_openai.REQUEST,
            model="m",
            attempt_id="att_1",
            timeout=10,
            told=None if told is None else told.append,
        )
    return caught.value


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("wire", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_reply_that_is_too_large_is_a_broken_one(
    provider: Canned, open_adapter: Open, wire: str, *, packed: bool
) -> None:
    provider.says(LARGE)
    if packed:
        provider.body = gzip.compress(provider.body)
        provider.headers = {"content-encoding": "gzip"}
    failed = await fails(provider, open_adapter, wire, None)
    assert failed.kind is FailureKind.BAD_RESPONSE
    assert "larger than 2000 bytes" in failed.message
    assert len(provider.heard) == 1


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("wire", ["openai", "anthropic", "gemini"])
async def test_an_event_that_never_ends_is_a_broken_reply(
    provider: Canned, open_adapter: Open, wire: str
) -> None:
    provider.streams("data: " + "x" * 1500)
    failed = await fails(provider, open_adapter, wire, [])
    assert (failed.kind, failed.message) == (
        FailureKind.BAD_RESPONSE,
        "an event of the stream is larger than 1000 bytes",
    )


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("wire", ["openai", "anthropic", "gemini"])
async def test_a_stream_that_never_ends_is_a_broken_reply(
    provider: Canned, open_adapter: Open, wire: str
) -> None:
    provider.streams(*(": alive\n\n" for _ in range(300)))
    failed = await fails(provider, open_adapter, wire, [])
    assert failed.kind is FailureKind.BAD_RESPONSE
    assert "larger than 2000 bytes" in failed.message


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("wire", ["openai", "anthropic", "gemini"])
async def test_of_a_long_complaint_the_status_counts(
    provider: Canned, open_adapter: Open, wire: str
) -> None:
    provider.says({"page": "x" * 5000}, status=503)
    assert (await fails(provider, open_adapter, wire, None)).kind is FailureKind.OVERLOADED


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_a_packed_answer_is_read(provider: Canned, open_adapter: Open, pack: Any) -> None:
    provider.says(COMPLETION)
    provider.body, provider.headers = pack(provider.body), {"content-encoding": "gzip"}
    answer = await open_adapter(provider.url).complete(
        test_openai.REQUEST, model="m", attempt_id="att_1", timeout=10
    )
    assert answer.result.content == "Fine."
    [(headers, _)] = provider.heard
    assert headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("packing", "why"), [("br", "packed as 'br', which nobody asked for"), ("gzip", "unpacked")]
)
async def test_what_cannot_be_unpacked_is_a_broken_reply(
    provider: Canned, open_adapter: Open, packing: str, why: str
) -> None:
    provider.body, provider.headers = json.dumps(COMPLETION).encode(), {"content-encoding": packing}
    failed = await fails(provider, open_adapter, "openai", None)
    assert failed.kind is FailureKind.BAD_RESPONSE
    assert why in failed.message
