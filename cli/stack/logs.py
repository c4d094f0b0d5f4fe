"""Follows the logs of the children and passes their lines on, each behind its name."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAUSE: Final = 0.2
"""Seconds between two looks."""
PIECE: Final = 256 * 1024
"""Bytes that are read at most in one look."""


@dataclass(slots=True)
class Tail:
    """A growing log; a half line waits for its end."""

    path: Path
    position: int
    half: bytes = b""

    @classmethod
    def at_end(cls, path: Path) -> "Tail":
        """What is there already is not told."""
        return cls(path, path.stat().st_size if path.exists() else 0)

    def new_lines(self) -> list[str]:
        """The lines that were finished since the last look."""
        try:
            with self.path.open("rb") as file:
                if self.path.stat().st_size < self.position:  # set aside, begun anew
                    self.position, self.half = 0, b""
                file.seek(self.position)
                piece = file.read(PIECE)
        except FileNotFoundError:
            return []
        self.position += len(piece)
        *lines, self.half = (self.half + piece).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


async def follow(logs: Mapping[str, Path], write: Callable[[str, str], None]) -> None:
    """Call `write(name, line)` for each line that is appended to these logs, until cancelled."""
    tails = {name: Tail.at_end(path) for name, path in logs.items()}
    try:
        while True:
            _pass_on(tails, write)
            await asyncio.sleep(PAUSE)
    finally:
        _pass_on(tails, write)


def _pass_on(tails: Mapping[str, Tail], write: Callable[[str, str], None]) -> None:
    for name, tail in tails.items():
        for line in tail.new_lines():
            write(name, line)
