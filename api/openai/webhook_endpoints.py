"""Webhook endpoints as OpenAI's API has them, over the same functions as the native ones."""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, field_validator

from api.admission.creates import tries_before
from api.bodies import body_of
from api.deps import Admin, AnyParts, Parts
from api.error_shapes import Dialect
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from api.jobs.schemas import EventNames, WebhookUrl, sorted_once
from api.webhooks import endpoints
from api.webhooks.schemas import EndpointId, Name
from shared.db.endpoints import Endpoint, Wanted
from shared.domain.errors import InvalidRequestError
from shared.domain.event import OF_OPENAI, EventType

router = APIRouter(prefix="/v1", tags=["openai"])


class WebhookCreate(BaseModel):
    """An endpoint as it is asked for."""

    event_types: EventNames
    name: Name
    url: WebhookUrl

    _types = field_validator("event_types")(sorted_once)


class WebhookUpdate(BaseModel):
    """What may become another: what is not named stays."""

    event_types: EventNames | None = None
    name: Name | None = None
    url: WebhookUrl | None = None

    _types = field_validator("event_types")(sorted_once)


class WebhookRotate(BaseModel):
    """How the secret becomes another."""

    keep_old_secret_active_for_24_hours: bool = False


class WebhookTest(BaseModel):
    """Which event is sent as a sample."""

    event_type: EventType


class WebhookRead(BaseModel):
    """An endpoint without its secret."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    updated_at: int
    event_types: list[str]
    name: str
    signing_secret_hint: str
    url: str

    @classmethod
    def of(cls, parts: Parts, endpoint: Endpoint, **more: Any) -> Self:
        """As its row says."""
        return cls(
            id=endpoint.id,
            created_at=int(endpoint.created_at.timestamp()),
            updated_at=int(endpoint.updated_at.timestamp()),
            event_types=list(endpoint.event_types),
            name=endpoint.name,
            signing_secret_hint=endpoints.hint(parts, endpoint),
            url=endpoint.url,
            **more,
        )


class WebhookWithSecret(WebhookRead):
    """The same with its secret."""

    signing_secret: str

    @classmethod
    def of(cls, parts: Parts, endpoint: Endpoint, **more: Any) -> Self:
        """As its row says."""
        secret = endpoints.secret_of(parts, endpoint).get_secret_value()
        return super().of(parts, endpoint, signing_secret=secret, **more)


class WebhookPage(BaseModel):
    """One page, the newest first."""

    object: Literal["list"] = "list"
    data: list[WebhookRead]
    first_id: str | None
    last_id: str | None
    has_more: bool


class WebhookDeleted(BaseModel):
    """What is left of it."""

    id: str
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True


class WebhookTested(BaseModel):
    """A sample that something answered; the status says what."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    success: Annotated[Literal[True], Field(description="It was answered")] = True


class WebhookEventTypes(BaseModel):
    """The types that OpenAI's SDK knows."""

    object: Literal["list"] = "list"
    data: list[str]


@router.post(
    "/webhook_endpoints",
    operation_id="openai_create_webhook_endpoint",
    summary="Create a webhook endpoint",
    responses=error_responses(400, 409, dialect=Dialect.OPENAI),
    openapi_extra=body_of(WebhookCreate),
)
async def create(request: Request, parts: AnyParts, caller: Admin) -> WebhookWithSecret:
    """This reply has the secret that signs. Native `job.` events may be named, too."""
    asked = parse_as(WebhookCreate, parse_json(await request.body()))
    wanted = Wanted(name=asked.name, url=asked.url, event_types=asked.event_types)
    retried = bool(tries_before(request.headers))
    made = await endpoints.make(parts, caller, wanted, retried=retried)
    return WebhookWithSecret.of(parts, made)


