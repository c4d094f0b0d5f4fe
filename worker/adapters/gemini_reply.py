"""Gemini's dialect, inward: a reply becomes the normal form, with its usage."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from shared.domain.conversation import FilePart, ImagePart, OpaquePart, Part, TextPart, ToolCall
from shared.domain.failure import FailureKind
from shared.domain.generation import FinishReason, GenerationResult, Usage
from worker.adapters.base import CallError, WireError
from worker.adapters.counts import billable, finite, if_sound, stated
from worker.adapters.gemini_turns import WIRE

FINISH_REASONS: Final = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    # The model would go on in a further request; here one call is one request.
    "CONTINUATION": FinishReason.LENGTH,
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "IMAGE_OTHER",
            "MODEL_ARMOR",
            "ESCALATION",
        ),
        FinishReason.CONTENT_FILTER,
    ),
}
# What ends without an answer; any other word is a reply that we do not understand.
FAILURES: Final = {
    "MISSING_THOUGHT_SIGNATURE": FailureKind.BAD_REQUEST,
    "PUP_LIMITED_DISABLED": FailureKind.AUTH,
}
MALFORMED: Final = (LookupError, TypeError, AttributeError, ValueError, OverflowError)


def from_wire(body: Any, model: str, *, calls_before: int = 0) -> GenerationResult:
    """The normal form of a reply of generateContent.

    `model` is named where the reply names none; `calls_before` counts the conversation's calls,
    so that ids made here are new in it. Raises WireError when it is no reply, and CallError,
    with what was billed, when it holds no answer.
    """
    try:
        usage = usage_from_wire(body)
        candidates = body.get("candidates")
        if not candidates:
            raise _blocked(body.get("promptFeedback") or {}, usage)
        candidate = candidates[0]
        reason = str(candidate["finishReason"]).upper()
        raw_parts = (candidate.get("content") or {}).get("parts") or []
        if reason not in FINISH_REASONS or (reason == "STOP" and not raw_parts):
            raise _no_answer(reason, candidate.get("finishMessage"), usage)
        parts = tuple(_parts(raw_parts))
        calls = tuple(tool_calls(raw_parts, calls_before))
        return GenerationResult(
            content="".join(part.text for part in parts if isinstance(part, TextPart)),
            parts=() if all(isinstance(part, TextPart) for part in parts) else parts,
            tool_calls=calls,
            finish_reason=_finish_reason(reason, calls),
            model=str(body.get("modelVersion") or model),
            usage=usage,
            citations=_citations(candidate.get("groundingMetadata") or {}),
        )
    except WireError:
        raise
    except MALFORMED as error:
        message = f"the reply is no answer of Gemini ({type(error).__name__}: {error})"
        raise WireError(message) from None


def embeddings_from_wire(body: Any, model: str, count: int) -> GenerationResult:
    """The vectors of `count` texts, in order. Raises WireError when they are not that many."""
    try:
        vectors = tuple(finite(tuple(map(float, each["values"]))) for each in body["embeddings"])
        usage = usage_from_wire(body)
    except MALFORMED as error:
        message = f"the reply holds no embeddings ({type(error).__name__}: {error})"
        raise WireError(message) from None
    if len(vectors) != count:
        message = f"the reply holds {len(vectors)} embeddings of {count} texts"
        raise WireError(message)
    return GenerationResult(
        embeddings=vectors, finish_reason=FinishReason.STOP, model=model, usage=usage
    )


@if_sound
def usage_from_wire(body: Mapping[str, Any]) -> Usage | None:
    """Tokens and searches as billed; None where the reply does not say, or what no bill can hold.

    Thoughts stand beside the candidates' tokens and what tools fed in beside the prompt's.
    """
    usage = body.get("usageMetadata")
    if not usage:
        return None
    thoughts, tier = billable(usage.get("thoughtsTokenCount")), usage.get("trafficType")
    fed_in = (usage.get("promptTokensDetails"), usage.get("toolUsePromptTokensDetails"))
    return Usage(
        input_tokens=stated(usage.get("promptTokenCount"))
        + billable(usage.get("toolUsePromptTokenCount")),
        cached_tokens=billable(usage.get("cachedContentTokenCount")),
        output_tokens=billable(usage.get("candidatesTokenCount")) + thoughts,
        reasoning_tokens=thoughts,
        audio_input_tokens=sum(_audio(details) for details in fed_in),
        audio_output_tokens=_audio(usage.get("candidatesTokensDetails")),
        searches=_searches(body.get("candidates") or ()),
        service_tier=str(tier) if tier else None,
    )


def tool_calls(raw_parts: Iterable[Mapping[str, Any]], calls_before: int) -> Iterable[ToolCall]:
    """The calls among the parts; one without an id gets `call_<n>`, numbered on from before."""
    called = (part for part in raw_parts if "functionCall" in part)
    for n, part in enumerate(called, calls_before):
        call = part["functionCall"]
        yield ToolCall(
            id=str(call.get("id") or f"call_{n}"),
            name=str(call["name"]),
            arguments=orjson.dumps(call.get("args") or {}).decode(),
            signature=part.get("thoughtSignature"),
        )


def _parts(raw_parts: Iterable[Mapping[str, Any]]) -> Iterable[Part]:
    for part in raw_parts:
        if "functionCall" in part or part == {"text": ""}:
            continue
        shown = _shown(part)
        if shown is None:
            yield OpaquePart(wire=WIRE, data=dict(part))
            continue
        yield shown
        # The signature stands apart: what it signs is for every wire to read.
        if "thoughtSignature" in part:
            yield OpaquePart(wire=WIRE, data={"thoughtSignature": part["thoughtSignature"]})


def _shown(part: Mapping[str, Any]) -> Part | None:
    """What every wire understands; None for thoughts and other things of Gemini's own."""
    if part.get("thought"):
        return None
    if "inlineData" in part:
        return _media(part["inlineData"])
    return TextPart(text=str(part["text"])) if part.get("text") else None


