"""Everything that goes wrong at once, at every provider: the books agree to the nano-dollar."""

import pytest

from tests.money.fault_run import SEARCHES, fault_run
from tests.money.paying import DEPLOYMENTS

JOBS = 150


@pytest.mark.timeout(500)
async def test_the_ledger_is_the_bill_whatever_fails(database_url: str, redis_url: str) -> None:
    report = await fault_run(database_url, redis_url, JOBS)
    assert (report.known, report.difference) == (report.billed, 0)
    assert report.known > 0
    assert all(bill <= charge for charge, bill in report.unknown.values())
    assert report.asked >= set(DEPLOYMENTS) - {SEARCHES}
    assert report.failed > report.calls / 4
    assert report.killed >= 2
    assert report.left > 0
    assert report.bound > 0
    assert report.admissions > 0
    assert len(report.excess) == 1
