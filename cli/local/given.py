"""Servers that the user brings: asked once, before anything is started upon them."""

from typing import Final

import psycopg
from redis.exceptions import RedisError

from cli.stack.errors import StackError
from cli.stack.options import StackOptions
from shared.redis_client import connect_redis

CONNECT_SECONDS: Final = 5


async def require_given(options: StackOptions) -> None:
    """Raises StackError that names the variable whose server does not answer."""
    if options.database_url:
        await require_database(options.database_url)
    if options.redis_url:
        await _require_redis(options.redis_url)


async def require_database(url: str) -> None:
    """Raises StackError when no database answers at `url`, in any form that we take."""
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        connection = await psycopg.AsyncConnection.connect(plain, connect_timeout=CONNECT_SECONDS)
        await connection.close()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        message = f"DATABASE_URL: no database answers there ({reason})"
        raise StackError(message) from None


async def _require_redis(url: str) -> None:
    try:
        client = connect_redis(url, max_connections=1)
        try:
            await client.ping()
        finally:
            await client.aclose()
    except (RedisError, OSError, ValueError) as error:
        message = f"REDIS_URL: no Valkey or Redis answers there ({error})"
        raise StackError(message) from None