@router.get(
    "/webhook_endpoints",
    operation_id="openai_list_webhook_endpoints",
    summary="List webhook endpoints",
    responses=error_responses(400, dialect=Dialect.OPENAI),
)
async def list_(
    parts: AnyParts,
    caller: Admin,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> WebhookPage:
    """The newest first, those of single jobs too."""
    found, more = await endpoints.page(parts, caller, after=after, limit=limit)
    return WebhookPage(
        data=[WebhookRead.of(parts, each) for each in found],
        first_id=found[0].id if found else None,
        last_id=found[-1].id if found else None,
        has_more=more,
    )


@router.get(
    "/webhook_endpoints/{webhook_endpoint_id}",
    operation_id="openai_get_webhook_endpoint",
    summary="Read a webhook endpoint",
    responses=error_responses(400, 404, dialect=Dialect.OPENAI),
)
async def retrieve(parts: AnyParts, caller: Admin, webhook_endpoint_id: EndpointId) -> WebhookRead:
    """Without its secret."""
    return WebhookRead.of(parts, await endpoints.found(parts, caller, webhook_endpoint_id))


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}",
    operation_id="openai_update_webhook_endpoint",
    summary="Change a webhook endpoint",
    responses=error_responses(400, 404, 409, dialect=Dialect.OPENAI),
    openapi_extra=body_of(WebhookUpdate),
)
async def update(
    request: Request, parts: AnyParts, caller: Admin, webhook_endpoint_id: EndpointId
) -> WebhookRead:
    """What is not named stays."""
    asked = parse_as(WebhookUpdate, parse_json(await request.body()))
    changes = {name: getattr(asked, name) for name in asked.model_fields_set}
    return WebhookRead.of(
        parts, await endpoints.change(parts, caller, webhook_endpoint_id, changes)
    )


@router.delete(
    "/webhook_endpoints/{webhook_endpoint_id}",
    operation_id="openai_delete_webhook_endpoint",
    summary="Delete a webhook endpoint",
    responses=error_responses(400, 404, dialect=Dialect.OPENAI),
)
async def delete(parts: AnyParts, caller: Admin, webhook_endpoint_id: EndpointId) -> WebhookDeleted:
    """It is told nothing more."""
    await endpoints.remove(parts, caller, webhook_endpoint_id)
    return WebhookDeleted(id=webhook_endpoint_id)


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/rotate_secret",
    operation_id="openai_rotate_webhook_secret",
    summary="Rotate the secret of a webhook endpoint",
    responses=error_responses(400, 404, dialect=Dialect.OPENAI),
    openapi_extra=body_of(WebhookRotate),
)
async def rotate_secret(
    request: Request, parts: AnyParts, caller: Admin, webhook_endpoint_id: EndpointId
) -> WebhookWithSecret:
    """The old one signs no more, unless it is kept active for 24 hours."""
    asked = parse_as(WebhookRotate, parse_json(await request.body() or b"{}"))
    rotated = await endpoints.rotate(
        parts,
        caller,
        webhook_endpoint_id,
        keep_old=asked.keep_old_secret_active_for_24_hours,
        retried=bool(tries_before(request.headers)),
    )
    return WebhookWithSecret.of(parts, rotated)


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/test",
    operation_id="openai_test_webhook_endpoint",
    summary="Send a sample to a webhook endpoint",
    responses=error_responses(400, 404, dialect=Dialect.OPENAI),
    openapi_extra=body_of(WebhookTest),
)
async def test(
    request: Request, parts: AnyParts, caller: Admin, webhook_endpoint_id: EndpointId
) -> WebhookTested:
    """One signed delivery, now; 400 where nothing answers."""
    asked = parse_as(WebhookTest, parse_json(await request.body()))
    posted = await endpoints.test(parts, caller, webhook_endpoint_id, asked.event_type)
    if posted.status is None:
        message = f"nothing answers at the URL of {webhook_endpoint_id}: {posted.error}"
        raise InvalidRequestError(message, field="webhook_endpoint_id")
    return WebhookTested(
        webhook_endpoint_id=webhook_endpoint_id,
        event_type=asked.event_type,
        status_code=posted.status,
    )


@router.get(
    "/webhook_event_types",
    operation_id="openai_list_webhook_event_types",
    summary="List the types of events",
    responses=error_responses(dialect=Dialect.OPENAI),
)
async def event_types(caller: Admin) -> WebhookEventTypes:  # noqa: ARG001 - who asks is checked
    """Those of OpenAI's that happen here; the native ones are at /api/v1/webhooks/event_types."""
    return WebhookEventTypes(data=[each for each in EventType if each in OF_OPENAI])
