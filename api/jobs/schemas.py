"""The public shapes of jobs."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from shared.catalog.deployments import REHEARSAL_PREFIX, model_of
from shared.domain.event import OF_ONE_JOB, EventType
from shared.domain.generation import GenerationRequest
from shared.domain.job import JobState, Lane, WaitReason
from shared.domain.money import NANO_PER_USD, to_nano
from shared.routing.policy import MOST_USD, Policy

MOST_TAGS: Final = 8
Word = TypeVar("Word", bound=str)
LaneName = Literal["interactive", "standard", "bulk"]
Label = Annotated[str, Field(min_length=1, max_length=64)]
EndUser = Annotated[str, Field(min_length=1, max_length=128)]
WebhookUrl = Annotated[str, Field(min_length=1, max_length=2048)]
EventNames = Annotated[tuple[EventType, ...], Field(min_length=1)]
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


def status_url_of(job_id: str) -> str:
    """Where a job is read."""
    return f"/api/v1/jobs/{job_id}"


def sorted_once(values: tuple[Word, ...] | None) -> tuple[Word, ...] | None:
    """Each once, in order: what means the same is the same."""
    return None if values is None else tuple(sorted(set(values)))


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
    batch: Label | None = None
    """A label that jobs share; lists and sums can be asked for by it."""
    batch_max_cost: Annotated[Decimal, Field(gt=0, le=MOST_USD, decimal_places=9)] | None = None
    """USD that all jobs of the batch may cost together: its budget, made by the first that says it.
    """
    project: Label | None = None
    """What of the tenant's it is for; that of the key where the key has one."""
    end_user: EndUser | None = None
    """Whom it is done for, by your own id: no name, no address."""
    tags: Annotated[tuple[Label, ...], Field(max_length=MOST_TAGS)] = ()
    rehearse: bool = False
    """Send it to the simulator instead of a provider: no key, no money."""
    policy: Policy | None = None
    """Whom to ask, in which order, at what cost; `request.model` may be a route's name, too."""
    metadata: Metadata | None = None
    webhook_url: WebhookUrl | None = None
    """Is told of its end, beside the tenant's own endpoints."""
    webhook_events: EventNames | None = None
    """Of which ends; all `job.` events where absent."""

    _sorted = field_validator("tags", "webhook_events")(sorted_once)

    @field_validator("webhook_events")
    @classmethod
    def _of_one_job(cls, events: tuple[EventType, ...] | None) -> tuple[EventType, ...] | None:
        if other := next((each for each in events or () if each not in OF_ONE_JOB), None):
            raise PydanticCustomError("idle", "{other} is no event of a job", {"other": str(other)})
        return events

    @model_validator(mode="after")
    def _events_of_a_url(self) -> Self:
        if self.webhook_events is not None and self.webhook_url is None:
            raise PydanticCustomError("idle", "webhook_events needs a webhook_url")
        return self

    @model_validator(mode="after")
    def _most_of_a_batch(self) -> Self:
        if self.batch_max_cost is not None and self.batch is None:
            raise PydanticCustomError("idle", "batch_max_cost needs a batch")
        return self

    @property
    def batch_max_nano(self) -> int | None:
        """The most for its batch in nano-USD; a rehearsal costs nothing."""
        cost = self.batch_max_cost
        return None if cost is None or self.rehearse else to_nano(cost)


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


class Cause(BaseModel):
    """Why one call of a job gave nothing."""

    deployment: str
    kind: str
    message: str
    at: Moment


class JobError(BaseModel):
    """Why a job has no result, or why its last try failed."""

    kind: str
    message: str
    causes: list[Cause] | None = None
    """Of a job that failed after several tries: each of them, the first first."""

    @classmethod
    def of(cls, kind: str | None, message: str | None) -> "JobError | None":
        """As a row keeps it; None where nothing failed."""
        return cls(kind=kind, message=message or kind) if kind else None


class JobStanding(BaseModel):
    """Where a job stands."""

    id: str
    state: JobState
    lane: LaneName
    model: str
    rehearse: bool
    created_at: Moment
    deadline: Moment
    finished_at: Moment | None
    tries: int
    max_tries: int
    cancel_requested: bool
    cost: Cost
    error: JobError | None

    @classmethod
    def of(cls, row: Any, **more: Any) -> Self:
        """From a row of shared/db/read.py, and what the row does not tell."""
        return cls(
            id=row.id,
            state=row.state,
            lane=Lane(row.lane).label,  # type: ignore[arg-type]  # the enum's names are these
            model=model_of(row.route),
            rehearse=row.route.startswith(REHEARSAL_PREFIX),
            created_at=row.created_at,
            deadline=row.deadline,
            finished_at=row.finished_at,
            tries=row.tries,
            max_tries=row.max_tries,
            cancel_requested=row.cancel_requested_at is not None,
            cost=Cost.of(row.cost_nano, unknown=row.cost_flagged),
            error=JobError.of(row.error_kind, row.error),
            **more,
        )


class JobRead(JobStanding):
    """A job as it stands, and its result."""

    object: Literal["job"] = "job"
    wait_reason: WaitReason | None
    batch: str | None
    project: str | None
    end_user: str | None
    tags: list[str]
    metadata: dict[str, str] | None
    run_at: Moment
    started_at: Moment | None
    result: dict[str, Any] | None
    status_url: str

    @classmethod
    def of(cls, row: Any, **more: Any) -> Self:
        """From a row of shared/db/read.py, with or without its result."""
        return super().of(
            row,
            wait_reason=row.wait_reason,
            batch=row.batch,
            project=row.project,
            end_user=row.end_user,
            tags=list(row.tags or ()),
            metadata=row.metadata,
            run_at=row.run_at,
            started_at=row.started_at,
            result=getattr(row, "result", None),
            status_url=status_url_of(row.id),
            **more,
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
