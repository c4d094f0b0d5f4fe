"""The neutral form between wires and accounts: a call, its answer, its usage, its problem."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Finish = Literal["stop", "length", "tool_calls", "refusal"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the answer may call."""

    name: str
    schema: Mapping[str, Any]
    """JSON Schema of its arguments."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the answer makes."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Call:
    """A well-formed request of any wire."""

    model: str
    text: str
    """Of all messages, a line each: what scripts look into."""
    input_tokens: int
    """With all that is cached."""
    client_request_id: str
    charge: int
    """The tokens that the rate limit counts on arrival."""
    max_tokens: int | None = None
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    """Those that the answer calls, in order."""
    schema: Mapping[str, Any] | None = None
    """The answer is JSON of it."""
    thought: int = 0
    """About so many tokens are thought; 0: none."""
    stop: tuple[str, ...] = ()
    searches: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    prefix: tuple[bytes, ...] = ()
    """What the prompt cache remembers once the call is billed."""
    inputs: tuple[str, ...] = ()
    """Of an embedding; nothing is written then."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What only the wire that read the call needs to answer it."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """One answer as the model gave it."""

    text: str
    tokens: int
    """All that was written, thought too."""
    finish_reason: str
    """A Finish, or a script's word, which goes to the wire as it stands."""
    latency: float
    """Seconds."""
    thought: str = ""
    thought_tokens: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    stop: str | None = None
    """The stop sequence that ended it."""
    block_reason: str | None = None
    """The prompt was refused for this; there is no answer."""


@dataclass(slots=True, kw_only=True)
class Reply:
    """All that a wire needs to write an answer down."""

    request_id: str
    arrived: float
    """Unix seconds."""
    call: Call
    answer: Answer
    cost_nano: int
    """Nano-USD."""
    with_usage: bool = True

    @property
    def created(self) -> int:
        """Unix seconds, as answers tell them."""
        return int(self.arrived)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no answer; what is None gets the wire's own word for the status."""

    status: int
    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None
    """Seconds."""


class BadCallError(Exception):
    """A request that is refused before it counts."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem
