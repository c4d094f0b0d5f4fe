"""Events come whole, however their bytes were split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.base import WireError
from worker.adapters.sse import EventParser

STREAM = (
    'event: ping\r\ndata: {"a": "ü"}\r\n\r\n: keep-alive\n\nid: 7\ndata:tight\n\n'
    "retry: 5\n\ndata: one\ndata:  two\ndata\n\ndata: [DONE]\n\n"
).encode()
EVENTS = ['{"a": "ü"}'.encode(), b"tight", b"one\n two\n", b"[DONE]"]


@given(cuts=st.lists(st.integers(0, len(STREAM))))
def test_events_come_whole_however_their_bytes_were_split(cuts: list[int]) -> None:
    parser, edges = EventParser(1000), sorted({0, *cuts, len(STREAM)})
    chunks = [STREAM[start:end] for start, end in pairwise(edges)]
    assert [data for chunk in chunks for data in parser.feed(chunk)] == EVENTS


@pytest.mark.parametrize("cut_off", [b'data: {"a": 1', b"data: {}\n", b"data: {}\r\n\r"])
def test_an_event_that_was_cut_off_is_none(cut_off: bytes) -> None:
    assert EventParser(1000).feed(cut_off) == []


def test_a_comment_ends_no_event() -> None:
    assert EventParser(1000).feed(b"data: a\n:\n: b\ndata: c\n\n") == [b"a\nc"]


def test_an_event_has_its_bound_and_many_small_ones_have_none() -> None:
    parser = EventParser(10)
    for _ in range(100):
        assert parser.feed(b"data: 12345\n\n") == [b"12345"]
    with pytest.raises(WireError, match="larger than 10 bytes"):
        parser.feed(b"data: 123456")


def test_lines_of_one_event_count_together() -> None:
    parser = EventParser(10)
    assert parser.feed(b"data: 12345\n") == []
    with pytest.raises(WireError, match="larger than 10 bytes"):
        parser.feed(b"data: 678901\n")
