"""A receipt tells every attempt with all that its cost is made of, and a sum that adds up."""

import csv
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.receipts.save import of_job, save
from shared.db.corrections import Correction, correct
from shared.db.engine import Database
from shared.db.receipts import Position, Subject, read_receipt
from shared.domain.errors import UnavailableError
from shared.domain.failure import FailureKind
from shared.domain.job import JobState
from tests.api.conftest import Api, api, api_settings, job_body, served
from tests.life import COST, HOLD, WORKER, Life, answered

__all__ = ["api", "api_settings", "served"]

USAGE = (
    '{"input_tokens": 10, "cached_tokens": 4, "output_tokens": 3, "service_tier": "flex",'
    ' "cost_nano": 42}'
)
PRICE = '{"version": "v1", "provider": "x", "model": "m", "price": "free", "computed_nano": 40}'


@pytest.fixture
async def work(api: Api) -> AsyncIterator[Life]:
    """What workers do on the API's database."""
    database = Database(api.database_url)
    life = Life(database)
    await life.register(WORKER)
    yield life
    await database.close()


def submitted(api: Api, number: int = 1, **changes: Any) -> list[str]:
    with api.client() as client:
        replies = [client.post("/api/v1/jobs", json=job_body(**changes)) for _ in range(number)]
    return [reply.json()["id"] for reply in replies]


