"""The HTTP client of the command: the native API, every error a sentence."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final

import httpx2
import orjson

from shared.domain.errors import PromptmillError, UnavailableError

PAGE: Final = 500
RETRY_SECONDS: Final = 0.4


class RefusedError(PromptmillError):
    """The API said no; `line` is the line of a bulk body, where it names one."""

    code = "refused"

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class Client:
    """The calls that the command needs."""

    def __init__(self, http: httpx2.AsyncClient, patience: float) -> None:
        self._http = http
        self._patience = patience

    async def submit_lines(self, lines: Sequence[bytes]) -> list[dict[str, Any]]:
        """POST /jobs/bulk; what became of each line, in order."""
        reply = await self._call("POST", "/api/v1/jobs/bulk", content=b"\n".join(lines))
        jobs: list[dict[str, Any]] = reply["jobs"]
        return jobs

    async def summary(self, batch: str | None = None) -> dict[str, Any]:
        """Counts by state, cost and tokens."""
        params = {"batch": batch} if batch else {}
        return await self._call("GET", "/api/v1/jobs/summary", params=params)

    async def results(self, batch: str) -> AsyncIterator[dict[str, Any]]:
        """Every job of a batch with its result, the oldest first."""
        params: dict[str, str | int] = {
            "batch": batch, "order": "asc", "include": "result", "limit": PAGE,
        }  # fmt: skip
        more = True
        while more:
            page = await self._call("GET", "/api/v1/jobs", params=params)
            for job in page["data"]:
                yield job
            more = page["has_more"]
            params["after"] = page["next"]

    async def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Repeat it while the API is away; every call here is harmless when repeated."""
        deadline = monotonic() + self._patience
        while True:
            try:
                return await self._call_once(method, path, **request)
            except UnavailableError:
                if monotonic() >= deadline:
                    raise
            await asyncio.sleep(RETRY_SECONDS)

    async def _call_once(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, **request)
        except httpx2.TransportError as error:
            message = f"the API does not answer ({type(error).__name__})"
            raise UnavailableError(message) from None
        if response.status_code >= 500:
            message = f"the API answered {response.status_code}"
            raise UnavailableError(message)
        body: dict[str, Any] = orjson.loads(response.content)
        if response.is_error:
            raise RefusedError(body["error"]["message"], body["error"]["line"])
        return body


@asynccontextmanager
async def connect(url: str, key: str, *, patience: float = 0.0) -> AsyncIterator[Client]:
    """A client of the API at `url`; it waits so many seconds for one that is away."""
    headers = {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60.0) as http:
        yield Client(http, patience)
