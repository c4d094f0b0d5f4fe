"""A mill to which its providers are real: calls cost money and budgets count them."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from shared.catalog.deployments import PLAN_MARK
from shared.catalog.load import load_catalog
from shared.catalog.pricing import worst_case
from shared.catalog.tokens import count_input
from shared.db.accept import NewJob
from shared.domain.budget import AtLimit, Every, Payer
from shared.domain.clock import SystemClock
from shared.domain.conversation import Message, Role
from shared.domain.generation import GenerationRequest
from shared.routing.stored import StoredPolicy
from tests.life import new_job
from tests.mill import Mill, running_mill

SERVED: Final = {
    "openai": ("/v1", "OPENAI_API_KEY", "gpt-4.1-mini"),
    "azure": ("/azure/openai/v1", "AZURE_OPENAI_KEY", "gpt-4.1-mini"),
    "anthropic": ("/anthropic", "ANTHROPIC_API_KEY", "claude-sonnet-5-5"),
    "gemini": ("/gemini", "GEMINI_API_KEY", "gemini-3.8-flash"),
    "xai": ("/xai/v1", "GROK_API_KEY", "grok-4.7"),
    "perplexity": ("/perplexity/v1", "PERPLEXITY_API_KEY", "sonar"),
}
"""Provider to its path on the simulator, the variable of its key, and a model that it serves."""
DEPLOYMENTS: Final = tuple(f"{name}/{model}" for name, (_, _, model) in SERVED.items())
QUEUES: Final = ",".join([*SERVED, "upkeep"])
MAX_TOKENS: Final = 20
CATALOG: Final = load_catalog()

# From outside, whatever statement it was: each time more is held of a window it is noted what
# was held then and whether that was within the cap of that moment.
WITNESS: Final = (
    """
CREATE TABLE admissions (
    window_id bigint NOT NULL, spent_nano bigint NOT NULL, held_nano bigint NOT NULL,
    cap_nano bigint NOT NULL
)""",
    """
CREATE FUNCTION note_admission() RETURNS trigger AS $$ BEGIN
    INSERT INTO admissions
    SELECT NEW.id, NEW.spent_nano, NEW.held_nano, cap_nano
    FROM budgets WHERE id = NEW.budget_id;
    RETURN NULL;
END $$ LANGUAGE plpgsql""",
    """
CREATE TRIGGER note_admission AFTER UPDATE ON budget_windows
    FOR EACH ROW WHEN (NEW.held_nano > OLD.held_nano) EXECUTE FUNCTION note_admission()""",
)
MAKE_BUDGET: Final = """
INSERT INTO budgets (id, tenant_id, name, scope, subject, cap_nano, every, time_zone, at_limit,
                     downgrade_at, alerts)
VALUES (:id, :tenant_id, :id, :scope, :subject, :cap, :every, 'UTC', :at_limit,
        :downgrade_at, '{}')
