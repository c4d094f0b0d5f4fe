"""A stream of Anthropic's tells an answer once, from its start to its end, or that it broke off."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.anthropic.messages import failing, with_pings
from api.faces.teller import AnswerTeller
from api.jobs.schemas import JobError, JobRead
from api.jobs.telling import KEEP_ALIVE
from shared.db.watch import Standing
from shared.domain.errors import GenerationFailedError
from shared.domain.job import JobState
from shared.faces.anthropic_stream import PING, MessageStream
from shared.streamlog import Entry, EntryKind, Position

RESULT = {
    "content": "Tea, please.",
    "finish_reason": "stop",
    "model": "m-1",
    "usage": {"input_tokens": 3, "output_tokens": 4},
}
BROKEN = [("error", "api_error")]


@pytest.fixture
def teller() -> AnswerTeller:
    return AnswerTeller("job_1", MessageStream("job_1", "m"), failing("req_1"))


def begin(epoch: int) -> Entry:
    return Entry(Position(epoch, 1), EntryKind.BEGIN, "{}")


def piece(epoch: int, number: int, text: str) -> Entry:
    return Entry(Position(epoch, number), EntryKind.DELTA, json.dumps({"text": text}))


def end(epoch: int, number: int) -> Entry:
    return Entry(Position(epoch, number), EntryKind.END, "{}")


def job(state: JobState = JobState.SUCCEEDED, kind: str | None = None) -> JobRead:
    error = JobError(kind=kind, message="it went wrong") if kind else None
    return JobRead.model_construct(id="job_1", state=state, result=RESULT, error=error)


def events(told: Any) -> list[dict[str, Any]]:
    """The data of what was said."""
    body = (told if isinstance(told, bytes) else b"".join(told)).decode()
    return [json.loads(each.partition("data: ")[2]) for each in body.split("\n\n") if each]


def text_of(told: list[dict[str, Any]]) -> str:
    deltas = [each["delta"] for each in told if each["type"] == "content_block_delta"]
    return "".join(delta["text"] for delta in deltas)


def failures(told: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["type"], each["error"]["type"]) for each in told]


def test_an_answer_is_told_while_it_comes_and_ended_by_its_job(teller: AnswerTeller) -> None:
    told = events(teller.tell([begin(1), piece(1, 2, "Tea, "), piece(1, 3, "please.")]))
    assert text_of(told) == "Tea, please."
    assert list(teller.tell([end(1, 4)])) == []
    ending = events(teller.end(job()))
    assert text_of(ending) == ""
    kinds = [each["type"] for each in ending]
    assert kinds == ["content_block_stop", "message_delta", "message_stop"]
    assert ending[1]["usage"]["output_tokens"] == 4
    assert not teller.over


def test_an_attempt_that_said_nothing_is_followed_by_another_unseen(teller: AnswerTeller) -> None:
    assert list(teller.tell([begin(1), begin(2)])) == []
    assert text_of(events(teller.tell([piece(2, 2, "Tea.")]))) == "Tea."
    assert not teller.over


def test_an_attempt_that_was_heard_is_not_followed_by_another(teller: AnswerTeller) -> None:
    list(teller.tell([begin(1), piece(1, 2, "Te")]))
    assert failures(events(teller.tell([begin(2), piece(2, 2, "Coffee")]))) == BROKEN
    assert teller.over


@pytest.mark.parametrize("lost", ["middle", "all"])
def test_what_was_lost_before_anything_was_heard_is_told_at_the_end(
    teller: AnswerTeller, lost: str
) -> None:
    if lost == "middle":
        assert list(teller.tell([begin(1), piece(1, 3, "please."), end(1, 4)])) == []
    assert list(teller.rewind()) == []
    whole = events(teller.end(job()))
    assert text_of(whole) == "Tea, please."
    assert (whole[0]["type"], whole[-1]["type"]) == ("message_start", "message_stop")
    assert not teller.over


def test_what_was_lost_after_something_was_heard_ends_the_stream(teller: AnswerTeller) -> None:
    list(teller.tell([begin(1), piece(1, 2, "Tea, ")]))
    assert failures(events(teller.tell([piece(1, 4, "x")]))) == BROKEN
    assert teller.over


def test_a_job_that_fails_is_a_reply_of_its_own_unless_something_was_heard(
    teller: AnswerTeller,
) -> None:
    failed = job(JobState.FAILED, "bad_request")
    with pytest.raises(GenerationFailedError):
        teller.end(failed)
    list(teller.tell([begin(1), piece(1, 2, "Te")]))
    told = events(teller.end(failed))
    assert failures(told) == [("error", "invalid_request_error")]
    assert told[0]["request_id"] == "req_1"


async def test_signs_of_life_are_pings() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        yield KEEP_ALIVE

    assert [each async for each in with_pings(pieces())] == [b"a", PING]


def test_all_is_heard_when_the_last_attempt_has_ended(teller: AnswerTeller) -> None:
    def standing(epoch: int | None) -> Standing:
        return Standing("job_1", JobState.SUCCEEDED, None, 1, 5, epoch, 0.0)

    assert teller.has_heard_all(standing(None))
    assert not teller.has_heard_all(standing(1))
    list(teller.tell([begin(1), end(1, 2)]))
    assert teller.has_heard_all(standing(1))
    assert list(teller.standing(standing(1))) == []
