"""Lines that a budget leaves no room for are told in their place; the others are answered."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.client import Client
from cli.errors import InputError
from cli.run.reader import PromptFile, read_file
from cli.run.submit import submit
from cli.run.unsent import Handed, Unsent, require_all, sent
from cli.run.writer import write_answers
from tests.cli.test_writer import job

SHORT = "budget 'careful' has no room"
NO_ROOM = {"code": "budget_exceeded", "message": f"line 1: {SHORT}", "line": 1}
ONE_A_CHUNK = {"tenant": {"limits": {"max_queued": 4}}}


def api(room: str) -> Client:
    """An API that takes a chunk of one line (+) or says 402 (-)."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/api/v1/me":
            return httpx2.Response(200, json=ONE_A_CHUNK)
        number = int(json.loads(request.content)["number"]) - 1
        if room[number] == "+":
            return httpx2.Response(202, json={"jobs": [{"id": f"job_{number}"}]})
        return httpx2.Response(402, json={"error": NO_ROOM})

    transport = httpx2.MockTransport(answer)
    return Client(httpx2.AsyncClient(transport=transport, base_url="http://mill.test"), 0.0)


def prompts(folder: Path, number: int) -> PromptFile:
    path = folder / "p.jsonl"
    path.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(number)))
    return read_file(path, lambda _row, _format: None)


async def handed(folder: Path, room: str) -> tuple[PromptFile, list[Handed]]:
    found = prompts(folder, len(room))
    return found, await submit(found, lambda _, number: {"number": number}, api(room))


async def test_the_answers_of_what_was_taken_are_written_and_the_rest_is_said(
    tmp_path: Path,
) -> None:
    found, lines = await handed(tmp_path, "-+-+-")
    short = Unsent(SHORT)
    assert lines == [short, "job_1", short, "job_3", short]
    assert sent(lines) == ["job_1", "job_3"]

    async def results() -> Any:
        for number in (3, 1):
            yield job(number)

    out = tmp_path / "out.jsonl"
    written = await write_answers(found, lines, results(), out)
    answers = [json.loads(line)["promptmill"] for line in out.read_text().splitlines()]
    assert [each["content"] for each in answers] == [None, "answer 1", None, "answer 3", None]
    assert answers[0]["error"] == {"kind": "budget", "message": f"not submitted: {SHORT}"}
    assert (written.answered, written.failed, written.unsent) == (2, 3, 3)
    assert written.cost_nano == 10
    with pytest.raises(InputError, match="2 of 5 lines were accepted: budget 'careful'"):
        require_all(lines)


async def test_where_nothing_is_taken_the_run_is_refused(tmp_path: Path) -> None:
    _, lines = await handed(tmp_path, "--")
    with pytest.raises(InputError, match=SHORT):
        sent(lines)
