"""Server-sent events out of bytes that come split anywhere."""


class EventParser:
    """Gives the data of each event; its name stands in the data of every wire that we speak.

    An event without its empty line was cut off: it is not given.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that end in this chunk; lines of data are joined by a newline."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        ended = []
        for line in (line.removesuffix(b"\r") for line in lines):
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
            elif not line and self._data:
                # Without data it is a sign of life, as the standard has it.
                if data := b"\n".join(self._data):
                    ended.append(data)
                self._data = []
        return ended
