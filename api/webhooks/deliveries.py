"""What an endpoint was told, over HTTP: to be read with its tries, and to be sent again."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from api.bodies import body_of
from api.deps import Admin, AnyParts
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from api.webhooks.endpoints import required
from api.webhooks.schemas import (
    REPLAY_EXAMPLE,
    DeliveryList,
    DeliveryRead,
    EndpointId,
    Replay,
    Replayed,
)
from shared.db.delivery_log import (
    Which,
    find_delivery,
    list_deliveries,
    read_tries,
    send_again,
    send_all_again,
)
from shared.db.endpoints import Endpoint
from shared.domain.clock import SystemClock
from shared.domain.errors import ConflictError, NotFoundError
from shared.domain.event import DeliveryState, EventType

router = APIRouter(prefix="/api/v1/webhooks/{endpoint_id}", tags=["webhooks"])
DeliveryId = Annotated[str, Path(max_length=64, examples=["dlv_06gvp37aldqhh801vvaql8icro"])]


@router.get(
    "/deliveries",
    operation_id="list_webhook_deliveries",
    summary="List what an endpoint was told",
    responses=error_responses(400, 404),
)
async def list_webhook_deliveries(  # noqa: PLR0913, PLR0917 - each is a query parameter
    parts: AnyParts,
    caller: Admin,
    endpoint_id: EndpointId,
    state: DeliveryState | None = None,
    event_type: EventType | None = None,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> DeliveryList:
    """The newest first, each with its tries."""
    which = Which(
        endpoint_id=endpoint_id,
        states=[state] if state else None,
        types=[event_type] if event_type else None,
        after=after,
    )
    async with parts.database.transaction() as connection:
        await required(connection, caller, endpoint_id)
        rows = await list_deliveries(connection, which, limit=limit + 1)
        tries = await read_tries(connection, [row.id for row in rows[:limit]])
    data = [DeliveryRead.of(row, tries[row.id]) for row in rows[:limit]]
    more = len(rows) > limit
    return DeliveryList(data=data, has_more=more, next=data[-1].id if more else None)


@router.get(
    "/deliveries/{delivery_id}",
    operation_id="get_webhook_delivery",
    summary="Read a delivery",
    responses=error_responses(400, 404),
)
async def get_webhook_delivery(
    parts: AnyParts, caller: Admin, endpoint_id: EndpointId, delivery_id: DeliveryId
) -> DeliveryRead:
    """With all of its tries."""
    async with parts.database.transaction() as connection:
        await required(connection, caller, endpoint_id)
        row = await find_delivery(connection, caller.tenant_id, endpoint_id, delivery_id)
        if row is None:
            raise _unknown(delivery_id)
        return DeliveryRead.of(row, (await read_tries(connection, [row.id]))[row.id])


@router.post(
    "/deliveries/{delivery_id}/replay",
    status_code=202,
    operation_id="replay_webhook_delivery",
    summary="Send a delivery again",
    responses=error_responses(400, 404, 409),
)
async def replay_webhook_delivery(
    parts: AnyParts, caller: Admin, endpoint_id: EndpointId, delivery_id: DeliveryId
) -> DeliveryRead:
    """As a new delivery of the same message; one that still waits is sent at once."""
    async with parts.database.transaction() as connection:
        _require_enabled(await required(connection, caller, endpoint_id))
        whose = (connection, caller.tenant_id, endpoint_id)
        if await find_delivery(*whose, delivery_id) is None:
            raise _unknown(delivery_id)
        fresh = await send_again(connection, delivery_id)
        row = await find_delivery(*whose, fresh)
        return DeliveryRead.of(row, (await read_tries(connection, [fresh]))[fresh])


@router.post(
    "/replay",
    status_code=202,
    operation_id="replay_webhook",
    summary="Send again what an endpoint missed",
    responses=error_responses(400, 404, 409),
    openapi_extra=body_of(Replay, example=REPLAY_EXAMPLE),
)
async def replay_webhook(
    request: Request, parts: AnyParts, caller: Admin, endpoint_id: EndpointId
) -> Replayed:
    """Of a span of time, the oldest first, at most 1000 at once."""
    asked = parse_as(Replay, parse_json(await request.body()))
    which = Which(
        endpoint_id=endpoint_id,
        states=asked.states,
        types=asked.event_types,
        since=asked.since,
        # What is sent again is told anew: without an end it would be chosen again.
        until=asked.until or SystemClock().now(),
        after=asked.after,
    )
    async with parts.database.transaction() as connection:
        _require_enabled(await required(connection, caller, endpoint_id, lock=True))
        count, last = await send_all_again(connection, which)
    return Replayed(replayed=count, has_more=last is not None, next=last)


def _require_enabled(endpoint: Endpoint) -> None:
    if endpoint.disabled_at is not None:
        message = f"webhook endpoint {endpoint.id} is disabled: enable it first"
        raise ConflictError(message)


def _unknown(delivery_id: str) -> NotFoundError:
    return NotFoundError(f"no delivery {delivery_id!r}")
