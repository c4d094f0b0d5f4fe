"""The pages of a document, as its bytes tell them: as many as it can be billed for, or more."""

import re
import zlib
from collections.abc import Iterator
from typing import Final

PDF: Final = b"%PDF-"
SHUT: Final = re.compile(
    rb"/Encrypt\b|/LZWDecode|/LZW\b|/ASCII85Decode|/A85\b|/ASCIIHexDecode|/AHx\b|/RunLengthDecode"
)
"""What keeps a document from being read here."""
COUNT: Final = re.compile(rb"/Count\s{0,8}(\d{1,9})\b")
PAGE: Final = re.compile(rb"/Type\s{0,8}/Page\b")
KIDS: Final = re.compile(rb"/Kids\s{0,8}\[([^\[\]]*)\]")
REFERENCE: Final = re.compile(rb"\d\s+R\b")
TEXT_BEGINS: Final = re.compile(rb"\bBT\s")
PACKED_OBJECTS: Final = b"/ObjStm"
FLATE: Final = b"/Fl"
"""Of `/FlateDecode` and its short form."""
PICTURE: Final = b"/Image"
PAGE_BYTES: Final = 10_000
"""Of what is written on a page, with where and how; more is counted as more pages."""
MOST_UNPACKED: Final = 32 * 1024 * 1024
MOST_STREAMS: Final = 50_000


class UnreadableError(Exception):
    """What this document holds cannot be told here."""


def pages_of(content: bytes) -> int | None:
    """The most pages that a PDF has; None where its bytes do not tell.

    What it says of itself may be a lie, so the page objects, the references to them and all that
    is written count as well, in what is packed, too.
    """
    if not content.startswith(PDF) or SHUT.search(content):
        return None
    try:
        packed, written = _unpacked(content)
    except UnreadableError:
        return None
    told = objects = referred = 0
    for piece in (content, *packed):
        told = max(told, max(map(int, COUNT.findall(piece)), default=0))
        objects += len(PAGE.findall(piece))
        referred += sum(len(REFERENCE.findall(kids)) for kids in KIDS.findall(piece))
    return max(told, objects, referred, 1 + written // PAGE_BYTES) if objects else None


def _unpacked(content: bytes) -> tuple[list[bytes], int]:
    """The objects that are packed, and how many bytes of writing there are."""
    packed: list[bytes] = []
    written, room = 0, MOST_UNPACKED
    for number, (head, data) in enumerate(_streams(content)):
        if number == MOST_STREAMS:
            raise UnreadableError
        if PACKED_OBJECTS in head:
            if b"/Predictor" in head:
                raise UnreadableError
            packed.append(_inflated(head, data, room))
            room -= len(packed[-1])
        elif PICTURE not in head:
            drawn = _inflated(head, data, room)
            room -= len(drawn)
            if TEXT_BEGINS.search(drawn):
                written += len(drawn)
    return packed, written


def _streams(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each stream with what stands before it, its dictionary last."""
    at = 0
    while (begin := content.find(b"stream", at)) >= 0:
        end = content.find(b"endstream", begin)
        end = len(content) if end < 0 else end
        head = content[at:begin]
        # Only its own dictionary may call it a picture; packed objects are looked for before that.
        if PACKED_OBJECTS not in head:
            head = head[head.rfind(b"obj") + 1 :]
        yield head, content[begin + len(b"stream") : end].lstrip(b"\r\n")
        at = end + len(b"endstream")


def _inflated(head: bytes, data: bytes, room: int) -> bytes:
    """The data, unpacked. Raises UnreadableError for what is more than there is room for."""
    if FLATE not in head:
        return data
    if not room:
        raise UnreadableError
    unpacking = zlib.decompressobj()
    try:
        plain = unpacking.decompress(data, room)
    except zlib.error:
        raise UnreadableError from None
    if unpacking.unconsumed_tail:
        raise UnreadableError
    return plain
