"""A job's log told to one watcher as server-sent events, without a gap and without a repeat."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, Final

import orjson

from api.jobs.schemas import JobRead
from shared.db.watch import Standing
from shared.streamlog import START, Entry, EntryKind, Position

RETRY: Final = b"retry: 500\n\n"
"""Milliseconds until a client that lost its connection comes back."""


class EventName(StrEnum):
    """What a watcher is told."""

    STATE = "state"
    """Where the job stands now."""
    BEGIN = "begin"
    """An attempt begins to answer."""
    DELTA = "delta"
    """What is new of the answer."""
    REWIND = "rewind"
    """All that was told of the answer is void."""
    END = "end"
    """The job has ended, and this is it."""


class RewindReason(StrEnum):
    """Why what was told is void, and what follows."""

    NEW_ATTEMPT = "new_attempt"
    """The attempt broke off; another one begins to answer, from its first word."""
    INCOMPLETE = "incomplete"
    """Some of the log is lost; nothing more of this attempt follows but the end."""


def event(name: EventName, data: str | bytes, at: Position | None = None) -> bytes:
    """One event; `data` is JSON text of one line."""
    known = f"id: {at}\n" if at else ""
    body = data.encode() if isinstance(data, str) else data
    return f"event: {name}\n{known}data: ".encode() + body + b"\n\n"


class Narrator:
    """How far one watcher is, and what it must hear next."""

    over = False

    def __init__(self, last: Position | None) -> None:
        """`last`: what the watcher has heard already."""
        self.last = last or START
        """The last entry that was read."""
        self._heard = last is not None
        self._broken = False
        """Something of this attempt is missing: the watcher was told, and hears no more of it."""
        self._ended = 0
        self._standing: Standing | None = None

    def tell(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """The events for these entries, which follow the last."""
        for entry in entries:
            if not entry.at.comes_after(self.last):
                yield from self.rewind()
            elif entry.kind is EntryKind.BEGIN:
                yield self._beginning(entry)
            elif entry.kind is EntryKind.DELTA and not self._broken:
                yield event(EventName.DELTA, entry.data, entry.at)
            if entry.kind is EntryKind.END:
                self._ended = entry.at.epoch
            self.last = entry.at

    def standing(self, standing: Standing | None) -> Iterator[bytes]:
        """The event for where the job stands, if that is news."""
        if standing is not None and standing != self._standing:
            self._standing = standing
            yield event(EventName.STATE, orjson.dumps(_shown(standing)))

    def rewind(self) -> Iterator[bytes]:
        """Say, once, that something is missing.

        It has no id: who comes back begins where nothing was missing yet, and is told again.
        """
        if not self._broken:
            self._broken = True
            yield event(EventName.REWIND, orjson.dumps({"reason": RewindReason.INCOMPLETE}))

    def has_heard_all(self, standing: Standing) -> bool:
        """Whether the log of a job that has ended was read to its end."""
        return standing.last_epoch is None or self._ended >= standing.last_epoch

    def cut(self) -> bytes:
        """Nothing: whoever comes back is told the rest."""
        return b""

    def end(self, job: JobRead) -> bytes:
        """The event for a job that has ended."""
        return event(EventName.END, job.model_dump_json())

    def _beginning(self, entry: Entry) -> bytes:
        self._broken = False
        if not self._heard:
            self._heard = True
            return event(EventName.BEGIN, entry.data, entry.at)
        told = {"reason": RewindReason.NEW_ATTEMPT, **orjson.loads(entry.data)}
        return event(EventName.REWIND, orjson.dumps(told), entry.at)


def _shown(standing: Standing) -> dict[str, Any]:
    return {
        "state": standing.state,
        "wait_reason": standing.wait_reason,
        "tries": standing.tries,
        "max_tries": standing.max_tries,
    }
