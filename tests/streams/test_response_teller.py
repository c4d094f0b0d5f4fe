"""A response's stream may be left and taken up anywhere: nothing is missing or comes twice."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

import orjson
import pytest

from api.jobs.schemas import Cost, JobError, JobRead
from api.openai.responses_find import Found
from api.openai.responses_teller import HERE, ResponseTeller
from shared.db.watch import Standing
from shared.domain.job import JobState
from shared.faces.responses_stream import STRIDE
from shared.streamlog import Entry, EntryKind, Position

WORDS = ["Once ", "upon ", "a ti", "me, there was a fox."]
TEXT = "".join(WORDS)
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def job(state: JobState = JobState.QUEUED, **changes: Any) -> JobRead:
    known: dict[str, Any] = dict.fromkeys(JobRead.model_fields)
    known |= {
        "id": "job_1", "object": "job", "state": state, "lane": "standard", "model": "m",
        "rehearse": False, "created_at": MOMENT, "deadline": MOMENT, "run_at": MOMENT, "tries": 1,
        "max_tries": 5, "cancel_requested": False, "cost": Cost.of(1), "tags": [],
        "status_url": "/api/v1/jobs/job_1",
    }  # fmt: skip
    return JobRead(**{**known, **changes})


def answered(text: str = TEXT) -> JobRead:
    result = {"content": text, "finish_reason": "stop", "model": "m", "usage": None}
    return job(JobState.SUCCEEDED, result=result, started_at=MOMENT, finished_at=MOMENT)


def log(epoch: int, *words: str, end: bool = True) -> list[Entry]:
    """One attempt's log."""
    numbers = count(1)
    told = [(EntryKind.DELTA, orjson.dumps({"text": word}).decode()) for word in words]
    entries = [(EntryKind.BEGIN, "{}"), *told, *([(EntryKind.END, "{}")] if end else [])]
    return [Entry(Position(epoch, next(numbers)), kind, data) for kind, data in entries]


def teller(after: int | None = None, **echo: Any) -> ResponseTeller:
    return ResponseTeller(Found(job(), {"background": True, **echo}), after)


def standing(state: JobState, last_epoch: int | None = None) -> Standing:
    return Standing("job_1", state, None, 1, 5, last_epoch, 0.0)


def events_of(*pieces: bytes) -> list[dict[str, Any]]:
    """What a client reads of this."""
    blocks = [each for each in b"".join(pieces).split(b"\n\n") if each and each != HERE.strip()]
    events = []
    for block in blocks:
        name, data = block.split(b"\n", 1)
        event = orjson.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        events.append(event)
    return events


def heard(
    listener: ResponseTeller, entries: list[Entry], ended: JobRead | None = None, epoch: int = 1
) -> list[dict[str, Any]]:
    """All that the listener is told of this log, and of the job's end."""
    told = [
        listener.hello(),
        *listener.standing(standing(JobState.QUEUED)),
        *listener.tell(entries),
    ]
    if ended is not None and not listener.over:
        told += [*listener.standing(standing(ended.state, epoch)), listener.end(ended)]
    return events_of(*told)


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


def test_a_stream_tells_where_the_response_stands_the_answer_and_its_end() -> None:
    events = heard(teller(), log(1, *WORDS), answered())
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [e["type"] for e in events[:4]] == [
        "response.created", "response.queued", "response.in_progress", "response.output_item.added"
    ]  # fmt: skip
    statuses = [event["response"]["status"] for event in events if "response" in event]
    assert statuses == ["queued", "queued", "in_progress", "completed"]
    assert text_of(events) == TEXT == events[-1]["response"]["output"][0]["content"][0]["text"]
    foreground = heard(teller(background=False), log(1, *WORDS), answered())
    assert [e["type"] for e in foreground] == [
        e["type"] for e in events if e["type"] != "response.queued"
    ]


@pytest.mark.parametrize("source", ["log", "part of the log", "a later part", "result"])
def test_after_any_number_the_rest_is_told(source: str) -> None:
    whole = log(1, *WORDS)
    entries = {
        "log": whole,
        "part of the log": whole[:3],
        "a later part": whole[3:],
        "result": [],
    }[source]
    events = heard(teller(), whole, answered())
    for after in range(len(events)):
        rest = heard(teller(after), entries, answered())
        assert rest == events[after + 1 :], f"after {after}"


def test_a_job_that_runs_is_in_progress_before_it_says_a_word() -> None:
    listener = teller()
    assert len(events_of(listener.hello())) == 2
    [event] = events_of(*listener.standing(standing(JobState.RUNNING)))
    assert event["type"] == "response.in_progress"
    assert events_of(*listener.standing(standing(JobState.RUNNING))) == []
    assert listener.hello() == teller(5).hello() == HERE, "nothing is told twice"


def test_an_attempt_that_said_nothing_is_followed_unseen() -> None:
    events = heard(teller(), [*log(1), *log(2, *WORDS)], answered(), epoch=2)
    assert text_of(events) == TEXT
    numbers = [event["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers))
    assert numbers[2] == 2
    assert numbers[3] == STRIDE + 3
    for at, event in enumerate(events):
        rest = heard(teller(event["sequence_number"]), log(2, *WORDS), answered(), epoch=2)
        assert rest == events[at + 1 :]
        forgotten = heard(teller(event["sequence_number"]), [], answered(), epoch=2)
        assert forgotten == events[at + 1 :]


def test_what_was_told_cannot_be_taken_back() -> None:
    listener = teller()
    events = heard(listener, [*log(1, *WORDS[:2]), *log(2, "No.")], answered("No."), epoch=2)
    assert listener.over
    assert text_of(events) == "Once upon"
    assert events[-1]["type"] == "error"
    assert events[-1]["sequence_number"] == events[-2]["sequence_number"] + 1
    for entries in (log(2, "No."), []):
        back = teller(events[-2]["sequence_number"])
        [error] = heard(back, entries, answered("No."), epoch=2)
        assert error["type"] == "error"
        assert back.over or not entries
    assert text_of(heard(teller(2), log(2, "No."), answered("No."), epoch=2)) == "No."


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (JobState.FAILED, "failed"),
        (JobState.EXPIRED, "failed"),
        (JobState.CANCELLED, "cancelled"),
    ],
)
def test_what_has_no_answer_ends_all_the_same(state: JobState, status: str) -> None:
    ended = job(state, error=JobError(kind="server", message="no"), finished_at=MOMENT)
    for entries in ([], log(1), log(1, "So ", "far ", "so ")):
        events = heard(teller(), entries, ended)
        assert events[-1]["type"] == "response.failed"
        assert events[-1]["response"]["status"] == status
        numbers = [event["sequence_number"] for event in events]
        assert numbers == list(range(len(events)))
        for after in numbers[:-1]:
            assert heard(teller(after), entries, ended) == events[after + 1 :]
            gone = heard(teller(after), [], ended)
            assert gone[-1]["response"] == events[-1]["response"]
            assert all(event["sequence_number"] > after for event in gone)


def test_a_log_is_heard_to_its_end_or_not() -> None:
    listener = teller()
    heard(listener, log(1, *WORDS, end=False))
    ended = standing(JobState.SUCCEEDED, 1)
    assert not listener.has_heard_all(ended)
    assert listener.has_heard_all(standing(JobState.EXPIRED))
    assert events_of(*listener.rewind()) == []
    list(listener.tell([Entry(Position(1, 6), EntryKind.END, "{}")]))
    assert listener.has_heard_all(ended)
