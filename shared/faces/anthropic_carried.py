"""What Anthropic's words have no place for, carried through the caller's hands in one block."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from shared.domain.errors import InvalidRequestError
from shared.faces.openai_messages import Json

MARK: Final = "promptmill:"
"""What the data of such a block begins with."""
DEEPEST: Final = 32
PLACED: Final = frozenset({"text", "opaque"})


def carried(result: Mapping[str, Any], *, native: str | None) -> Json | None:
    """A block that a client sends back untouched, with what another wire needs there.

    It has the opaque parts of a result among the lengths of its texts, and the signatures of
    its calls. Parts of the wire `native` are shown as they are. None: there is nothing to carry.
    """
    places = [_place(part) for part in result.get("parts", ()) if part["type"] in PLACED]
    foreign = any(isinstance(place, dict) and place["wire"] != native for place in places)
    calls = result.get("tool_calls", ())
    signatures = {call["id"]: call["signature"] for call in calls if call.get("signature")}
    if not (foreign or signatures):
        return None
    kept = orjson.dumps({"parts": places if foreign else [], "signatures": signatures})
    return {"type": "redacted_thinking", "data": MARK + b64encode(kept).decode()}


def is_carrier(block: Mapping[str, Any]) -> bool:
    """Whether it is such a block."""
    data = block.get("data")
    return block.get("type") == "redacted_thinking" and str(data).startswith(MARK)


def unpacked(block: Mapping[str, Any], where: str) -> tuple[list[Any], Json]:
    """The places and the signatures that it carries. Raises InvalidRequestError."""
    try:
        kept = orjson.loads(b64decode(block["data"].removeprefix(MARK), validate=True))
        places, signatures = list(kept["parts"]), dict(kept["signatures"])
        sound = _storable(kept, DEEPEST) and all(isinstance(each, int | dict) for each in places)
    except (NotBase64, LookupError, TypeError, ValueError):
        places, signatures, sound = [], {}, False
    if not sound:
        message = f"{where}.data: it is not as it was given; send the block back unchanged"
        raise InvalidRequestError(message, field=f"{where}.data")
    return places, signatures


def placed(places: Sequence[Any], text: str) -> Iterator[Json]:
    """The parts of a turn: its opaque ones, and its text in pieces between them.

    A text that is not as long as it was stands behind them.
    """
    lengths = [place for place in places if isinstance(place, int)]
    whole = sum(lengths) == len(text)
    for place in places:
        if isinstance(place, dict):
            yield {"type": "opaque", **place}
        elif whole:
            yield {"type": "text", "text": text[:place]}
            text = text[place:]
    if text:
        yield {"type": "text", "text": text}


def _place(part: Mapping[str, Any]) -> int | Json:
    if part["type"] == "text":
        return len(part["text"])
    return {"wire": part["wire"], "data": part["data"]}


def _storable(value: Any, depth: int) -> bool:
    """Whether a database can keep it."""
    match value:
        case str():
            return "\x00" not in value
        case list():
            return depth > 0 and all(_storable(each, depth - 1) for each in value)
        case dict():
            each = (*value, *value.values())
            return depth > 0 and all(_storable(one, depth - 1) for one in each)
        case _:
            return True
