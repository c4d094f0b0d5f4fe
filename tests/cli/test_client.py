"""The command's client waits for room where it may wait, and else says what the API said."""

import httpx2
import pytest

from cli.client import BusyError, Client
from shared.domain.errors import UnavailableError

FULL = {"error": {"code": "queue_full", "message": "full; come again in 0 s", "line": None}}


def client(*answers: tuple[int, object, dict[str, str]], patience: float) -> Client:
    """Of an API that answers so, one after the other."""
    queue = list(answers)

    def answer(_: httpx2.Request) -> httpx2.Response:
        status, body, headers = queue.pop(0)
        return httpx2.Response(status, json=body, headers=headers)

    transport = httpx2.MockTransport(answer)
    return Client(httpx2.AsyncClient(transport=transport, base_url="http://mill.test"), patience)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_patient_client_comes_again_as_often_as_it_is_told(status: int) -> None:
    busy = (status, FULL, {"retry-after": "0"})
    patient = client(*[busy] * 5, (200, {"jobs": [{"id": "j"}]}, {}), patience=0.001)
    assert await patient.submit_lines([b"{}"]) == [{"id": "j"}]


async def test_without_patience_the_words_of_the_api_are_told() -> None:
    with pytest.raises(BusyError, match="full; come again in 0 s"):
        await client((429, FULL, {"retry-after": "7"}), patience=0.0).get("/api/v1/me")


async def test_an_answer_of_somebody_else_is_no_word_of_ours() -> None:
    with pytest.raises(UnavailableError, match="answered 503"):
        await client((503, {"nope": 1}, {"retry-after": "7"}), patience=0.0).get("/api/v1/me")
