"""The body of Gemini's requests: either case of its names, its shape, its signatures."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import orjson
from pydantic import ConfigDict, Field, PositiveInt, ValidationError
from pydantic.alias_generators import to_camel

from simulator.call import BadCallError, Problem, Tool
from simulator.counting import PER_FILE, PER_IMAGE, count_prompt
from simulator.strict import sentence
from simulator.wires.wire import Body, Json, Loose, invalid

FREE: Final = frozenset(
    {"args", "response", "parameters", "parametersJsonSchema", "responseSchema"}
    | {"responseJsonSchema"}
)
"""Below these, names are the caller's own."""
UNDERSCORE: Final = re.compile(r"_([a-z])")
HIDDEN_TOKENS: Final = {"inlineData": PER_IMAGE, "fileData": PER_FILE}
NO_SIGNATURE: Final = "skip_thought_signature_validator"
"""Google's word for a call that another model made."""
PLAIN_BASE64: Final = str.maketrans("-_", "+/")
"""The SDK sends bytes in the alphabet of URLs."""
SIGNED: Final = re.compile(r"^gemini-([3-9]|\d\d)")
"""Since the third generation, calls are signed and must come back so."""
THINKING: Final = re.compile(r"^gemini-(2\.5|[3-9]|\d\d)")
DEFAULT_THOUGHT: Final = 48
THOUGHT_OF_LEVEL: Final = {"minimal": 8, "low": 24, "medium": 96, "high": 256}
THOUGHT_PART: Final = 8
"""Of a budget for thought, so much is used: a part in eight."""


class Camel(Loose):
    """Reads the wire's names."""

    model_config = ConfigDict(alias_generator=to_camel)


class Content(Camel):
    """One turn."""

    role: Literal["user", "model"] | None = None
    parts: list[Json] = Field(min_length=1)

    def of(self, name: str) -> list[Json]:
        """The parts that have this."""
        return [part for part in self.parts if name in part]


class ThinkingConfig(Camel):
    """How much is thought."""

    thinking_level: str | None = None
    thinking_budget: int | None = None
    include_thoughts: bool = False


class GenerationConfig(Camel):
    """How the answer is to be."""

    max_output_tokens: PositiveInt | None = None
    stop_sequences: list[str] = Field(default_factory=list)
    response_mime_type: str | None = None
    response_schema: Json | None = None
    response_json_schema: Json | None = None
    thinking_config: ThinkingConfig = ThinkingConfig()

    @property
    def schema_of_answer(self) -> Mapping[str, Any] | None:
        """The schema, if JSON is asked for."""
        schema = self.response_json_schema or self.response_schema
        if schema is not None and self.response_mime_type != "application/json":
            raise invalid("Response schema is only supported with mime type application/json.")
        asked = self.response_mime_type == "application/json"
        return schema or ({"type": "object"} if asked else None)


class FunctionCalling(Camel):
    """Whether functions are called."""

    mode: Literal["AUTO", "ANY", "NONE", "VALIDATED"] = "AUTO"
    allowed_function_names: list[str] = Field(default_factory=list)


class ToolConfig(Camel):
    """Whether tools are called."""

    function_calling_config: FunctionCalling = FunctionCalling()


