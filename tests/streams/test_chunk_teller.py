"""A stream of OpenAI's API takes nothing back: it goes on unseen, or ends with an error."""

import json
from typing import Any, cast

import pytest

from api.errors import told_of
from api.faces.teller import AnswerTeller
from api.jobs.schemas import Cost, JobError, JobRead
from api.openai.generate import failed
from shared.domain.errors import CutShortError, GenerationFailedError
from shared.domain.job import JobState
from shared.faces.openai_stream import DONE, Chunks
from shared.streamlog import Entry, EntryKind, Position

RESULT = {"content": "Hello", "finish_reason": "stop", "model": "m", "usage": None}


def teller() -> AnswerTeller:
    chunks = Chunks(id="chatcmpl-job_1", created=7, model="m")
    return AnswerTeller("job_1", chunks, failed)


def entry(epoch: int, number: int, kind: EntryKind, **data: Any) -> Entry:
    return Entry(Position(epoch, number), kind, json.dumps(data))


def begin(epoch: int) -> Entry:
    return entry(epoch, 1, EntryKind.BEGIN)


def word(epoch: int, number: int, text: str) -> Entry:
    return entry(epoch, number, EntryKind.DELTA, text=text)


def ended(state: JobState = JobState.SUCCEEDED) -> JobRead:
    """A job at its end."""
    failed = state is not JobState.SUCCEEDED
    return JobRead.model_construct(
        id="job_1",
        state=state,
        result=None if failed else RESULT,
        error=JobError(kind="server", message="it broke") if failed else None,
        cost=Cost.of(0),
        status_url="/api/v1/jobs/job_1",
    )


def text_of(told: bytes) -> str:
    events = [each for each in told.split(b"\n\n") if each and each + b"\n\n" != DONE]
    chunks = [json.loads(each.removeprefix(b"data: ")) for each in events]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


def error_of(told: bytes) -> dict[str, Any]:
    last = told.strip().rsplit(b"data: ", 1)[1]
    return cast("dict[str, Any]", json.loads(last)["error"])


def test_an_answer_is_told_once_and_ends() -> None:
    telling = teller()
    told = b"".join(telling.tell([begin(1), word(1, 2, "Hel"), word(1, 3, "lo")]))
    told += telling.end(ended())
    assert text_of(told) == "Hello"
    assert told.endswith(DONE)
    assert not telling.over


def test_another_attempt_takes_over_unseen_while_nothing_was_told() -> None:
    telling = teller()
    told = b"".join(telling.tell([begin(1), begin(2), word(2, 2, "Hello")]))
    assert text_of(told + telling.end(ended())) == "Hello"


@pytest.mark.parametrize("news", [[begin(2), word(2, 2, "x")], [word(1, 9, "x")]])
def test_what_was_told_and_is_void_ends_the_stream(news: list[Entry]) -> None:
    telling = teller()
    list(telling.tell([begin(1), word(1, 2, "Hel")]))
    error = error_of(b"".join(telling.tell(news)))
    assert telling.over
    assert error["status_url"] == "/api/v1/jobs/job_1"
    assert "broke off" in error["message"]


def test_a_log_that_was_lost_unheard_is_told_whole_at_the_end() -> None:
    telling = teller()
    assert list(telling.rewind()) == []
    assert list(telling.tell([word(1, 5, "lo")])) == []
    assert text_of(telling.end(ended())) == "Hello"


def test_a_stream_that_is_cut_says_so_or_is_an_error_that_may_be_tried_again() -> None:
    with pytest.raises(CutShortError) as refused:
        teller().cut()
    assert told_of(refused.value).fault.again
    telling = teller()
    list(telling.tell([begin(1), word(1, 2, "Hel")]))
    error = error_of(telling.cut())
    assert (error["code"], error["status_url"]) == ("cut_short", "/api/v1/jobs/job_1")


def test_a_job_that_fails_is_an_error_of_its_own_or_the_streams_last_event() -> None:
    with pytest.raises(GenerationFailedError):
        teller().end(ended(JobState.FAILED))
    telling = teller()
    list(telling.tell([begin(1), word(1, 2, "Hel")]))
    error = error_of(telling.end(ended(JobState.FAILED)))
    assert (error["code"], error["message"]) == ("server", "it broke")
