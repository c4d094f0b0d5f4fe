"""The body of Anthropic's Messages: its shape, its words and what it must not be."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field, PositiveInt

from simulator.call import Tool
from simulator.counting import PER_FILE, PER_IMAGE, PER_MESSAGE, PER_REPLY, count_texts
from simulator.wires.thought import came_of_thought, seal
from simulator.wires.wire import THOUGHT_OF_EFFORT, Json, Loose, invalid

SHORT: Final = "5m"
THOUGHT_PART: Final = 8
"""Of a budget for thought, so much is used: a part in eight."""
HIDDEN_TOKENS: Final = {"image": PER_IMAGE, "document": PER_FILE}
TEXT_OF_BLOCK: Final = {"text": "text", "thinking": "thinking"}
"""Where a block has its words; others are read as JSON."""


class Turn(Loose):
    """One turn of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[Json], Field(min_length=1)]

    @property
    def blocks(self) -> list[Json]:
        """Its blocks, also where it is plain text."""
        if isinstance(self.content, str):
            return [{"type": "text", "text": self.content}]
        return self.content

    def of(self, kind: str) -> list[Json]:
        """The blocks of one kind."""
        return [block for block in self.blocks if block.get("type") == kind]


class Choice(Loose):
    """Whether tools are called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class Thinking(Loose):
    """Whether the model thinks first."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1024)] | None = None


class Format(Loose):
    """What the answer must look like."""

    type: Literal["json_schema"]
    schema_: Json = Field(alias="schema")


class OutputConfig(Loose):
    """How the answer is to be."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


class MessagesBody(Loose):
    """The parameters that change what the simulator does."""

    model: str
    messages: list[Turn] = Field(min_length=1)
    max_tokens: PositiveInt | None = None
    system: str | list[Json] | None = None
    tools: list[Json] | None = None
    tool_choice: Choice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    stop_sequences: list[str] | None = None
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None

    @property
    def functions(self) -> tuple[Tool, ...]:
        """The tools that the caller runs."""
        return tuple(
            Tool(str(tool.get("name")), tool["input_schema"])
            for tool in self.tools or ()
            if isinstance(tool.get("input_schema"), dict)
        )

    @property
    def searches(self) -> bool:
        """Whether the provider may search the web."""
        kinds = (str(tool.get("type", "")) for tool in self.tools or ())
        return any(kind.startswith("web_search") for kind in kinds)

    @property
    def thought(self) -> int:
        """About so many tokens are thought."""
        if self.thinking is None or self.thinking.type == "disabled":
            return 0
        if self.thinking.budget_tokens is not None:
            return self.thinking.budget_tokens // THOUGHT_PART
        effort = self.output_config and self.output_config.effort
        return THOUGHT_OF_EFFORT[effort or "high"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the prompt between which a cache breakpoint may lie."""

    text: str
    hidden: int
    """Tokens beside those of the text."""
    ttl: str | None
    """A breakpoint is after it, for so long; None: there is none."""


def segments(body: MessagesBody) -> list[Segment]:
    """The prompt in the order that the cache has: tools, system, messages."""
    system = body.system or []
    if isinstance(system, str):
        system = [{"type": "text", "text": system}]
    found = [_segment(tool) for tool in body.tools or ()]
    found += [_segment(block) for block in system]
    found += [_segment(block) for turn in body.messages for block in turn.blocks]
    return found


def segment_tokens(parts: list[Segment]) -> list[int]:
    """The tokens of each segment."""
    return [count_texts([part.text]) + part.hidden for part in parts]


def prompt_tokens(body: MessagesBody, parts: list[int]) -> int:
    """Of the whole prompt, from those of its segments."""
    return sum(parts) + PER_MESSAGE * len(body.messages) + PER_REPLY


def said(body: MessagesBody) -> str:
    """All words of the conversation, a line each."""
    return "\n".join(_words(block) for turn in body.messages for block in turn.blocks)


def signature(thinking: str) -> str:
    """What proves that a thinking block is the model's own."""
    return f"sig_{seal(thinking)}"


def check_turns(body: MessagesBody) -> None:
    """Results answer the calls of the turn before, thought is unaltered. Raises BadCallError."""
    if body.messages[0].role == "assistant":
        raise invalid("messages.0: the first message must use the `user` role")
    open_calls: set[str] = set()
    for place, turn in enumerate(body.messages):
        answered = {str(block.get("tool_use_id")) for block in turn.of("tool_result")}
        if missing := sorted(open_calls - answered):
            raise invalid(
                f"messages.{place}: `tool_use` ids were found without `tool_result` blocks "
                f"immediately after: {', '.join(missing)}."
            )
        if unknown := sorted(answered - open_calls):
            raise invalid(
                f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{', '.join(unknown)}."
            )
        for block in turn.of("thinking"):
            if block.get("signature") != signature(str(block.get("thinking"))):
                raise invalid(f"messages.{place}: Invalid `signature` in `thinking` block")
        open_calls = {str(block.get("id")) for block in turn.of("tool_use")}
        if open_calls and _lost_thought(body, turn):
            raise invalid(
                f"messages.{place}.content.0.type: Expected `thinking` or `redacted_thinking`, "
                "but found `tool_use`. When `thinking` is enabled, a final `assistant` message "
                "must start with a thinking block."
            )


def check_thinking(body: MessagesBody) -> None:
    """A budget fits into the maximum and forces no tool. Raises BadCallError."""
    thinking = body.thinking
    if thinking is None or thinking.type != "enabled":
        return
    if thinking.budget_tokens is None:
        raise invalid("thinking.enabled.budget_tokens: Field required")
    if thinking.budget_tokens >= (body.max_tokens or 0):
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.tool_choice and body.tool_choice.type in {"any", "tool"}:
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def _lost_thought(body: MessagesBody, turn: Turn) -> bool:
    """Whether the turn before the results begins without the thought that it should bring.

    Where the model decides itself whether to think, only what it did think must come back.
    """
    mode = body.thinking.type if body.thinking else "disabled"
    if mode == "disabled" or turn is not body.messages[-2]:
        return False
    thought = any(came_of_thought(block.get("id")) for block in turn.of("tool_use"))
    first = turn.blocks[0].get("type")
    return (thought or mode == "enabled") and first not in {"thinking", "redacted_thinking"}


def _segment(block: Json) -> Segment:
    control = block.get("cache_control")
    ttl = str(control.get("ttl", SHORT)) if isinstance(control, dict) else None
    return Segment(_words(block), sum(_hidden(block)), ttl)


def _words(block: Json) -> str:
    kind = str(block.get("type"))
    if kind in HIDDEN_TOKENS:
        return ""
    if kind in TEXT_OF_BLOCK:
        return str(block.get(TEXT_OF_BLOCK[kind], ""))
    plain: dict[str, Any] = {
        name: value for name, value in block.items() if name not in {"cache_control", "content"}
    }
    return orjson.dumps(plain).decode() + _inner_words(block.get("content"))


def _inner_words(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(_words(part) for part in content or () if isinstance(part, dict))


def _hidden(block: Json) -> Iterator[int]:
    yield HIDDEN_TOKENS.get(str(block.get("type")), 0)
    content = block.get("content")
    if isinstance(content, list):
        yield from (HIDDEN_TOKENS.get(str(part.get("type")), 0) for part in content)
