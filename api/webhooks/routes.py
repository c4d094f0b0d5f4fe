"""Webhook endpoints over HTTP: make, change, test, delete them; it needs the scope admin."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.bodies import body_of
from api.deps import Admin, AnyParts, Parts
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from api.webhooks import endpoints
from api.webhooks.schemas import (
    CHANGE_EXAMPLE,
    ENDPOINT_EXAMPLE,
    EndpointChange,
    EndpointCreate,
    EndpointDeleted,
    EndpointId,
    EndpointList,
    EndpointRead,
    EndpointTest,
    EndpointTested,
    EndpointWithSecret,
    EventTypeList,
    SecretRotate,
)
from shared.db.deliveries import disable
from shared.db.endpoints import Endpoint, Wanted, enable_endpoint
from shared.domain.errors import ConflictError
from shared.domain.event import EventType

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])
BY_HAND = "disabled by hand"


@router.post(
    "",
    status_code=201,
    operation_id="create_webhook",
    summary="Create a webhook endpoint",
    responses=error_responses(400, 409),
    openapi_extra=body_of(EndpointCreate, example=ENDPOINT_EXAMPLE),
)
async def create_webhook(request: Request, parts: AnyParts, caller: Admin) -> EndpointWithSecret:
    """It is told of what happens from now on; this reply has the secret that signs."""
    asked = parse_as(EndpointCreate, parse_json(await request.body()))
    wanted = Wanted(
        name=asked.name, url=asked.url, event_types=asked.event_types, of_jobs=asked.for_jobs
    )
    return _with_secret(parts, await endpoints.make(parts, caller, wanted))


@router.get(
    "",
    operation_id="list_webhooks",
    summary="List webhook endpoints",
    responses=error_responses(400),
)
async def list_webhooks(
    parts: AnyParts,
    caller: Admin,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EndpointList:
    """The newest first, those of single jobs too; go on with `after` = the last reply's `next`."""
    found, more = await endpoints.page(parts, caller, after=after, limit=limit)
    return EndpointList(
        data=[_read(parts, each) for each in found],
        has_more=more,
        next=found[-1].id if more else None,
    )


@router.get(
    "/event_types",
    operation_id="list_webhook_event_types",
    summary="List the types of events",
    responses=error_responses(),
)
async def list_event_types(caller: Admin) -> EventTypeList:  # noqa: ARG001 - who asks is checked
    """Those that an endpoint can name."""
    return EventTypeList(data=list(EventType))


@router.get(
    "/{endpoint_id}",
    operation_id="get_webhook",
    summary="Read a webhook endpoint",
    responses=error_responses(400, 404),
)
async def get_webhook(parts: AnyParts, caller: Admin, endpoint_id: EndpointId) -> EndpointRead:
    """As it is set, and how it does."""
    return _read(parts, await endpoints.found(parts, caller, endpoint_id))


@router.patch(
    "/{endpoint_id}",
    operation_id="change_webhook",
    summary="Change a webhook endpoint",
    responses=error_responses(400, 404, 409),
    openapi_extra=body_of(EndpointChange, example=CHANGE_EXAMPLE),
)
async def change_webhook(
    request: Request, parts: AnyParts, caller: Admin, endpoint_id: EndpointId
) -> EndpointRead:
    """Its name, URL or event types; what still waits to be told goes to the new URL."""
    asked = parse_as(EndpointChange, parse_json(await request.body()))
    changes = {name: getattr(asked, name) for name in asked.model_fields_set}
    return _read(parts, await endpoints.change(parts, caller, endpoint_id, changes))


@router.delete(
    "/{endpoint_id}",
    operation_id="delete_webhook",
    summary="Delete a webhook endpoint",
    responses=error_responses(400, 404),
)
async def delete_webhook(
    parts: AnyParts, caller: Admin, endpoint_id: EndpointId
) -> EndpointDeleted:
    """It is told nothing more, of what waits neither."""
    await endpoints.remove(parts, caller, endpoint_id)
    return EndpointDeleted(id=endpoint_id)


