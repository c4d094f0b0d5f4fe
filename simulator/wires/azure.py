"""Azure's OpenAI: deployments in the path, keys in a header of its own, filters in every answer."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import orjson

from simulator.call import BadCallError, Problem, Reply
from simulator.http import Request, Response
from simulator.limits import Refusal
from simulator.wires.openai_chat import ChatBody, OpenAIChat
from simulator.wires.openai_errors import OpenAIErrors, retry_headers
from simulator.wires.openai_plain import EmbeddingBody, OpenAIEmbeddings
from simulator.wires.openai_responses import OpenAIResponses
from simulator.wires.wire import Json, bearer, event, parsed

DEPLOYMENT: Final = re.compile(r"/deployments/(?P<name>[^/]+)/")
CODE_OF_STATUS: Final = {404: "DeploymentNotFound"}
"""All else is the status itself."""
KEY_WORDS: Final = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
    "valid key for an active subscription."
)
SAFE: Final[Json] = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}
FILTERED: Final[Json] = {**SAFE, "violence": {"filtered": True, "severity": "high"}}
POLICY: Final = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": FILTERED}
OPENAI_CODES: Final = frozenset({"content_filter", "context_length_exceeded"})
"""Problems that have OpenAI's shape here, too."""


class AzureErrors(OpenAIErrors):
    """Keys and errors as Azure has them."""

    def check_key(self, request: Request, api_key: str | None) -> None:
        """A key is wanted, in either header."""
        key = request.headers.get("api-key") or bearer(request)
        if not key or api_key not in {None, key}:
            raise BadCallError(Problem(401, KEY_WORDS))

    def error(self, problem: Problem, request_id: str) -> Response:
        """A code and words; what the model itself refuses has OpenAI's shape."""
        if problem.code in OPENAI_CODES or problem.param is not None:
            response = super().error(problem, request_id)
            if problem.code == "content_filter":
                detail = orjson.loads(response.body)["error"]
                told = {**detail, "status": problem.status, "innererror": POLICY}
                response.body = orjson.dumps({"error": told})
            return response
        code = CODE_OF_STATUS.get(problem.status, str(problem.status))
        detail = {"code": code, "message": problem.message}
        if problem.code not in {None, "model_not_found", "rate_limit_exceeded"}:
            detail["code"] = str(problem.code)
        response = Response(status=problem.status, body=orjson.dumps({"error": detail}))
        if problem.retry_after is not None:
            response.headers |= retry_headers(problem.retry_after)
        return response

    def refused(self, refusal: Refusal, model: str, request_id: str) -> Response:
        """A 429 in Azure's words, with the wait."""
        seconds = math.ceil(refusal.retry_after)
        rate = "token rate limit" if refusal.what == "tokens" else "call rate limit"
        message = (
            f"Requests to the deployment of {model} under Azure OpenAI API have exceeded {rate} "
            f"of your current pricing tier. Please retry after {seconds} seconds."
        )
        return self.error(Problem(429, message, retry_after=refusal.retry_after), request_id)


class AzureChat(AzureErrors, OpenAIChat):
    """POST /openai/v1/chat/completions."""

    def document(self, reply: Reply) -> Json:
        """A chat.completion with what the filters found."""
        body = super().document(reply)
        body["prompt_filter_results"] = [_prompt_filter()]
        body["choices"][0]["content_filter_results"] = SAFE
        return body

    def stream(self, reply: Reply) -> tuple[list[bytes], list[bytes]]:
        """Chunks, and before them one without choices that tells of the prompt."""
        parts, ending = super().stream(reply)
        first: Json = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
        return [event({**first, "prompt_filter_results": [_prompt_filter()]}), *parts], ending


class AzureClassicChat(AzureChat):
    """POST /openai/deployments/{deployment}/chat/completions?api-version=."""

    def body(self, request: Request) -> ChatBody:
        """The body, with the deployment for a model."""
        return parsed(ChatBody, with_deployment(request))


class AzureEmbeddings(AzureErrors, OpenAIEmbeddings):
    """POST /openai/v1/embeddings."""


class AzureClassicEmbeddings(AzureEmbeddings):
    """POST /openai/deployments/{deployment}/embeddings?api-version=."""

    def body(self, request: Request) -> EmbeddingBody:
        """The body, with the deployment for a model."""
        return parsed(EmbeddingBody, with_deployment(request))


class AzureResponses(AzureErrors, OpenAIResponses):
    """POST /openai/v1/responses."""


def with_deployment(request: Request) -> bytes:
    """The body with the deployment for a model. Raises BadCallError without an API version."""
    if not parse_qs(request.query).get("api-version"):
        raise BadCallError(Problem(404, "Resource not found", code="404"))
    found = DEPLOYMENT.search(unquote(request.path))
    try:
        body: Any = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return request.body
    if not isinstance(body, Mapping) or found is None:
        return request.body
    return orjson.dumps({**body, "model": found["name"]})


def _prompt_filter() -> Json:
    return {"prompt_index": 0, "content_filter_results": SAFE}
