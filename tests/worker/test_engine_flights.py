"""Calls in flight: none is lost between its start and its first step, or at the doors."""

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

from shared.db.leave import Leaving
from shared.db.start import StartedAttempt
from shared.domain.attempt import AttemptState
from shared.domain.job import JobState
from shared.services import kept_alive
from tests.pipeline.attempts import attempt as a_first_try
from worker.pipeline.flights import Flight, Flights, StopReason
from worker.pipeline.patience import end
from worker.pipeline.run import run


def attempt(number: int = 0) -> StartedAttempt:
    return a_first_try(attempt_id=f"att_{number}", job_id=f"job_{number}", seconds_left=60.0)


class Recording:
    """A finisher that keeps what it is told."""

    def __init__(self) -> None:
        self.reports: list[Leaving] = []

    async def finish(self, leaving: Leaving) -> None:
        self.reports.append(leaving)


async def settled(until: Callable[[], bool]) -> None:
    """Let the loop turn until the condition is true."""
    async with asyncio.timeout(5):
        while not until():
            await asyncio.sleep(0)


async def test_a_call_that_is_stopped_before_its_first_step_is_recorded_as_never_sent() -> None:
    flights, finisher = Flights(10), Recording()
    steps: Any = MagicMock(finisher=finisher)
    flight = Flight(attempt())
    flights.take_off(flight, run(flight, steps))
    flight.stop(StopReason.CANCELLED)
    async with asyncio.timeout(5):
        await flights.landed()
    [report] = finisher.reports
    assert (report.attempt_state, report.cost_nano) == (AttemptState.FAILED, 0)
    assert report.job_state == JobState.CANCELLED


async def test_what_takes_off_after_everything_was_stopped_goes_back_unsent() -> None:
    flights, finisher = Flights(10), Recording()
    steps: Any = MagicMock(finisher=finisher)
    async with flights.boarding():
        flights.close_doors()
        flights.stop_all()
        flight = Flight(attempt())
        flights.take_off(flight, run(flight, steps))
    async with asyncio.timeout(5):
        await flights.landed()
    [report] = finisher.reports
    assert (report.job_state, report.cost_nano) == (JobState.QUEUED, 0)


async def test_nothing_has_landed_while_somebody_boards() -> None:
    flights = Flights(10)
    async with flights.boarding():
        landed = asyncio.create_task(flights.landed())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not landed.done()
    async with asyncio.timeout(5):
        await landed


async def test_closed_doors_let_nobody_board_and_hold_no_landing_up() -> None:
    flights = Flights(1)
    flights.close_doors()

    async def board() -> None:
        async with flights.boarding():
            raise AssertionError

    boarding = asyncio.create_task(board())
    async with asyncio.timeout(5):
        await flights.landed()
    assert not boarding.done()
    boarding.cancel()


async def test_one_more_boards_when_one_has_landed() -> None:
    flights, gate, boarded = Flights(1), asyncio.Event(), asyncio.Event()
    flight = Flight(attempt())

    async def course() -> None:
        await gate.wait()

    async def board() -> None:
        async with flights.boarding():
            boarded.set()

    flights.take_off(flight, course())
    boarding = asyncio.create_task(board())
    await settled(lambda: flight.begun)
    assert not boarded.is_set()
    gate.set()
    async with asyncio.timeout(5):
        await boarding
    assert boarded.is_set()


async def test_a_service_that_breaks_is_started_again(monkeypatch: Any) -> None:
    monkeypatch.setattr("shared.services.PAUSE_SECONDS", 0.0)
    runs: list[int] = []

    async def service() -> None:
        runs.append(len(runs))
        if len(runs) < 3:
            message = "an unforeseen answer of a library"
            raise LookupError(message)
        await asyncio.Event().wait()

    kept = asyncio.create_task(kept_alive("test", service))
    await settled(lambda: len(runs) == 3)
    assert not kept.done()
    kept.cancel()


async def test_a_task_that_lost_its_cancellation_is_told_again(monkeypatch: Any) -> None:
    """As a wait_for of Python 3.11 does in the instant of its success."""
    monkeypatch.setattr("worker.pipeline.patience.LAST_WORDS", 0.01)
    heard: list[int] = []

    async def deaf() -> None:
        while len(heard) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard.append(len(heard))

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end([task])
    assert task.done()
