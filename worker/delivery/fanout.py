"""The subscriber for webhooks: a delivery for each endpoint that wants to hear of an event."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.fanout import (
    Listeners,
    NewDelivery,
    add_deliveries,
    find_listeners,
    read_ends,
)
from shared.db.outbox import Event
from worker.delivery.messages import is_end_of_job, sayings


async def fan_out(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """Write the deliveries of these events, in the transaction in which they are told."""
    listeners = await find_listeners(connection, {event.tenant_id for event in events})
    heard = listeners.of_jobs | listeners.of_all.keys()
    wanted = [event for event in events if event.tenant_id in heard]
    jobs = {event.subject for event in wanted if is_end_of_job(event)}
    ends = await read_ends(connection, jobs) if jobs else {}
    fresh = [
        delivery
        for event in wanted
        for delivery in _of_event(event, ends.get(event.subject), listeners)
    ]
    if fresh:
        await add_deliveries(connection, fresh)


def _of_event(event: Event, end: Row[Any] | None, listeners: Listeners) -> Iterator[NewDelivery]:
    endpoints = [(row.id, row.event_types) for row in listeners.of_all.get(event.tenant_id, ())]
    if end is not None and end.own_id is not None:
        endpoints.append((end.own_id, end.own_types))
    for said in sayings(event, end):
        for endpoint_id, event_types in dict(endpoints).items():
            if said.type in event_types:
                yield NewDelivery(
                    event.tenant_id, endpoint_id, said.message_id, said.type, said.subject,
                    said.body,
                )  # fmt: skip
