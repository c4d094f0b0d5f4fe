"""Accept jobs: check against the catalog, count, and commit in one transaction."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from api.account.projects import project_of
from api.admission.backlog import Place
from api.admission.book import OtherBudgetsError
from api.admission.budgets import Claim, require_room
from api.budgets.batches import budget_batches
from api.deps import Parts
from api.jobs.parse import LineError, parse_as, parse_json
from api.jobs.schemas import BulkLine, JobSubmit
from api.routing.plans import Planner, planner_for
from api.webhooks.of_jobs import with_webhooks
from shared.catalog.deployments import Catalog, Deployment, route_of
from shared.catalog.fit import Fitted, fit
from shared.catalog.tokens import at_hand, count_inputs
from shared.db.accept import Accepted, NewJob, accept
from shared.db.backlog import Amount
from shared.db.reach import Reach, read_reach
from shared.db.tenants import Caller
from shared.domain.errors import (
    IdempotencyMismatchError,
    InvalidRequestError,
    NoDeploymentError,
    UnknownModelError,
)
from shared.domain.face import Face
from shared.domain.generation import sparse
from shared.domain.ids import IdKind, new_id
from shared.domain.job import Lane
from shared.doorbell import Bell
from shared.routing.stored import StoredPolicy

LARGE_BYTES: Final = 256 * 1024
"""From here on counting tokens leaves the event loop to others: it goes to a thread. Less takes
some milliseconds, and a thread would double its memory and CPU."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One job as it was asked for, with the JSON that it came as."""

    asked: JobSubmit
    body: Any
    size: int
    """Bytes of that JSON."""
    idempotency_key: str | None
    line: int | None = None
    """Its line in a bulk body."""
    face: Face | None = None
    echo: Mapping[str, Any] | None = None
    """What replies of that face repeat."""


def read_line(number: int, line: bytes) -> Submission:
    """One line of a bulk body. Raises LineError."""
    try:
        body = parse_json(line)
        asked = parse_as(BulkLine, body)
    except InvalidRequestError as error:
        raise LineError(number, error) from None
    return Submission(asked, body, len(line), asked.idempotency_key, number)


async def submit(parts: Parts, caller: Caller, submissions: Sequence[Submission]) -> list[Accepted]:
    """Accept all or none, in order; rings the dispatcher when that is committed."""
    wanted = Amount(len(submissions), sum(each.size for each in submissions))
    keyed = all(each.idempotency_key for each in submissions)
    async with parts.backlog.place(caller, wanted, keyed=keyed) as place:
        while True:
            try:
                return await _submit(parts, caller, submissions, place)
            except OtherBudgetsError:
                continue


async def _submit(
    parts: Parts, caller: Caller, submissions: Sequence[Submission], place: Place
) -> list[Accepted]:
    book = await parts.budgets.known(parts.database)
    planner = await planner_for(parts, caller, [each.asked for each in submissions])
    if planner is None and is_quick(parts.catalog, submissions):
        jobs = _new_jobs(parts, caller, submissions, planner)
    else:
        jobs = await asyncio.to_thread(_new_jobs, parts, caller, submissions, planner)
    jobs = await with_webhooks(parts, jobs, [(each.asked, each.line) for each in submissions])
    async with parts.accepting.transaction() as connection:
        reach = await read_reach(connection)
        for job in _one_of_each_plan(jobs):
            if reason := reach.refused(deployments_of(parts.catalog, job)):
                raise NoDeploymentError(reason, field="request.model")
        accepted = await accept(connection, jobs)
        _refuse_mismatches(submissions, accepted)
        fresh = _fresh(submissions, accepted)
        await budget_batches(connection, caller, [each.asked for each in fresh])
        book = await parts.budgets.still(connection, book, caller.tenant_id)
        if book.budgets:
            claims = _claims(parts.catalog, reach, zip(submissions, jobs, accepted, strict=True))
            await require_room(connection, book, claims)
        place.take(Amount(len(fresh), sum(each.size for each in fresh)))
    parts.doorbell.ring_soon(Bell.DUE, {job.route for job in jobs})
    return accepted


def is_quick(catalog: Catalog, submissions: Sequence[Submission]) -> bool:
    """Whether counting them holds the event loop up for less than a thread is worth."""
    if sum(submission.size for submission in submissions) > LARGE_BYTES:
        return False
    names = {each.asked.request.model for each in submissions}
    named = (catalog.models.get(catalog.aliases.get(name, name)) for name in names)
    return at_hand(filter(None, named))


def deployments_of(catalog: Catalog, job: NewJob) -> list[Deployment]:
    """Whoever may ever be asked for a job."""
    if job.policy is None:
        return [each for each in catalog.plan(job.route) if each.id not in (job.unfit or ())]
    return [each for name in job.policy.deployments() if (each := catalog.known(name))]