def _media(blob: Mapping[str, Any]) -> Part:
    url = f"data:{blob['mimeType']};base64,{blob['data']}"
    return ImagePart(url=url) if url.startswith("data:image/") else FilePart(url=url)


def _finish_reason(reason: str, calls: tuple[ToolCall, ...]) -> FinishReason:
    finish = FINISH_REASONS[reason]
    return FinishReason.TOOL_CALLS if calls and finish is FinishReason.STOP else finish


def _citations(grounding: Mapping[str, Any]) -> tuple[str, ...]:
    webs = (chunk.get("web") or {} for chunk in grounding.get("groundingChunks") or ())
    return tuple(dict.fromkeys(str(web["uri"]) for web in webs if web.get("uri")))


def _blocked(feedback: Mapping[str, Any], usage: Usage | None) -> Exception:
    if reason := feedback.get("blockReason"):
        detail = f": {feedback['blockReasonMessage']}" if "blockReasonMessage" in feedback else ""
        message = f"Gemini blocked the prompt ({reason}){detail}"[:500]
        return CallError(FailureKind.CONTENT_FILTERED, message, usage=usage)
    return WireError("the reply has neither candidates nor a reason to block the prompt")


def _no_answer(reason: str, detail: str | None, usage: Usage | None) -> CallError:
    message = f"Gemini stopped without an answer ({reason}){f': {detail}' if detail else ''}"
    return CallError(FAILURES.get(reason, FailureKind.BAD_RESPONSE), message[:500], usage=usage)


def _searches(candidates: Any) -> int:
    """Different queries, as they are billed; empty ones are not."""
    groundings = (each.get("groundingMetadata") or {} for each in candidates)
    queries = (query for each in groundings for query in each.get("webSearchQueries") or ())
    return len({query for query in queries if query})


def _audio(details: Any) -> int:
    return sum(
        billable(each.get("tokenCount"))
        for each in details or ()
        if str(each.get("modality")).upper() == "AUDIO"
    )
