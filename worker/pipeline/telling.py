"""Write answers to their logs while they come: no call waits for it, and none fails with it."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from time import monotonic
from typing import Final

import structlog
from redis.exceptions import RedisError

from shared.db.start import StartedAttempt
from shared.domain.generation import Delta
from shared.doorbell import Bell, rings
from shared.redis_client import connect_redis
from shared.settings import StreamSettings
from shared.streamlog import last_positions
from worker.adapters.base import Told
from worker.pipeline.answerlog import AnswerLog

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.02
"""Between two rounds of writing; what is told meanwhile goes as one entry."""
LONGEST_PAUSE_SECONDS: Final = 0.25
REST_PER_WORK: Final = 4
"""Where rounds take longer, for so many times as long nothing is written."""
FULL: Final = 4096
"""Characters of one answer that do not wait for the next round."""
ENTRIES_AT_ONCE: Final = 50
"""Of one log; one that is written anew may have thousands."""
LOGS_AT_ONCE: Final = 100
AWAY_SECONDS: Final = 0.5
"""Until Redis is tried again; of a log that it refuses, until that one is."""
FAREWELL_SECONDS: Final = 10.0
"""How long an attempt that has ended is remembered for a Redis that is away."""


class Teller:
    """The logs of all streamed attempts of this process, and the one task that writes them."""

    def __init__(self, redis_url: str, settings: StreamSettings) -> None:
        self._redis = connect_redis(redis_url, max_connections=1, met=self._doubt_all)
        self._settings = settings
        self._logs: dict[str, AnswerLog] = {}
        self._size = 0
        """Bytes of the entries of all logs."""
        self._dirty: dict[str, AnswerLog] = {}
        self._resting: dict[str, AnswerLog] = {}
        """Redis refused them; the others go on."""
        self._told = asyncio.Event()
        self._full = asyncio.Event()

    def open(self, attempt: StartedAttempt, seconds: float) -> Told:
        """Open the log of an attempt that may take so many seconds; what is told is written."""
        answer = AnswerLog(attempt.job_id, attempt.attempt_id, attempt.epoch, seconds)
        answer.head()
        self._size += answer.size
        self._logs[attempt.attempt_id] = answer
        self._wake(answer)
        return partial(self._hear, answer)

    def ear(self, attempt_id: str) -> Told | None:
        """Where an attempt whose log is open tells what it hears; None for any other."""
        answer = self._logs.get(attempt_id)
        return partial(self._hear, answer) if answer else None

    def said(self, attempt_id: str) -> bool:
        """Whether anything was told in this attempt."""
        answer = self._logs.get(attempt_id)
        return answer is not None and answer.said

    def end(self, attempt_id: str) -> None:
        """The attempt is over and recorded; nothing where it has no log."""
        answer = self._logs.get(attempt_id)
        if answer is not None and answer.ended is None:
            before = answer.size
            answer.end(monotonic())
            self._size += answer.size - before
            self._wake(answer)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._told.wait()
            began = monotonic()
            if await self._round():
                pause = REST_PER_WORK * (monotonic() - began)
                await rings(self._full, min(max(pause, PAUSE_SECONDS), LONGEST_PAUSE_SECONDS))
            else:
                await asyncio.sleep(AWAY_SECONDS)
            self._full.clear()

    async def close(self) -> None:
        """Write the rest, as far as Redis is there and takes it."""
        for answer in list(self._resting.values()):
            self._rested(answer)
        while self._dirty and await self._round():
            pass
        await self._redis.aclose()

    def _hear(self, answer: AnswerLog, delta: Delta) -> None:
        if answer.ended is not None or answer.attempt_id not in self._logs:
            return
        if answer.hear(delta) >= FULL:
            self._full.set()
        self._wake(answer)

    def _wake(self, answer: AnswerLog) -> None:
        if answer.attempt_id not in self._resting:
            self._dirty[answer.attempt_id] = answer
            self._told.set()

    def _rest(self, answer: AnswerLog) -> None:
        """Nothing is sent of this log for a while: no round is held up by what is refused."""
        self._resting[answer.attempt_id] = answer
        asyncio.get_running_loop().call_later(AWAY_SECONDS, self._rested, answer)

    def _rested(self, answer: AnswerLog) -> None:
        if self._resting.pop(answer.attempt_id, None):
            self._wake(answer)

    def _doubt_all(self) -> None:
        """The connection is new: Redis may have restarted, with less than it had."""
        for answer in self._logs.values():
            answer.doubted |= bool(answer.written)

    async def _round(self) -> bool:
        """Write what there is to write; False: Redis is away, most is still to do."""
        dirty, self._dirty = list(self._dirty.values()), {}
        self._told.clear()
        self._seal(dirty)
        settled = False
        try:
            # The connection may have to be made anew first, and that casts doubt on all logs.
            await self._redis.ping()
            await self._look([answer for answer in dirty if answer.doubted])
            dirty = [answer for answer in dirty if answer.attempt_id in self._logs]
            for group in _groups(dirty):
                await self._write(group)
            settled = True
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("logs_not_written", number=len(dirty), error=type(error).__name__)
        finally:
            for answer in dirty:
                answer.doubted |= not settled
            self._keep_on(dirty)
        return settled

    def _seal(self, answers: Iterable[AnswerLog]) -> None:
        """Make entries, within the bounds of memory."""
        for answer in answers:
            before = answer.size
            answer.seal()
            self._size += answer.size - before
            room = answer.size - max(self._size - self._settings.memory, 0)
            self._size -= answer.forget(min(room, self._settings.log_bytes))

    def _keep_on(self, answers: Iterable[AnswerLog]) -> None:
        """What is not written yet is due in the next round; what is done with is forgotten."""
        for answer in answers:
            late = answer.ended is not None and monotonic() - answer.ended > FAREWELL_SECONDS
            if (answer.unwritten or answer.doubted) and not late:
                (self._rest if answer.refused else self._wake)(answer)
            elif answer.ended is not None:
                self._forget(answer)

    def _forget(self, answer: AnswerLog) -> None:
        if self._logs.pop(answer.attempt_id, None):
            self._size -= answer.size

    async def _write(self, answers: Sequence[AnswerLog]) -> None:
        """One round trip."""
        work = [(answer, answer.lacking(ENTRIES_AT_ONCE)) for answer in answers]
        async with self._redis.pipeline(transaction=False) as pipe:
            for answer, lacking in work:
                for command in answer.commands(lacking):
                    pipe.execute_command(*command)
            for answer in answers:
                if answer.at_a_turn:
                    pipe.execute_command(*answer.expiry(self._settings.keep))
            pipe.execute_command("PUBLISH", Bell.LOG, "\n".join(each.job_id for each in answers))
            replies = await pipe.execute(raise_on_error=False)
        rest = iter(replies)
        for answer, lacking in work:
            answer.acknowledge(lacking, list(islice(rest, len(lacking))))

    async def _look(self, answers: Sequence[AnswerLog]) -> None:
        """Ask Redis how far it has these logs."""
        if not answers:
            return
        ends = await last_positions(self._redis, [answer.job_id for answer in answers])
        for answer, last in zip(answers, ends, strict=True):
            if not answer.found(last):
                log.debug("log_superseded", attempt_id=answer.attempt_id)
                self._forget(answer)


def _groups(answers: Sequence[AnswerLog]) -> Iterator[Sequence[AnswerLog]]:
    for first in range(0, len(answers), LOGS_AT_ONCE):
        yield answers[first : first + LOGS_AT_ONCE]
