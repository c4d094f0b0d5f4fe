"""Gemini: keys, reading, errors; its limits are told in the body of a refusal alone."""

import math
import re
from typing import Final, Literal
from urllib.parse import parse_qs, unquote

import orjson

from simulator.call import BadCallError, Call, Problem, Reply
from simulator.counting import count_texts
from simulator.http import Request, Response
from simulator.limits import Refusal
from simulator.prefixes import FEWEST
from simulator.shelf import Shelf
from simulator.vectors import vector
from simulator.wires.gemini_body import (
    CountBody,
    EmbedBody,
    EmbedRequest,
    GenerateBody,
    check_turns,
    prompt_tokens,
    read_body,
    text_of,
)
from simulator.wires.gemini_parts import chunks, response
from simulator.wires.wire import PARALLEL, Json, Wire, bearer, invalid, tools_to_call

MODEL: Final = re.compile(r"/models/(?P<model>[^/:]+)")
STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
CLIENT_ERROR: Final = "FAILED_PRECONDITION"
INTERNAL: Final = "INTERNAL"
REQUESTS: Final = "generativelanguage.googleapis.com/generate_content_requests"
INPUT_TOKENS: Final = "generativelanguage.googleapis.com/generate_content_input_token_count"
PER_MINUTE: Final = (REQUESTS, "GenerateRequestsPerMinutePerProjectPerModel")
QUOTA_OF_LIMIT: Final = {
    "tokens": (INPUT_TOKENS, "GenerateContentInputTokensPerModelPerMinute"),
    "requests_per_day": (REQUESTS, "GenerateRequestsPerDayPerProjectPerModel"),
}
"""The metric and the quota; all else is requests per minute."""
ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
QUOTA_FAILURE: Final = "type.googleapis.com/google.rpc.QuotaFailure"
RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"
BAD_KEY: Final = "API_KEY_INVALID"


class Gemini(Wire):
    """What all calls have alike."""

    def check_key(self, request: Request, api_key: str | None) -> None:
        """A key is wanted, in the header or the query."""
        given = parse_qs(request.query).get("key", [""])[0]
        key = request.headers.get("x-goog-api-key") or given
        if not key:
            raise BadCallError(Problem(403, "Method doesn't allow unregistered callers."))
        if api_key not in {None, key}:
            message = "API key not valid. Please pass a valid API key."
            raise BadCallError(Problem(400, message, code=BAD_KEY))

    def error(self, problem: Problem, request_id: str) -> Response:  # noqa: ARG002 - it tells none
        """Google's error shape; its `code` is a reason, or of a 429 the quota's name."""
        fallback = CLIENT_ERROR if problem.status < 500 else INTERNAL
        status = problem.type or STATUSES.get(problem.status, fallback)
        detail: Json = {"code": problem.status, "message": problem.message, "status": status}
        if details := list(_details(problem)):
            detail["details"] = details
        return Response(status=problem.status, body=orjson.dumps({"error": detail}))

    def refused(self, refusal: Refusal, model: str, request_id: str) -> Response:
        """A 429 with the quota and the wait, and no header."""
        metric, quota = QUOTA_OF_LIMIT.get(refusal.what, PER_MINUTE)
        wait = _delay(refusal.retry_after)
        message = (
            "You exceeded your current quota, please check your plan and billing details.\n"
            f"* Quota exceeded for metric: {metric}, limit: {refusal.limit}, model: {model}\n"
            f"Please retry in {wait}."
        )
        violation = {
            "quotaMetric": metric,
            "quotaId": quota,
            "quotaDimensions": {"location": "global", "model": model},
            "quotaValue": str(refusal.limit),
        }
        response = self.error(Problem(429, message), request_id)
        body = orjson.loads(response.body)
        body["error"]["details"] = [
            {"@type": QUOTA_FAILURE, "violations": [violation]},
            {"@type": RETRY_INFO, "retryDelay": wait},
        ]
        response.body = orjson.dumps(body)
        return response


