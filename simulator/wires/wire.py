"""What every wire can do, and how all of them read a body and write events."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from simulator.call import BadCallError, Call, Problem, Reply, Tool
from simulator.gate import Gate
from simulator.http import Request, Response
from simulator.limits import Refusal
from simulator.shelf import Shelf
from simulator.strict import sentence

WORDS_PER_CHUNK: Final = 4
ARGUMENTS_PER_CHUNK: Final = 12
"""Characters."""
PARALLEL: Final = "[parallel]"
"""A user who writes this gets two tool calls."""
MODEL_MAXIMUM: Final = 16_384
"""Output tokens that a request without a maximum reserves."""
THOUGHT_OF_EFFORT: Final = {
    "none": 0,
    "minimal": 8,
    "low": 32,
    "medium": 96,
    "high": 256,
    "xhigh": 512,
    "max": 1024,
}
"""About so many tokens are thought."""

Body = TypeVar("Body", bound=BaseModel)
Json = dict[str, Any]


class Loose(BaseModel):
    """Parameters that the simulator does not know change nothing here."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Wire(ABC):
    """One way to ask and to answer; knows no account and keeps nothing."""

    request_id_header: ClassVar[str] = "x-request-id"

    @abstractmethod
    def check_key(self, request: Request, api_key: str | None) -> None:
        """Any key will do, unless one is set. Raises BadCallError."""

    @abstractmethod
    def read(self, request: Request, shelf: Shelf) -> Call:
        """The call. Raises BadCallError with the refusal that the provider would give."""

    @abstractmethod
    def document(self, reply: Reply) -> Json:
        """The body of an answer."""

    @abstractmethod
    def stream(self, reply: Reply) -> tuple[list[bytes], list[bytes]]:
        """The same answer as events, and apart from them those that end it."""

    @abstractmethod
    def error(self, problem: Problem, request_id: str) -> Response:
        """The provider's error."""

    def stream_error(self, problem: Problem, request_id: str) -> bytes:
        """The same error as the last event of a stream."""
        return event(orjson.loads(self.error(problem, request_id).body))

    @abstractmethod
    def refused(self, refusal: Refusal, model: str, request_id: str) -> Response:
        """The reply to a request above a limit."""

    def rate_headers(self, gate: Gate, now: float) -> Mapping[str, str]:  # noqa: ARG002 - a hook
        """What is left, where the provider tells it."""
        return {}


def parsed(model: type[Body], body: bytes) -> Body:
    """The body as the model wants it. Raises BadCallError that names the first problem."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise BadCallError(_malformed(error)) from None


def parsed_plainly(model: type[Body], body: bytes) -> Body:
    """The same, with a problem in words alone."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise BadCallError(Problem(400, sentence(error))) from None


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> BadCallError:
    """A request that cannot be served as it stands."""
    return BadCallError(Problem(400, message, code=code, param=param))


def event(value: Json) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def named_event(name: str, value: Json) -> bytes:
    """A server-sent event with a name."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(value))


def pieces(text: str) -> Iterator[str]:
    """A text in some words at a time; joined they are the text."""
    words = text.split(" ")
    for at in range(0, len(words), WORDS_PER_CHUNK):
        lead = " " if at else ""
        yield lead + " ".join(words[at : at + WORDS_PER_CHUNK])


def slices(text: str) -> Iterator[str]:
    """JSON text in some characters at a time."""
    for at in range(0, len(text), ARGUMENTS_PER_CHUNK):
        yield text[at : at + ARGUMENTS_PER_CHUNK]


def tools_to_call(
    tools: tuple[Tool, ...], *, only: str | None, parallel: bool, prompt: str
) -> tuple[Tool, ...]:
    """The tool that is forced or named in the prompt, else the first; twice where parallel.

    Raises BadCallError where a tool is forced that is not there.
    """
    allowed = tuple(tool for tool in tools if only in {None, tool.name})
    if only is not None and not allowed:
        raise invalid(f"Tool choice {only!r} not found in 'tools'.", param="tool_choice")
    if not allowed:
        return ()
    named = sorted(allowed, key=lambda tool: tool.name not in prompt)
    if not (parallel and PARALLEL in prompt):
        return (named[0],)
    return (named[0], named[1 % len(named)])


def bearer(request: Request) -> str:
    """The key of an authorization header; empty if there is none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" else ""


def _malformed(error: ValidationError) -> Problem:
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return Problem(400, f"We could not parse the JSON body of your request: {first['msg']}")
    param = ".".join(str(part) for part in first["loc"])
    code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
    return Problem(400, f"Invalid request: {sentence(error)}", code=code, param=param or None)
