"""Who copies OpenAI, each with its own oddities: xAI, Perplexity and any compatible server."""

from collections.abc import Mapping
from typing import ClassVar, Final

import orjson

from simulator.call import BadCallError, Call, Problem, Reply
from simulator.gate import Gate
from simulator.http import Request, Response
from simulator.shelf import Shelf
from simulator.wires.openai_chat import ChatBody, OpenAIChat
from simulator.wires.openai_chunks import Style
from simulator.wires.openai_errors import OpenAIErrors
from simulator.wires.openai_plain import OpenAIEmbeddings
from simulator.wires.openai_responses import OpenAIResponses
from simulator.wires.wire import Json, bearer, invalid

TICKS_PER_NANO: Final = 10
NANO_PER_USD: Final = 10**9
WORDS_OF_STATUS: Final = {
    400: "Client specified an invalid argument",
    401: "The request does not have valid authentication credentials for the operation",
    403: "The caller does not have permission to execute the specified operation",
    404: "Some requested entity was not found",
    429: "Some resource has been exhausted",
    503: "The service is currently unavailable",
}
INTERNAL: Final = "Internal error"
RESULT: Final = {"id": 1, "title": "Tea", "url": "https://example.com/tea", "snippet": "Of tea."}


class XaiChat(OpenAIChat):
    """POST /v1/chat/completions of xAI: thought is shown, and counted beside the completion."""

    style: ClassVar[Style] = Style(tells_thought=True)

    def error(self, problem: Problem, request_id: str) -> Response:
        """Words for a code, and the message for an error."""
        code = problem.code if problem.type else WORDS_OF_STATUS.get(problem.status, INTERNAL)
        response = super().error(problem, request_id)
        response.body = orjson.dumps({"code": code, "error": problem.message})
        return response

    def usage(self, reply: Reply) -> Json:
        """The tokens, and what they cost."""
        usage = super().usage(reply)
        usage["completion_tokens"] -= reply.answer.thought_tokens
        return {**usage, "cost_in_usd_ticks": reply.cost_nano * TICKS_PER_NANO}


class PerplexityResponses(OpenAIResponses):
    """POST /v1/responses of Perplexity: the cost is told, a search is its results."""

    def document(self, reply: Reply) -> Json:
        """A response."""
        body = super().document(reply)
        queries = [reply.call.text[:40]]
        found = {"type": "search_results", "queries": queries, "results": [RESULT]}
        body["output"] = [
            {"id": item["id"], **found} if item["type"] == "web_search_call" else item
            for item in body["output"]
        ]
        return body

    def usage(self, reply: Reply) -> Json:
        """The tokens, and what they cost."""
        cost = {"currency": "USD", "total_cost": reply.cost_nano / NANO_PER_USD}
        return {**super().usage(reply), "cost": cost}


class CompatibleErrors(OpenAIErrors):
    """Errors that are words alone, and nothing about limits."""

    def check_key(self, request: Request, api_key: str | None) -> None:
        """A key is wanted only where one is set."""
        if api_key not in {None, bearer(request)}:
            raise BadCallError(Problem(401, "Unauthorized"))

    def error(self, problem: Problem, request_id: str) -> Response:  # noqa: ARG002 - it tells none
        """Words."""
        return Response(status=problem.status, body=orjson.dumps({"error": problem.message}))

    def rate_headers(self, gate: Gate, now: float) -> Mapping[str, str]:  # noqa: ARG002 - none
        """Nothing."""
        return {}


class CompatibleChat(CompatibleErrors, OpenAIChat):
    """POST /v1/chat/completions of a server that is nearly like OpenAI's."""

    style: ClassVar[Style] = Style(bare=True)

    def read(self, request: Request, shelf: Shelf) -> Call:
        """The call; nothing is cached, as nothing could tell."""
        call = super().read(request, shelf)
        call.prefix, call.cached_tokens, call.cache_write_tokens = (), 0, 0
        return call

    def body(self, request: Request) -> ChatBody:
        """The body, with the older name of the maximum alone."""
        body = super().body(request)
        if body.max_completion_tokens is not None:
            raise invalid("unknown field max_completion_tokens, use max_tokens")
        return body

    def usage(self, reply: Reply) -> Json:
        """The tokens without details."""
        usage = super().usage(reply)
        return {**usage, "prompt_tokens_details": None, "completion_tokens_details": None}


class CompatibleEmbeddings(CompatibleErrors, OpenAIEmbeddings):
    """POST /v1/embeddings of such a server, which knows no packed vectors."""

    def read(self, request: Request, shelf: Shelf) -> Call:
        """The call."""
        call = super().read(request, shelf)
        call.extras = {**call.extras, "packed": False}
        return call
