"""Answers are written in the file's order, in the form of the file that asked, all or nothing."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.errors import InputError
from cli.run.reader import Format, PromptFile, read_file
from cli.run.writer import Written, write_answers

USAGE = {"input_tokens": 3, "cached_tokens": 0, "output_tokens": 2, "reasoning_tokens": 0}
COST = {"nano_usd": 5, "usd": "0.000000005", "unknown": False}


def job(number: int, **changes: Any) -> dict[str, Any]:
    result = {
        "content": f"answer {number}", "finish_reason": "stop", "model": "m-1",
        "refusal": None, "usage": USAGE,
    }  # fmt: skip
    found = {
        "id": f"job_{number}", "state": "succeeded", "model": "m", "tries": 1, "cost": COST,
        "result": result, "error": None, "finished_at": "2026-11-21T12:00:00Z",
    }  # fmt: skip
    return {**found, **changes}


def failed(number: int, kind: str) -> dict[str, Any]:
    error = {"kind": kind, "message": "why"}
    return job(number, state="failed", result=None, error=error)


def prompts(folder: Path, rows: Sequence[dict[str, Any]]) -> PromptFile:
    path = folder / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_file(path, lambda _row, _format: None)


async def write(found: PromptFile, jobs: Sequence[dict[str, Any]]) -> tuple[Written, list[Any]]:
    async def results() -> AsyncIterator[dict[str, Any]]:
        for each in jobs:
            yield each

    out = found.path.with_name("out.jsonl")
    ids = [f"job_{number}" for number in range(len(found))]
    written = await write_answers(found, ids, results(), out)
    return written, [json.loads(line) for line in out.read_text().splitlines()]


async def test_answers_stand_in_the_files_order_beside_its_columns(tmp_path: Path) -> None:
    rows = [{"n": 2**70 + number, "text": "ü"} for number in range(3)]
    written, lines = await write(prompts(tmp_path, rows), [job(2), job(0), job(1)])
    assert [line.pop("promptmill")["content"] for line in lines] == [
        f"answer {number}" for number in range(3)
    ]
    assert lines == rows
    assert (written.answered, written.cost_nano, written.output_tokens) == (3, 15, 6)


async def test_what_was_cut_failed_or_has_an_unknown_cost_is_counted(tmp_path: Path) -> None:
    cut = job(0)
    cut["result"]["finish_reason"] = "length"
    unknown = {**failed(1, "timeout"), "cost": {**COST, "unknown": True}}
    written, lines = await write(prompts(tmp_path, [{"n": 0}, {"n": 1}]), [cut, unknown])
    assert (written.truncated, written.failed, written.unknown_costs) == (1, 1, 1)
    assert lines[1]["promptmill"]["error"] == {"kind": "timeout", "message": "why"}
    assert lines[1]["promptmill"]["content"] is None


async def test_a_missing_answer_leaves_no_file(tmp_path: Path) -> None:
    found = prompts(tmp_path, [{"n": 0}, {"n": 1}])
    with pytest.raises(InputError, match="job_1 is not there any more"):
        await write(found, [job(0)])
    assert not found.path.with_name("out.jsonl").exists()


async def test_a_batch_file_gets_openais_lines(tmp_path: Path) -> None:
    asked = [
        {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": {}}
        for name in "abc"
    ]
    found = prompts(tmp_path, asked)
    assert found.format is Format.BATCH
    jobs = [job(0), failed(1, "rate_limited"), failed(2, "unreachable")]
    _, (good, limited, unreachable) = await write(found, jobs)
    body = good["response"]["body"]
    assert body["choices"][0]["message"]["content"] == "answer 0"
    assert (body["usage"]["prompt_tokens"], body["usage"]["total_tokens"]) == (3, 5)
    assert (body["id"], body["created"]) == ("chatcmpl-job_0", 1795262400)
    assert (limited["custom_id"], limited["response"]["status_code"]) == ("b", 503)
    assert unreachable["response"]["body"]["error"]["code"] == "unreachable"
    assert (unreachable["response"]["status_code"], unreachable["error"]) == (502, None)
