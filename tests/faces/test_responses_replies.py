"""Jobs are objects of Responses that the OpenAI SDK can read, in every state."""

from typing import Any

import pytest
from openai.types.responses import Response

from shared.domain.failure import FailureKind
from shared.domain.job import JobState
from shared.faces.responses_reply import REPEATED, Snapshot, echo_of, response_of
from shared.faces.responses_request import read_response

USAGE = {"input_tokens": 7, "cached_tokens": 3, "output_tokens": 5, "reasoning_tokens": 2}
RESULT = {"content": "Blue.", "finish_reason": "stop", "model": "gpt-4.1-mini", "usage": USAGE}
CALL = {"id": "call_1", "name": "weather", "arguments": '{"city":"Ulm"}'}


def snapshot(state: JobState = JobState.SUCCEEDED, **more: Any) -> Snapshot:
    known = {"job_id": "job_1", "state": state, "began": True, "created": 100, "ended": 105}
    return Snapshot(**{**known, "model": "gpt-4.1-mini", **more})


def shown(echo: dict[str, Any] | None = None, **more: Any) -> Response:
    """The object as the SDK reads it; its own model must find nothing wrong."""
    return Response.model_validate(response_of(snapshot(**more), echo or {}))


def test_an_item_keeps_a_signature_that_must_come_back() -> None:
    signed = {**CALL, "signature": "s"}
    response = response_of(snapshot(result={**RESULT, "content": "", "tool_calls": [signed]}), {})
    [item] = response["output"]
    [turn] = read_response({"model": "m", "input": [item]}).request["messages"]
    assert turn["tool_calls"] == [signed]


def test_an_answer_is_a_message_and_its_calls() -> None:
    result = {**RESULT, "tool_calls": [CALL], "citations": ["https://a.test"]}
    response = shown(result=result)
    message, call = response.output
    assert message.type == "message"
    [text] = message.content
    assert text.type == "output_text"
    assert [note.type for note in text.annotations] == ["url_citation"]
    assert call.type == "function_call"
    assert call.call_id == "call_1"
    assert (response.id, response.output_text) == ("resp_1", "Blue.")
    assert response.usage is not None
    assert response.usage.total_tokens == 12
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert response.usage.output_tokens_details.reasoning_tokens == 2
    assert shown(result={**RESULT, "usage": None}).usage is None


@pytest.mark.parametrize(
    ("state", "began", "more", "status"),
    [
        (JobState.SCHEDULED, False, {}, "queued"),
        (JobState.QUEUED, False, {}, "queued"),
        (JobState.QUEUED, True, {}, "in_progress"),
        (JobState.RUNNING, True, {}, "in_progress"),
        (JobState.SUCCEEDED, True, {"result": RESULT}, "completed"),
        (JobState.FAILED, True, {"error_kind": "server", "error": "no"}, "failed"),
        (JobState.EXPIRED, False, {"error_kind": "expired", "error": "no"}, "failed"),
        (JobState.CANCELLED, False, {"error_kind": "cancelled", "error": "no"}, "cancelled"),
    ],
)
def test_every_state_has_a_status(
    state: JobState, *, began: bool, more: dict[str, Any], status: str
) -> None:
    response = shown({"background": True}, state=state, began=began, **more)
    assert response.status == status
    assert (response.error is not None) == (status == "failed")
    waiting = shown({}, state=state, began=began, **more).status
    assert waiting == ("in_progress" if status == "queued" else status)


@pytest.mark.parametrize(
    ("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_stopped_early_is_incomplete(reason: str, why: str) -> None:
    response = shown(result={**RESULT, "finish_reason": reason})
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == why


def test_every_failure_has_a_code_that_the_sdk_knows() -> None:
    codes = {
        kind: shown(state=JobState.FAILED, error_kind=kind, error="no").error
        for kind in (*FailureKind, "max_cost", "no_deployment", "exhausted", "expired")
    }
    assert all(error is not None for error in codes.values())
    assert codes[FailureKind.RATE_LIMITED].code == "rate_limit_exceeded"  # type: ignore[union-attr]
    assert codes[FailureKind.CONTEXT_LENGTH].code == "invalid_prompt"  # type: ignore[union-attr]
    assert codes["expired"].code == "server_error"  # type: ignore[union-attr]


def test_the_object_repeats_what_was_asked() -> None:
    body = {
        "model": "m", "input": "Why?", "instructions": "Hm.", "metadata": {"a": "b"},
        "tools": [{"type": "web_search"}], "temperature": 0.2, "background": True,
        "text": {"verbosity": "low"},
    }  # fmt: skip
    echo = echo_of(body, 2)
    assert echo["inherited"] == 2
    response = response_of(snapshot(result=RESULT), echo)
    assert {name: response[name] for name in body.keys() & REPEATED.keys()} == {
        name: body[name] for name in body.keys() & REPEATED.keys()
    }
    assert response["store"] is True
