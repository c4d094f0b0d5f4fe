"""What an attempt tells stands in its log, once and in order, whatever happens to Redis."""

import asyncio
from itertools import pairwise
from pathlib import Path
from time import monotonic, perf_counter
from unittest.mock import AsyncMock, MagicMock

import orjson
import pytest

from shared.domain.generation import Delta, sparse
from shared.settings import WorkerSettings
from shared.streamlog import START, EntryKind, Position, key_of, read_logs
from tests.mill import eventually
from tests.streams.conftest import Log, first_try
from tests.worker.conftest import Broker
from worker.pipeline.answerlog import joined, text_of
from worker.pipeline.flights import Flight
from worker.pipeline.run import run

WORDS = [f"word{number} " for number in range(400)]


def consecutive(entries: list[Position]) -> bool:
    return all(after.comes_after(before) for before, after in pairwise(entries))


async def test_a_log_begins_tells_and_ends(log: Log) -> None:
    teller = log.teller()
    told = teller.open(first_try(), 60)
    assert not teller.said("att_1")
    told(Delta(text="Hel"))
    told(Delta(text="lo"))
    assert teller.said("att_1")
    await log.has("Hello")
    teller.end("att_1")
    begin, *deltas, end = await log.ended()
    assert orjson.loads(begin.data) == {"attempt_id": "att_1"}
    assert (begin.kind, begin.at, end.kind) == (EntryKind.BEGIN, Position(1, 1), EntryKind.END)
    assert consecutive([START, *(entry.at for entry in (begin, *deltas, end))])
    assert 0 < await log.redis.ttl(key_of("job_1")) <= 60


async def test_small_pieces_go_together(log: Log) -> None:
    told = log.teller().open(first_try(), 60)
    for word in WORDS:
        told(Delta(text=word))
    await log.has("".join(WORDS))
    assert len(await log.entries()) < 5


async def test_telling_takes_no_time_and_raises_nothing_without_a_redis(log: Log) -> None:
    await log.connect("redis://127.0.0.1:1/0")
    teller = log.teller(log_bytes=4000)
    told = teller.open(first_try(), 60)
    began = perf_counter()
    for word in WORDS * 25:
        told(Delta(text=word))
    assert perf_counter() - began < 0.5
    teller.end("att_1")
    log.tellers.pop()[1].cancel()
    await asyncio.wait_for(teller.close(), 5)


async def test_an_emptied_redis_gets_the_whole_log_again(log: Log) -> None:
    told = log.teller().open(first_try(), 60)
    for word in WORDS:
        told(Delta(text=word))
        await asyncio.sleep(0)
    await log.has("".join(WORDS))
    before = await log.entries()
    await log.redis.flushall()
    told(Delta(text="and on"))
    await log.has("".join(WORDS) + "and on")
    assert (await log.entries())[: len(before)] == before
    assert await log.redis.ttl(key_of("job_1")) > 60


async def test_a_redis_that_restarts_with_less_is_told_the_rest_again(
    log: Log, tmp_path: Path
) -> None:
    own = Broker(tmp_path)
    own.start()
    try:
        await log.connect(own.url)
        told = log.teller().open(first_try(), 60)
        told(Delta(text="one "))
        await log.has("one ")
        saved = own.client.dump(key_of("job_1")) or b""
        told(Delta(text="two "))
        await log.has("one two ")
        # As after a crash: the last write did not reach the disk.
        own.client.restore(key_of("job_1"), 60_000, saved, replace=True)
        own.kill()
        told(Delta(text="three "))
        own.start()
        await log.has("one two three ")
        assert consecutive([START, *(entry.at for entry in await log.entries())])
    finally:
        own.client.close()
        own.kill()


async def test_a_later_attempt_opens_a_new_log_and_the_earlier_gives_its_own_up(log: Log) -> None:
    stale, fresh = log.teller(), log.teller()
    tell_stale = stale.open(first_try(), 60)
    tell_stale(Delta(text="old"))
    await log.has("old")
    tell_fresh = fresh.open(first_try(attempt_id="att_2", epoch=2), 60)
    tell_fresh(Delta(text="new"))
    await log.has("new")
    assert stale.ear("att_1") is not None
    tell_stale(Delta(text="older"))

    async def gave_up() -> bool:
        return stale.ear("att_1") is None

    # Of an attempt that has not ended, only what Redis says makes the worker let go.
    await eventually("the stale worker keeps its log no more", gave_up, within=5)
    fresh.end("att_2")
    entries = await log.ended()
    assert [entry.at for entry in entries] == [Position(2, 1), Position(2, 2), Position(2, 3)]
    assert await log.text() == "new"


