"""The words for jobs, on a running stack: submit, watch, results, jobs, cancel, why."""

import csv
import json
import signal
from typing import Any

import pytest

from tests.cli.conftest import SCARCE, Command, eventually


def lines(command: Command, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """What a word says by --json."""
    done = command(*arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_submit_and_wait_prints_the_answer_and_nothing_else(serving: Command) -> None:
    done = serving("submit", "-", "--rehearse", "--wait", typed="Why is the sky blue?")
    assert done.returncode == 0, done.stderr
    [job] = lines(serving, "jobs", "--limit", "1")
    [result] = lines(serving, "results", job["id"])[:1]
    assert done.stdout == result["content"] + "\n"
    assert job["id"] in done.stderr


def test_submit_and_stream_prints_the_same_answer_while_it_comes(serving: Command) -> None:
    done = serving("submit", "Why is grass green?", "--rehearse", "--stream")
    assert done.returncode == 0, done.stderr
    [job] = lines(serving, "jobs", "--limit", "1")
    [result] = lines(serving, "results", job["id"])[:1]
    assert done.stdout == result["content"] + "\n"
    told = lines(serving, "submit", "Why is snow white?", "--rehearse", "--stream")
    text = "".join(each["data"].get("text", "") for each in told if each["event"] == "delta")
    assert (told[0]["event"], told[-1]["event"]) == ("state", "end")
    assert told[-1]["data"]["result"]["content"] == text
    refused = serving("submit", "--file", "q.csv", "--stream")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--stream goes with one prompt" in refused.stderr


def test_a_file_is_submitted_once_however_often_it_is_sent(serving: Command) -> None:
    (serving.folder / "q.csv").write_text('name,text\n"Ann, B",hello\nBob,=1+1\n')
    words = ("submit", "--file", "q.csv", "--prompt", "{{name}}: {{text}}", "--rehearse")
    first = serving(*words, "--batch", "twice", "--idempotency-key", "k", "--wait")
    assert first.returncode == 0, first.stderr
    again = serving(*words, "--batch", "twice", "--idempotency-key", "k")
    ids = first.stdout.split()
    assert again.stdout.split() == ids
    [summary] = lines(serving, "watch", "--batch", "twice")
    assert summary["counts"]["succeeded"] == len(ids) == 2
    done = serving("results", "--batch", "twice", "-o", "twice.csv")
    assert done.returncode == 0, done.stderr
    with (serving.folder / "twice.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["id"] for row in rows] == ids
    assert all(row["content"] and row["cost_usd"] for row in rows)


def test_jobs_are_listed_page_by_page_with_filters(serving: Command) -> None:
    for number in range(3):
        lines(serving, "submit", str(number), "--rehearse", "--batch", "pages")
    newest = lines(serving, "jobs", "--batch", "pages", "--limit", "2", "--since", "1h")
    rest = lines(serving, "jobs", "--batch", "pages", "--after", newest[-1]["id"])
    assert (len(newest), len(rest)) == (2, 1)
    assert [job["id"] for job in newest + rest] == sorted(
        (job["id"] for job in newest + rest), reverse=True
    )
    assert lines(serving, "jobs", "--batch", "pages", "--lane", "bulk") == []
    table = serving("jobs", "--batch", "pages").stdout
    assert table.splitlines()[0].split() == ["ID", "STATE", "ROUTE", "LANE", "AGE", "COST"]


def test_what_waits_says_why_and_is_cancelled_but_not_by_who_stops_watching(
    serving: Command,
) -> None:
    submit = ("submit", "x", "--rehearse", "--model", SCARCE, "--batch", "scarce")
    waiting = [lines(serving, *submit)[0]["id"] for _ in range(2)]
    [why] = lines(serving, "why", waiting[1])
    binding = {name: why["waiting"][name] for name in ("reason", "limit", "ahead")}
    assert binding == {"reason": "rate", "limit": "requests", "ahead": 1}
    story = serving("why", waiting[1]).stdout
    assert "waits: the deployment's quota is used up (requests), until " in story
    assert "its turn comes in about " in story
    assert "your jobs before it: 1" in story
    assert "requests 1 in 3600 s" in story

    watching = serving.start("watch", *waiting)
    assert watching.stdout is not None
    eventually("it shows progress", watching.stdout.readline)
    watching.send_signal(signal.SIGINT)
    said, _ = watching.communicate(timeout=30)
    assert (watching.returncode, "the jobs go on" in said) == (130, True)
    assert lines(serving, "why", waiting[0])[0]["state"] == "queued"

    unsure = serving("cancel", "--state", "queued")
    assert (unsure.returncode, "--yes" in unsure.stderr) == (2, True)
    gone = lines(serving, "cancel", waiting[0])
    assert [each["state"] for each in gone] == ["cancelled"]
    rest = lines(serving, "cancel", "--state", "queued", "--batch", "scarce", "--yes")
    assert [each["id"] for each in rest] == [waiting[1]]
    [answered] = lines(serving, "submit", "y", "--rehearse", "--wait")
    ended = lines(serving, "cancel", answered["id"], "job_unknown", code=1)
    assert all(each["error"] for each in ended)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("results",), "say which jobs"),
        (("watch",), "say which jobs"),
        (("watch", "job_unknown"), "no job 'job_unknown'"),
        (("why", "job_unknown"), "no job 'job_unknown'"),
        (("jobs", "--state", "done"), "choose one of"),
        (("jobs", "--since", "yesterday"), "30m, 2h or 7d"),
        (("submit", "x", "--lane", "fast"), "choose one of"),
        (("submit", "x", "--model", "gpt-9", "--rehearse"), "unknown model 'gpt-9'"),
        (("submit", "x", "--file", "q.csv"), "not both"),
        (("submit", ""), "is empty"),
        (("results", "--batch", "x", "-o", "x.xlsx"), ".jsonl, .csv or .tsv"),
    ],
)
def test_a_mistake_is_told_in_one_line(serving: Command, words: tuple[str, ...], says: str) -> None:
    done = serving(*words)
    assert done.returncode == 2, done.stdout
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