class GeminiGenerate(Gemini):
    """POST …/models/{model}:generateContent and :streamGenerateContent."""

    def __init__(self, *, stream: bool) -> None:
        self._stream = stream

    def read(self, request: Request, shelf: Shelf) -> Call:
        """The call."""
        model = model_of(request, shelf)
        body = read_body(GenerateBody, request.body)
        if self._stream and "alt=sse" not in request.query:
            raise invalid("The simulator streams server-sent events only: ask with alt=sse.")
        check_turns(body, model)
        config = body.generation_config
        tokens = prompt_tokens(body)
        text = "\n".join(text_of(turn) for turn in body.contents)
        call = Call(
            model=model,
            text=text,
            input_tokens=tokens,
            max_tokens=config.max_output_tokens,
            charge=tokens,
            stream=self._stream,
            client_request_id=request.headers.get("x-client-request-id", ""),
            schema=config.schema_of_answer,
            thought=body.thought(model),
            stop=tuple(config.stop_sequences),
            searches=int(body.searches),
            extras={
                "shows_thought": config.thinking_config.include_thoughts,
                "with_ids": "/v1beta/" in request.path,
            },
        )
        if not body.contents[-1].of("functionResponse"):
            both = PARALLEL in text
            call.tools = tools_to_call(body.functions, only=None, parallel=both, prompt=text)
        if tokens >= FEWEST:
            call.prefix = shelf.prefixes.blocks(model, text)
            call.cached_tokens = shelf.prefixes.shared_tokens(call.prefix, tokens)
        return call

    def document(self, reply: Reply) -> Json:
        """The response."""
        return response(reply)

    def stream(self, reply: Reply) -> tuple[list[bytes], list[bytes]]:
        """Responses with the next piece each."""
        return chunks(reply)


class GeminiEmbed(Gemini):
    """POST …/models/{model}:batchEmbedContents and :embedContent."""

    def __init__(self, *, batch: bool) -> None:
        self._batch = batch

    def read(self, request: Request, shelf: Shelf) -> Call:
        """The call."""
        model = model_of(request, shelf)
        if self._batch:
            requests = read_body(EmbedBody, request.body).requests
        else:
            requests = [read_body(EmbedRequest, request.body)]
        texts = tuple(text_of(each.content) for each in requests)
        tokens = count_texts(texts)
        return Call(
            model=model,
            text="\n".join(texts),
            input_tokens=tokens,
            charge=tokens,
            client_request_id=request.headers.get("x-client-request-id", ""),
            inputs=texts,
            extras={"dimensions": [each.output_dimensionality for each in requests]},
        )

    def document(self, reply: Reply) -> Json:
        """A vector for each text."""
        call = reply.call
        sizes: list[int | None] = call.extras["dimensions"]
        found = [
            {"values": vector(call.model, text, size)}
            for text, size in zip(call.inputs, sizes, strict=True)
        ]
        if not self._batch:
            return {"embedding": found[0]}
        body: Json = {"embeddings": found}
        if reply.with_usage:
            body["usageMetadata"] = {"promptTokenCount": call.input_tokens}
        return body

    def stream(self, reply: Reply) -> tuple[list[bytes], list[bytes]]:
        """Never asked for: a call without text has no stream."""
        raise NotImplementedError


class VertexGenerate(GeminiGenerate):
    """The same in a project of Google Cloud: under a token instead of a key."""

    def check_key(self, request: Request, api_key: str | None) -> None:  # noqa: ARG002 - any token will do
        """A token is wanted; whose it is, only Google could tell."""
        if not bearer(request):
            raise BadCallError(Problem(401, "Request had invalid authentication credentials."))


def model_of(request: Request, shelf: Shelf) -> str:
    """The model of the path. Raises BadCallError where there is none."""
    found = MODEL.search(unquote(request.path))
    model = found["model"] if found else ""
    try:
        shelf.price(model)
    except BadCallError:
        message = f"models/{model} is not found for this API version."
        raise BadCallError(Problem(404, message)) from None
    return model


def count_tokens(request: Request, shelf: Shelf) -> Json:
    """POST …/models/{model}:countTokens."""
    model_of(request, shelf)
    body = read_body(CountBody, request.body)
    whole = body.generate_content_request or GenerateBody.model_construct(contents=body.contents)
    return {"totalTokens": prompt_tokens(whole)}


def gemini_models(_: Request, shelf: Shelf) -> Json:
    """GET …/models."""
    return {"models": [_model(name) for name in shelf.prices]}


def gemini_model(request: Request, shelf: Shelf) -> Json:
    """GET …/models/{model}."""
    return _model(model_of(request, shelf))


def _model(name: str) -> Json:
    kind: Literal["embedContent", "generateContent"]
    kind = "embedContent" if "embedding" in name else "generateContent"
    return {
        "name": f"models/{name}",
        "displayName": name,
        "supportedGenerationMethods": [kind, "countTokens"],
    }


def _details(problem: Problem) -> list[Json]:
    details: list[Json] = []
    if problem.status == 429:
        metric, per_minute = PER_MINUTE
        quota = {"quotaMetric": metric, "quotaId": problem.code or per_minute}
        details.append({"@type": QUOTA_FAILURE, "violations": [quota]})
    elif problem.code is not None:
        info = {"reason": problem.code, "domain": "googleapis.com"}
        details.append({"@type": ERROR_INFO, **info})
    if problem.retry_after is not None:
        details.append({"@type": RETRY_INFO, "retryDelay": _delay(problem.retry_after)})
    return details


def _delay(seconds: float) -> str:
    """Rounded up to the millisecond: who obeys is not refused again."""
    return f"{math.ceil(seconds * 1000) / 1000:g}s"
