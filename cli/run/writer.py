"""Answers in the order and the shape of the file that asked."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from cli.errors import InputError
from cli.run.reader import Format, PromptFile
from cli.run.requests import OURS, Row
from cli.run.sheet import ANSWER_COLUMNS, Sheet, flat, is_sheet
from cli.run.unsent import Handed, Unsent
from shared.faces.openai_batch_line import answered_line, unanswered_line
from shared.faces.openai_reply import reply_of

UNSENT: Final = "unsent"
"""Where a line is that never was a job."""


@dataclass(slots=True)
class Written:
    """What went into the file."""

    answered: int = 0
    failed: int = 0
    truncated: int = 0
    """Answers that ended at max_tokens."""
    unknown_costs: int = 0
    unsent: int = 0
    """Failed before they were jobs: a budget had no room."""
    cost_nano: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def count(self, job: dict[str, Any]) -> None:
        """Add one job."""
        self.cost_nano += job["cost"]["nano_usd"]
        self.unknown_costs += job["cost"]["unknown"]
        self.unsent += job["id"] is None
        result = job["result"]
        if result is None:
            self.failed += 1
            return
        self.answered += 1
        self.truncated += result["finish_reason"] == "length"
        usage = result["usage"] or {}
        self.input_tokens += usage.get("input_tokens", 0)
        self.output_tokens += usage.get("output_tokens", 0)


async def write_answers(
    prompts: PromptFile, handed: Sequence[Handed], jobs: AsyncIterator[dict[str, Any]], out: Path
) -> Written:
    """Write one line per prompt, all or nothing; memory holds only what came out of order.

    Raises InputError when the file cannot be written.
    """
    written, early = Written(), dict[str, dict[str, Any]]()
    rows = iter(zip(prompts.rows(), handed, strict=True))
    half = out.with_name(out.name + ".part")
    try:
        with half.open("wb") as file:
            write = _line_writer(prompts, file, out)
            row, wanted = next(rows)
            async for job in jobs:
                early[job["id"]] = job
                while found := _taken(early, wanted):
                    written.count(found)
                    write(row, found)
                    row, wanted = next(rows, ({}, ""))
        if wanted:
            message = f"{out}: job {wanted} is not there any more; add --restart to begin anew"
            raise InputError(message)
        half.replace(out)
    except OSError as error:
        message = f"{out}: {(error.strerror or str(error)).lower()}; choose another -o"
        raise InputError(message) from None
    return written


def _taken(early: dict[str, dict[str, Any]], wanted: Handed) -> dict[str, Any] | None:
    """The job of the next line, if it is there already or never was one."""
    return wanted.as_job() if isinstance(wanted, Unsent) else early.pop(wanted, None)


def sheet_columns(prompts: PromptFile) -> list[str]:
    """The columns of a table of these prompts' answers."""
    given = list(prompts.columns) if prompts.format is Format.COLUMNS else ["custom_id"]
    return [*given, *(f"{OURS}.{name}" for name in ANSWER_COLUMNS)]


def _line_writer(
    prompts: PromptFile, file: IO[bytes], out: Path
) -> Callable[[Row, dict[str, Any]], object]:
    if not is_sheet(out):
        return lambda row, job: file.write(as_bytes(line(row, job, prompts.format)))
    sheet = Sheet(file, out, sheet_columns(prompts))
    return lambda row, job: sheet.write({**row, **flat(answer(job), f"{OURS}.")})


def as_bytes(found: dict[str, Any]) -> bytes:
    """One line of JSON; the input's integers may be longer than 64 bits."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def line(row: Row, job: dict[str, Any], line_format: Format) -> dict[str, Any]:
    """One line of the output."""
    if line_format is Format.BATCH:
        return _batch_line(row, job)
    return {**row, OURS: answer(job)}


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """What the mill says about one prompt."""
    result = job["result"] or {}
    return {
        "id": job["id"],
        "state": job["state"],
        "model": result.get("model", job["model"]),
        "content": result.get("content"),
        "finish_reason": result.get("finish_reason"),
        "refusal": result.get("refusal"),
        "usage": result.get("usage"),
        "cost": job["cost"],
        "tries": job["tries"],
        "error": job["error"],
    }


def _batch_line(row: Row, job: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's output line, with the cost beside it."""
    ours = {"id": job["id"], "state": job["state"], "cost": job["cost"], "tries": job["tries"]}
    return {**_openai_line(row, job), OURS: ours}


def _openai_line(row: Row, job: dict[str, Any]) -> dict[str, Any]:
    job_id, custom_id = job["id"], row["custom_id"]
    if job["result"] is not None:
        created = int(datetime.fromisoformat(job["finished_at"]).timestamp())
        asked = {"encoding_format": row["body"].get("encoding_format")}
        body = reply_of(row["url"], job_id, created, job["result"], **asked)
        return answered_line(job_id, custom_id, body)
    error = job["error"] or {"kind": job["state"], "message": job["state"]}
    state, kind, message = job["state"], error["kind"], error["message"]
    return unanswered_line(job_id, custom_id, state, kind, message, UNSENT)