def lines_of(reply: httpx2.Response) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Each attempt, and the sums."""
    assert reply.status_code == 200, reply.text
    *lines, last = map(json.loads, reply.text.splitlines())
    return lines, last["total"]


def receipt(api: Api, path: str, **params: str) -> httpx2.Response:
    with api.client() as client:
        return client.get(f"/api/v1/{path}/receipt", params=params)


async def in_pages(work: Life, batch: str, *, limit: int) -> list[str]:
    """The attempts of a batch, page by page."""
    [tenant] = await work.all(
        "SELECT DISTINCT tenant_id FROM jobs WHERE batch = :batch", batch=batch
    )
    subject = Subject(tenant_id=tenant.tenant_id, batch=batch)
    found, after = list[str](), Position()
    async with work.database.transaction() as connection:
        while page := await read_receipt(connection, subject, after, limit=limit):
            assert len(page) <= limit
            found += [row.id for row in page]
            after = Position(page[-1].job_id, page[-1].epoch)
    return found


async def test_a_receipt_tells_every_attempt_of_a_job_and_what_it_cost(
    api: Api, work: Life
) -> None:
    [job] = submitted(api, batch="b", project="research", tags=["x", "a"])
    [first] = await work.start(await work.release())
    failed = answered(
        first, job_state=JobState.QUEUED, cost_nano=0, result=None,
        failure_kind=FailureKind.OVERLOADED, error="busy",
    )  # fmt: skip
    await work.leave(failed)
    [second] = await work.start(await work.release())
    await work.leave(answered(second, usage=USAGE, price=PRICE, provider_request_id="req-7"))
    lines, total = lines_of(receipt(api, f"jobs/{job}"))
    assert [line["attempt"] for line in lines] == [first.attempt_id, second.attempt_id]
    told = lines[1]
    assert told["usage"]["cached_tokens"] == 4
    assert told["price"] == {"words": "free", "version": "v1", "provider": "x", "model": "m"}
    assert (told["batch"], told["project"], told["tags"]) == ("b", "research", ["a", "x"])
    assert (told["provider"], told["model"]) == ("openai", "gpt-4.1-mini")
    assert (told["reported_nano"], told["difference_nano"]) == (42, 2)
    assert (told["hold_nano"], told["cost_nano"], told["flagged"]) == (HOLD, COST, False)
    assert (told["provider_request_id"], told["service_tier"]) == ("req-7", "flex")
    assert told["sent_at"].endswith("Z")
    assert told["key"].startswith("key_")
    assert lines[0]["failure"] == FailureKind.OVERLOADED
    assert total == {
        "attempts": 2, "calls": 2, "open": 0, "flagged": 0, "cost_nano": COST,
        "cost_usd": "0.000000042",
    }  # fmt: skip


async def test_a_receipt_of_a_batch_adds_up(api: Api, work: Life) -> None:
    submitted(api, 4, batch="a/b c")
    submitted(api, 1, batch="other")
    attempts = await work.start(await work.release())
    await work.leave(*(answered(attempt) for attempt in attempts[:2]))
    await work.leave(answered(attempts[2], cost_nano=None))
    lines, total = lines_of(receipt(api, "batches/a%2Fb%20c"))
    assert len(lines) == 4
    assert [line["job"] for line in lines] == sorted(line["job"] for line in lines)
    assert total["cost_nano"] == sum(line["cost_nano"] or 0 for line in lines)
    assert (total["open"] + 3, total["calls"], total["attempts"]) == (4, 4, 4)
    assert total["flagged"] == sum(line["flagged"] for line in lines) == 1
    assert [line["attempt"] for line in lines] == await in_pages(work, "a/b c", limit=1)


async def test_a_correction_is_told_with_its_reason(api: Api, work: Life) -> None:
    [job] = submitted(api)
    [attempt] = await work.start(await work.release())
    await work.leave(answered(attempt, cost_nano=None))
    said = Correction(attempt_id=attempt.attempt_id, cost_nano=9, reason="=the bill")
    async with work.database.transaction() as connection:
        await correct(connection, [said])
    [line], total = lines_of(receipt(api, f"jobs/{job}"))
    assert (line["cost_nano"], line["corrected_nano"]) == (9, 9 - HOLD)
    assert (line["correction"], line["flagged"], total["cost_nano"]) == ("=the bill", False, 9)
    [row, _] = csv.DictReader(io.StringIO(receipt(api, f"jobs/{job}", format="csv").text))
    assert row["correction"] == "'=the bill"
    assert row["corrected_nano"] == str(9 - HOLD)


async def test_a_table_adds_up_and_runs_nothing(api: Api, work: Life) -> None:
    submitted(api, 3, batch="=cmd()")
    attempts = await work.start(await work.release())
    await work.leave(*(answered(attempt, usage=USAGE, price=PRICE) for attempt in attempts))
    reply = receipt(api, "batches/=cmd()", format="csv")
    assert reply.headers["content-type"].startswith("text/csv")
    *rows, last = csv.DictReader(io.StringIO(reply.text))
    assert {row["batch"] for row in rows} == {"'=cmd()"}
    assert (last["attempt"], last["calls"]) == ("total", "3")
    for column in ("calls", "cost_nano", "cost_usd", "flagged"):
        assert sum(Decimal(row[column]) for row in rows) == Decimal(last[column]), column
    assert {row["input_tokens"] for row in rows} == {"10"}
    assert not any(text.startswith(("=", "+", "@")) for row in rows for text in row.values())


async def test_what_is_released_is_told_without_a_cost(api: Api, work: Life) -> None:
    [job] = submitted(api)
    assert lines_of(receipt(api, f"jobs/{job}")) == (
        [],
        {"attempts": 0, "calls": 0, "open": 0, "flagged": 0, "cost_nano": 0, "cost_usd": "0"},
    )
    await work.release()
    [line], total = lines_of(receipt(api, f"jobs/{job}"))
    assert (line["state"], line["cost_nano"], line["calls"]) == ("planned", None, 0)
    assert (total["open"], total["calls"]) == (1, 0)


def test_nobody_reads_anothers_receipt(api: Api) -> None:
    [job] = submitted(api, batch="mine")
    with api.client(api.other_key) as other:
        for path in (f"jobs/{job}", "batches/mine"):
            assert other.get(f"/api/v1/{path}/receipt").status_code == 404
    assert receipt(api, "batches/nothing").status_code == 404
    assert receipt(api, f"jobs/{job}", format="pdf").status_code in {400, 422}


class BrokenOff:
    """A server whose receipt ends before its last line."""

    async def lines(self, path: str, headers: dict[str, str]) -> AsyncGenerator[str]:
        assert path.endswith("/receipt?format=jsonl")
        assert headers == {}
        yield '{"attempt": "att_x"}'


async def test_a_receipt_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "new" / "receipt.jsonl"
    with pytest.raises(UnavailableError, match="broke off"):
        await save(BrokenOff(), of_job("job_x"), out)  # type: ignore[arg-type]
    assert not out.exists()
