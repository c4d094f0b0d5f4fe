"""The public shapes of webhooks."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.config import JsonDict

from api.jobs.schemas import EventNames, Moment, WebhookUrl, sorted_once
from shared.db.delivery_log import MISSED
from shared.db.endpoints import Endpoint
from shared.domain.event import DeliveryState, EventType

ENDPOINT_EXAMPLE: Final[JsonDict] = {
    "name": "billing",
    "url": "https://hooks.example.com/promptmill",
    "event_types": ["job.succeeded", "job.failed"],
}
CHANGE_EXAMPLE: Final[JsonDict] = {"event_types": ["batch.completed"]}
REPLAY_EXAMPLE: Final[JsonDict] = {
    "since": "2026-11-20T00:00:00Z",
    "event_types": ["job.succeeded"],
}
Name = Annotated[str, Field(min_length=1, max_length=100)]
EndpointId = Annotated[str, Path(max_length=64, examples=["we_06gvp37aldqhh801vvaql8icro"])]


class Asked(BaseModel):
    """A body of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EndpointChange(Asked):
    """What may become another: what is not named stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [CHANGE_EXAMPLE]})

    name: Name | None = None
    url: WebhookUrl | None = None
    event_types: EventNames | None = None

    _types = field_validator("event_types")(sorted_once)


class EndpointCreate(Asked):
    """An endpoint as it is asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [ENDPOINT_EXAMPLE]})

    name: Name
    url: WebhookUrl
    event_types: EventNames
    for_jobs: bool = False
    """Only for the jobs that name this URL: to know its secret before the first of them."""

    _types = field_validator("event_types")(sorted_once)


class SecretRotate(Asked):
    """How the secret becomes another."""

    keep_old: bool = True
    """The old one signs for 24 hours more, beside the new one."""


class EndpointTest(Asked):
    """Which event is sent as a sample."""

    event_type: EventType = EventType.JOB_SUCCEEDED


class Replay(Asked):
    """Which of an endpoint's deliveries are sent again."""

    model_config = ConfigDict(json_schema_extra={"examples": [REPLAY_EXAMPLE]})

    since: datetime
    """Told then or later."""
    until: datetime | None = None
    event_types: EventNames | None = None
    states: Annotated[tuple[DeliveryState, ...], Field(min_length=1)] = MISSED
    """Of a message that was sent again the last time counts."""
    after: Annotated[str, Field(max_length=64)] | None = None
    """The `next` of the last reply."""

    @field_validator("since", "until")
    @classmethod
    def _aware(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.tzinfo is None:
            raise ValueError("say its offset from UTC, like 2026-11-20T00:00:00Z")
        return moment


class EndpointRead(BaseModel):
    """An endpoint, and how it does."""

    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    id: str
    name: str
    url: str
    event_types: list[str]
    for_jobs: bool
    """It is told of the jobs that name its URL, not of all that happens."""
    signing_secret_hint: str
    old_secret_until: Moment | None
    """Until then the secret before signs, too."""
    created_at: Moment
    updated_at: Moment
    failing_since: Moment | None
    """The first try that failed since one succeeded."""
    disabled_at: Moment | None
    disabled_reason: str | None

    @classmethod
    def of(cls, endpoint: Endpoint, hint: str, **more: Any) -> Self:
        """As its row says."""
        return cls(
            id=endpoint.id,
            name=endpoint.name,
            url=endpoint.url,
            event_types=list(endpoint.event_types),
            for_jobs=endpoint.of_jobs,
            signing_secret_hint=hint,
            old_secret_until=endpoint.old_secret_until,
            created_at=endpoint.created_at,
            updated_at=endpoint.updated_at,
            failing_since=endpoint.failing_since,
            disabled_at=endpoint.disabled_at,
            disabled_reason=endpoint.disabled_reason,
            **more,
        )


class EndpointWithSecret(EndpointRead):
    """The same with its secret, which no other reply has."""

    signing_secret: str


class EndpointList(BaseModel):
    """One page, the newest first."""

    data: list[EndpointRead]
    has_more: bool
    next: str | None
    """Ask again with `after` set to this."""


class EventTypeList(BaseModel):
    """Every type of event that an endpoint can name."""

    data: list[EventType]


class EndpointDeleted(BaseModel):
    """What is left of it."""

    id: str
    deleted: Literal[True] = True


class EndpointTested(BaseModel):
    """What became of a sample."""

    event_type: EventType
    delivered: bool
    status_code: int | None
    """Null: nothing answered."""
    error: str | None
    milliseconds: int


class TryRead(BaseModel):
    """One try of a delivery."""

    number: int
    at: Moment
    status_code: int | None
    """Null: nothing answered."""
    error: str | None
    milliseconds: int

    @classmethod
    def of(cls, row: Any) -> Self:
        """From a row of shared/db/delivery_log.py."""
        return cls(
            number=row.number,
            at=row.at,
            status_code=row.status,
            error=row.error,
            milliseconds=row.milliseconds,
        )


class DeliveryRead(BaseModel):
    """What an endpoint was told, or is still to be told."""

    object: Literal["webhook_delivery"] = "webhook_delivery"
    id: str
    endpoint_id: str
    message_id: str
    """Its header `webhook-id`: the same over all tries, and when it is sent again."""
    event_type: str
    subject: str
    """The id of what it happened to."""
    state: DeliveryState
    next_try_at: Moment | None
    created_at: Moment
    ended_at: Moment | None
    tries: list[TryRead]

    @classmethod
    def of(cls, row: Any, tries: Iterable[Any]) -> Self:
        """From rows of shared/db/delivery_log.py."""
        waits = row.state == DeliveryState.PENDING
        return cls(
            id=row.id,
            endpoint_id=row.endpoint_id,
            message_id=row.message_id,
            event_type=row.type,
            subject=row.subject,
            state=row.state,
            next_try_at=row.next_at if waits else None,
            created_at=row.created_at,
            ended_at=row.ended_at,
            tries=[TryRead.of(each) for each in tries],
        )


class DeliveryList(BaseModel):
    """One page, the newest first."""

    data: list[DeliveryRead]
    has_more: bool
    next: str | None
    """Ask again with `after` set to this."""


class Replayed(BaseModel):
    """How many were sent again."""

    replayed: int
    has_more: bool
    next: str | None
    """Ask again with `after` set to this."""
