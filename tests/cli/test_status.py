"""What `promptmill status` says when something that it asks is away, and of a long backlog."""

import os
from pathlib import Path

from cli.local.status import look
from cli.stack.home import Home, ServiceState
from shared.db import pulse
from shared.domain.clock import SystemClock
from tests.life import COST, ROUTE, Life, answered, new_job


async def test_processes_are_shown_when_neither_api_nor_database_answers(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    lock = home.take_lock()
    try:
        away = {
            "api_url": "http://127.0.0.1:1",
            "database_url": "postgresql+psycopg://127.0.0.1:1/x",
        }
        worker = ServiceState(status="ready", pid=os.getpid(), since=1.0)
        home.update_state(services={"worker1": worker}, extra={"ready": True, **away})
        facts = await look(home)
    finally:
        lock.release()
    assert facts["health"] == {"status": "away"}
    assert facts["database"] == "away (OperationalError)"
    assert facts["services"]["worker1"]["memory"] > 1 << 20
    assert facts["services"]["worker1"]["cpu_percent"] >= 0


async def test_work_is_counted_by_route_and_a_backlog_not_beyond_the_limit(life: Life) -> None:
    _, done = await life.started(new_job(), new_job())
    await life.leave(answered(done))
    await life.accept(new_job(), new_job(), new_job())
    async with life.database.transaction() as connection:
        seen = await pulse.pulse(connection, SystemClock().now())
        limited = pulse.OPEN.bindparams(most=2)
        rows = (await connection.execute(limited, {"routes": [ROUTE]})).all()
    assert seen.routes == {ROUTE: {"queued": 3, "running": 1}}
    assert seen.scheduled == 0
    assert (seen.rates.calls, seen.rates.answered, seen.rates.cost_nano) == (1, 1, COST)
    assert [worker.used for worker in seen.workers] == [1]
    assert (ROUTE, "queued", 2) in [tuple(row) for row in rows]