@router.get(
    "/{endpoint_id}/secret",
    operation_id="get_webhook_secret",
    summary="Read the secret of the endpoint of single jobs",
    responses=error_responses(400, 404, 409),
)
async def get_webhook_secret(
    parts: AnyParts, caller: Admin, endpoint_id: EndpointId
) -> EndpointWithSecret:
    """Nobody made it by hand, so nobody was shown its secret; any other is shown once."""
    endpoint = await endpoints.found(parts, caller, endpoint_id)
    if not endpoint.of_jobs:
        message = f"the secret of {endpoint_id} was shown when it was made: rotate it for a new one"
        raise ConflictError(message)
    return _with_secret(parts, endpoint)


@router.post(
    "/{endpoint_id}/rotate",
    operation_id="rotate_webhook_secret",
    summary="Rotate the secret of a webhook endpoint",
    responses=error_responses(400, 404),
    openapi_extra=body_of(SecretRotate),
)
async def rotate_webhook_secret(
    request: Request, parts: AnyParts, caller: Admin, endpoint_id: EndpointId
) -> EndpointWithSecret:
    """This reply has the new one; for 24 hours both sign, unless `keep_old` is false."""
    asked = parse_as(SecretRotate, parse_json(await request.body() or b"{}"))
    rotated = await endpoints.rotate(parts, caller, endpoint_id, keep_old=asked.keep_old)
    return _with_secret(parts, rotated)


@router.post(
    "/{endpoint_id}/enable",
    operation_id="enable_webhook",
    summary="Enable a webhook endpoint",
    responses=error_responses(400, 404),
)
async def enable_webhook(parts: AnyParts, caller: Admin, endpoint_id: EndpointId) -> EndpointRead:
    """It is told of what happens from now on; `replay` sends what waited when it was disabled."""
    async with parts.database.transaction() as connection:
        endpoint = await endpoints.required(connection, caller, endpoint_id, lock=True)
        await enable_endpoint(connection, endpoint)
        return _read(parts, await endpoints.required(connection, caller, endpoint_id))


@router.post(
    "/{endpoint_id}/disable",
    operation_id="disable_webhook",
    summary="Disable a webhook endpoint",
    responses=error_responses(400, 404),
)
async def disable_webhook(parts: AnyParts, caller: Admin, endpoint_id: EndpointId) -> EndpointRead:
    """It is told nothing until it is enabled; what waited for it can be replayed then."""
    async with parts.database.transaction() as connection:
        await endpoints.required(connection, caller, endpoint_id, lock=True)
        await disable(connection, endpoint_id, BY_HAND)
        return _read(parts, await endpoints.required(connection, caller, endpoint_id))


@router.post(
    "/{endpoint_id}/test",
    operation_id="test_webhook",
    summary="Send a sample to a webhook endpoint",
    responses=error_responses(400, 404),
    openapi_extra=body_of(EndpointTest),
)
async def test_webhook(
    request: Request, parts: AnyParts, caller: Admin, endpoint_id: EndpointId
) -> EndpointTested:
    """One signed delivery, now; the reply tells what came of it. It is not repeated."""
    asked = parse_as(EndpointTest, parse_json(await request.body() or b"{}"))
    posted = await endpoints.test(parts, caller, endpoint_id, asked.event_type)
    return EndpointTested(
        event_type=asked.event_type,
        delivered=posted.error is None,
        status_code=posted.status,
        error=posted.error,
        milliseconds=posted.milliseconds,
    )


def _read(parts: Parts, endpoint: Endpoint) -> EndpointRead:
    return EndpointRead.of(endpoint, endpoints.hint(parts, endpoint))


def _with_secret(parts: Parts, endpoint: Endpoint) -> EndpointWithSecret:
    secret = endpoints.secret_of(parts, endpoint).get_secret_value()
    hint = endpoints.hint(parts, endpoint)
    return EndpointWithSecret.of(endpoint, hint, signing_secret=secret)
