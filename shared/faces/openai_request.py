"""Bodies of OpenAI's API in the normal form: chats, completions, embeddings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.errors import InvalidRequestError
from shared.faces.openai_messages import Json, chosen, messages_of, wanted

CHATS: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
EMBEDDINGS: Final = "/v1/embeddings"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for."""

    request: Json
    """The JSON of a GenerationRequest; not yet checked."""
    set_aside: tuple[str, ...]
    """Parameters that mean something there and nothing here."""


Convert = Callable[[Any, str], Any]
"""From a parameter's value and place to the normal form's; None: it says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One kind of body, as tables."""

    kind: str
    same: frozenset[str]
    converted: Mapping[str, tuple[str, Convert]]
    """Parameter to the field that it becomes."""


def read_body(url: Any, body: Any, *, lenient: bool = False) -> Asked:
    """What a POST of this body to this URL asks for.

    A parameter that nothing here can obey is refused, or, if `lenient`, set aside and named.
    Raises InvalidRequestError that names the parameter.
    """
    form = chosen(FORMS, url, "url")
    request: Json = {} if form.kind == "chat" else {"kind": form.kind}
    aside: list[str] = []
    for name, value in wanted(body, dict, "body", "an object").items():
        if value is None or name in HARMLESS or value in NEUTRAL.get(name, ()):
            continue
        if name in form.same:
            request[name] = value
        elif name in form.converted:
            field, convert = form.converted[name]
            said = convert(value, name)
            request |= {} if said is None else {field: said}
        elif lenient and name not in WHOLE:
            aside.append(name)
        else:
            way_out = WHOLE.get(name, "leave it out")
            message = f"{name}: it is not supported with this value; {way_out}"
            raise InvalidRequestError(message, field=name)
    return Asked(request, tuple(aside))


def parameter_of(url: str, field: str, body: Mapping[str, Any]) -> str:
    """What the caller calls a field of the normal form; the field itself, where that is it."""
    named = (name for name, (into, _) in FORMS[url].converted.items() if into == field)
    return next((name for name in named if body.get(name) is not None), field)


def _stop(value: Any, _: str) -> Any:
    return [value] if isinstance(value, str) else value


def _tools(value: Any, where: str) -> list[Json]:
    tools = wanted(value, list, where, "a list of tools")
    return [_tool(tool, f"{where}[{number}]") for number, tool in enumerate(tools)]


def _tool(value: Any, where: str) -> Json:
    tool = wanted(value, dict, where, "an object")
    chosen({"function": True}, tool.get("type"), f"{where}.type")
    function = wanted(tool.get("function"), dict, f"{where}.function", "an object")
    return {name: each for name, each in function.items() if each is not None}


def _tool_choice(value: Any, where: str) -> Any:
    if isinstance(value, str):
        return value
    choice = wanted(value, dict, where, "a word or an object")
    function = wanted(choice.get("function"), dict, f"{where}.function", "an object with a name")
    return {"name": function.get("name")}


def _response_format(value: Any, where: str) -> Json | None:
    asked = wanted(value, dict, where, "an object")
    return chosen(RESPONSE_FORMATS, asked.get("type"), f"{where}.type")(asked, where)


def _json_schema(asked: Json, where: str) -> Json:
    schema = wanted(asked.get("json_schema"), dict, f"{where}.json_schema", "an object")
    read = {name: schema[name] for name in ("schema", "name") if schema.get(name) is not None}
    return {**read, "strict": bool(schema.get("strict"))}


RESPONSE_FORMATS: Final[Mapping[str, Callable[[Json, str], Json | None]]] = {
    "text": lambda _, __: None,
    "json_object": lambda _, __: {"schema": {"type": "object"}, "strict": False},
    "json_schema": _json_schema,
}


def _one_prompt(value: Any, where: str) -> Any:
    """A prompt, or a list of one; a list of several would be several answers."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    return wanted(value, str, where, "one string; send a job for each prompt")


def _inputs(value: Any, where: str) -> Any:
    texts = [value] if isinstance(value, str) else wanted(value, list, where, "texts")
    if not all(isinstance(text, str) for text in texts):
        message = f"{where}: token numbers are not taken; send the text"
        raise InvalidRequestError(message, field=where)
    return value


SAMPLING: Final = frozenset(
    {"model", "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stream"}
)
HARMLESS: Final = frozenset(
    {
        "user", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
        "prediction", "stream_options", "encoding_format",
    }
)  # fmt: skip
"""They change neither what is asked nor what is billed, or are obeyed by whoever answers."""
NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
    "stream": (False,),
}
"""Values at which a parameter asks for nothing."""
WHOLE: Final[Mapping[str, str]] = {
    "n": "send a request for each answer",
    "best_of": "send a request for each answer",
    "functions": "send them as tools",
    "function_call": "send it as tool_choice",
    "echo": "the prompt is not repeated",
    "suffix": "a prompt is continued only",
    "modalities": "answers are text",
    "audio": "answers are text",
}
"""Without them the answer would be another one: they are never set aside. With the way out."""
FORMS: Final[Mapping[str, Form]] = {
    CHATS: Form(
        kind="chat",
        same=SAMPLING | {"parallel_tool_calls", "reasoning_effort", "metadata"},
        converted={
            "messages": ("messages", messages_of),
            "max_tokens": ("max_tokens", lambda value, _: value),
            "max_completion_tokens": ("max_tokens", lambda value, _: value),
            "stop": ("stop", _stop),
            "tools": ("tools", _tools),
            "tool_choice": ("tool_choice", _tool_choice),
            "response_format": ("response_schema", _response_format),
            "web_search_options": ("web_search", lambda _, __: True),
        },
    ),
    COMPLETIONS: Form(
        kind="completion",
        same=SAMPLING | {"max_tokens"},
        converted={"prompt": ("prompt", _one_prompt), "stop": ("stop", _stop)},
    ),
    EMBEDDINGS: Form(
        kind="embedding",
        same=frozenset({"model", "dimensions"}),
        converted={"input": ("input", _inputs)},
    ),
}
