"""Pages of other origins: whose scripts may call this API, and which headers they may read."""

from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api.faces import heads
from api.middleware import REQUEST_ID

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
EXPOSED: Final = (
    heads.COST, heads.DROPPED, heads.JOB, heads.MODEL, heads.REPLAYED, REQUEST_ID,
    "content-disposition", "location", "retry-after", "x-incomplete",
    "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
    "x-should-retry",
)  # fmt: skip
PREFLIGHT_SECONDS: Final = 600


def allow(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Let pages of these origins call; none: browsers keep every other page out.

    A key goes by its header, so no cookie is ever looked at and none is asked for.
    """
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=("*",),
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_SECONDS,
        )