def _one_of_each_plan(jobs: Sequence[NewJob]) -> Iterable[NewJob]:
    """One job for all that the same deployments may take."""
    plans = {(job.route, job.unfit, job.policy and job.policy.deployments()): job for job in jobs}
    return plans.values()


def drafts(
    parts: Parts, caller: Caller, submissions: Sequence[Submission], planner: Planner | None
) -> Iterator[NewJob | InvalidRequestError]:
    """What would become of each, in order, or why it would be refused; nothing is written."""
    counted = [None] * len(submissions) if planner else _counted(parts, submissions)
    for submission, input_tokens in zip(submissions, counted, strict=True):
        try:
            plan = planner.plan(submission.asked) if planner else None
            fitted = plan.fitted if plan else _fit(parts, submission.asked, input_tokens)
            yield _new_job(caller, submission, fitted, plan.stored() if plan else None)
        except InvalidRequestError as error:
            yield error if submission.line is None else LineError(submission.line, error)


def _new_jobs(
    parts: Parts, caller: Caller, submissions: Sequence[Submission], planner: Planner | None
) -> list[NewJob]:
    jobs = []
    for draft in drafts(parts, caller, submissions, planner):
        if isinstance(draft, InvalidRequestError):
            raise draft from None
        jobs.append(draft)
    return jobs


def _counted(parts: Parts, submissions: Sequence[Submission]) -> Sequence[int | None]:
    """The input tokens of each, counted all at once."""
    requests = [submission.asked.request for submission in submissions]
    try:
        models = [parts.catalog.model(request.model) for request in requests]
    except UnknownModelError:
        # One will be refused, but the first that is wrong first: each is counted in its turn.
        return [None] * len(requests)
    return count_inputs(requests, models)


def _new_job(
    caller: Caller, submission: Submission, fitted: Fitted, policy: StoredPolicy | None
) -> NewJob:
    asked = submission.asked
    route = route_of(fitted.model, rehearse=asked.rehearse)
    canonical = orjson.dumps(submission.body, option=orjson.OPT_SORT_KEYS)
    return NewJob(
        id=new_id(IdKind.JOB),
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        route=policy.route(route) if policy else route,
        lane=Lane.of(asked.lane),
        request=orjson.dumps(sparse(fitted.request)).decode(),
        metadata=orjson.dumps(asked.metadata).decode() if asked.metadata else None,
        batch=asked.batch,
        project=project_of(caller, asked.project),
        end_user=asked.end_user,
        tags=asked.tags or None,
        run_at=asked.run_at,
        deadline_seconds=asked.deadline_seconds,
        max_tries=asked.max_tries,
        input_tokens=fitted.input_tokens,
        max_tokens=fitted.max_tokens,
        idempotency_key=submission.idempotency_key,
        body_hash=hashlib.sha256(canonical).digest(),
        # A plan names only who can take it.
        unfit=None if policy else fitted.unfit or None,
        web_search=fitted.request.web_search,
        policy=policy,
        face=submission.face,
        echo=orjson.dumps(submission.echo).decode() if submission.echo else None,
    )


def _fit(parts: Parts, asked: JobSubmit, input_tokens: int | None) -> Fitted:
    """The request as its model takes it; an error names the field as the caller wrote it."""
    try:
        return fit(parts.catalog, asked.request, input_tokens, rehearse=asked.rehearse)
    except InvalidRequestError as error:
        error.field = f"request.{error.field}"
        raise


def _claims(
    catalog: Catalog, reach: Reach, made: Iterable[tuple[Submission, NewJob, Accepted]]
) -> list[Claim]:
    """Of what is new."""
    claims = []
    for submission, job, accepted in made:
        if not accepted.replayed:
            claims.append(claim_of(catalog, reach, job, submission.line))
    return claims


def claim_of(catalog: Catalog, reach: Reach, job: NewJob, line: int | None) -> Claim:
    """A job that wants room in its budgets, and whoever may take it and can be called."""
    plan = deployments_of(catalog, job)
    return Claim(job, [each for each in plan if reach.ready(each.provider) is not False], line)


def _fresh(submissions: Sequence[Submission], accepted: Sequence[Accepted]) -> list[Submission]:
    """What was not known before."""
    return [each for each, job in zip(submissions, accepted, strict=True) if not job.replayed]


def _refuse_mismatches(submissions: Sequence[Submission], accepted: Sequence[Accepted]) -> None:
    for submission, outcome in zip(submissions, accepted, strict=True):
        if not outcome.same_body:
            message = (
                f"the idempotency key {submission.idempotency_key!r} was used with another body, "
                f"for job {outcome.job_id}; use a new key for a new job"
            )
            raise IdempotencyMismatchError(message, field="idempotency_key")
