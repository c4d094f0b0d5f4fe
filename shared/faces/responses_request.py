"""Bodies of POST /v1/responses in the normal form."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from shared.domain.errors import InvalidRequestError
from shared.faces.openai_messages import Json, chosen, wanted
from shared.faces.openai_request import Asked
from shared.faces.responses_items import turns_of

RESPONSES: Final = "/v1/responses"
PREVIOUS: Final = "previous_response_id"
Aside = Callable[[str], None]
"""Sets a parameter aside by its name, or refuses it."""


def read_response(
    body: Any, *, lenient: bool = False, before: Sequence[Mapping[str, Any]] | None = None
) -> Asked:
    """What a POST of this body asks for.

    `before`: the turns that `previous_response_id` stands for, without its instructions. A
    parameter that nothing here can obey is refused, or, if `lenient`, set aside and named.
    Raises InvalidRequestError that names the parameter.
    """
    request: Json = {}
    names: list[str] = []

    def aside(name: str) -> None:
        if not lenient or name in WHOLE:
            message = f"{name}: it is not supported with this value; {WHOLE.get(name, LEAVE_OUT)}"
            raise InvalidRequestError(message, field=name)
        names.append(name)

    for name, value in wanted(body, dict, "body", "an object").items():
        if value is None or name in HARMLESS or value in NEUTRAL.get(name, ()):
            continue
        if name in SAME:
            request[SAME[name]] = value
        elif name in CONVERTED:
            request |= CONVERTED[name](value, name, aside)
        else:
            aside(name)
    return Asked(request | {"messages": _messages(body, before)}, tuple(names))


def parameter_of(field: str) -> str:
    """What the caller calls a field of the normal form; the field itself, where that is it."""
    return PARAMETERS.get(re.split(r"\W", field, maxsplit=1)[0], field)


def _messages(body: Mapping[str, Any], before: Sequence[Mapping[str, Any]] | None) -> list[Any]:
    if body.get(PREVIOUS) is not None and before is None:
        message = f"{PREVIOUS}: there is no earlier response to go on from here"
        raise InvalidRequestError(message, field=PREVIOUS)
    if body.get("input") in (None, "", []):
        message = "input: it is missing; send a string or a list of items"
        raise InvalidRequestError(message, field="input")
    said = body.get("instructions")
    wanted(said or "", str, "instructions", "a string")
    system = [{"role": "system", "content": said}] if said else []
    return [*system, *(before or ()), *turns_of(body["input"], "input")]


def _tools(value: Any, where: str, _: Aside) -> Json:
    """Functions, and whether one of the tools searches the web."""
    listed = wanted(value, list, where, "a list of tools")
    tools = [_tool(tool, f"{where}[{number}]") for number, tool in enumerate(listed)]
    functions = [tool for tool in tools if tool]
    searching = {"web_search": True} if len(functions) < len(tools) else {}
    return {**({"tools": functions} if functions else {}), **searching}


def _tool(value: Any, where: str) -> Json | None:
    """A function; None: the provider's web search."""
    tool = wanted(value, dict, where, "an object")
    return chosen(TOOLS, tool.get("type"), f"{where}.type")(tool, where)


def _function(tool: Json, where: str) -> Json | None:
    wanted(tool.get("name"), str, f"{where}.name", "a string")
    return {name: tool[name] for name in FUNCTION_FIELDS if tool.get(name) is not None}


def _search(_: Json, __: str) -> Json | None:
    return None


FUNCTION_FIELDS: Final = ("name", "description", "parameters", "strict")
SEARCHES: Final = (
    "web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"
)  # fmt: skip
TOOLS: Final[Mapping[str, Callable[[Json, str], Json | None]]] = {
    "function": _function,
    **dict.fromkeys(SEARCHES, _search),
}


def _tool_choice(value: Any, where: str, aside: Aside) -> Json:
    if isinstance(value, str):
        return {"tool_choice": value}
    choice = wanted(value, dict, where, "a word or an object")
    if str(choice.get("type")) in SEARCHES:
        # A model that may search decides by itself when to.
        aside(where)
        return {}
    chosen({"function": True}, choice.get("type"), f"{where}.type")
    return {"tool_choice": {"name": wanted(choice.get("name"), str, f"{where}.name", "a string")}}


def _text(value: Any, where: str, aside: Aside) -> Json:
    asked = wanted(value, dict, where, "an object")
    for name, each in asked.items():
        if name != "format" and each is not None and each != "medium":
            aside(f"{where}.{name}")
    if asked.get("format") is None:
        return {}
    place = f"{where}.format"
    form = wanted(asked["format"], dict, place, "an object")
    schema = chosen(FORMATS, form.get("type"), f"{place}.type")(form, place)
    return {"response_schema": schema} if schema else {}


def _json_schema(form: Json, where: str) -> Json | None:
    schema = wanted(form.get("schema"), dict, f"{where}.schema", "an object")
    name = {"name": form["name"]} if form.get("name") is not None else {}
    return {"schema": schema, **name, "strict": bool(form.get("strict"))}


FORMATS: Final[Mapping[str, Callable[[Json, str], Json | None]]] = {
    "text": lambda _, __: None,
    "json_object": lambda _, __: {"schema": {"type": "object"}, "strict": False},
    "json_schema": _json_schema,
}


def _reasoning(value: Any, where: str, aside: Aside) -> Json:
    asked = wanted(value, dict, where, "an object")
    for name, each in asked.items():
        if name != "effort" and each is not None:
            aside(f"{where}.{name}")
    effort = asked.get("effort")
    return {} if effort is None else {"reasoning_effort": effort}


LEAVE_OUT: Final = "leave it out"
WHOLE: Final = {
    "conversation": "send its items as input, or previous_response_id",
    "prompt": "send its text as instructions and input",
}
"""Without them the answer would be another one: they are never set aside. With the way out."""
SAME: Final = {
    "model": "model",
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "parallel_tool_calls": "parallel_tool_calls",
    "metadata": "metadata",
    "stream": "stream",
}
"""Parameters that keep their value, and the fields that they become."""
PARAMETERS: Final = {
    **{field: name for name, field in SAME.items()},
    "messages": "input",
    "response_schema": "text",
    "reasoning_effort": "reasoning",
    "web_search": "tools",
    "end_user": "user",
}
"""What becomes of the parameters, the other way round."""
HARMLESS: Final = frozenset(
    {
        "input", "instructions", PREVIOUS, "background", "store", "user", "safety_identifier",
        "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "stream_options",
    }
)  # fmt: skip
"""They change neither what is asked nor what is billed, or are obeyed by whoever answers."""
NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "tools": ([],),
    "include": ([],),
    "truncation": ("disabled",),
    "service_tier": ("auto", "default"),
    "top_logprobs": (0,),
    "stream": (False,),
}
"""Values at which a parameter asks for nothing."""
CONVERTED: Final[Mapping[str, Callable[[Any, str, Aside], Json]]] = {
    "tools": _tools,
    "tool_choice": _tool_choice,
    "text": _text,
    "reasoning": _reasoning,
}
