"""A job's log told to an SDK: what it has heard of an answer cannot be taken back."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import orjson

from api.faces.ask import require_answer
from api.jobs.find import cut_short
from api.jobs.schemas import JobRead, status_url_of
from shared.db.watch import Standing
from shared.domain.errors import GenerationFailedError, PromptmillError
from shared.domain.failure import FailureKind
from shared.streamlog import START, Entry, EntryKind


class Words(Protocol):
    """An answer in the words of one dialect."""

    begun: bool
    """Something of the answer was said."""

    def of(self, delta: Mapping[str, Any]) -> Iterator[bytes]:
        """What follows from the JSON of a Delta."""
        ...

    def rest(self, result: Mapping[str, Any]) -> Iterator[bytes]:
        """What the JSON of a GenerationResult still lacks: all of it, if nothing was said."""
        ...


class AnswerTeller:
    """How far one listener is: another attempt is told unseen, or the stream ends with an error."""

    def __init__(
        self, job_id: str, words: Words, failed: Callable[[PromptmillError], bytes]
    ) -> None:
        """`failed`: the event that a stream of the dialect ends with where no answer comes."""
        self.last = START
        self.over = False
        self._job_id = job_id
        self._words = words
        self._failed = failed
        self._lost = False
        """Some of this attempt is missing, and nothing of it was told: the end tells all."""
        self._ended = 0

    def tell(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """What follows from these entries, which follow the last."""
        for entry in entries:
            if not entry.at.comes_after(self.last):
                yield from self.rewind()
            elif entry.kind is EntryKind.BEGIN:
                self._lost = False
                yield from self._broken_off()
            elif entry.kind is EntryKind.DELTA and not self._lost:
                yield from self._words.of(orjson.loads(entry.data))
            if self.over:
                return
            if entry.kind is EntryKind.END:
                self._ended = entry.at.epoch
            self.last = entry.at

    def standing(self, _: Standing | None) -> Iterator[bytes]:
        """Nothing: these dialects have no word for it."""
        return iter(())

    def rewind(self) -> Iterator[bytes]:
        """Some of the log is lost: all is told at the end, or, of what has begun, no more."""
        self._lost = True
        yield from self._broken_off()

    def has_heard_all(self, standing: Standing) -> bool:
        """Whether the log of a job that has ended was read to its end."""
        return standing.last_epoch is None or self._ended >= standing.last_epoch

    def cut(self) -> bytes:
        """Half an answer is never taken for a whole one. Raises CutShortError if none was told."""
        return self._end_with(cut_short(self._job_id))

    def end(self, job: JobRead) -> bytes:
        """The rest of the answer, or why there is none. Raises what a reply would say."""
        try:
            require_answer(job)
        except GenerationFailedError as error:
            return self._end_with(error)
        return b"".join(self._words.rest(job.result or {}))

    def _broken_off(self) -> Iterator[bytes]:
        if self._words.begun:
            url = status_url_of(self._job_id)
            message = f"the answer that was told broke off; another is on its way: GET {url}"
            kind = FailureKind.CONNECTION
            yield self._end_with(GenerationFailedError(message, kind=kind, job_id=self._job_id))

    def _end_with(self, error: PromptmillError) -> bytes:
        """An event for who has heard something; for all others the error is the reply."""
        if not self._words.begun:
            raise error
        self.over = True
        return self._failed(error)
