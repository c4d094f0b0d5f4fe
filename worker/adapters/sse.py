"""Server-sent events out of bytes that come split anywhere."""

from typing import Final

from worker.adapters.base import WireError

EVENTS: Final = "text/event-stream"


class EventParser:
    """Gives the data of each event; its name stands in the data of every wire that we speak.

    An event without its empty line was cut off: it is not given.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rest: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        """Bytes of both."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that end in this chunk; lines of data are joined by a newline.

        Raises WireError for an event that is too large.
        """
        first, *others = chunk.split(b"\n")
        self._rest.append(first)
        self._size += len(first)
        ended = []
        for rest in others:
            line = b"".join(self._rest).removesuffix(b"\r")
            self._rest = [rest]
            if data := self._take(line):
                ended.append(data)
            self._size = len(rest) + sum(map(len, self._data))
        if self._size > self._most_bytes:
            raise WireError(f"an event of the stream is larger than {self._most_bytes} bytes")
        return ended

    def _take(self, line: bytes) -> bytes:
        """The data of the event that this line ends; empty where it ends none."""
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        elif not line and self._data:
            # Without data it is a sign of life, as the standard has it.
            data = b"\n".join(self._data)
            self._data = []
            return data
        return b""