async def test_the_end_of_a_stale_attempt_takes_no_time_from_the_log_of_its_successor(
    log: Log,
) -> None:
    stale, fresh = log.teller(keep=1), log.teller(keep=1)
    stale.open(first_try(), 600)
    fresh.open(first_try(attempt_id="att_2", epoch=2), 600)

    async def opened() -> bool:
        entries = await log.entries()
        return bool(entries) and entries[0].at.epoch == 2

    await eventually("the later attempt's log is there", opened)
    stale.end("att_1")

    async def gave_up() -> bool:
        return stale.ear("att_1") is None

    await eventually("the stale worker has said its last", gave_up)
    assert await log.redis.ttl(key_of("job_1")) > 500
    fresh.end("att_2")
    await log.ended()
    assert await log.redis.ttl(key_of("job_1")) <= 1


async def test_a_log_that_redis_refuses_holds_up_no_other(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.pipeline.telling.AWAY_SECONDS", 3.0)
    await log.redis.set(key_of("job_2"), "something else")
    teller = log.teller()
    refused = teller.open(first_try(attempt_id="att_2", job_id="job_2"), 60)
    told, text = teller.open(first_try(), 60), ""
    for word in WORDS[:5]:
        refused(Delta(text=word))
        told(Delta(text=word))
        text += word
        began = monotonic()
        await log.has(text)
        assert monotonic() - began < 1
    await log.redis.delete(key_of("job_2"))

    async def whole() -> bool:
        [entries] = await read_logs(log.redis, [("job_2", START)])
        return text in "".join(orjson.loads(each.data).get("text", "") for each in entries)

    await eventually("the refused log is written after all", whole, within=15)


async def test_an_attempt_that_is_never_sent_has_a_log_that_ends(log: Log) -> None:
    """Who watches would wait in vain for the end of a log that was never begun."""
    steps = MagicMock(teller=log.teller(), settings=WorkerSettings())
    steps.heartbeat.sure = False
    steps.finisher.finish = AsyncMock(return_value=None)
    await run(Flight(first_try(request={"stream": True})), steps)
    begin, end = await log.ended()
    assert (begin.kind, end.kind) == (EntryKind.BEGIN, EntryKind.END)
    steps.finisher.finish.side_effect = LookupError("an unforeseen answer of a library")
    broken = first_try(attempt_id="att_2", job_id="job_1", epoch=2, request={"stream": True})
    with pytest.raises(LookupError):
        await run(Flight(broken), steps)

    async def ended_again() -> bool:
        return [entry.at for entry in await log.entries()] == [Position(2, 1), Position(2, 2)]

    await eventually("its log ends, whatever became of its record", ended_again)
    steps.finisher.finish.side_effect = None
    await run(Flight(first_try(job_id="job_2", request={})), steps)
    assert steps.finisher.finish.await_count == 3
    assert await read_logs(log.redis, [("job_2", START)]) == [[]]


async def test_a_log_beyond_its_bound_loses_its_beginning_only(log: Log) -> None:
    told = log.teller(log_bytes=20_000).open(first_try(), 60)
    text = ""
    for number in range(600):
        word = f"{number} " + "x" * 1000
        text += word
        told(Delta(text=word))
        if number % 4 == 3:
            await asyncio.sleep(0.005)

    async def capped() -> bool:
        return (await log.text()).endswith(text[-1000:])

    await eventually("the last piece stands in the log", capped)
    entries = await log.entries()
    assert entries[0].at.number > 1
    assert consecutive([entry.at for entry in entries])
    assert len(await log.text()) < 100_000


def test_neighbours_of_one_channel_become_one_piece() -> None:
    told = [
        Delta(reasoning="hm"),
        Delta(text="a"),
        Delta(text="b"),
        Delta(tool_call=0, tool_call_id="call_1", tool_name="f"),
        Delta(tool_call=0, arguments='{"x"'),
        Delta(tool_call=0, arguments=":1}"),
        Delta(tool_call=1, tool_call_id="call_2", tool_name="g"),
        Delta(text="c"),
    ]
    assert list(joined(told)) == [
        Delta(text="ab", reasoning="hm"),
        Delta(tool_call=0, tool_call_id="call_1", tool_name="f", arguments='{"x":1}'),
        Delta(tool_call=1, tool_call_id="call_2", tool_name="g"),
        Delta(text="c"),
    ]


def test_what_no_text_can_hold_is_mended() -> None:
    assert text_of(Delta(text="a\ud83db")) == '{"text":"a?b"}'
    for told in (Delta(tool_call=0, arguments="é"), Delta(text="a", reasoning="b"), Delta()):
        assert orjson.loads(text_of(told)) == sparse(told)
    assert text_of(Delta(tool_call=0, arguments="é")) == '{"tool_call":0,"arguments":"é"}'
