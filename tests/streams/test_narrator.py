"""Whatever became of a log, its watcher hears no gap as if it were none."""

import orjson

from api.jobs.narrator import Narrator
from shared.db.watch import Standing
from shared.domain.job import JobState
from shared.streamlog import Entry, EntryKind, Position


def entries(epoch: int, text: str, first: int = 1) -> list[Entry]:
    """A log of one letter a delta, from this entry on."""
    begin = Entry(Position(epoch, 1), EntryKind.BEGIN, f'{{"attempt_id":"att_{epoch}"}}')
    deltas = [
        Entry(Position(epoch, number), EntryKind.DELTA, orjson.dumps({"text": letter}).decode())
        for number, letter in enumerate(text, 2)
    ]
    end = Entry(Position(epoch, len(text) + 2), EntryKind.END, "{}")
    return [entry for entry in (begin, *deltas, end) if entry.at.number >= first]


def heard(narrator: Narrator, log: list[Entry]) -> list[str]:
    """The events' names, a delta's text for its name."""
    found = []
    for event in narrator.tell(log):
        fields = dict(line.split(": ", 1) for line in event.decode().splitlines() if line)
        data = orjson.loads(fields["data"])
        found.append(data.get("text") or data.get("reason") or fields["event"])
    return found


def ended(epoch: int | None) -> Standing:
    return Standing("job_1", JobState.SUCCEEDED, None, 1, 5, epoch, 0.1)


def test_a_whole_log_is_told_as_it_is() -> None:
    narrator = Narrator(None)
    assert heard(narrator, entries(1, "abc")) == ["begin", "a", "b", "c"]
    assert narrator.has_heard_all(ended(1))
    assert not narrator.has_heard_all(ended(2))


def test_who_comes_back_hears_the_rest() -> None:
    assert heard(Narrator(Position(1, 3)), entries(1, "abc", first=4)) == ["c"]


def test_another_attempt_makes_void_what_was_told() -> None:
    narrator = Narrator(None)
    log = [*entries(1, "ab")[:2], *entries(2, "xy")]
    assert heard(narrator, log) == ["begin", "a", "new_attempt", "x", "y"]
    assert heard(Narrator(Position(1, 2)), entries(2, "xy")) == ["new_attempt", "x", "y"]


def test_a_gap_is_told_once_and_nothing_more_of_that_attempt() -> None:
    narrator = Narrator(None)
    assert heard(narrator, entries(1, "abcdef", first=5)) == ["incomplete"]
    assert narrator.has_heard_all(ended(1))
    assert heard(narrator, entries(2, "xy")) == ["begin", "x", "y"]


def test_a_gap_in_the_middle_voids_what_was_told_before() -> None:
    narrator = Narrator(None)
    log = entries(1, "abcdef")
    assert heard(narrator, [*log[:3], *log[5:]]) == ["begin", "a", "b", "incomplete"]
    assert list(narrator.rewind()) == []


def test_who_comes_back_after_a_gap_is_told_of_it_again() -> None:
    log = entries(1, "abcdef")
    narrator = Narrator(None)
    told = list(narrator.tell([*log[:3], *log[5:]]))
    ids = [line for event in told for line in event.decode().splitlines() if line[:3] == "id:"]
    assert ids == ["id: 1-1", "id: 1-2", "id: 1-3"]


def test_a_job_that_was_never_started_has_nothing_to_wait_for() -> None:
    assert Narrator(None).has_heard_all(ended(None))


def test_positions_are_read_strictly() -> None:
    assert Position.parse("12-345") == Position(12, 345)
    for text in ("", "1", "1-", "-1", "1-2-3", "a-b", "1-2 ", "+", "1" * 30 + "-1"):
        assert Position.parse(text) is None
