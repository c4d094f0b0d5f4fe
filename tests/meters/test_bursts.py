"""A rested account may spend at once what its provider's rule allows, and never more a window."""

import asyncio

import pytest

from shared.meters.meter import Meter
from tests.meters.asking import PLENTY, QUEUE, deployment, wants

LIMIT = 40
WINDOW = 1.0
RESTED = 1.2
"""Seconds: a window with its margin, and a bit."""


@pytest.mark.parametrize(("burst", "at_once"), [(0.0, LIMIT // 2), (0.75, 30), (1.0, LIMIT)])
async def test_after_a_rest_so_much_goes_at_once(meter: Meter, burst: float, at_once: int) -> None:
    place = deployment(requests=LIMIT, window=WINDOW, margin=0.05, burst=burst)
    await meter.acquire(place, QUEUE, PLENTY, wants(1))
    await asyncio.sleep(RESTED)  # the rest itself
    grant = await meter.acquire(place, QUEUE, PLENTY, wants(2 * LIMIT))
    assert (grant.granted, grant.binding) == (at_once, "requests")
    await asyncio.sleep(WINDOW / 2)  # half a window later nobody gets above the limit
    later = await meter.acquire(place, QUEUE, PLENTY, wants(2 * LIMIT))
    assert at_once + later.granted <= LIMIT
