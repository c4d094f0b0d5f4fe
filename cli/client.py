"""The HTTP client of the command: the native API, every error a sentence."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

import httpx2
import orjson

from shared.domain.errors import PromptmillError, UnavailableError

JOBS: Final = "/api/v1/jobs"
QUOTE: Final = "/api/v1/quote"
LINES: Final = {"content-type": "application/x-ndjson"}
PAGE: Final = 500
RETRY_SECONDS: Final = 0.4
BUSY: Final = frozenset({429, 503})
COME_AGAIN: Final = frozenset({"rate_limited", "queue_full"})


class RefusedError(PromptmillError):
    """The API said no; `line` is the line of a bulk body, where it names one."""

    code = "refused"

    def __init__(self, message: str, line: int | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.line = line
        self.status = status


class BusyError(UnavailableError):
    """Not now, says the API: the caller's limit or a full queue; `seconds` later it may be."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Client:
    """The calls that the command needs."""

    def __init__(self, http: httpx2.AsyncClient, patience: float) -> None:
        self._http = http
        self._patience = patience
        self._where = str(http.base_url).rstrip("/")

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The JSON at a path; parameters that are None are left out."""
        known = {name: value for name, value in params.items() if value is not None}
        return await self._call("GET", path, params=known)

    async def post(
        self, path: str, body: Any = None, *, params: dict[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """What a POST answers; only give patience to what may be repeated."""
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        content = b"" if body is None else orjson.dumps(body)
        return await self._call("POST", path, content=content, params=params or {}, headers=headers)

    async def put(self, path: str, body: Any) -> dict[str, Any]:
        """What a PUT answers."""
        return await self._call("PUT", path, content=orjson.dumps(body))

    async def patch(self, path: str, body: Any) -> dict[str, Any]:
        """What a PATCH answers."""
        return await self._call("PATCH", path, content=orjson.dumps(body))

    async def delete(self, path: str) -> dict[str, Any]:
        """What a DELETE answers."""
        return await self._call("DELETE", path)

    async def submit_lines(self, lines: Sequence[bytes]) -> list[dict[str, Any]]:
        """POST /jobs/bulk; what became of each line, in order."""
        reply = await self._call("POST", f"{JOBS}/bulk", content=b"\n".join(lines))
        jobs: list[dict[str, Any]] = reply["jobs"]
        return jobs

    async def quote_lines(self, lines: Sequence[bytes], of: int) -> dict[str, Any]:
        """POST /quote for lines of a file that has so many."""
        body = b"\n".join(lines)
        return await self._call("POST", QUOTE, content=body, params={"of": of}, headers=LINES)

    async def job(self, job_id: str, wait: float | None = None) -> dict[str, Any]:
        """One job; with `wait`, when it has ended or after so many seconds."""
        return await self.get(f"{JOBS}/{quote(job_id, safe='')}", wait=wait)

    async def summary(self, batch: str | None = None) -> dict[str, Any]:
        """Counts by state, cost and tokens."""
        return await self.get(f"{JOBS}/summary", batch=batch)

    async def jobs(self, **params: Any) -> AsyncIterator[dict[str, Any]]:
        """Every job that the parameters of GET /jobs choose, page by page."""
        asked = {"limit": PAGE, **params}
        more = True
        while more:
            page = await self.get(JOBS, **asked)
            for job in page["data"]:
                yield job
            more = page["has_more"]
            asked["after"] = page["next"]

    def results(self, batch: str) -> AsyncIterator[dict[str, Any]]:
        """Every job of a batch with its result, the oldest first."""
        return self.jobs(batch=batch, order="asc", include="result")

    async def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Repeat it while the API is away; every call here is harmless when repeated.

        Who has patience at all waits for room as long as it takes: the API is there, and says when.
        """
        deadline = monotonic() + self._patience
        while True:
            pause = RETRY_SECONDS
            try:
                return await self._call_once(method, path, **request)
            except BusyError as error:
                if not self._patience:
                    raise
                pause = error.seconds
            except UnavailableError:
                if monotonic() >= deadline:
                    raise
            await asyncio.sleep(pause)

    async def _call_once(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, **request)
        except httpx2.TransportError as error:
            message = f"the API at {self._where} does not answer ({type(error).__name__})"
            raise UnavailableError(message) from None
        return self._body_of(response)

    async def lines(self, path: str, headers: dict[str, str]) -> AsyncGenerator[str]:
        """The lines of a reply that lasts. Raises UnavailableError when it breaks off."""
        try:
            async with self._http.stream("GET", path, headers=headers) as response:
                if not response.is_success:
                    await response.aread()
                    self._body_of(response)
                rest = ""
                async for text in response.aiter_text():
                    # Not at every character that Unicode calls the end of a line: JSON holds some.
                    *lines, rest = (rest + text).split("\n")
                    for line in lines:
                        yield line.removesuffix("\r")
        except httpx2.TransportError as error:
            message = f"the API at {self._where} is gone ({type(error).__name__})"
            raise UnavailableError(message) from None

    def _body_of(self, response: httpx2.Response) -> dict[str, Any]:
        """The JSON of a reply; RefusedError or UnavailableError says why there is none."""
        if response.status_code in BUSY and (busy := _busy(response)):
            raise busy
        if response.status_code >= 500:
            message = f"the API at {self._where} answered {response.status_code}"
            raise UnavailableError(message)
        try:
            body: dict[str, Any] = orjson.loads(response.content)
            error_told = None if response.is_success else body["error"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            message = (
                f"{self._where} answered {response.status_code}, and not as Promptmill's API "
                "does: check the URL"
            )
            raise RefusedError(message, status=response.status_code) from None
        if error_told is not None:
            raise RefusedError(error_told["message"], error_told["line"], response.status_code)
        return body


def _busy(response: httpx2.Response) -> BusyError | None:
    """What is said by an API that takes the same later; None: it does not say so."""
    try:
        error = orjson.loads(response.content)["error"]
        seconds = float(response.headers["retry-after"])
        code, message = str(error["code"]), str(error["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    return BusyError(message, seconds) if code in COME_AGAIN else None


@asynccontextmanager
async def connect(url: str, key: str, *, patience: float = 0.0) -> AsyncIterator[Client]:
    """A client of the API at `url`; it waits so many seconds for one that is away."""
    headers = {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60.0) as http:
        yield Client(http, patience)
