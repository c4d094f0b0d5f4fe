"""Processes die while an answer is told: who watches hears the whole of it, and nothing twice."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import httpx2
import pytest

from shared.domain.generation import Delta
from shared.streamlog import EntryKind
from tests.mill import ROOT, eventually
from tests.operations.test_rolling_restart import GRACE_SECONDS, Fleet, running_fleet
from tests.streams.stage import WORDS, Stage, has_heard, staged, tell_slowly
from tests.streams.watching import streamed_body

JOBS = 12
CROWD = 40
BROKEN = (httpx2.ReadError, httpx2.RemoteProtocolError)
"""How a client is told that the server is gone."""
TEXT = "".join(WORDS)


@pytest.fixture
async def fleet(database_url: str, redis_url: str) -> AsyncIterator[Fleet]:
    async with running_fleet(database_url, redis_url) as fleet:
        await fleet.start_api(0)
        yield fleet


@pytest.fixture
async def stage(fleet: Fleet, database_url: str, redis_url: str) -> AsyncIterator[Stage]:
    async with staged(fleet.address(0), database_url, fleet.key, redis_url) as stage:
        yield stage


async def test_after_a_kill_of_the_api_a_crowd_comes_back_and_hears_the_rest(
    fleet: Fleet, stage: Stage
) -> None:
    crowd = [stage.watcher(await stage.accept()) for _ in range(CROWD)]
    attempts = await stage.life.start(await stage.life.release())
    assert len(attempts) == CROWD
    ears = stage.all_opened(attempts)
    telling = asyncio.gather(*(tell_slowly(told, WORDS, 0.02) for told in ears))
    await asyncio.gather(*(has_heard(watcher, TEXT[:200]) for watcher, _ in crowd))
    assert not telling.done()
    fleet.apis[0].kill()
    deaths = await asyncio.gather(*(watching for _, watching in crowd), return_exceptions=True)
    assert {type(death) for death in deaths} <= set(BROKEN), deaths
    assert all(200 <= len(watcher.text) < len(TEXT) for watcher, _ in crowd)
    fleet.apis[0].wait()
    await fleet.start_api(0)
    back = [asyncio.create_task(watcher.watch()) for watcher, _ in crowd]
    await telling
    for attempt in attempts:
        await stage.finish(attempt, TEXT)
    async with asyncio.timeout(60):
        await asyncio.gather(*back)
    for watcher, _ in crowd:
        assert watcher.text == watcher.job["result"]["content"] == TEXT
        assert watcher.rewinds == []
        assert watcher.connections == 2
        assert len(watcher.ids) == len(set(watcher.ids))
        numbers = [int(each.partition("-")[2]) for each in watcher.ids]
        assert numbers == list(range(1, len(numbers) + 1)), "no entry is missing"


async def test_an_api_that_goes_in_order_sends_its_watchers_away_at_once(
    fleet: Fleet, stage: Stage
) -> None:
    job_id = await stage.accept()
    waiting_id = await stage.accept()
    attempts = await stage.life.start(await stage.life.release())
    attempt = next(each for each in attempts if each.job_id == job_id)
    stage.opened(attempt)(Delta(text="Hel"))
    watcher, watching = stage.watcher(job_id)
    other, waiting = stage.watcher(waiting_id)
    await has_heard(watcher, "Hel")

    async def both_watch() -> bool:
        return bool(other.states)

    await eventually("the other watches", both_watch)
    began = monotonic()
    fleet.apis[0].terminate()
    await asyncio.gather(watching, waiting)
    await asyncio.to_thread(fleet.apis[0].wait, 30)
    assert monotonic() - began < GRACE_SECONDS / 2
    assert (watcher.text, watcher.job, other.job) == ("Hel", {}, {})
    assert fleet.mill.log("api0") == ""
    await fleet.start_api(0)
    watching = asyncio.create_task(watcher.watch())
    await stage.finish(attempt, "Hel")
    await watching
    assert (watcher.text, watcher.rewinds) == ("Hel", [])


def start_submit(fleet: Fleet, folder: Path) -> subprocess.Popen[bytes]:
    """`promptmill submit --stream`; what it says goes to files of the folder."""
    environ = {**fleet.mill.environ, "PROMPTMILL_KEY": fleet.key, "HOME": str(folder)}
    command = [sys.executable, "-m", "cli", "submit", "Why?", "--stream"]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [*command, "--url", fleet.address(0)],
            cwd=ROOT, env=environ, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    fleet.mill.processes.append(process)
    return process


async def test_the_command_prints_an_answer_as_it_comes_over_a_kill_of_the_api(
    fleet: Fleet, stage: Stage, tmp_path: Path
) -> None:
    command = start_submit(fleet, tmp_path)

    async def submitted() -> bool:
        return bool((await stage.life.one("SELECT count(*) AS n FROM jobs")).n)

    async def printed() -> bool:
        return len((tmp_path / "out").read_bytes()) > 200

    await eventually("the job is submitted", submitted)
    attempt = await stage.start()
    telling = asyncio.create_task(tell_slowly(stage.opened(attempt), WORDS, 0.02))
    await eventually("the command prints the beginning", printed)
    fleet.apis[0].kill()
    fleet.apis[0].wait()
    await fleet.start_api(0)
    await telling
    await stage.finish(attempt, TEXT)
    assert await asyncio.to_thread(command.wait, 30) == 0, (tmp_path / "err").read_text()
    assert (tmp_path / "out").read_bytes().decode() == TEXT + "\n"


async def test_after_a_kill_of_a_worker_watchers_hear_the_second_answer_whole(
    fleet: Fleet, stage: Stage
) -> None:
    mill = fleet.mill
    await mill.start_simulator(**{"latency-ms": 50})
    await mill.script({"do": {"slow_bytes": 0.6}})
    doomed = await mill.start_worker(slots=50)
    ids = []
    for number in range(JOBS):
        reply = await stage.client.post("/api/v1/jobs", json=streamed_body(number))
        ids.append(reply.raise_for_status().json()["id"])
    crowd = [stage.watcher(job_id) for job_id in ids]

    async def all_hear() -> bool:
        return all(watcher.text for watcher, _ in crowd)

    await eventually("every answer has begun", all_hear)
    doomed.kill()
    await mill.start_worker(slots=50)
    async with asyncio.timeout(60):
        await asyncio.gather(*(watching for _, watching in crowd))
    for watcher, _ in crowd:
        assert watcher.text == watcher.job["result"]["content"] != ""
        assert set(watcher.rewinds) <= {"new_attempt"}
        assert len(watcher.ids) == len(set(watcher.ids)) > 3
    assert sum(bool(watcher.rewinds) for watcher, _ in crowd) > JOBS / 2
    await mill.check(ids)


async def test_a_worker_that_stops_in_order_ends_the_log_of_what_it_gives_back(
    fleet: Fleet, stage: Stage
) -> None:
    mill = fleet.mill
    await mill.start_simulator(**{"latency-ms": 50})
    await mill.script({"do": {"slow_bytes": 0.5}})
    leaving = await mill.start_worker(slots=50, PROMPTMILL_WORKER__DRAIN="0.2")
    reply = await stage.client.post("/api/v1/jobs", json=streamed_body(1))
    watcher, watching = stage.watcher(reply.json()["id"])
    await has_heard(watcher, "x")
    leaving.terminate()
    assert await asyncio.to_thread(leaving.wait, 20) == 0
    [entries] = await stage.logs(watcher.job_id)
    assert entries[-1].kind is EntryKind.END
    await mill.script()
    await mill.start_worker(slots=50)
    await watching
    assert watcher.text == watcher.job["result"]["content"] != ""
    assert watcher.rewinds == ["new_attempt"]


async def test_a_job_that_is_cancelled_amid_its_answer_ends_its_stream(
    fleet: Fleet, stage: Stage
) -> None:
    mill = fleet.mill
    await mill.start_simulator(**{"latency-ms": 50})
    await mill.script({"do": {"slow_bytes": 2.0}})
    await mill.start_worker(slots=50)
    reply = await stage.client.post("/api/v1/jobs", json=streamed_body(1))
    watcher, watching = stage.watcher(reply.json()["id"])
    await has_heard(watcher, "x")
    (await stage.client.post(f"/api/v1/jobs/{watcher.job_id}/cancel")).raise_for_status()
    await watching
    assert (watcher.job["state"], watcher.rewinds) == ("cancelled", []), "the log told its end"

    async def let_go() -> bool:
        return int((await mill.stats())["in_flight"]) == 0

    await eventually("the call is hung up", let_go)
    await mill.check([watcher.job_id])
