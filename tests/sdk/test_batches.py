"""The unmodified OpenAI SDK runs batches."""

import json
from collections.abc import Callable
from typing import Any, Final

import openai
import pytest

from tests.sdk.batching import CHATS, EMBEDDINGS, RESPONSES, jsonl, line, over, read, start
from tests.sdk.conftest import MODEL, Stack, until

SLOW: Final = "slow-batch"
"""What a prompt says whose answer the provider takes its time for."""


def test_a_batch_is_answered_line_by_line_in_its_order(client: openai.OpenAI) -> None:
    lines = [line(f"c-{number}", f"question {number}") for number in range(40)]
    batch = start(client, jsonl(*lines), metadata={"run": "7"})
    assert (batch.object, batch.status, batch.endpoint) == ("batch", "validating", CHATS)
    assert batch.expires_at - batch.created_at == 86_400
    done = over(client, batch.id)
    assert (done.status, done.errors, done.error_file_id) == ("completed", None, None)
    assert (done.model, done.metadata) == (MODEL, {"run": "7"})
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (40, 40, 0)
    moments = done.created_at, done.in_progress_at, done.finalizing_at, done.completed_at
    assert list(moments) == sorted(moments)
    answers = read(client, done.output_file_id)
    assert [each["custom_id"] for each in answers] == [each["custom_id"] for each in lines]
    first = answers[0]
    assert (first["error"], first["response"]["status_code"]) == (None, 200)
    assert first["response"]["body"]["object"] == "chat.completion"
    assert first["response"]["body"]["choices"][0]["message"]["content"]
    used = sum(each["response"]["body"]["usage"]["total_tokens"] for each in answers)
    assert done.usage is not None
    assert done.usage.total_tokens == used > 0
    assert done.promptmill["cost"]["nano_usd"] > 0
    assert next(each.id for each in client.batches.list(limit=1)) == batch.id


def test_embeddings_are_a_batch_too(client: openai.OpenAI) -> None:
    body = {"model": "text-embedding-3-small", "input": ["one", "two"]}
    row = {"custom_id": "e", "method": "POST", "url": EMBEDDINGS, "body": body}
    done = over(client, start(client, jsonl(row), endpoint=EMBEDDINGS).id)
    [answer] = read(client, done.output_file_id)
    assert [each["index"] for each in answer["response"]["body"]["data"]] == [0, 1]
    assert len(answer["response"]["body"]["data"][0]["embedding"]) > 10


def test_responses_are_a_batch_too(client: openai.OpenAI) -> None:
    body = {"model": MODEL, "input": "Say it.", "instructions": "Be brief.", "user": "u-1"}
    row = {"custom_id": "r", "method": "POST", "url": RESPONSES, "body": body}
    done = over(client, start(client, jsonl(row), endpoint=RESPONSES).id)
    [answer] = read(client, done.output_file_id)
    response = answer["response"]["body"]
    assert (response["object"], response["status"]) == ("response", "completed")
    assert response["instructions"] == "Be brief."
    assert response["output"][0]["content"][0]["text"]


def test_a_line_that_fails_is_in_the_error_file(client: openai.OpenAI, stack: Stack) -> None:
    stack.script({"match": {"contains": "forbidden"}, "do": {"status": 400}})
    done = over(client, start(client, jsonl(line("a"), line("b", "forbidden"), line("c"))).id)
    assert (done.status, done.request_counts.completed, done.request_counts.failed) == (
        "completed", 2, 1,
    )  # fmt: skip
    assert [each["custom_id"] for each in read(client, done.output_file_id)] == ["a", "c"]
    [failure] = read(client, done.error_file_id)
    assert (failure["custom_id"], failure["error"]) == ("b", None)
    assert failure["response"]["status_code"] == 400
    assert failure["response"]["body"]["error"]["message"]


def test_a_file_with_wrong_lines_fails_before_anything_is_asked(
    client: openai.OpenAI, stack: Stack
) -> None:
    wrong = [
        line("a", "wrong-lines"), "no object", line("a"), line("b", model="gpt-none"),
        line("c", stream=True), {**line("d"), "url": EMBEDDINGS}, {**line("e"), "method": "GET"},
        {"method": "POST"}, line("f", temperature="hot"), line("g", promptmill={"lane": 3}),
    ]  # fmt: skip
    content = jsonl(*wrong) + b"\n{nonsense\n"
    done = over(client, start(client, content).id)
    assert (done.status, done.output_file_id) == ("failed", None)
    found = {(each.line, each.code): each.param for each in done.errors.data}
    assert found == {
        (2, "invalid_json_line"): None,
        (3, "duplicate_custom_id"): "custom_id",
        (4, "unknown_model"): "body.model",
        (5, "streaming_not_supported"): "body.stream",
        (6, "mismatched_endpoint"): "url",
        (7, "invalid_method"): "method",
        (8, "missing_required_parameter"): "custom_id",
        (9, "invalid_request"): "body.temperature",
        (10, "invalid_request"): "lane",
        (12, "invalid_json_line"): None,
    }
    assert stack.jobs("wrong-lines") == []


