"""The public shapes of jobs."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.config import JsonDict

from shared.catalog.deployments import REHEARSAL_PREFIX
from shared.domain.generation import GenerationRequest
from shared.domain.job import JobState, Lane, WaitReason
from shared.domain.money import NANO_PER_USD

LaneName = Literal["interactive", "standard", "bulk"]
Metadata = Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)]
JOB_EXAMPLE: JsonDict = {
    "request": {
        "model": "gpt-4.1-mini",
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
        "max_tokens": 200,
    },
    "lane": "standard",
    "metadata": {"ticket": "4711"},
}


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


Moment = Annotated[
    datetime,
    PlainSerializer(_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class JobSubmit(BaseModel):
    """A job as it is asked for."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [JOB_EXAMPLE]}, frozen=True
    )

    request: GenerationRequest
    lane: LaneName = "standard"
    deadline_seconds: Annotated[int, Field(ge=1, le=604_800)] = 86_400
    """An answer that comes later is of no use: the job expires."""
    run_at: datetime | None = None
    max_tries: Annotated[int, Field(ge=1, le=20)] = 5
    batch: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """A label that jobs share; lists and sums can be asked for by it."""
    rehearse: bool = False
    """Send it to the simulator instead of a provider: no key, no money."""
    metadata: Metadata | None = None


class BulkLine(JobSubmit):
    """One line of a bulk submission."""

    idempotency_key: Annotated[str, Field(min_length=1, max_length=255)] | None = None


class Cost(BaseModel):
    """Money, exact."""

    nano_usd: int
    usd: str
    unknown: bool = False
    """Some call's end is unknown; it is charged at the most that it can cost."""

    @classmethod
    def of(cls, nano: int, *, unknown: bool = False) -> "Cost":
        """The same amount in both forms."""
        usd = format(Decimal(nano) / NANO_PER_USD, "f")
        return cls(nano_usd=nano, usd=usd, unknown=unknown)


class JobError(BaseModel):
    """Why a job has no result, or why its last try failed."""

    kind: str
    message: str


class JobRead(BaseModel):
    """A job as it stands."""

    id: str
    object: Literal["job"] = "job"
    state: JobState
    wait_reason: WaitReason | None
    lane: LaneName
    model: str
    rehearse: bool
    batch: str | None
    metadata: dict[str, str] | None
    created_at: Moment
    run_at: Moment
    deadline: Moment
    started_at: Moment | None
    finished_at: Moment | None
    tries: int
    max_tries: int
    cancel_requested: bool
    cost: Cost
    result: dict[str, Any] | None
    error: JobError | None
    status_url: str

    @classmethod
    def of(cls, row: Any) -> "JobRead":
        """From a row of shared/db/read.py, with or without its result."""
        error = None
        if row.error_kind:
            error = JobError(kind=row.error_kind, message=row.error or row.error_kind)
        return cls(
            id=row.id,
            state=row.state,
            wait_reason=row.wait_reason,
            lane=Lane(row.lane).label,  # type: ignore[arg-type]  # the enum's names are these
            model=row.route.removeprefix(REHEARSAL_PREFIX),
            rehearse=row.route.startswith(REHEARSAL_PREFIX),
            batch=row.batch,
            metadata=row.metadata,
            created_at=row.created_at,
            run_at=row.run_at,
            deadline=row.deadline,
            started_at=row.started_at,
            finished_at=row.finished_at,
            tries=row.tries,
            max_tries=row.max_tries,
            cancel_requested=row.cancel_requested_at is not None,
            cost=Cost.of(row.cost_nano, unknown=row.cost_flagged),
            result=getattr(row, "result", None),
            error=error,
            status_url=f"/api/v1/jobs/{row.id}",
        )


class JobList(BaseModel):
    """One page."""

    data: list[JobRead]
    has_more: bool
    next: str | None
    """Ask again with `after` set to this."""


class BulkItem(BaseModel):
    """What became of one line."""

    id: str
    replayed: bool


class BulkAccepted(BaseModel):
    """All lines were accepted, in the order of the input."""

    accepted: int
    jobs: list[BulkItem]


class TokenSum(BaseModel):
    """Tokens as the providers reported them."""

    input_tokens: int
    output_tokens: int


class JobSummary(BaseModel):
    """The sum of many jobs."""

    counts: dict[JobState, int]
    cost: Cost
    held: Cost
    usage: TokenSum
