"""Jobs as objects of OpenAI's Responses, in every state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.failure import FailureKind
from shared.domain.ids import renamed
from shared.domain.job import GiveUp, JobState
from shared.faces.openai_messages import Json
from shared.faces.responses_items import call_item

PREFIX: Final = "resp"
REPEATED: Final[Mapping[str, Any]] = {
    "instructions": None,
    "metadata": {},
    "background": False,
    "store": True,
    "parallel_tool_calls": True,
    "tools": [],
    "tool_choice": "auto",
    "temperature": 1.0,
    "top_p": 1.0,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "top_logprobs": 0,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "text": {"format": {"type": "text"}},
    "truncation": "disabled",
    "user": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
}
"""Parameters that the object repeats, and what it says where they were not given."""
INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a model stopped before its end, from the normal form."""
ENDS: Final[Mapping[JobState, str]] = {
    JobState.RUNNING: "in_progress",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.EXPIRED: "failed",
    JobState.CANCELLED: "cancelled",
}
SERVER_ERROR: Final = "server_error"
CODES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN, FailureKind.QUOTA, GiveUp.BUDGET),
        "rate_limit_exceeded",
    ),
    **dict.fromkeys(
        (
            FailureKind.CONTEXT_LENGTH, FailureKind.TOO_LARGE, FailureKind.BAD_REQUEST,
            FailureKind.CONTENT_FILTERED,
        ),
        "invalid_prompt",
    ),
    FailureKind.UNFETCHED: "failed_to_download_image",
}  # fmt: skip
"""What a job failed of, in the codes of a response; any other is the server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A job as its response shows it."""

    job_id: str
    state: JobState
    began: bool
    """Whether it was ever sent to a provider."""
    created: int
    """Unix seconds."""
    ended: int | None
    model: str
    result: Mapping[str, Any] | None = None
    """The JSON of a GenerationResult."""
    error_kind: str | None = None
    error: str | None = None


def echo_of(body: Mapping[str, Any], inherited: int = 0) -> Json:
    """What the object of this body repeats; `inherited`: turns of an earlier response."""
    said = {name: body[name] for name in REPEATED if body.get(name) is not None}
    return {**said, "inherited": inherited}


def status_of(job: Snapshot, echo: Mapping[str, Any]) -> str:
    """The status of a response."""
    if job.result is not None and job.result["finish_reason"] in INCOMPLETE:
        return "incomplete"
    waiting = "queued" if echo.get("background") and not job.began else "in_progress"
    return ENDS.get(job.state, waiting)


def response_of(job: Snapshot, echo: Mapping[str, Any]) -> Json:
    """The Response object for a job as it stands."""
    status, result = status_of(job, echo), job.result or {}
    usage = result.get("usage")
    reason = INCOMPLETE.get(result.get("finish_reason", ""))
    return {
        "id": renamed(job.job_id, PREFIX),
        "object": "response",
        "created_at": job.created,
        "completed_at": job.ended if status == "completed" else None,
        "status": status,
        "error": _error(job) if status == "failed" else None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": result.get("model") or job.model,
        "output": output_of(job),
        "service_tier": (usage or {}).get("service_tier") or "default",
        "usage": _usage(usage),
        **{name: echo.get(name, default) for name, default in REPEATED.items()},
    }


def output_of(job: Snapshot) -> list[Json]:
    """The items of the answer: what is said, then the calls of tools."""
    result = job.result or {}
    cut = result.get("finish_reason") in INCOMPLETE
    status = {"status": "incomplete" if cut else "completed"}
    parts = [
        *([_text(result)] if result.get("content") else ()),
        *([{"type": "refusal", "refusal": result["refusal"]}] if result.get("refusal") else ()),
    ]
    message = {"id": message_id(job.job_id), "type": "message", "role": "assistant"}
    calls = enumerate(result.get("tool_calls") or ())
    return [
        *([{**message, **status, "content": parts}] if parts else ()),
        *({"id": call_id(job.job_id, n), **call_item(call), **status} for n, call in calls),
    ]


def message_id(job_id: str) -> str:
    """The id of the message that a job's answer is."""
    return renamed(job_id, "msg")


def call_id(job_id: str, number: int) -> str:
    """The id of the item of a job's tool call."""
    return f"{renamed(job_id, 'fc')}_{number}"


def _text(result: Mapping[str, Any]) -> Json:
    notes = [
        {"type": "url_citation", "url": url, "title": url, "start_index": 0, "end_index": 0}
        for url in result.get("citations") or ()
    ]
    return {"type": "output_text", "text": result["content"], "annotations": notes, "logprobs": []}


def _error(job: Snapshot) -> Json:
    code = CODES.get(job.error_kind or "", SERVER_ERROR)
    return {"code": code, "message": job.error or f"the job has {job.state}"}


def _usage(usage: Mapping[str, Any] | None) -> Json | None:
    """Tokens in the names of Responses; None where nobody knows them."""
    if usage is None:
        return None
    tokens_in, tokens_out = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    written = usage.get("cache_write_tokens", 0) + usage.get("cache_write_1h_tokens", 0)
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {
            "cached_tokens": usage.get("cached_tokens", 0),
            "cache_write_tokens": written,
        },
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": usage.get("reasoning_tokens", 0)},
        "total_tokens": tokens_in + tokens_out,
    }
