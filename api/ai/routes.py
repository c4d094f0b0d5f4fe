"""The native forms over HTTP: a prompt or messages in, the answer or its job out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import ORJSONResponse, Response
from pydantic import BaseModel

from api.ai.replies import Answer
from api.ai.requests import (
    CHAT_EXAMPLE,
    PROMPT_EXAMPLE,
    ROUTED_EXAMPLE,
    Asked,
    ChatAsked,
    CompletionAsked,
    GenerateAsked,
    RoutedAsked,
    Streamable,
    request_of,
    wishes_of,
)
from api.bodies import EVENTS, body_of
from api.deps import AnyParts, Parts, Writer
from api.errors import error_responses
from api.faces.ask import Ask, answer, ask, extension_of
from api.faces.heads import head_of
from api.jobs.find import find_job
from api.jobs.narrator import RETRY, Narrator
from api.jobs.parse import parse_as, parse_json
from api.jobs.schemas import JobRead, status_url_of
from api.jobs.telling import stream_of
from shared.db.accept import Accepted
from shared.db.tenants import Caller
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest
from shared.routing.complexity import judge
from shared.routing.policy import Complexity

router = APIRouter(prefix="/api/v1", tags=["ai"])
Form = TypeVar("Form", bound=Asked)
ACCEPTING: Final = (400, 402, 409, 413, 422)
ANSWERING: Final = (*ACCEPTING, 502, 504)


@dataclass(frozen=True, slots=True)
class Asking:
    """One request of a native form, on its way."""

    http: Request
    parts: Parts
    caller: Caller

    async def accept(self, form: type[Form], lane: str) -> tuple[Form, Accepted]:
        """Make it a job. Raises what `submit` raises."""
        raw = await self.http.body()
        body = parse_json(raw)
        asked = parse_as(form, body)
        more = {"lane": lane, **_with_wishes(extension_of(body), wishes_of(asked))}
        wanted = Ask(face=None, request=request_of(asked, body), raw=raw, body=body, more=more)
        return asked, await ask(self.parts, self.caller, self.http, wanted)

    async def answered(self, form: type[Form]) -> Response:
        """The answer, when it is there; or a stream, where one is asked for."""
        asked, accepted = await self.accept(form, "interactive")
        if isinstance(asked, Streamable) and asked.stream:
            stream = await stream_of(
                self.parts, self.caller, accepted.job_id, Narrator(None), hello=RETRY
            )
            stream.headers.update(_headers(accepted))
            return stream
        job = await answer(self.parts, self.caller, accepted)
        complexity = _complexity(asked) if isinstance(asked, RoutedAsked) else None
        return _reply(Answer.of(job, complexity), 200, _headers(accepted, job))


def _answering(shape: type[BaseModel], example: Any, *, streams: bool = True) -> dict[str, Any]:
    """What OpenAPI tells of a route that waits for its answer."""
    told: dict[int | str, dict[str, Any]] = dict(error_responses(*ANSWERING))
    if streams:
        told[200] = {"content": {EVENTS: {}}}
    return {
        "response_model": Answer,
        "responses": told,
        "openapi_extra": body_of(shape, example=example),
    }


@router.post(
    "/ai/completions",
    operation_id="ai_complete",
    summary="Answer a prompt",
    **_answering(CompletionAsked, PROMPT_EXAMPLE),
)
async def complete(http: Request, parts: AnyParts, caller: Writer) -> Response:
    """A prompt with or without a system text; the reply is the answer, or its stream.

    Out of time it is a `504` with the job's status URL, and the job goes on.
    """
    return await Asking(http, parts, caller).answered(CompletionAsked)


@router.post(
    "/ai/chat",
    operation_id="ai_chat",
    summary="Answer a conversation",
    **_answering(ChatAsked, CHAT_EXAMPLE),
)
async def chat(http: Request, parts: AnyParts, caller: Writer) -> Response:
    """The messages so far; the reply is the next, or its stream."""
    return await Asking(http, parts, caller).answered(ChatAsked)


@router.post(
    "/ai/chat/routed",
    operation_id="ai_chat_routed",
    summary="Answer by a model that is chosen by what is asked",
    **_answering(RoutedAsked, ROUTED_EXAMPLE),
)
async def chat_routed(http: Request, parts: AnyParts, caller: Writer) -> Response:
    """By complexity and preference; `/api/v1/explain` tells who would be asked, and why."""
    return await Asking(http, parts, caller).answered(RoutedAsked)


@router.post(
    "/generate",
    operation_id="generate",
    summary="Answer a prompt or messages",
    **_answering(GenerateAsked, PROMPT_EXAMPLE, streams=False),
)
async def generate(http: Request, parts: AnyParts, caller: Writer) -> Response:
    """Waits for the answer; out of time it is a `504` with the job's status URL."""
    return await Asking(http, parts, caller).answered(GenerateAsked)


@router.post(
    "/generate/async",
    status_code=202,
    operation_id="generate_async",
    summary="Accept a prompt or messages as a job",
    response_model=JobRead,
    responses=error_responses(*ACCEPTING),
    openapi_extra=body_of(GenerateAsked, example=PROMPT_EXAMPLE),
)
async def generate_async(http: Request, parts: AnyParts, caller: Writer) -> Response:
    """Accepted means committed; the reply has the status URL."""
    _, accepted = await Asking(http, parts, caller).accept(GenerateAsked, "standard")
    job = await find_job(parts, caller, accepted.job_id)
    return _reply(job, 202, _headers(accepted))


def _with_wishes(fields: dict[str, Any], wishes: Mapping[str, Any]) -> dict[str, Any]:
    """A job's fields with these in its policy; one that is no object is told of when it is read."""
    policy = fields.get("policy")
    if not wishes or not isinstance(policy, dict | None):
        return fields
    if twice := sorted(wishes.keys() & (policy or {}).keys()):
        message = f"promptmill.policy.{twice[0]}: the request says it already"
        raise InvalidRequestError(message, field=f"promptmill.policy.{twice[0]}")
    return {**fields, "policy": {**(policy or {}), **wishes}}


def _complexity(asked: RoutedAsked) -> Complexity:
    request = GenerationRequest(model=asked.model, messages=asked.turns)
    return judge(request, asked.complexity).complexity


def _headers(accepted: Accepted, job: JobRead | None = None) -> dict[str, str]:
    return {"Location": status_url_of(accepted.job_id), **head_of(accepted, job=job)}


def _reply(told: BaseModel, status: int, headers: Mapping[str, str]) -> Response:
    return ORJSONResponse(orjson.loads(told.model_dump_json()), status, dict(headers))
