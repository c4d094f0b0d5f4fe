"""A job's log told as the events of a streamed response, from any sequence number on."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import orjson

from api.jobs.schemas import JobRead
from api.openai.responses_find import Found, snapshot_of
from shared.db.watch import Standing
from shared.domain.job import JobState
from shared.faces.openai_messages import Json
from shared.faces.responses_reply import SERVER_ERROR, Snapshot, response_of
from shared.faces.responses_stream import STRIDE, Composer
from shared.streamlog import START, Entry, EntryKind

HERE: Final = b": here\n\n"
"""Says nothing; the stream begins with it where nothing is new yet."""
ENDS: Final = {"completed": "response.completed", "incomplete": "response.incomplete"}
FAILED: Final = "response.failed"
"""The end of all that has no answer; its response says whether it was cancelled."""
BEGINNINGS: Final = {
    True: ("response.created", "response.queued", "response.in_progress"),
    False: ("response.created", "response.in_progress"),
}
"""What every stream begins with, by whether its response is made in the background."""


class ResponseTeller:
    """How far one listener is; it tells what comes after the number that the listener names."""

    def __init__(self, found: Found, after: int | None) -> None:
        """`after`: the sequence number that was heard last."""
        self.last = START
        self.over = False
        self._echo = found.echo
        self._after = -1 if after is None else after
        self._kinds = BEGINNINGS[bool(found.echo.get("background"))]
        self._began = 0
        """How many of those were told."""
        self._first = replace(
            found.snapshot, state=JobState.QUEUED, began=False, result=None, ended=None
        )
        self._composer = self._composing(1)
        self._broken = False
        """Some of this attempt's log is missing: the rest is told from its result."""
        self._ended = 0
        self._last_epoch = 1
        """Of the attempt that ended the job."""
        self._epoch: int | None = None
        """Of the attempt whose answer the listener has heard some of."""
        if after is not None and after % STRIDE >= len(self._kinds):
            self._epoch = after // STRIDE + 1

    def hello(self) -> bytes:
        """What is known at once."""
        return b"".join(self._begin(len(self._kinds) - 1)) or HERE

    def tell(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """The events for these entries, which follow the last."""
        for entry in entries:
            if not entry.at.comes_after(self.last):
                self._broken = True
            self.last = entry.at
            if entry.kind is EntryKind.BEGIN:
                yield from self._attempt(entry.at.epoch)
            elif entry.kind is EntryKind.DELTA and not self._broken:
                yield from self._told(self._composer.hear(orjson.loads(entry.data)))
            elif entry.kind is EntryKind.END:
                self._ended = entry.at.epoch
            if self.over:
                return

    def standing(self, standing: Standing | None) -> Iterator[bytes]:
        """That the response is in progress, once it is; which attempt was the last, at the end."""
        if standing is not None and standing.state is JobState.RUNNING:
            yield from self._begin(len(self._kinds))
        if standing is not None and standing.final and standing.last_epoch:
            self._last_epoch = standing.last_epoch

    def rewind(self) -> Iterator[bytes]:
        """Some of the log is lost; the stored result has what was lost."""
        self._broken = True
        yield from ()

    def has_heard_all(self, standing: Standing) -> bool:
        """Whether the log of a job that has ended was read to its end."""
        return standing.last_epoch is None or self._ended >= standing.last_epoch

    def cut(self) -> bytes:
        """Nothing: it can be taken up again after any number."""
        return b""

    def end(self, job: JobRead) -> bytes:
        """What is left to tell of the answer, and how the response ended."""
        return b"".join(self._end(snapshot_of(job)))

    def _end(self, job: Snapshot) -> Iterator[bytes]:
        yield from self._begin(len(self._kinds))
        if job.result is not None:
            if self._composer.epoch != self._last_epoch:
                yield from self._attempt(self._last_epoch)
            if self.over:
                return
            yield from self._told(self._composer.finish(job))
        number = self._composer.number
        if job.result is None and not self._composer.told:
            # Nobody knows any more how much was told before it ended without an answer.
            number = max(number, self._after + 1)
        response = response_of(job, self._echo)
        kind = ENDS.get(response["status"], FAILED)
        yield from self._told([{"type": kind, "sequence_number": number, "response": response}])

    def _begin(self, until: int) -> Iterator[bytes]:
        """The first events of every stream, as far as they were not told."""
        for number in range(self._began, until):
            running = number == len(self._kinds) - 1
            state = JobState.RUNNING if running else JobState.QUEUED
            shown = response_of(replace(self._first, state=state, began=running), self._echo)
            event = {"type": self._kinds[number], "sequence_number": number, "response": shown}
            yield from self._told([event])
        self._began = max(self._began, until)

    def _attempt(self, epoch: int) -> Iterator[bytes]:
        """An attempt begins to answer; what an earlier one told cannot be taken back."""
        yield from self._begin(len(self._kinds))
        heard = self._composer.epoch if self._composer.told else self._epoch
        if heard is not None and heard != epoch:
            yield from self._break_off()
            return
        self._broken = False
        self._composer = self._composing(epoch)

    def _break_off(self) -> Iterator[bytes]:
        self.over = True
        message = (
            "the answer broke off and is given anew; read the response, or its stream from the "
            "beginning"
        )
        number = max(self._composer.number, self._after + 1)
        error = {"type": "error", "code": SERVER_ERROR, "message": message, "param": None}
        yield from self._told([{**error, "sequence_number": number}])

    def _composing(self, epoch: int) -> Composer:
        return Composer(self._first.job_id, epoch, len(self._kinds))

    def _told(self, events: Iterable[Json]) -> Iterator[bytes]:
        """As server-sent events, what the listener has not heard yet."""
        for event in events:
            if event["sequence_number"] > self._after:
                data = orjson.dumps(event)
                yield b"event: " + event["type"].encode() + b"\ndata: " + data + b"\n\n"
