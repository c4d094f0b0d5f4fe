"""What a submission would cost, over HTTP: every line is checked, none is accepted."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request

from api.bodies import body_of
from api.deps import AnyParts, Parts, Writer
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json, split_lines
from api.jobs.schemas import JOB_EXAMPLE, BulkLine, Cost
from api.jobs.submit import Submission, claim_of, drafts, read_line
from api.quotes.budgets import budgets_of, refusal_by, standing_of
from api.quotes.eta import Load, eta_of, place_of
from api.quotes.reckon import GUESSED_PERCENT, Line, Reckoner, Sum
from api.quotes.schemas import (
    OutputTokens,
    PriceRange,
    Quote,
    QuotedModel,
    QuotedSum,
    RefusedNow,
    RejectedLine,
)
from api.routing.plans import Planner, planner_for
from shared.catalog.deployments import REHEARSAL_PREFIX, model_of
from shared.catalog.pricing import PRICE_VERSION, list_prices
from shared.db.accept import NewJob
from shared.db.answers import read_measured
from shared.db.backlog import Amount
from shared.db.explain import Queue, queue_before
from shared.db.reach import Reach, read_reach
from shared.db.tenants import Caller
from shared.db.vitals import read_vitals
from shared.db.workers import capacity
from shared.domain.clock import SystemClock
from shared.domain.errors import InvalidRequestError
from shared.routing.strategies import Vitals

router = APIRouter(prefix="/api/v1/quote", tags=["jobs"])
PATH: Final = "/api/v1/quote"
LOOK_BACK: Final = timedelta(days=30)
"""Answers that are older say nothing about the next ones."""
JSON: Final = "application/json"
OfLines = Annotated[
    int | None,
    Query(ge=1, le=1_000_000_000, description="Lines of the whole file that these are a piece of"),
]


@dataclass(slots=True)
class Read:
    """The lines of a body: those that can be taken, and why not the others."""

    submissions: list[Submission] = field(default_factory=list)
    rejected: list[RejectedLine] = field(default_factory=list)
    lines: int = 0

    def reject(self, line: int, error: InvalidRequestError) -> None:
        """A line that a submission would be refused for."""
        message = error.message.removeprefix(f"line {line}: ")
        refused = RejectedLine(line=line, field=error.field, code=error.code, message=message)
        self.rejected.append(refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What the servers say at the moment of the quote."""

    at: datetime
    reach: Reach
    vitals: Vitals
    fleet: dict[str, int]
    reckoner: Reckoner


