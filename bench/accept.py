"""A file on its way to committed rows, against a bare COPY of the same rows."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Final

import psycopg

from bench.figures import Part
from bench.processes import cpu_seconds, peak_memory
from bench.sizes import Size
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from tests.api.conftest import make_key
from tests.databases import own_database

TABLES: Final = ("tenants", "jobs", "payloads", "idempotency_keys")
"""What accepting writes, and before it what that refers to; in the order of references."""
LOADED: Final = TABLES[1:]
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One round: seconds and bytes."""

    read: float
    submit: float
    copy: float
    api_cpu: float
    command_peak: int
    api_peak: int


async def accept(servers: Servers, size: Size) -> Part:
    """The way of `promptmill run` and a COPY alternate, each into an empty database."""
    rounds = [await _round(servers, size.accept_lines) for _ in range(size.accept_rounds)]
    part = Part(
        f"{size.accept_lines:,} lines to committed rows, seconds",
        ["read and check", "submit", "CPU of the API", "bare COPY", "command, MB", "API, MB"],
    )
    for one in rounds:
        seconds = [one.submit, one.api_cpu, one.copy]
        memory = [one.command_peak / MB, one.api_peak / MB]
        part.rows.append([f"{one.read:.2f}", *seconds, *memory])
    taken = median(one.read + one.submit for one in rounds)
    part.figures["accept_time"] = taken / median(one.copy for one in rounds)
    part.figures["accept_memory"] = max(one.command_peak + one.api_peak for one in rounds) / MB
    return part


async def _round(servers: Servers, lines: int) -> Acceptance:
    async with stage(servers) as on:
        url = on.mill.environ["DATABASE_URL"]
        key = await make_key(url, "bench")
        api, api_url = await on.start_api()
        path = _write(on.mill.folder, lines)
        idle = cpu_seconds(api.pid)
        told = await _submitted(on, path, api_url, key)
        used, peak = cpu_seconds(api.pid) - idle, peak_memory(api.pid)
        on.retire([api])
        with own_database(servers, "bench_copy") as empty:
            seconds = await asyncio.to_thread(_copy, _plain(url), _plain(empty))
        return Acceptance(told["read"], told["submit"], seconds, used, int(told["peak"]), peak)


def _write(folder: Path, lines: int) -> Path:
    path = folder / "prompts.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(lines):
            prompt = f"Say in one sentence what the number {number} is good for."
            file.write(json.dumps({"id": number, "prompt": prompt}) + "\n")
    return path


async def _submitted(on: Stage, path: Path, api_url: str, key: str) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.submitter", str(path), api_url,
        env={**on.mill.environ, "PROMPTMILL_API_KEY": key}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        answer, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told: dict[str, float] = json.loads(answer)
    return told


def _copy(source: str, target: str) -> float:
    """Seconds of one transaction that loads the same rows; they are in memory before."""
    with psycopg.connect(source) as connection:
        rows = {table: _unloaded(connection, table) for table in TABLES}
    with psycopg.connect(target) as connection:
        _load(connection, "tenants", rows.pop("tenants"))
        connection.commit()
        began = monotonic()
        for table in LOADED:
            _load(connection, table, rows[table])
        connection.commit()
        return monotonic() - began


def _unloaded(connection: psycopg.Connection, table: str) -> list[bytes]:
    with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
        return [bytes(block) for block in copy]


def _load(connection: psycopg.Connection, table: str, blocks: list[bytes]) -> None:
    with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        for block in blocks:
            copy.write(block)


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")
