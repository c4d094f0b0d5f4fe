"""The unmodified Anthropic SDK makes batches of messages, and reads what became of them."""

import re
from typing import Any

import anthropic
import pytest
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

from tests.house.source import ROOT
from tests.sdk.conftest import CLAUDE, MODEL, Stack, until
from tests.sdk.lossy import LOSE_REPLY, PASS, lossy_proxy


def request(custom_id: str, prompt: str = "Why blue?", **params: Any) -> Any:
    """One message of a batch."""
    messages = [{"role": "user", "content": prompt}]
    return {
        "custom_id": custom_id,
        "params": {"model": CLAUDE, "max_tokens": 60, "messages": messages, **params},
    }


def ended(claude: anthropic.Anthropic, batch: MessageBatch) -> MessageBatch:
    """The batch, when it has ended."""

    def over() -> MessageBatch | None:
        found = claude.messages.batches.retrieve(batch.id)
        return found if found.processing_status == "ended" else None

    found: MessageBatch = until("the batch ends", over, within=60)
    return found


def results(
    claude: anthropic.Anthropic, batch: MessageBatch
) -> dict[str, MessageBatchIndividualResponse]:
    return {each.custom_id: each for each in claude.messages.batches.results(batch.id)}


def test_a_batch_is_made_polled_and_read(claude: anthropic.Anthropic, stack: Stack) -> None:
    asked = [request("one"), request("two", model=MODEL), request("three", max_tokens=3)]
    batch = claude.messages.batches.create(requests=asked)
    assert batch.id.startswith("msgbatch_")
    assert (batch.processing_status, batch.results_url) == ("in_progress", None)
    assert batch.request_counts.processing == 3
    assert (batch.expires_at - batch.created_at).total_seconds() == pytest.approx(86_400, abs=5)
    with pytest.raises(anthropic.AnthropicError):
        claude.messages.batches.results(batch.id)
    done = ended(claude, batch)
    assert (done.request_counts.succeeded, done.request_counts.processing) == (3, 0)
    assert done.ended_at is not None
    assert str(done.results_url).startswith(stack.url)
    found = results(claude, done)
    assert list(found) == ["one", "two", "three"]
    messages = [each.result.message for each in found.values() if each.result.type == "succeeded"]
    assert len(messages) == 3
    assert all(message.content[0].type == "text" for message in messages)
    assert [message.stop_reason for message in messages][-1] == "max_tokens"
    assert all(message.usage.output_tokens > 0 for message in messages)


def test_what_fails_alone_is_errored_and_the_others_are_answered(
    claude: anthropic.Anthropic, stack: Stack
) -> None:
    stack.script({"match": {"contains": "falls alone"}, "do": {"status": 400}})
    asked = [request("good"), request("bad", "It falls alone.")]
    done = ended(claude, claude.messages.batches.create(requests=asked))
    assert (done.request_counts.succeeded, done.request_counts.errored) == (1, 1)
    found = results(claude, done)
    assert found["good"].result.type == "succeeded"
    bad = found["bad"].result
    assert bad.type == "errored"
    assert bad.error.type == "error"
    assert bad.error.error.type == "invalid_request_error"


@pytest.mark.parametrize("good", [2, 0])
def test_wrong_requests_are_errored_and_the_others_are_answered(
    claude: anthropic.Anthropic, good: int
) -> None:
    wrong = [request("nobody", model="claude-nothing"), request("hot", temperature="hot")]
    fine = [request(f"fine-{number}") for number in range(good)]
    asked = [*fine[:1], *wrong, *fine[1:], request("long", max_tokens=10**9)]
    done = ended(claude, claude.messages.batches.create(requests=asked))
    assert (done.request_counts.succeeded, done.request_counts.errored) == (good, 3)
    found = results(claude, done)
    assert list(found) == [each["custom_id"] for each in asked]
    said = {
        name: each.result.error.error.message
        for name, each in found.items()
        if each.result.type == "errored"
    }
    assert list(said) == ["nobody", "hot", "long"]
    assert "claude-nothing" in said["nobody"]
    assert "params.temperature" in said["hot"]
    assert "max_tokens" in said["long"]


def test_many_wrong_requests_stop_nobody(claude: anthropic.Anthropic) -> None:
    wrong = [request(f"wrong-{number}", model="claude-nothing") for number in range(300)]
    done = ended(claude, claude.messages.batches.create(requests=[*wrong, request("fine")]))
    assert (done.request_counts.succeeded, done.request_counts.errored) == (1, 300)
    kinds = [each.result.type for each in results(claude, done).values()]
    assert kinds == ["errored"] * 300 + ["succeeded"]


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ([], "requests"),
        ([request("a b")], r"requests\[0\]\.custom_id"),
        ([request("a"), request("a")], r"requests\[1\]\.custom_id"),
        ([{"custom_id": "a"}], r"requests\[0\]\.params"),
        ([request("a", stream=True)], r"requests\[0\]\.params\.stream"),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused_at_once(
    claude: anthropic.Anthropic, asked: Any, place: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=place) as refused:
        claude.messages.batches.create(requests=asked)
    assert refused.value.type == "invalid_request_error"


def test_a_cancelled_batch_keeps_what_was_done(claude: anthropic.Anthropic, stack: Stack) -> None:
    stack.script({"match": {"contains": "hangs"}, "do": {"stall": 300}})
    asked = [request("quick"), *(request(f"slow-{n}", "It hangs.") for n in range(3))]
    batch = claude.messages.batches.create(requests=asked)
    counted = "SELECT 1 FROM jobs WHERE batch = %s AND state = %s"
    ours = f"batch_{batch.id.removeprefix('msgbatch_')}"
    until("one is answered", lambda: stack.sql(counted, ours, "succeeded"))
    until("others run", lambda: len(stack.sql(counted, ours, "running")) == 3)
    cancelling = claude.messages.batches.cancel(batch.id)
    assert cancelling.processing_status in {"canceling", "ended"}
    assert cancelling.cancel_initiated_at is not None
    done = ended(claude, batch)
    assert (done.request_counts.succeeded, done.request_counts.canceled) == (1, 3)
    kinds = {name: each.result.type for name, each in results(claude, done).items()}
    assert kinds == {"quick": "succeeded", **{f"slow-{n}": "canceled" for n in range(3)}}


