"""The connections below every official client, and what it means when one breaks."""

import aiohttp
import httpx2
import openai

from shared.domain.failure import FailureKind
from worker.adapters.base import CallError


def http_client(connections: int) -> httpx2.AsyncClient:
    """A client over aiohttp: half the CPU of the stock transport; made on the loop that uses it."""
    return openai.DefaultAioHttpClient(
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    )


def connection_error(error: BaseException) -> CallError:
    """Tell apart what was never sent from what may have been billed."""
    cause = _cause_below_transport(error)
    match cause:
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return CallError(FailureKind.UNREACHABLE, f"no connection: {_name(cause)}")
        case TimeoutError():
            return CallError(FailureKind.TIMEOUT, "the provider did not answer in time")
        case _:
            return CallError(FailureKind.CONNECTION, f"the connection broke: {_name(cause)}")


def _cause_below_transport(error: BaseException) -> BaseException:
    """The word of aiohttp: the transport above it calls a dropped connection a timeout, too."""
    cause = error
    while not isinstance(cause, aiohttp.ClientError):
        below = cause.__cause__ or cause.__context__
        if below is None:
            break
        cause = below
    return cause


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
