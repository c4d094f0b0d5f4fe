"""An independent witness: the adapters against llmock, which knows nothing of our simulator."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket
from time import monotonic, sleep
from typing import Any

import httpx2
import pytest

from shared.domain.conversation import Message, Role
from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, FinishReason, message_of
from tests.conformance.conftest import SECONDS, Open
from tests.conformance.targets import TARGETS, Target
from tests.conformance.test_answers import TALK, WEATHER, chat, says
from worker.adapters.base import Adapter, Answer, CallError

PROGRAM = Path(__file__).parents[2] / ".venv-llmock" / "bin" / "llmock"
START_SECONDS = 30.0
PLAIN: Any = {"trust_env": False, "verify": False}

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason="llmock is not installed: `make llmock` does it"
)


@pytest.fixture(scope="module")
def llmock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL; it ends with the module."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("llmock") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(PROGRAM), "serve", "--port", str(port), "--log-level", "warning"],
            stdout=out,
            stderr=out,
            env={"PATH": os.environ["PATH"]},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _await_ready(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _await_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = monotonic() + START_SECONDS
    while True:
        try:
            httpx2.get(f"{url}/_llmock/verdict", **PLAIN)
        except httpx2.TransportError:
            assert process.poll() is None, log.read_text()
            assert monotonic() < deadline, log.read_text()
            sleep(0.05)
        else:
            return


@dataclass(frozen=True, slots=True)
class Witness:
    """One adapter and the witness of what it does."""

    adapter: Adapter
    target: Target
    url: str

    async def answer(self, request: Any, told: list[Delta] | None = None) -> Answer:
        return await self.adapter.complete(
            replace(request, model=self.target.model),
            model=self.target.model,
            attempt_id="att_1",
            timeout=SECONDS,
            told=None if told is None else told.append,
        )

    async def failure(self, request: Any, told: list[Delta] | None = None) -> CallError:
        with pytest.raises(CallError) as failed:
            await self.answer(request, told)
        return failed.value

    def expects(self, **behaviour: object) -> None:
        """Misbehave so at the next request."""
        reply = httpx2.post(
            f"{self.url}/_llmock/scenario", json={"behaviors": [behaviour]}, **PLAIN
        )
        reply.raise_for_status()

    def requests(self) -> int:
        """How many it got."""
        return int(httpx2.get(f"{self.url}/_llmock/requests", **PLAIN).json()["count"])


@pytest.fixture(params=[each for each in TARGETS if each.llmock], ids=lambda each: each.name)
async def witness(request: pytest.FixtureRequest, llmock: str, open_target: Open) -> Witness:
    target: Target = request.param
    httpx2.post(f"{llmock}/_llmock/reset", **PLAIN).raise_for_status()
    assert target.llmock is not None
    return Witness(await open_target(target, llmock + target.llmock), target, llmock)


async def test_a_question_gets_an_answer_by_one_request(witness: Witness) -> None:
    result = (await witness.answer(TALK)).result
    assert result.content
    assert result.finish_reason is FinishReason.STOP
    assert result.usage is not None
    assert result.usage.output_tokens > 0
    assert witness.requests() == 1


async def test_a_stream_is_its_pieces(witness: Witness) -> None:
    told: list[Delta] = []
    result = (await witness.answer(replace(TALK, stream=True), told)).result
    assert result.content == "".join(delta.text for delta in told)
    assert result.finish_reason is FinishReason.STOP
    assert result.content


async def test_a_tool_is_called_and_its_result_is_used(witness: Witness) -> None:
    asked = chat(says("What is the weather in Paris?"), tools=(WEATHER,))
    call = (await witness.answer(asked)).result
    assert call.finish_reason is FinishReason.TOOL_CALLS
    [tool_call] = call.tool_calls
    assert tool_call.name == "get_weather"
    done = Message(role=Role.TOOL, tool_call_id=tool_call.id, content="clear")
    again = replace(asked, messages=(*asked.messages, message_of(call), done))
    assert (await witness.answer(again)).result.content


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.BAD_REQUEST), (401, FailureKind.AUTH), (404, FailureKind.NOT_FOUND),
        (429, FailureKind.RATE_LIMITED), (500, FailureKind.SERVER), (503, FailureKind.OVERLOADED),
    ],
)  # fmt: skip
async def test_each_error_has_our_word_and_one_request(
    witness: Witness, status: int, kind: FailureKind
) -> None:
    witness.expects(type="fail", status=status)
    assert (await witness.failure(TALK)).kind is kind
    assert witness.requests() == 1


async def test_a_wait_is_heard(witness: Witness) -> None:
    witness.expects(type="fail", status=429, retry_after=7)
    error = await witness.failure(TALK)
    assert error.kind is FailureKind.RATE_LIMITED
    assert error.retry_after == pytest.approx(7)


@pytest.mark.parametrize("fault", ["disconnect", "truncate", "malformed"])
async def test_a_broken_stream_is_never_taken_for_an_answer(witness: Witness, fault: str) -> None:
    witness.expects(type="stream_fault", kind=fault, after_chunks=3)
    error = await witness.failure(replace(TALK, stream=True), [])
    assert error.kind in {FailureKind.CONNECTION, FailureKind.BAD_RESPONSE}
    assert witness.requests() == 1
