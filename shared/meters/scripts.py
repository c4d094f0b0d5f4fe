"""The Lua scripts beside this file, loaded once a client."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError

GAUGES: Final = "gauges"
"""What the scripts of a meter stand on."""


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of a script."""

    script: AsyncScript
    keys: Sequence[str]
    args: Sequence[str | int]


def load_script(redis: Redis, *names: str) -> AsyncScript:
    """The script of these files, one after the other; sent in full only where Redis forgot it."""
    texts = ((files("shared.meters") / f"{name}.lua").read_text("utf-8") for name in names)
    return redis.register_script("".join(texts))


async def run_together(redis: Redis, calls: Sequence[ScriptCall]) -> list[Any]:
    """The replies to all of these, in one round trip. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for call in calls:
            pipeline.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)
        replies = await pipeline.execute(raise_on_error=False)
    for i, (call, reply) in enumerate(zip(calls, replies, strict=True)):
        if isinstance(reply, NoScriptError):
            replies[i] = await call.script(keys=call.keys, args=call.args)
        elif isinstance(reply, Exception):
            raise reply
    return replies
