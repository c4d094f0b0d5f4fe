"""Count the tokens of a request, offline: exactly for text to OpenAI, else an upper estimate."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from threading import Lock
from typing import Any, Final

import orjson
import toktok

from shared.catalog.deployments import Model
from shared.catalog.families import Encoding, Family, family_of
from shared.catalog.pages import pages_of
from shared.catalog.prices import MOST_SEARCHES
from shared.domain.conversation import FilePart, ImagePart, OpaquePart, Part, TextPart
from shared.domain.generation import GenerationRequest, Tool

PER_MESSAGE: Final = 3 + 1
"""The frame of a message, and its role."""
PER_REPLY: Final = 3
"""Every reply is primed with three tokens; source: OpenAI's cookbook on counting tokens."""
PER_CALL: Final = 10
"""What stands around a tool, a call of it and its result."""
PER_SEARCH: Final = 8_000
"""What a web search adds to the input; source: OpenAI's fixed block of search content."""
TEXTS: Final = tuple(
    f"data:{kind}"
    for kind in ("text/", "application/json", "application/xml", "application/yaml",
                 "application/x-yaml", "application/javascript", "application/x-ndjson")
)  # fmt: skip
"""Documents that are read as they are."""

_at_hand: set[Encoding] = set()
_loading = Lock()


def count_input(request: GenerationRequest, model: Model) -> int:
    """The most input tokens that the provider will count for this request."""
    return count_inputs([request], [model])[0]


def count_inputs(requests: Sequence[GenerationRequest], models: Sequence[Model]) -> list[int]:
    """Those of each request to its model: one count of a thousand costs a tenth of as many.

    Exact where the family's percent is 100 and all is text; elsewhere an upper estimate, so
    that no reservation is too small.
    """
    families = [_family(model) for model in models]
    tokens = _counted([_said(request) for request in requests], families)
    return [
        _scaled(count + _frame(request), family.percent) + _beside_text(request, model, family)
        for count, request, model, family in zip(tokens, requests, models, families, strict=True)
    ]


def most_input(request: GenerationRequest, model: Model) -> int:
    """At most so many, without counting: a token stands for one byte or more."""
    family, size = _family(model), sum(len(text.encode()) for text in _said(request))
    return _scaled(size + _frame(request), family.percent) + _beside_text(request, model, family)


def least_input(request: GenerationRequest, model: Model) -> int:
    """At least so many: only what is longer than this has surely no room."""
    return least_inputs([request], [model])[0]


def least_inputs(requests: Sequence[GenerationRequest], models: Sequence[Model]) -> list[int]:
    """Those of each request to its model.

    What is opaque goes to its own wire alone, so it does not count.
    """
    families = [_family(model) for model in models]
    tokens = _counted([_surely_said(request) for request in requests], families)
    return [
        (count + _frame(request)) * family.least // 100
        for count, request, family in zip(tokens, requests, families, strict=True)
    ]


def at_hand(models: Iterable[Model]) -> bool:
    """Whether counting for these is quick: the first use of a vocabulary takes a second."""
    return {_family(model).encoding for model in models} <= _at_hand


def _counted(said: Sequence[list[str]], families: Sequence[Family]) -> list[int]:
    """The tokens of the texts of each request, by its own family's vocabulary."""
    tokens = [0] * len(said)
    for encoding in {family.encoding for family in families}:
        places = [n for n, family in enumerate(families) if family.encoding == encoding]
        counts = _counts([text for n in places for text in said[n]], encoding)
        for n in places:
            tokens[n] = sum(islice(counts, len(said[n])))
    return tokens


def _counts(texts: Sequence[str], encoding: Encoding) -> Iterator[int]:
    if encoding not in _at_hand:
        # Each thread that loads it would keep its own 50 MB for a while.
        with _loading:
            toktok.batch_count((), encoding)
            _at_hand.add(encoding)
    return iter(toktok.batch_count(texts, encoding))


def _family(model: Model) -> Family:
    return family_of(model.priced_as)


def _scaled(tokens: int, percent: int) -> int:
    return (tokens * percent + 99) // 100


def _frame(request: GenerationRequest) -> int:
    """Of a chat; a prompt and what is embedded stand alone."""
    return len(request.messages) * PER_MESSAGE + PER_REPLY if request.messages else 0


def _said(request: GenerationRequest) -> list[str]:
    """All that is counted as text."""
    texts: list[str] = []
    for message in request.messages:
        # Almost every turn is plain text: it costs one look.
        if isinstance(message.content, str):
            texts.append(message.content)
        else:
            texts += _texts(message.parts)
        if message.tool_calls:
            texts += [f"{call.id} {call.name} {call.arguments}" for call in message.tool_calls]
    if request.tools:
        texts += [_json(_form(tool)) for tool in request.tools]
    if request.response_schema is not None:
        texts.append(_json(request.response_schema.schema))
    if not request.messages:
        asked = request.prompt or request.input or ()
        texts += [asked] if isinstance(asked, str) else asked
    return texts


def _surely_said(request: GenerationRequest) -> list[str]:
    """What every provider counts as text, whatever wire it goes to."""
    parts = (part for message in request.messages for part in message.parts)
    texts = [*_texts(part for part in parts if not isinstance(part, OpaquePart))]
    return [*texts, request.prompt or ""]


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, TextPart):
            yield part.text
        elif isinstance(part, OpaquePart):
            yield _json(part.data)
        elif isinstance(part, FilePart) and part.url.startswith(TEXTS):
            yield _content(part.url).decode(errors="replace")


def _beside_text(request: GenerationRequest, model: Model, family: Family) -> int:
    """Tokens of images and documents, and of what the provider adds of its own."""
    tokens = 0
    for message in request.messages:
        if not isinstance(message.content, str):
            tokens += sum(_seen(part, family) for part in message.parts)
        if message.tool_calls or message.tool_call_id:
            tokens += PER_CALL * (1 + len(message.tool_calls))
    if request.tools:
        tokens += family.tools + PER_CALL * len(request.tools)
    if request.response_schema is not None:
        tokens += family.schema
    if request.web_search or model.always_searches:
        tokens += PER_SEARCH * MOST_SEARCHES
    return tokens


def _seen(part: Part, family: Family) -> int:
    if isinstance(part, ImagePart):
        small = family.small_image if part.detail == "low" else None
        return family.image if small is None else small
    if isinstance(part, FilePart) and not part.url.startswith(TEXTS):
        return family.page * _pages(part.url, family.most_pages)
    return 0


def _pages(url: str, most: int) -> int:
    """As many as its bytes can hold; what is behind a URL, or unreadable, may have the most."""
    told = pages_of(_content(url)) if url.startswith("data:") else None
    return most if told is None else min(told, most)


def _content(url: str) -> bytes:
    """What a data URL holds; the URL's own letters where it is malformed."""
    head, _, data = url.partition(",")
    try:
        return base64.b64decode(data) if head.endswith(";base64") else data.encode()
    except ValueError:
        return data.encode()


def _form(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
