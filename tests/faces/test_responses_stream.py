"""Events of a response are the same however its answer came: by words, by letters, or at once."""

import random
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from shared.domain.job import JobState
from shared.faces.responses_reply import Snapshot, output_of
from shared.faces.responses_stream import STRIDE, Composer
from tests.mill import seeded

TEXTS = {
    "prose": "The sky is blue, since\n\nair scatters short waves more than long ones. \t End",
    "one long word": "x" * 1000,
    "no spaces": "空が青いのは、空気が短い波長の光をより強く散乱させるからです。" * 5,
    "only spaces": " " * 300,
    "spaces at both ends": "   \n a \n   ",
    "code": "def f():\n" + "    " * 30 + "return 1\n" * 20,
    "empty": "",
}
CALLS = [
    {"id": "call_1", "name": "weather", "arguments": '{"city": "Ulm", "unit": "celsius"}'},
    {"id": "call_2", "name": "time", "arguments": "{}"},
]


def snapshot(**result: Any) -> Snapshot:
    known = {"finish_reason": "stop", "model": "m", "usage": None, "content": ""}
    return Snapshot(
        job_id="job_1", state=JobState.SUCCEEDED, began=True, created=1, ended=2, model="m",
        result={**known, **result},
    )  # fmt: skip


def composed(job: Snapshot, deltas: Iterable[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """The events of an answer that came in these pieces, and whose rest is in its result."""
    composer = Composer("job_1", 1, 2)
    heard = [event for delta in deltas for event in composer.hear(delta)]
    return [*heard, *composer.finish(job)]


def in_pieces(dice: random.Random, text: str) -> list[dict[str, Any]]:
    """The text as deltas of any size."""
    pieces, at = [], 0
    while at < len(text):
        size = dice.choice((1, 2, 3, 7, 40))
        pieces.append({"text": text[at : at + size]})
        at += size
    return pieces


def call_in_pieces(dice: random.Random, number: int) -> list[dict[str, Any]]:
    call = CALLS[number]
    first = {"tool_call": number, "tool_call_id": call["id"], "tool_name": call["name"]}
    pieces = in_pieces(dice, call["arguments"])
    return [first, *({"tool_call": number, "arguments": each["text"]} for each in pieces)]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_events_do_not_depend_on_the_pieces(text: str) -> None:
    dice, job = seeded(), snapshot(content=text, tool_calls=CALLS)
    once = composed(job)
    for _ in range(20):
        deltas = in_pieces(dice, text) + call_in_pieces(dice, 0) + call_in_pieces(dice, 1)
        for heard in (len(deltas), dice.randrange(len(deltas))):
            assert composed(job, deltas[:heard]) == once, "the rest is told from the result"
    assert [event["sequence_number"] for event in once] == list(range(2, 2 + len(once)))
    told = "".join(e["delta"] for e in once if e["type"] == "response.output_text.delta")
    assert told == text
    pieces = [e["delta"] for e in once if e["type"] == "response.output_text.delta"]
    assert max(map(len, pieces), default=0) < 80


def test_every_item_begins_is_told_and_ends() -> None:
    result = {"content": "It is", "refusal": "No.", "tool_calls": CALLS, "citations": ["https://a"]}
    job = snapshot(**result)
    events = composed(job)
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert [kind for kind, next_kind in pairwise([*kinds, ""]) if kind != next_kind] == [
        "output_item.added", "content_part.added", "output_text.delta",
        "content_part.added", "refusal.delta",
        "output_item.added", "function_call_arguments.delta",
        "output_item.added", "function_call_arguments.delta",
        "output_text.annotation.added", "output_text.done", "content_part.done",
        "refusal.done", "content_part.done", "output_item.done",
        "function_call_arguments.done", "output_item.done",
        "function_call_arguments.done", "output_item.done",
    ]  # fmt: skip
    ended = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert ended == output_of(job)
    indexes = [e["output_index"] for e in events if e["type"] == "response.output_item.added"]
    assert indexes == [0, 1, 2]


def test_text_after_a_call_is_told_all_the_same() -> None:
    call = {"tool_call": 0, "tool_call_id": "call_1", "tool_name": "weather", "arguments": "{}"}
    job = snapshot(content="Wait. Here.", tool_calls=[{**CALLS[0], "arguments": "{}"}])
    events = composed(job, [{"text": "Wait. "}, call, {"text": "Here."}])
    told = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    assert told == "Wait. Here."
    assert sum(event["type"] == "response.output_item.done" for event in events) == 2


def test_calls_that_are_written_at_the_same_time_keep_apart() -> None:
    one, two = (call_in_pieces(random.Random(1), number) for number in (0, 1))
    mixed = [each for pair in zip(one, two * 9, strict=False) for each in pair][:4] + one[2:]
    events = composed(snapshot(tool_calls=CALLS), mixed)
    for number, call in enumerate(CALLS):
        told = "".join(
            event["delta"]
            for event in events
            if event["type"] == "response.function_call_arguments.delta"
            and event["output_index"] == number
        )
        assert told == call["arguments"]


def test_a_call_without_its_name_is_told_when_that_is_known() -> None:
    job = snapshot(tool_calls=CALLS[:1])
    nameless = [{"tool_call": 0, "arguments": '{"city": "Ulm", '}]
    assert composed(job, nameless) == composed(job)


def test_thought_is_not_told() -> None:
    job = snapshot(content="So.")
    assert composed(job, [{"reasoning": "hm"}, {"text": "So."}]) == composed(job)


def test_each_attempt_has_numbers_of_its_own() -> None:
    composer = Composer("job_1", 3, 2)
    [first, *_] = composer.hear({"text": "a "})
    assert first["sequence_number"] == 2 * STRIDE + 2