@router.post(
    "",
    operation_id="quote_jobs",
    summary="What jobs would cost, and when they would be done",
    responses=error_responses(400, 413),
    openapi_extra=body_of(BulkLine, "application/x-ndjson", JOB_EXAMPLE),
)
async def quote_jobs(
    request: Request, parts: AnyParts, caller: Writer, of: OfLines = None
) -> Quote:
    """The body of a bulk submission, or one job as `application/json`; nothing is accepted.

    Lines that would be refused are named, each with its field.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    read = _read(await request.body(), whole=kind == JSON)
    share = min(read.lines / of, 1.0) if of else 1.0
    now = await _now(parts, caller)
    planner = await planner_for(parts, caller, [each.asked for each in read.submissions])
    # To count the tokens of many requests would hold up everybody else.
    lines = await asyncio.to_thread(_reckon, parts, caller, read, planner, now.reckoner)
    by_route: dict[str, list[Line]] = {}
    for line in lines:
        by_route.setdefault(line.job.route, []).append(line)
    full = await parts.backlog.refusal(caller, _wanted(read, piece=of is not None))
    claims = (claim_of(parts.catalog, now.reach, line.job, line.number) for line in lines)
    async with parts.database.transaction() as connection:
        before = {
            route: await queue_before(connection, place_of(those[-1]))
            for route, those in by_route.items()
        }
        standing = await standing_of(connection, lines)
        budgets = await budgets_of(connection, standing, lines, share)
        short = await refusal_by(connection, standing, claims, now.at)
    models = await _models(parts, now, by_route, before, share)
    etas = [each.eta for each in models if each.eta]
    return Quote(
        lines=read.lines,
        rejected=sorted(read.rejected, key=lambda each: each.line),
        refused_now=[RefusedNow.of(each) for each in (full, short) if each],
        total=_summed(lines),
        models=models,
        budgets=budgets,
        eta=max(etas, key=lambda each: each.seconds, default=None),
    )


def _read(body: bytes, *, whole: bool) -> Read:
    """Every line that can be understood. Raises InvalidRequestError where there is none at all."""
    numbered = [(1, body)] if whole else split_lines(body)
    read = Read(lines=len(numbered))
    for number, line in numbered:
        try:
            read.submissions.append(_one(line) if whole else read_line(number, line))
        except InvalidRequestError as error:
            read.reject(number, error)
    return read


def _wanted(read: Read, *, piece: bool) -> Amount:
    """The room in the queue that a submission needs; that of a piece may wait for the next."""
    if piece:
        return Amount(jobs=1)
    return Amount(len(read.submissions), sum(each.size for each in read.submissions))


def _one(body: bytes) -> Submission:
    asked = parse_as(BulkLine, value := parse_json(body))
    return Submission(asked, value, len(body), asked.idempotency_key, 1)


async def _now(parts: Parts, caller: Caller) -> Now:
    at = SystemClock().now()
    async with parts.database.transaction() as connection:
        reach = await read_reach(connection)
        vitals = await read_vitals(connection)
        fleet = await capacity(connection)
        measured = await read_measured(connection, caller.tenant_id, at - LOOK_BACK)
    reckoner = Reckoner(catalog=parts.catalog, reach=reach, measured=measured, at=at)
    return Now(at=at, reach=reach, vitals=vitals, fleet=fleet, reckoner=reckoner)


def _reckon(
    parts: Parts, caller: Caller, read: Read, planner: Planner | None, reckoner: Reckoner
) -> list[Line]:
    """What each line may cost; those that would be refused join the others."""
    taken: list[tuple[NewJob, Submission]] = []
    made = drafts(parts, caller, read.submissions, planner)
    for submission, draft in zip(read.submissions, made, strict=True):
        if isinstance(draft, InvalidRequestError):
            read.reject(submission.line or 1, draft)
        else:
            taken.append((draft, submission))
    lines = []
    asked = [submission.asked for _, submission in taken]
    found = reckoner.lines([job for job, _ in taken], asked)
    for (job, submission), line in zip(taken, found, strict=True):
        if line is not None:
            lines.append(replace(line, number=submission.line or 1))
            continue
        message = f"request.model: nobody serves {model_of(job.route)} here"
        read.reject(submission.line or 1, InvalidRequestError(message, field="request.model"))
    return lines


async def _models(
    parts: Parts, now: Now, by_route: dict[str, list[Line]], before: dict[str, Queue], share: float
) -> list[QuotedModel]:
    """The lines of each route, in the order in which they came."""
    models = []
    for route, lines in by_route.items():
        first = lines[0].first
        whom = tuple(dict.fromkeys(each for line in lines for each in line.whom))
        load = Load(lines=lines, share=share, before=before[route])
        eta = await eta_of(parts.meter, load, now.at, now.vitals, now.fleet)
        own = first.prices is not None
        models.append(
            QuotedModel(
                **dict(_summed(lines)),
                model=model_of(route),
                rehearse=route.startswith(REHEARSAL_PREFIX),
                deployments=[each.id for each in whom],
                basis=_basis(now.reckoner, lines),
                prices=list_prices(first, now.at).in_words,
                price_version="catalog" if own else PRICE_VERSION,
                blocked=now.reach.why_closed(whom) or (None if eta else _idle(now, lines)),
                eta=eta,
            )
        )
    return models


def _idle(now: Now, lines: Sequence[Line]) -> str | None:
    """Whether nobody is there to make the calls."""
    queue = lines[0].first.queue
    return None if now.fleet.get(queue) else f"no worker takes the queue {queue} now"


def _basis(reckoner: Reckoner, lines: Sequence[Line]) -> str:
    first = lines[0].first
    if known := reckoner.known(first):
        return f"the mean of {known.answers} answers of {first.id} to you in the last 30 days"
    return f"a guess: {GUESSED_PERCENT} % of max_tokens, for too few answers are known"


def _summed(lines: Sequence[Line]) -> QuotedSum:
    total = Sum()
    for line in lines:
        total.add(line)
    return QuotedSum(
        lines=total.lines,
        input_tokens=total.input_tokens,
        expected_input_tokens=total.expected_input,
        output_tokens=OutputTokens(expected=total.expected_output, most=total.output_tokens),
        price=PriceRange(
            least=Cost.of(total.least),
            expected=Cost.of(total.expected),
            most=Cost.of(total.most),
        ),
    )
