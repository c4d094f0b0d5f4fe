"""Tokens before a call, and how well they were counted, over HTTP; nobody is called."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.bodies import body_of
from api.deps import AnyParts, Reader
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from shared.catalog.deployments import Catalog, Model
from shared.catalog.families import family_of
from shared.catalog.tokens import count_inputs, least_input
from shared.db.answers import MOST_COMPARED, Measured, read_measured
from shared.domain.clock import SystemClock
from shared.domain.errors import UnknownModelError
from shared.domain.generation import GenerationRequest

router = APIRouter(prefix="/api/v1/tokens", tags=["catalog"])
MOST_MODELS: Final = 50
EXAMPLE: Final = {
    "request": {
        "model": "gpt-4.1-mini",
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    },
    "models": ["gpt-4.1-mini", "claude-haiku-4-5"],
}


class TokensAsked(BaseModel):
    """A request, and the models that it is counted for."""

    model_config = ConfigDict(extra="forbid")

    request: GenerationRequest
    models: Annotated[tuple[str, ...], Field(max_length=MOST_MODELS)] = ()
    """Names or aliases; that of the request where there are none."""


class Counted(BaseModel):
    """The request as one model's providers count it."""

    model: str
    deployments: list[str]
    """Whose count this is, the preferred first."""
    counted: Literal["exact", "upper estimate"]
    """Of plain text; images, documents, tools and schemas are always estimated."""
    input_tokens: int
    """What rate and money are reserved for."""
    least_input_tokens: int
    """Surely no fewer."""
    context_window: int
    max_output: int
    context_left: int
    """For the answer; below zero it does not fit."""


class CountedAll(BaseModel):
    """In the order of the models."""

    data: list[Counted]


class Accuracy(BaseModel):
    """How well the input of one deployment was counted; errors are parts of what was billed.

    0.05 is 5 % too much.
    """

    deployment: str
    answers: int
    counted_tokens: int
    billed_tokens: int
    bias: float
    """The mean error: below zero where too little was counted."""
    mean_error: float
    """The mean of the sizes."""
    p95_error: float
    too_few: int
    """Answers that were billed more input than was counted."""


class AccuracyList(BaseModel):
    """Of every deployment that answered the caller's jobs."""

    days: int
    data: list[Accuracy]


@router.post(
    "",
    operation_id="count_tokens",
    summary="Count a request's tokens for several models",
    responses=error_responses(400, 413),
    openapi_extra=body_of(TokensAsked, example=EXAMPLE),
)
async def count_tokens(request: Request, parts: AnyParts, _: Reader) -> CountedAll:
    """As they are counted before a call; exact for text to models whose vocabulary is known."""
    asked = parse_as(TokensAsked, parse_json(await request.body()))
    named = asked.models or (asked.request.model,)
    models = [_model(parts.catalog, name, n, asked) for n, name in enumerate(named)]
    counted = await asyncio.to_thread(_count, parts.catalog, asked.request, models)
    return CountedAll(data=counted)


@router.get(
    "/accuracy",
    operation_id="token_accuracy",
    summary="How well input tokens were counted",
    responses=error_responses(400),
)
async def token_accuracy(
    parts: AnyParts, caller: Reader, days: Annotated[int, Query(ge=1, le=365)] = 30
) -> AccuracyList:
    """Counted before the call against billed after it, of the newest 20000 jobs at most."""
    since = SystemClock().now() - timedelta(days=days)
    async with parts.database.transaction() as connection:
        found = await read_measured(connection, caller.tenant_id, since, MOST_COMPARED)
    return AccuracyList(days=days, data=[_accuracy(each) for each in found.values()])


def _model(catalog: Catalog, name: str, place: int, asked: TokensAsked) -> Model:
    """Raises UnknownModelError that names the field."""
    try:
        return catalog.model(name)
    except UnknownModelError as error:
        error.field = f"models[{place}]" if asked.models else "request.model"
        raise


def _count(catalog: Catalog, request: GenerationRequest, models: Sequence[Model]) -> list[Counted]:
    counts = count_inputs([request] * len(models), models)
    return [
        Counted(
            model=model.id,
            deployments=[each.id for each in catalog.plan(model.id)],
            counted="exact" if family_of(model.priced_as).exact else "upper estimate",
            input_tokens=tokens,
            least_input_tokens=min(least_input(request, model), tokens),
            context_window=model.context_window,
            max_output=model.max_output,
            context_left=model.context_window - tokens,
        )
        for model, tokens in zip(models, counts, strict=True)
    ]


def _accuracy(measured: Measured) -> Accuracy:
    return Accuracy(
        deployment=measured.deployment,
        answers=measured.answers,
        counted_tokens=measured.counted,
        billed_tokens=measured.billed,
        bias=round(measured.bias, 6),
        mean_error=round(measured.mean_error, 6),
        p95_error=round(measured.p95_error, 6),
        too_few=measured.too_few,
    )
