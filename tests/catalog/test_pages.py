"""A document's pages: what its bytes prove, whatever it says of itself."""

import zlib
from typing import Final

import pytest

from shared.catalog.pages import MOST_UNPACKED, PAGE_BYTES, pages_of

HEAD: Final = b"%PDF-1.7\n"
PAGE: Final = b"<</Type /Page /Parent 1 0 R>>"


def stream(data: bytes, said: bytes = b"", *, packed: bool = True) -> bytes:
    """An object that holds data."""
    told = b"/Filter /FlateDecode " if packed else b""
    body = zlib.compress(data) if packed else data
    return b"9 0 obj <<" + told + said + b">>\nstream\r\n" + body + b"\nendstream endobj\n"


def writing(size: int) -> bytes:
    return b"BT (a) Tj ET " + b" " * size


@pytest.mark.parametrize(
    ("content", "pages"),
    [
        (HEAD + PAGE, 1),
        (HEAD + b"<</Type /Pages /Count 7 /Kids [3 0 R]>>" + PAGE, 7),
        (HEAD + b"<</Type/Pages/Count 1>>" + PAGE * 30, 30),
        (HEAD + b"<</Kids [3 0 R 3 0 R\n3 0 R]>>" + PAGE, 3),
        (HEAD + stream(b"<</Count 4>> " + PAGE * 5, b"/Type/ObjStm"), 5),
        (HEAD + stream(PAGE * 5, b"/Type/ObjStm /Subtype /Image"), 5),
        (HEAD + stream(PAGE * 5, b"/Type/ObjStm", packed=False), 10),
        (HEAD + PAGE + stream(writing(3 * PAGE_BYTES)), 4),
        (HEAD + PAGE + stream(writing(3 * PAGE_BYTES), packed=False), 4),
        (HEAD + PAGE + stream(bytes(3 * PAGE_BYTES)), 1),
        (HEAD + PAGE + stream(writing(3 * PAGE_BYTES), b"/Subtype /Image"), 1),
    ],
)
def test_pages_are_counted_in_all_ways_and_the_most_hold(content: bytes, pages: int) -> None:
    assert pages_of(content) == pages


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        HEAD,
        HEAD + b"<</Type /Pages /Count 7>>",
        HEAD + PAGE + b"<</Encrypt 4 0 R>>",
        HEAD + PAGE + stream(b"x", b"/Type/ObjStm /DecodeParms <</Predictor 12>>"),
        HEAD + PAGE + stream(b"x", b"[/ASCII85Decode]"),
        HEAD + PAGE + b"1 0 obj <</Filter/FlateDecode>> stream\nno flate\nendstream",
        HEAD + PAGE + stream(bytes(MOST_UNPACKED + 1)),
        HEAD + PAGE + stream(bytes(MOST_UNPACKED)) + stream(b"more"),
    ],
)
def test_what_cannot_be_read_has_no_number_of_pages(content: bytes) -> None:
    assert pages_of(content) is None


@pytest.mark.parametrize("content", [b"/Kids[" * 200_000, b"stream " * 200_000, b"/Count " * 10**5])
@pytest.mark.timeout(10)
def test_a_document_made_to_be_slow_is_not(content: bytes) -> None:
    assert pages_of(HEAD + PAGE + content) in {None, 1, *range(2, 200)}
