"""Submit one prompt or a file of them, and wait for the answer where that is wanted."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.client import JOBS, Client
from cli.errors import InputError
from cli.jobs.choose import is_final
from cli.jobs.told import NOBODY, Webhook
from cli.run.labels import NO_LABELS, Labels
from cli.run.order import checked_file, request_of, wish_for
from cli.run.reader import Format
from cli.run.requests import Row, Wish
from cli.run.submit import submit
from cli.run.unsent import require_all
from shared.domain.ids import IdKind, new_id

WAIT_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What every job of a submission shares."""

    wish: Wish
    lane: str
    rehearse: bool
    batch: str | None
    idempotency_key: str | None
    policy: dict[str, Any] | None = None
    labels: Labels = NO_LABELS
    webhook: Webhook = NOBODY
    stream: bool = False
    """The answer shall be told while it comes."""

    def job(self, request: dict[str, Any], batch: str | None) -> dict[str, Any]:
        """A job as the API takes it."""
        if self.stream:
            request = {**request, "stream": True}
        job: dict[str, Any] = {
            "request": request, "lane": self.lane, "rehearse": self.rehearse, **self.labels.fields,
            **self.webhook.fields,
        }  # fmt: skip
        if self.policy is not None:
            job["policy"] = self.policy
        return {**job, "batch": batch} if batch else job


def read_prompt(argument: str | None) -> str:
    """The prompt out of the argument, or out of stdin. Raises InputError."""
    if argument not in {None, "-"}:
        return str(argument)
    if sys.stdin.isatty():
        raise InputError("no prompt: give it as an argument, pipe it in, or name a --file")
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise InputError("stdin: not UTF-8") from None


async def submit_prompt(api: Client, submission: Submission) -> dict[str, Any]:
    """The accepted job of one prompt; the same idempotency key gives the same job."""
    job = submission.job(request_of({}, Format.COLUMNS, submission.wish), submission.batch)
    return await api.post(JOBS, job, idempotency_key=submission.idempotency_key)


async def submit_file(api: Client, file: Path, submission: Submission) -> tuple[str, list[str]]:
    """The label and the ids of a file's jobs, in its order. Raises InputError."""
    wish = wish_for(file, submission.wish)
    prompts = checked_file(file, wish, None)
    key = submission.idempotency_key
    # The same key must mean the same bodies: the label that is made here comes out of it.
    batch = submission.batch or (f"file_{key}"[:64] if key else new_id(IdKind.RUN))

    def line(row: Row, number: int) -> dict[str, Any]:
        job = submission.job(request_of(row, prompts.format, wish), batch)
        job["metadata"] = {"line": str(number)}
        return {**job, "idempotency_key": f"{key}:{number}"} if key else job

    return batch, require_all(await submit(prompts, line, api))


async def wait_for(api: Client, job_id: str) -> dict[str, Any]:
    """The job when it has ended."""
    while not is_final(job := await api.job(job_id, wait=WAIT_SECONDS)):
        pass
    return job
