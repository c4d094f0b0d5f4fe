"""Print an answer as it comes; a connection that breaks is made anew where it broke."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

import orjson

from cli.client import JOBS, Client
from cli.errors import stderr
from cli.output import print_json
from shared.domain.errors import UnavailableError

RETRY_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event of a job."""

    name: str
    data: dict[str, Any]
    id: str | None


class Printer:
    """The answer on stdout, as far as it is known."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._printed = False
        self._whole = True
        """Nothing is missing of what was printed."""

    def hear(self, event: Event) -> None:
        """Print what is new."""
        if self._as_json:
            print_json([{"event": event.name, "id": event.id, "data": event.data}])
            sys.stdout.flush()
        elif event.name == "delta":
            self._print(event.data.get("text", ""))
        elif event.name == "rewind":
            self._void(event.data["reason"])
        elif event.name == "end":
            self._end(event.data)

    def _print(self, text: str) -> None:
        if text:
            self._printed = self._whole = True
            sys.stdout.write(text)
            sys.stdout.flush()

    def _void(self, reason: str) -> None:
        self._whole = False
        if self._printed:
            self._print("\n")
            stderr.print(f"what stands above is void ({reason}); the answer follows", markup=False)
            self._printed = self._whole = False

    def _end(self, job: dict[str, Any]) -> None:
        if job["result"] is not None and not (self._printed and self._whole):
            self._print(job["result"]["content"])
        if self._printed:
            self._print("\n")


async def tell_answer(
    api: Client, job_id: str, printer: Printer, patience: float
) -> dict[str, Any]:
    """The job when it has ended and its answer is printed.

    The API may be away for so many seconds of patience.
    """
    path = f"{JOBS}/{quote(job_id, safe='')}/events"
    headers: dict[str, str] = {}
    gone_at: float | None = None
    while True:
        try:
            async with aclosing(api.lines(path, headers)) as lines:
                async for event in events_of(lines):
                    gone_at = None
                    if event.id:
                        headers["last-event-id"] = event.id
                    printer.hear(event)
                    if event.name == "end":
                        return event.data
        except UnavailableError:
            gone_at = gone_at or monotonic()
            if monotonic() - gone_at > patience:
                raise
        await asyncio.sleep(RETRY_SECONDS)


async def events_of(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """The events in these lines; one that is not ended by an empty line is none."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(":")
        if line:
            fields[name] = value.removeprefix(" ")
        elif "event" in fields and "data" in fields:
            yield Event(fields["event"], orjson.loads(fields["data"]), fields.get("id"))
            fields = {}
        else:
            fields = {}
