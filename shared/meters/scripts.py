"""The Lua scripts beside this file, loaded once a client."""

from importlib.resources import files

from redis.asyncio import Redis
from redis.commands.core import AsyncScript


def load_script(redis: Redis, name: str) -> AsyncScript:
    """The script of `name`.lua; sent by its digest, in full only where Redis forgot it."""
    return redis.register_script((files("shared.meters") / f"{name}.lua").read_text("utf-8"))
