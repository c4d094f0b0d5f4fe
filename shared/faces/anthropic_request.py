"""Bodies of Anthropic's API in the normal form: messages."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.errors import InvalidRequestError
from shared.faces.anthropic_messages import messages_of
from shared.faces.openai_messages import Json, chosen, wanted

MESSAGES: Final = "/v1/messages"
LONGEST_USER: Final = 128
"""Characters of an end user's id."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for."""

    request: Json
    """The JSON of a GenerationRequest; not yet checked."""
    set_aside: tuple[str, ...]
    """Parameters that mean something there and nothing here."""
    end_user: str | None


Fields = Callable[[Any, str], Json]
"""From a parameter's value and place to the fields of the normal form that it says."""


def read_message(value: Any) -> Asked:
    """What a POST of this body to /v1/messages asks for.

    A parameter that nothing here can obey is set aside and named. Raises InvalidRequestError
    that names the parameter which is wrong.
    """
    body = wanted(value, dict, "body", "an object")
    said = {name: each for name, each in body.items() if each is not None}
    request: Json = {"messages": messages_of(said)}
    for name in said.keys() & SAME:
        request[name] = said[name]
    for name in said.keys() & READ.keys():
        request |= READ[name](said[name], name)
    request |= _effort(said) | _kept(said)
    return Asked(request, tuple(_set_aside(said)), _end_user(said.get("metadata")))


def parameter_of(field: str) -> str:
    """What a field of the normal form is called in a body."""
    return PARAMETERS.get(field, field)


def in_own_words(error: InvalidRequestError) -> InvalidRequestError:
    """The same error by the caller's own parameter, where the field has another name there."""
    field = error.field or ""
    first = field.partition(".")[0].partition("[")[0]
    if first in PARAMETERS:
        error.field = PARAMETERS[first] + field.removeprefix(first)
        error.message = error.message.replace(first, PARAMETERS[first], 1)
    return error


def _tools(value: Any, where: str) -> Json:
    """Functions of the caller, and the one tool of the server's that others have, too."""
    tools = wanted(value, list, where, "a list of tools")
    read: Json = {}
    functions = []
    for number, each in enumerate(tools):
        place = f"{where}[{number}]"
        tool = wanted(each, dict, place, "an object")
        if _searches(tool):
            read["web_search"] = True
        else:
            functions.append(_tool(tool, place))
    return {**read, "tools": functions} if functions else read


def _searches(tool: Any) -> bool:
    return isinstance(tool, dict) and str(tool.get("type")).startswith("web_search")


def _tool(tool: Json, where: str) -> Json:
    chosen({"custom": True, "web_search_…": True}, tool.get("type") or "custom", f"{where}.type")
    return {field: tool[name] for name, field in TOOL_FIELDS.items() if tool.get(name) is not None}


def _tool_choice(value: Any, where: str) -> Json:
    choice = wanted(value, dict, where, "an object")
    mode = chosen(TOOL_CHOICES, choice.get("type"), f"{where}.type")
    serial = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {}
    return {"tool_choice": mode or {"name": choice.get("name")}, **serial}


def _output_config(value: Any, where: str) -> Json:
    config = wanted(value, dict, where, "an object")
    asked = config.get("format")
    return {} if asked is None else _format(asked, f"{where}.format")


def _format(value: Any, where: str) -> Json:
    asked = wanted(value, dict, where, "an object")
    chosen({"json_schema": True}, asked.get("type"), f"{where}.type")
    return {"response_schema": {"schema": asked.get("schema")}}


def _effort(body: Json) -> Json:
    """How much it may think: nothing, the effort that is named, or what a budget comes to."""
    thinking = wanted(body.get("thinking", {}), dict, "thinking", "an object")
    config = body.get("output_config") or {}
    kind = chosen(THINKING, thinking.get("type", UNSAID), "thinking.type")
    named = config.get("effort") if isinstance(config, dict) else None
    effort = kind if kind == "none" else named or kind or _by_budget(thinking)
    return {} if effort == UNSAID else {"reasoning_effort": effort}


def _by_budget(thinking: Json) -> str:
    budget = wanted(
        thinking.get("budget_tokens"), int, "thinking.budget_tokens", "a number of tokens"
    )
    return next(effort for most, effort in BUDGETS if budget <= most)


def _kept(body: Json) -> Json:
    """How long the prompt shall be kept: as long as the mark says that asks for most."""
    ages = {mark.get("ttl") or "5m" for mark in _marks(body)}
    return {"prompt_cache": "1h" if "1h" in ages else ages.pop()} if ages else {}


def _marks(body: Json) -> Iterator[Json]:
    turns = [turn.get("content") for turn in body["messages"]] if "messages" in body else []
    for blocks in (body.get("system"), body.get("tools"), *turns, [body]):
        for block in blocks if isinstance(blocks, list) else ():
            mark = block.get("cache_control") if isinstance(block, dict) else None
            if isinstance(mark, dict):
                yield mark


def _end_user(metadata: Any) -> str | None:
    """Whom it is done for; a longer id is told by its digest, which is the same each time."""
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user, str) or not user:
        return None
    if len(user) <= LONGEST_USER:
        return user
    return f"sha256:{hashlib.sha256(user.encode()).hexdigest()}"


def _set_aside(body: Json) -> Iterator[str]:
    yield from sorted(body.keys() - SAME - READ.keys() - HARMLESS)
    tools = body.get("tools")
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        known = SEARCH_FIELDS if _searches(tool) else TOOL_FIELDS.keys() | TOOL_HARMLESS
        for name in sorted(tool.keys() - known if isinstance(tool, dict) else ()):
            if tool[name] is not None:
                yield f"tools[{number}].{name}"


SAME: Final = frozenset({"model", "max_tokens", "temperature", "top_p", "stream"})
READ: Final[Mapping[str, Fields]] = {
    "stop_sequences": lambda value, _: {"stop": value},
    "tools": _tools,
    "tool_choice": _tool_choice,
    "output_config": _output_config,
    "output_format": _format,
}
PARAMETERS: Final = {
    "stop": "stop_sequences",
    "reasoning_effort": "thinking",
    "response_schema": "output_config.format",
    "prompt_cache": "cache_control",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "end_user": "metadata.user_id",
}
HARMLESS: Final = frozenset(
    {
        "messages", "system", "thinking", "cache_control", "metadata", "service_tier",
        "diagnostics", "promptmill",
    }
)  # fmt: skip
"""They are read elsewhere, or change neither what is asked nor what is billed."""
TOOL_FIELDS: Final = {
    "name": "name",
    "description": "description",
    "input_schema": "parameters",
    "strict": "strict",
}
TOOL_HARMLESS: Final = frozenset({"type", "cache_control", "eager_input_streaming"})
SEARCH_FIELDS: Final = TOOL_HARMLESS | {"name", "max_uses", "strict"}
TOOL_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none", "tool": ""}
UNSAID: Final = "unsaid"
THINKING: Final = {"disabled": "none", "adaptive": "high", "enabled": "", UNSAID: UNSAID}
"""Anthropic's own default is a high effort; an empty word: a budget of tokens says it."""
BUDGETS: Final = ((4096, "low"), (16_384, "medium"), (float("inf"), "high"))
"""The most tokens of thought at which an effort is meant."""
