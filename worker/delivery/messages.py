"""What webhooks are told of an event: under which types, of what, and in which words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Row

from shared.db.outbox import BUS_NAMES, Event
from shared.domain.event import EventType
from shared.domain.face import Face
from shared.domain.generation import FinishReason
from shared.domain.ids import IdKind, id_of, renamed
from shared.domain.money import NANO_PER_USD
from shared.faces.webhook_body import webhook_body

RESPONSE_PREFIX: Final = "resp"
OF_RESPONSES: Final = {
    EventType.JOB_SUCCEEDED: EventType.RESPONSE_COMPLETED,
    EventType.JOB_FAILED: EventType.RESPONSE_FAILED,
    EventType.JOB_CANCELLED: EventType.RESPONSE_CANCELLED,
    # Responses know no other end for one whose time ran out.
    EventType.JOB_EXPIRED: EventType.RESPONSE_FAILED,
}
"""What the ends of jobs are for those who know them as responses."""
TYPES: Final = frozenset(EventType)
CUT_SHORT: Final = frozenset({FinishReason.LENGTH, FinishReason.CONTENT_FILTER})
"""Answers that ended so are incomplete responses."""


@dataclass(frozen=True, slots=True)
class Saying:
    """An event under one of the types that webhooks may ask for."""

    message_id: str
    """The same for everybody who is told, however often."""
    type: EventType
    subject: str
    body: str


def is_end_of_job(event: Event) -> bool:
    """Whether it tells of a job, of whose end there is more to read."""
    return event.type in BUS_NAMES


def sayings(event: Event, end: Row[Any] | None) -> Iterator[Saying]:
    """All that webhooks can be told of it; `end` of a job, None where that is gone."""
    if not is_end_of_job(event):
        if event.type in TYPES:
            yield _said(event, EventType(event.type), {"id": event.subject})
    elif end is not None:
        kind = EventType(event.type)
        yield _said(event, kind, _native(event, end))
        if end.face == Face.RESPONSE and end.background:
            as_response = {"id": renamed(event.subject, RESPONSE_PREFIX)}
            yield _said(event, _of_response(kind, end), as_response)


def _of_response(kind: EventType, end: Row[Any]) -> EventType:
    if kind is EventType.JOB_SUCCEEDED and end.finish_reason in CUT_SHORT:
        return EventType.RESPONSE_INCOMPLETE
    return OF_RESPONSES[kind]


def _native(event: Event, end: Row[Any]) -> dict[str, Any]:
    return {
        "id": event.subject,
        "state": end.state,
        "state_version": event.state_version,
        "cost": {
            "nano_usd": end.cost_nano,
            "usd": format(Decimal(end.cost_nano) / NANO_PER_USD, "f"),
            "unknown": end.cost_flagged,
        },
        "status_url": f"/api/v1/jobs/{event.subject}",
    }


def _said(event: Event, kind: EventType, data: Mapping[str, Any]) -> Saying:
    # A receiver knows a repeat by the id: what it is told under two types is no repeat.
    message_id = id_of(IdKind.EVENT, event.at, f"{event.number}:{kind}")
    body = webhook_body(message_id, kind, event.at, data).decode()
    return Saying(message_id, kind, str(data["id"]), body)