def test_a_file_of_60_000_lines_fails_with_the_line_that_is_too_many(
    client: openai.OpenAI,
) -> None:
    body = json.dumps(line("NUMBER"))
    content = "\n".join(body.replace("NUMBER", str(number)) for number in range(60_000))
    done = over(client, start(client, content.encode()).id, within=150)
    assert done.status == "failed"
    assert [(each.code, each.line) for each in done.errors.data] == [("too_many_lines", 50_001)]


def test_a_batch_whose_time_is_over_keeps_what_was_answered(
    client: openai.OpenAI, stack: Stack
) -> None:
    stack.script({"match": {"contains": SLOW}, "do": {"stall": 60}})
    lines = [line("quick"), *(line(f"slow-{number}", SLOW) for number in range(130))]
    done = over(client, start(client, jsonl(*lines), completion_window="8s").id)
    assert (done.status, done.expired_at is not None) == ("expired", True)
    assert [each["custom_id"] for each in read(client, done.output_file_id)] == ["quick"]
    expired = read(client, done.error_file_id)
    assert {each["response"] for each in expired} == {None}
    assert {each["error"]["code"] for each in expired} == {"batch_expired"}
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (131, 1, 130)


def test_a_batch_is_cancelled_while_it_runs_and_not_after_its_end(
    client: openai.OpenAI, stack: Stack
) -> None:
    stack.script({"match": {"contains": SLOW}, "do": {"stall": 60}})
    batch = start(client, jsonl(line("quick"), *(line(f"s-{n}", SLOW) for n in range(120))))

    def one_is_done() -> bool:
        counts = client.batches.retrieve(batch.id).request_counts
        return counts is not None and counts.completed == 1

    until("a line is answered", one_is_done)
    with stack.http() as http:
        so_far = http.get(f"/api/v1/batches/{batch.id}/results")
    assert so_far.headers["x-incomplete"] == "true"
    assert [json.loads(each)["custom_id"] for each in so_far.text.splitlines()] == ["quick"]
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.batches.cancel(batch.id).status in {"cancelling", "cancelled"}
    done = over(client, batch.id)
    assert (done.status, done.cancelled_at is not None) == ("cancelled", True)
    assert [each["custom_id"] for each in read(client, done.output_file_id)] == ["quick"]
    told = read(client, done.error_file_id)
    assert {each["error"]["code"] for each in told} == {"batch_cancelled"}
    assert len(told) == 120
    completed = over(client, start(client, jsonl(line("one"))).id)
    said = "Cannot cancel a batch with status 'completed'."
    with pytest.raises(openai.ConflictError, match=said) as caught:
        client.batches.cancel(completed.id)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.request.headers["x-stainless-retry-count"] == "0"


def test_what_belongs_to_another_is_not_there(client: openai.OpenAI, stack: Stack) -> None:
    batch = start(client, jsonl(line("mine")))
    with stack.sdk(stack.other_key) as other:
        asks: list[Callable[[], Any]] = [
            lambda: other.files.retrieve(batch.input_file_id),
            lambda: other.files.content(batch.input_file_id),
            lambda: other.files.delete(batch.input_file_id),
            lambda: other.batches.retrieve(batch.id),
            lambda: other.batches.cancel(batch.id),
            lambda: other.batches.create(
                input_file_id=batch.input_file_id, endpoint=CHATS, completion_window="24h"
            ),
        ]
        for ask in asks:
            with pytest.raises(openai.NotFoundError):
                ask()
        assert [*other.files.list(), *other.batches.list()] == []
    assert over(client, batch.id).status == "completed"


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("completion_window", {"completion_window": "soon"}),
        ("completion_window", {"completion_window": "8d"}),
        ("endpoint", {"endpoint": "/v1/videos"}),
        ("promptmill.lanes", {"extra_body": {"promptmill": {"lanes": "bulk"}}}),
        ("promptmill.deadline_seconds", {"extra_body": {"promptmill": {"deadline_seconds": 1}}}),
        ("output_expires_after.seconds",
         {"output_expires_after": {"anchor": "created_at", "seconds": 1}}),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(
    client: openai.OpenAI, field: str, asked: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        start(client, jsonl(line("a")), **asked)
    assert caught.value.param == field


def test_a_batch_has_a_window_of_its_own_and_its_jobs_what_promptmill_knows(
    client: openai.OpenAI, stack: Stack
) -> None:
    own = {"lane": "standard", "project": "shop", "tags": ["tea"], "max_cost": 1}
    asked = {"completion_window": "1h", "extra_body": {"promptmill": own}}
    batch = start(client, jsonl(line("h")), **asked)
    assert (batch.completion_window, batch.expires_at - batch.created_at) == ("1h", 3600)
    assert over(client, batch.id).status == "completed"
    found = "SELECT lane, project, tags FROM jobs WHERE batch = %s"
    assert stack.sql(found, batch.id) == [(1, "shop", ["tea"])]
    budget = "SELECT cap_nano FROM budgets WHERE subject = %s"
    assert stack.sql(budget, batch.id) == [(1_000_000_000,)]