"""
NEW_LIST: Final = "UPDATE budgets_version SET version = version + 1"
CAP_NOW: Final = "SELECT cap_nano, clock_timestamp() AS at FROM budgets WHERE id = :id"
LOCK_OF_BUDGET: Final = "SELECT id FROM budget_windows WHERE budget_id = :id ORDER BY id FOR UPDATE"


@dataclass(frozen=True, slots=True)
class Call:
    """What a job asks: one message, so many tokens of answer, told word by word or not."""

    prompt: str
    model: str = "gpt-4.1-mini"
    max_tokens: int = MAX_TOKENS
    stream: bool = False
    kept: str = ""
    """A system prompt that Anthropic is asked to keep: others keep what they like."""

    def job(self, *candidates: str, **changes: Any) -> NewJob:
        """The job, at these deployments in their order or else at those of its model.

        Its input is counted as the API counts it: for each of them, and the most for its row.
        """
        messages = [Message(role=Role.USER, content=self.prompt)]
        body: dict[str, Any] = {"max_tokens": self.max_tokens, "stream": self.stream}
        if self.kept:
            messages.insert(0, Message(role=Role.SYSTEM, content=self.kept))
            body["prompt_cache"] = "5m"
        body["messages"] = [{"role": each.role, "content": each.content} for each in messages]
        counts = {each: _counted(each, messages) for each in candidates or (f"/{self.model}",)}
        most = max(counts.values())
        whole = {"route": self.model, "input_tokens": most, "max_tokens": self.max_tokens}
        if candidates:
            inputs = {name: each for name, each in counts.items() if each != most}
            whole |= {
                "policy": StoredPolicy(candidates=candidates, inputs=inputs),
                "route": f"{self.model}{PLAN_MARK}test",
            }
        return new_job(**{"request": json.dumps({"model": self.model, **body}), **whole, **changes})


def _counted(deployment: str, messages: Sequence[Message]) -> int:
    """The input tokens at the most, as its model counts them."""
    model = deployment.partition("/")[2]
    return count_input(
        GenerationRequest(model=model, messages=tuple(messages)), CATALOG.models[model]
    )


def catalog_of(url: str) -> str:
    """Every provider at the simulator, without limits of its own."""
    rows = [
        f'[providers.{name}]\nbase_url = "{url}{path}"\n'
        f"[limits.{name}]\nrequests = 0\ntokens = 0\nconcurrency = 0\n"
        for name, (path, _, _) in SERVED.items()
    ]
    return "".join(rows)


def hold_of(job: NewJob, deployment: str) -> int:
    """The most that a call of it can cost there; nano-USD."""
    return worst_case(
        CATALOG.find(deployment),
        input_tokens=job.input_at(deployment),
        max_tokens=job.max_tokens,
        at=SystemClock().now(),
    )


@dataclass(slots=True)
class Payments:
    """The mill, its budgets, and what its books say."""

    mill: Mill
    raised: list[tuple[str, datetime, int]] = field(default_factory=list)
    """Budgets whose caps were raised, when, and what they were before."""
    accepted: list[str] = field(default_factory=list)
    """All jobs so far."""

    async def accept(self, *jobs: NewJob) -> list[str]:
        """Their ids."""
        ids: list[str] = []
        for first in range(0, len(jobs), 1000):
            some = await self.mill.life.accept(*jobs[first : first + 1000])
            ids += [each.job_id for each in some]
        self.accepted += ids
        return ids

    async def workers(self, number: int) -> None:
        """Have so many: what is missing is started; for none, those that live are killed."""
        alive = [worker for worker in self.mill.workers if worker.poll() is None]
        for worker in alive[number:]:
            worker.kill()
            worker.wait()
        for _ in range(number - len(alive)):
            await self.worker()

    async def worker(self, **environ: str) -> subprocess.Popen[bytes]:
        """One more, which takes the queues of all providers."""
        return await self.mill.start_worker(queues=QUEUES, slots=100, **environ)

    async def dies(self, place: str) -> None:
        """A worker begins and kills itself there."""
        doomed = await self.worker(PROMPTMILL_WORKER__FAILPOINT=place)
        assert await asyncio.to_thread(doomed.wait, 60) == -signal.SIGKILL

    async def budget(
        self,
        name: str,
        payer: Payer,
        cap: int,
        at_limit: AtLimit = AtLimit.PARK,
        *,
        every: Every = Every.TOTAL,
        downgrade_at: int | None = None,
    ) -> None:
        """Make one; its id is its name."""
        async with self.mill.database.transaction() as connection:
            row = {"id": name, "tenant_id": payer.tenant_id, "scope": payer.scope, "cap": cap,
                   "subject": payer.subject, "every": every, "at_limit": at_limit,
                   "downgrade_at": downgrade_at}  # fmt: skip
            await connection.execute(text(MAKE_BUDGET), row)
            await connection.execute(text(NEW_LIST))

    async def raise_cap(self, name: str, cap: int) -> None:
        """Nobody releases by the old cap once this is committed, nor by the new one before."""
        async with self.mill.database.transaction() as connection:
            await connection.execute(text(LOCK_OF_BUDGET), {"id": name})
            before = (await connection.execute(text(CAP_NOW), {"id": name})).one()
            change = "UPDATE budgets SET cap_nano = :cap WHERE id = :id"
            await connection.execute(text(change), {"cap": cap, "id": name})
            await connection.execute(text(NEW_LIST))
        self.raised.append((name, before.at, before.cap_nano))

    async def spent(self, name: str) -> int:
        """What is spent of it, in all its windows; nano-USD."""
        row = await self.mill.life.one(
            "SELECT coalesce(sum(spent_nano), 0)::bigint AS n FROM budget_windows"
            " WHERE budget_id = :name", name=name,
        )  # fmt: skip
        return int(row.n)

    async def check(self) -> None:
        """The invariants of all jobs so far, and of all budgets."""
        await self.mill.check(self.accepted, rejected=None)
        await self.check_budgets()

    def bills(self) -> dict[str, int]:
        """Attempt to what the simulator billed for it."""
        lines = self.mill.ledger()
        billed = {line["client_request_id"]: int(line["cost_nano"]) for line in lines}
        assert len(billed) == len(lines), "an attempt was sent twice"
        return billed

    async def check_budgets(self, *, over: Collection[str] = ()) -> int:
        """Never was more held than fits, at rest nothing is, and the counters are the ledger's.

        `over`: budgets whose calls cost more than their holds. The number of admissions.
        """
        life = self.mill.life
        admitted = await life.all("SELECT * FROM admissions")
        beyond = [row for row in admitted if row.spent_nano + row.held_nano > row.cap_nano]
        assert not beyond, beyond[:3]
        windows = await life.all(
            "SELECT budget_windows.id, budget_id, spent_nano, held_nano, cap_nano"
            " FROM budget_windows JOIN budgets ON budgets.id = budget_id"
        )
        assert {row.held_nano for row in windows} <= {0}, "something is held at rest"
        excess = {row.budget_id for row in windows if row.spent_nano > row.cap_nano}
        assert excess == set(over)
        booked = await life.all(
            "SELECT id, sum(spent_nano)::bigint AS spent, sum(held_nano)::bigint AS held"
            " FROM ledger, unnest(budgets) AS id GROUP BY id"
        )
        rebuilt = {row.id: (row.spent, row.held) for row in booked}
        counted = {row.id: (row.spent_nano, row.held_nano) for row in windows}
        assert counted == {window: rebuilt.get(window, (0, 0)) for window in counted}
        assert rebuilt.keys() <= counted.keys()
        return len(admitted)

    async def attempts_of(self, *job_ids: str) -> Sequence[Any]:
        """Those that were sent, the first first."""
        return await self.mill.life.all(
            "SELECT * FROM attempts WHERE job_id = ANY(:ids) AND state <> 'returned' ORDER BY id",
            ids=list(job_ids),
        )


@asynccontextmanager
async def paying_mill(
    database_url: str, redis_url: str, *, patience: float = 60, **simulator: str | float
) -> AsyncIterator[Payments]:
    """Every provider of SERVED, and no worker yet; `patience`: seconds that a call may take."""
    keys = {variable: "sk-of-a-test" for _, variable, _ in SERVED.values()}
    environ = {
        **keys,
        "PROMPTMILL_BREAKER__CALLS": "1000000",
        "PROMPTMILL_WORKER__CALL_TIMEOUT": str(patience),
        "PROMPTMILL_WORKER__DRAIN": "0.1",
    }
    async with running_mill(database_url, redis_url, **environ) as mill:
        await mill.start_simulator(**simulator)
        (mill.folder / "catalog.toml").write_text(catalog_of(mill.simulator_url))
        async with mill.database.transaction() as connection:
            for statement in WITNESS:
                await connection.execute(text(statement))
        yield Payments(mill)