def test_what_has_no_answer_in_time_is_expired(claude: anthropic.Anthropic, stack: Stack) -> None:
    later = {"promptmill": {"run_at": "2999-01-01T00:00:00Z"}}
    asked = [request("quick"), request("late", "Much later.", **later)]
    batch = claude.messages.batches.create(requests=asked)
    ours = f"batch_{batch.id.removeprefix('msgbatch_')}"
    answered = "SELECT 1 FROM jobs WHERE batch = %s AND state = 'succeeded'"
    until("one is answered", lambda: stack.sql(answered, ours))
    stack.sql("UPDATE batches SET expires_at = now() WHERE id = %s", ours)
    done = ended(claude, batch)
    assert (done.request_counts.succeeded, done.request_counts.expired) == (1, 1)
    kinds = {name: each.result.type for name, each in results(claude, done).items()}
    assert kinds == {"quick": "succeeded", "late": "expired"}


def test_one_that_is_over_is_not_cancelled_and_nobody_tries_again(
    claude: anthropic.Anthropic,
) -> None:
    done = ended(claude, claude.messages.batches.create(requests=[request("one")]))
    with pytest.raises(anthropic.ConflictError) as over:
        claude.messages.batches.cancel(done.id)
    assert over.value.response.headers["x-should-retry"] == "false"
    assert "x-stainless-retry-count" in over.value.request.headers
    assert over.value.request.headers["x-stainless-retry-count"] == "0"


def test_batches_are_listed_by_pages_and_deleted(stack: Stack) -> None:
    with stack.claude(stack.new_key("lister")) as claude:
        made = [claude.messages.batches.create(requests=[request(f"n{n}")]).id for n in range(3)]
        assert [each.id for each in claude.messages.batches.list(limit=2)] == made[::-1]
        page = claude.messages.batches.list(limit=1, before_id=made[0])
        assert [each.id for each in page.data] == [made[1]]
        assert page.has_more
        first = ended(claude, claude.messages.batches.retrieve(made[0]))
        gone = claude.messages.batches.delete(first.id)
        assert (gone.id, gone.type) == (first.id, "message_batch_deleted")
        with pytest.raises(anthropic.NotFoundError):
            claude.messages.batches.retrieve(first.id)
        assert [each.id for each in claude.messages.batches.list()] == made[:0:-1]


def test_what_is_anothers_or_no_batch_is_not_found(
    claude: anthropic.Anthropic, stack: Stack
) -> None:
    batch = claude.messages.batches.create(requests=[request("mine")])
    other = stack.claude(stack.other_key)
    with other:
        for id_ in (batch.id, batch.id.replace("msgbatch_", "batch_"), "msgbatch_none"):
            calls = (other.messages.batches.retrieve, other.messages.batches.cancel)
            for call in (*calls, other.messages.batches.delete):
                with pytest.raises(anthropic.NotFoundError) as missing:
                    call(id_)
                assert missing.value.type == "not_found_error"
        assert [each.id for each in other.messages.batches.list()] == []


def test_a_retry_finds_the_batch_whose_reply_was_lost(
    claude: anthropic.Anthropic, stack: Stack
) -> None:
    asked = [request("once", "Once and no more.")]
    with lossy_proxy(stack.url, LOSE_REPLY) as line, stack.claude(base_url=line.url) as lossy:
        batch = lossy.messages.batches.create(requests=asked)
    assert [fate for _, fate in line.seen] == [LOSE_REPLY, PASS]
    assert ended(claude, batch).request_counts.succeeded == 1
    assert len(stack.jobs("Once and no more.")) == 1
    unused = "SELECT 1 FROM files WHERE purpose = 'batch' AND id NOT IN (SELECT {} FROM batches)"
    assert stack.sql(unused.format("input_file_id")) == []


def test_the_extension_says_what_only_this_server_knows(
    claude: anthropic.Anthropic, stack: Stack
) -> None:
    own = {"promptmill": {"tags": ["tea"], "max_cost": 0.5}}
    batch = claude.messages.batches.create(
        requests=[request("own", "Of a project.", promptmill={"project": "shop"})], extra_body=own
    )
    ended(claude, batch)
    [job] = stack.jobs("Of a project.")
    with stack.http() as http:
        read = http.get(f"/api/v1/jobs/{job}").json()
    assert (read["project"], read["tags"], read["lane"]) == ("shop", ["tea"], "bulk")
    with pytest.raises(anthropic.BadRequestError, match="promptmill"):
        claude.messages.batches.create(
            requests=[request("own")], extra_body={"promptmill": {"batch": "x"}}
        )


def test_what_its_paper_shows_is_what_happens(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROMPTMILL_URL", stack.url)
    monkeypatch.setenv("PROMPTMILL_KEY", stack.key)
    names: dict[str, Any] = {}
    paper = (ROOT / "docs/anthropic.md").read_text()
    for snippet in re.findall(r"```python\n(.*?)```", paper, re.DOTALL):
        exec(compile(snippet, "docs/anthropic.md", "exec"), names)
    names["client"].close()
    told = capsys.readouterr().out
    assert "invalid_request_error req_" in told
    assert [f"tea-{number} succeeded" in told for number in range(3)] == [True] * 3
