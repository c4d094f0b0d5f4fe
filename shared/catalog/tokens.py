"""Count the tokens of a request, offline: exactly for text to OpenAI, else an upper estimate."""

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import orjson
import toktok

from shared.catalog.deployments import Model
from shared.catalog.families import Family, family_of
from shared.catalog.prices import MOST_SEARCHES
from shared.domain.conversation import FilePart, ImagePart, Message, OpaquePart, Part, TextPart
from shared.domain.generation import GenerationRequest, Tool

ENCODING: Final = "o200k_base"
PER_MESSAGE: Final = 3 + 1
"""The frame of a message, and its role."""
PER_REPLY: Final = 3
"""Every reply is primed with three tokens; source: OpenAI's cookbook on counting tokens."""
PER_CALL: Final = 10
"""What stands around a tool, a call of it and its result."""
PER_SEARCH: Final = 8_000
"""What a web search adds to the input; source: OpenAI's fixed block of search content."""
PAGES_BEHIND_URL: Final = 20
"""A document that only the provider will see; usage tells how long it was."""
PAGE_BYTES: Final = 10_000
"""Of a document that does not tell its pages."""
PAGES: Final = re.compile(rb"/Count\s+(\d{1,4})\b")
PAGE: Final = re.compile(rb"/Type\s*/Page\b")


def count_input(request: GenerationRequest, model: Model) -> int:
    """The most input tokens that the provider will count for this request."""
    return count_inputs([request], [model])[0]


def count_inputs(requests: Sequence[GenerationRequest], models: Sequence[Model]) -> list[int]:
    """Those of each request to its model: one count of a thousand costs a tenth of as many.

    Exact where the family's percent is 100 and all is text; elsewhere an upper estimate, so
    that no reservation is too small.
    """
    said = [_said(request) for request in requests]
    counts = iter(toktok.batch_count([text for texts in said for text in texts], ENCODING))
    return [
        _scaled(sum(islice(counts, len(texts))) + _frame(request), family.percent)
        + _beside_text(request, family)
        for request, texts, family in zip(requests, said, map(_family, models), strict=True)
    ]


def most_input(request: GenerationRequest, model: Model) -> int:
    """At most so many, without counting: a token stands for one byte or more."""
    family, size = _family(model), sum(len(text.encode()) for text in _said(request))
    return _scaled(size + _frame(request), family.percent) + _beside_text(request, family)


def least_input(request: GenerationRequest, model: Model) -> int:
    """At least so many: only what is longer than this has surely no room."""
    texts = [text for message in request.messages for text in _texts(message.parts)]
    counted: int = sum(toktok.batch_count([*texts, request.prompt or ""], ENCODING))
    return (counted + _frame(request)) * _family(model).least // 100


def letters(requests: Iterable[GenerationRequest]) -> int:
    """About how much there is to count: characters, those of images and documents included."""
    size = 0
    for request in requests:
        for message in request.messages:
            size += len(message.content) if isinstance(message.content, str) else _size(message)
        if not request.messages:
            asked = request.prompt or request.input or ""
            size += len(asked) if isinstance(asked, str) else sum(map(len, asked))
    return size


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


def _texts(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, TextPart):
            yield part.text
        elif isinstance(part, OpaquePart):
            yield _json(part.data)
        elif isinstance(part, FilePart) and part.url.startswith("data:text/"):
            yield _content(part.url).decode(errors="replace")


def _beside_text(request: GenerationRequest, family: Family) -> int:
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
    if request.web_search:
        tokens += PER_SEARCH * MOST_SEARCHES
    return tokens


def _seen(part: Part, family: Family) -> int:
    if isinstance(part, ImagePart):
        small = family.small_image if part.detail == "low" else None
        return family.image if small is None else small
    if isinstance(part, FilePart) and not part.url.startswith("data:text/"):
        return family.page * _pages(part.url)
    return 0


def _pages(url: str) -> int:
    """At most about so many pages: what the document says of itself, else by its size."""
    if not url.startswith("data:"):
        return PAGES_BEHIND_URL
    content = _content(url)
    told = max((int(count) for count in PAGES.findall(content)), default=0)
    return max(told, len(PAGE.findall(content))) or 1 + len(content) // PAGE_BYTES


def _content(url: str) -> bytes:
    """What a data URL holds; the URL's own letters where it is malformed."""
    head, _, data = url.partition(",")
    try:
        return base64.b64decode(data) if head.endswith(";base64") else data.encode()
    except ValueError:
        return data.encode()


def _size(message: Message) -> int:
    told = (getattr(part, "text", "") or getattr(part, "url", "") for part in message.parts)
    return sum(map(len, told))


def _form(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
