"""Alive, and ready to accept."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from redis.exceptions import RedisError
from sqlalchemy import text

from api.deps import AnyParts, Parts
from shared.db.engine import is_connection_loss

router = APIRouter(tags=["health"])

CHECK_SECONDS = 2.0


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether jobs can be accepted; Redis is not needed for that."""

    status: Literal["ok", "degraded", "unavailable"]
    postgres: Literal["ok", "away"]
    redis: Literal["ok", "away"]


@router.get("/healthz", operation_id="healthz", summary="Alive")
async def healthz() -> Alive:
    """Asks nothing but this process."""
    return Alive()


@router.get(
    "/readyz", operation_id="readyz", summary="Ready to accept", responses={503: {"model": Ready}}
)
async def readyz(parts: AnyParts, response: Response) -> Ready:
    """200 while jobs can be accepted; without Redis they wait and nothing is lost."""
    postgres, redis = await asyncio.gather(_postgres(parts), _redis(parts))
    if not postgres:
        response.status_code = 503
    status: Literal["ok", "degraded", "unavailable"] = (
        "unavailable" if not postgres else "ok" if redis else "degraded"
    )
    return Ready(
        status=status,
        postgres="ok" if postgres else "away",
        redis="ok" if redis else "away",
    )


async def _postgres(parts: Parts) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS), parts.database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
    except Exception as error:
        if not is_connection_loss(error):
            raise
        return False
    return True


async def _redis(parts: Parts) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await parts.doorbell.answers()
    except (RedisError, OSError, TimeoutError):
        return False
