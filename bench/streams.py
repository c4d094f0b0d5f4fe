"""What an answer that is told while it comes costs a worker, above many others."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from redis.asyncio import Redis
from sqlalchemy import text

from bench.figures import Part
from bench.processes import cpu_seconds, memory
from bench.sizes import Size
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from shared.redis_client import connect_redis
from shared.streamlog import START, last_positions, read_logs

PAUSE: Final = 0.5
"""Seconds between two chunks of an answer."""
WORDS_PER_CHUNK: Final = 4
WORD: Final = "word"
SAMPLE: Final = 20
SETTLE: Final = 3.0
SLOTS: Final = 2000
KB: Final = 1000
US: Final = 1_000_000

STREAMED: Final = text("""
UPDATE payloads SET request = request || '{"stream": true, "max_tokens": 4000}'
""")


@dataclass(frozen=True, slots=True)
class Load:
    """So many streams at one time, seen from outside."""

    streams: int
    pieces: float
    """That the provider sent in a second."""
    entries: float
    """That were written to the logs in a second: a busy worker joins pieces."""
    cores: dict[str, float]
    """CPU seconds a second of each process."""
    memory: int
    """Bytes of the worker."""


async def streams(servers: Servers, size: Size) -> Part:
    """A tenth of the streams and all of them: a stream's cost is in the difference."""
    few, many = [
        await _load(servers, number, size.stream_seconds)
        for number in (size.streams // 10, size.streams)
    ]
    part = Part(
        f"answers told while they come, a piece each {PAUSE} s; CPU of one core",
        ["streams", "pieces/s", "entries/s", "worker, %", "Valkey, %", "worker's memory, MB"],
    )
    for load in (few, many):
        cores = [load.cores["worker"] * 100, load.cores["valkey"] * 100]
        speeds = [load.pieces, load.entries]
        part.rows.append([f"{load.streams:,}", *speeds, *cores, load.memory / KB**2])
    in_worker, in_valkey = _a_piece(few, many)
    part.rows.append(["CPU a piece, µs", "", "", in_worker, in_valkey, ""])
    memory_each = (many.memory - few.memory) / (many.streams - few.streams)
    part.figures = {"stream_cpu": in_worker, "stream_memory": memory_each / KB}
    return part


def _a_piece(few: Load, many: Load) -> list[float]:
    pieces = many.pieces - few.pieces
    return [(many.cores[name] - few.cores[name]) / pieces * US for name in ("worker", "valkey")]


async def _load(servers: Servers, number: int, seconds: float) -> Load:
    async with stage(servers) as on:
        await on.mill.start_simulator(**{"latency-ms": 0, "latency-spread": 0})
        # Long enough for the last to begin before the first ends.
        chunks = round((seconds * 2 + 20) / PAUSE)
        content = f"{WORD} " * (chunks * WORDS_PER_CHUNK)
        await on.mill.script({"do": {"slow_bytes": PAUSE, "content": content}})
        await on.fill(number)
        async with on.mill.database.transaction() as connection:
            await connection.execute(STREAMED)
        worker = await on.start_worker(SLOTS)
        await on.mill.in_state("running", number, within=120)
        await asyncio.sleep(SETTLE)
        redis = connect_redis(servers.redis_url)
        found = await _measured(on, redis, number, worker.pid, seconds)
        await redis.aclose()
        on.retire([worker])
    return found


async def _measured(on: Stage, redis: Redis, number: int, worker: int, seconds: float) -> Load:
    pids = {"worker": worker, **on.base}
    async with on.mill.database.transaction() as connection:
        ids = list((await connection.execute(text("SELECT id FROM jobs"))).scalars())
    written, heard, began = await _written(redis, ids), await _heard(redis, ids), monotonic()
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(seconds)
    after = {name: cpu_seconds(pid) for name, pid in pids.items()}
    took = monotonic() - began
    entries = (await _written(redis, ids) - written) / took
    pieces = (await _heard(redis, ids) - heard) / took * number / len(ids[:SAMPLE])
    cores = {name: (after[name] - before[name]) / took for name in pids}
    running = (await on.mill.states())["running"]
    assert running == number, f"only {running} streams went on to the end"
    return Load(number, pieces, entries, cores, memory(worker))


async def _written(redis: Redis, ids: Sequence[str]) -> int:
    """Entries in all these logs."""
    return sum(at.number for at in await last_positions(redis, ids) if at)


async def _heard(redis: Redis, ids: Sequence[str]) -> float:
    """Pieces that a sample of these streams has told."""
    words, unread = 0, [(job_id, START) for job_id in ids[:SAMPLE]]
    while unread:
        found = await read_logs(redis, unread)
        more = [(job_id, log) for (job_id, _), log in zip(unread, found, strict=True) if log]
        words += sum(entry.data.count(WORD) for _, log in more for entry in log)
        unread = [(job_id, log[-1].at) for job_id, log in more]
    return words / WORDS_PER_CHUNK
