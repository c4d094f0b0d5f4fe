"""What one attempt has told so far, and how much of it stands in its log."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby, islice
from typing import Final

import orjson

from shared.domain.generation import Delta
from shared.streamlog import Entry, EntryKind, Position, to_append, to_expire

ENTRY_OVERHEAD: Final = 100
"""Bytes that an entry takes beside its text, here and in Redis together, about."""
BLANK: Final = tuple((each.name, each.default) for each in fields(Delta))
"""What a piece does not say."""


@dataclass(slots=True, eq=False)
class AnswerLog:
    """The memory of one attempt's log: Redis may lose it, and gets it again from here."""

    job_id: str
    attempt_id: str
    epoch: int
    seconds: float
    """For which the log lives while the attempt runs."""
    said: bool = False
    """Whether anything was told."""
    heard: list[Delta] = field(default_factory=list)
    """Told, and no entry yet."""
    waiting: int = 0
    """The characters of it."""
    entries: deque[Entry] = field(default_factory=deque)
    size: int = 0
    """Bytes of the entries, in UTF-8."""
    last: int = 0
    """The number of the newest entry."""
    written: int = 0
    """The number of the newest entry that Redis has, as far as is known."""
    doubted: bool = False
    """Redis must be asked what it has."""
    refused: bool = False
    """Redis would not take what was sent last."""
    ended: float | None = None
    """The monotonic time at which the attempt ended."""

    def head(self) -> None:
        """The first entry."""
        self._add(EntryKind.BEGIN, orjson.dumps({"attempt_id": self.attempt_id}).decode())

    def hear(self, delta: Delta) -> int:
        """Keep a piece; the characters that wait to be an entry."""
        self.said = True
        self.heard.append(delta)
        self.waiting += len(delta.text) + len(delta.reasoning) + len(delta.arguments)
        return self.waiting

    def end(self, now: float) -> None:
        """Nothing more will be told."""
        self.seal()
        self._add(EntryKind.END, "{}")
        self.ended = now

    def seal(self) -> None:
        """Make entries of what was told since the last time: neighbours become one."""
        heard, self.heard, self.waiting = self.heard, [], 0
        for delta in joined(heard) if len(heard) > 1 else heard:
            self._add(EntryKind.DELTA, text_of(delta))

    def forget(self, until: int) -> int:
        """Let go of the oldest entries while there are more bytes than this; how many went."""
        before = self.size
        while self.size > until and len(self.entries) > 1:
            self.size -= _size(self.entries.popleft())
        return before - self.size

    def lacking(self, most: int) -> list[Entry]:
        """What Redis does not have, up to so many entries."""
        first = self.entries[0].at.number
        begin = max(self.written + 1 - first, 0)
        return list(islice(self.entries, begin, begin + most))

    def commands(self, lacking: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
        """How they are appended; only where there is nothing yet, a log is made."""
        oldest, makes = self.entries[0].at, not self.written
        for entry in lacking:
            yield to_append(self.job_id, entry, oldest=oldest, first=makes)
            makes = False

    def acknowledge(self, lacking: Sequence[Entry], replies: Sequence[object]) -> None:
        """What Redis replied to the commands; it has lost a log for which it replies nothing."""
        self.refused = any(isinstance(reply, Exception) for reply in replies)
        if all(isinstance(reply, str) for reply in replies):
            self.written = lacking[-1].at.number if lacking else self.written
        else:
            self.doubted = True

    def expiry(self, keep: float) -> tuple[str, ...]:
        """The command that says until when Redis keeps the log: `keep` seconds after its end."""
        seconds = keep if self.ended is not None else self.seconds + keep
        return to_expire(self.job_id, self.epoch, seconds)

    @property
    def at_a_turn(self) -> bool:
        """Whether its expiry is to be said: it begins or has ended."""
        return not self.written or self.ended is not None

    @property
    def unwritten(self) -> bool:
        """Whether Redis lacks anything."""
        return bool(self.heard) or self.written < self.last

    def found(self, last: Position | None) -> bool:
        """Redis says where its log ends; False: it belongs to a later attempt already."""
        self.doubted = False
        if last is not None and last.epoch > self.epoch:
            return False
        ours = last is not None and last.epoch == self.epoch
        self.written = last.number if last is not None and ours else 0
        return True

    def _add(self, kind: EntryKind, data: str) -> None:
        self.last += 1
        entry = Entry(Position(self.epoch, self.last), kind, data)
        self.entries.append(entry)
        self.size += _size(entry)


def joined(deltas: Iterable[Delta]) -> Iterator[Delta]:
    """Neighbours of one channel as one; text, thought and each tool call are channels."""
    for tool_call, group in groupby(deltas, key=lambda delta: delta.tool_call):
        pieces = list(group)
        if len(pieces) == 1:
            yield pieces[0]
            continue
        yield Delta(
            text="".join(piece.text for piece in pieces),
            reasoning="".join(piece.reasoning for piece in pieces),
            refusal="".join(piece.refusal for piece in pieces),
            tool_call=tool_call,
            tool_call_id="".join(piece.tool_call_id for piece in pieces),
            tool_name="".join(piece.tool_name for piece in pieces),
            arguments="".join(piece.arguments for piece in pieces),
        )


def text_of(delta: Delta) -> str:
    """JSON, whatever the provider wrote: a lone surrogate becomes a question mark."""
    # As `sparse`, at a fifth of its cost: there is one for every few words.
    value = {name: each for name, none in BLANK if (each := getattr(delta, name)) != none}
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        mended = {
            name: each.encode("utf-8", "replace").decode() if isinstance(each, str) else each
            for name, each in value.items()
        }
        return orjson.dumps(mended).decode()


def _size(entry: Entry) -> int:
    return len(entry.data.encode()) + ENTRY_OVERHEAD
