"""A client that watches a job by server-sent events, and comes back where it was."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import orjson

from tests.mill import MODEL

LINE_END: Final = re.compile(rb"\r\n|\n|\r(?=[^\n])")
"""A CR at the very end of a chunk waits for what follows it."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event."""

    name: str
    data: dict[str, Any]
    id: str | None


async def events_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[Told]:
    """The events of a stream, read by the rules of the standard."""
    known: dict[str, str] = {}
    async for line in lines_of(chunks):
        if line:
            name, _, value = line.partition(":")
            known[name] = value.removeprefix(" ")
            continue
        if "event" in known:
            yield Told(known["event"], orjson.loads(known["data"]), known.get("id"))
        known = {}


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Lines as the standard ends them, and nothing else does: CR, LF or both."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = LINE_END.split(rest + chunk)
        for line in lines:
            yield line.decode()


@dataclass
class Watcher:
    """Adds the deltas up, as any client would."""

    client: httpx2.AsyncClient
    job_id: str
    last: str | None = None
    text: str = ""
    rewinds: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    job: dict[str, Any] = field(default_factory=dict)
    connections: int = 0

    async def watch(self) -> None:
        """One connection, until its end or the job's."""
        headers = {"last-event-id": self.last} if self.last else {}
        path = f"/api/v1/jobs/{self.job_id}/events"
        async with self.client.stream("GET", path, headers=headers) as reply:
            assert reply.status_code == 200, await reply.aread()
            assert reply.headers["content-type"].startswith("text/event-stream")
            self.connections += 1
            async for told in events_of(reply.aiter_bytes()):
                self.hear(told)

    def hear(self, told: Told) -> None:
        if told.id is not None:
            self.last = told.id
            self.ids.append(told.id)
        match told.name:
            case "state":
                self.states.append(told.data["state"])
            case "delta":
                self.text += told.data.get("text", "")
            case "rewind":
                self.rewinds.append(told.data["reason"])
                self.text = ""
            case "end":
                self.job = told.data
            case _:
                assert told.name == "begin"


def streamed_body(number: int, **changes: Any) -> dict[str, Any]:
    """A job whose answer is told while it comes."""
    messages = [{"role": "user", "content": f"question {number}"}]
    request = {"model": MODEL, "messages": messages, "max_tokens": 20, "stream": True}
    return {"request": request, "rehearse": True, "lane": "interactive", **changes}