class GenerateBody(Camel):
    """The parameters that change what the simulator does."""

    contents: list[Content] = Field(min_length=1)
    system_instruction: Content | None = None
    tools: list[Json] = Field(default_factory=list)
    tool_config: ToolConfig = ToolConfig()
    generation_config: GenerationConfig = GenerationConfig()

    @property
    def functions(self) -> tuple[Tool, ...]:
        """The functions that the answer may call."""
        config = self.tool_config.function_calling_config
        if config.mode == "NONE":
            return ()
        declared = (each for tool in self.tools for each in tool.get("functionDeclarations", ()))
        return tuple(
            Tool(str(each.get("name")), _parameters(each))
            for each in declared
            if not config.allowed_function_names
            or each.get("name") in config.allowed_function_names
        )

    @property
    def searches(self) -> bool:
        """Whether the provider may search the web."""
        return any("googleSearch" in tool for tool in self.tools)

    def thought(self, model: str) -> int:
        """About so many tokens are thought."""
        config = self.generation_config.thinking_config
        if not THINKING.match(model) or config.thinking_budget == 0:
            return 0
        if config.thinking_budget is not None and config.thinking_budget > 0:
            return max(config.thinking_budget // THOUGHT_PART, 1)
        level = (config.thinking_level or "").lower()
        return THOUGHT_OF_LEVEL.get(level, DEFAULT_THOUGHT)


class EmbedRequest(Camel):
    """One text."""

    content: Content
    output_dimensionality: PositiveInt | None = None


class EmbedBody(Camel):
    """Texts."""

    requests: list[EmbedRequest] = Field(min_length=1)


class CountBody(Camel):
    """What is to be counted, bare or as it would be sent."""

    contents: list[Content] = Field(default_factory=list)
    generate_content_request: GenerateBody | None = None


def read_body(model: type[Body], body: bytes) -> Body:
    """The body in camel case. Raises BadCallError that names the first problem."""
    try:
        return model.model_validate(_camel(orjson.loads(body)))
    except orjson.JSONDecodeError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None
    except ValidationError as error:
        problem = f"Invalid value at '{sentence(error)}'"
        raise BadCallError(Problem(400, problem)) from None


def text_of(content: Content) -> str:
    """The words of a turn."""
    return "".join(_words(content))


def prompt_tokens(body: GenerateBody) -> int:
    """Of the whole prompt: turns, instruction, functions, images."""
    turns = [*body.contents, *([body.system_instruction] if body.system_instruction else [])]
    texts = [text_of(turn) for turn in turns]
    texts += [orjson.dumps(tool).decode() for tool in body.tools]
    hidden = sum(
        tokens
        for turn in turns
        for part in turn.parts
        for name, tokens in HIDDEN_TOKENS.items()
        if name in part
    )
    return count_prompt(texts) + hidden


def signature(name: str, arguments: Mapping[str, Any]) -> str:
    """What proves that a call is the model's own."""
    told = orjson.dumps([name, arguments], option=orjson.OPT_SORT_KEYS)
    return base64.b64encode(hashlib.sha256(b"simulator:" + told).digest()).decode()


def check_turns(body: GenerateBody, model: str) -> None:
    """Each response follows its call, and calls of this turn are signed. Raises BadCallError."""
    waiting: list[str] = []
    for place, turn in enumerate(body.contents):
        responses = [str(part["functionResponse"].get("name")) for part in _responses(turn)]
        if sorted(responses) != sorted(waiting):
            raise invalid(
                "Please ensure that the number of function response parts is equal to the number "
                f"of function call parts of the function call turn (contents[{place}])."
            )
        waiting = [str(part["functionCall"].get("name")) for part in turn.of("functionCall")]
    if not SIGNED.match(model):
        return
    for place in range(_turn_begins(body.contents), len(body.contents)):
        for call in body.contents[place].of("functionCall")[:1]:
            _check_signature(call, place)


def _check_signature(part: Json, place: int) -> None:
    call, given = part["functionCall"], part.get("thoughtSignature")
    if given is None:
        raise invalid(
            f"Function call is missing a thought_signature in functionCall parts. Function call "
            f"`{call.get('name')}`, position {place + 1}."
        )
    own = signature(str(call.get("name")), call.get("args") or {})
    if given != NO_SIGNATURE and str(given).translate(PLAIN_BASE64) != own:
        raise invalid("Thought signature is not valid.")


def _turn_begins(contents: list[Content]) -> int:
    """Where the user last said something that is no function's result."""
    said = [n for n, turn in enumerate(contents) if turn.role != "model" and not _responses(turn)]
    return said[-1] if said else 0


def _responses(turn: Content) -> list[Json]:
    return turn.of("functionResponse")


def _parameters(declared: Json) -> Mapping[str, Any]:
    given = declared.get("parametersJsonSchema") or declared.get("parameters")
    return given if isinstance(given, dict) else {}


def _words(content: Content) -> Iterator[str]:
    for part in content.parts:
        if "text" in part:
            yield str(part["text"])
        for name in ("functionCall", "functionResponse"):
            if name in part:
                yield orjson.dumps(part[name]).decode()


def _camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    named = ((_camel_name(name), each) for name, each in value.items())
    return {name: each if name in FREE else _camel(each) for name, each in named}


@lru_cache(maxsize=1024)
def _camel_name(name: str) -> str:
    return UNDERSCORE.sub(lambda found: found.group(1).upper(), name)
