"""Who dispatches which route: one holder at a time, an optimisation and not a guard."""

from collections.abc import Sequence

from redis.asyncio import Redis

from shared.meters.scripts import load_script


class Holder:
    """Holds routes for one process; a hold ends by itself when it is not renewed."""

    def __init__(self, redis: Redis, name: str, seconds: float) -> None:
        self._name = name
        self._milliseconds = round(seconds * 1000)
        self._hold = load_script(redis, "hold_routes")
        self._drop = load_script(redis, "drop_routes")

    async def hold(self, routes: Sequence[str]) -> set[str]:
        """Those of the routes that are ours for the next while. Raises RedisError."""
        if not routes:
            return set()
        answers = await self._hold(keys=_keys(routes), args=[self._name, self._milliseconds])
        return {route for route, held in zip(routes, answers, strict=True) if held}

    async def drop(self, routes: Sequence[str]) -> None:
        """Leave the routes to whoever asks next. Raises RedisError."""
        if routes:
            await self._drop(keys=_keys(routes), args=[self._name])


def _keys(routes: Sequence[str]) -> list[str]:
    return [f"pm:holder:{route}" for route in routes]
