"""The catalog as it stands in this process: read again when its overlay changes, swapped whole."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from shared.catalog.deployments import Catalog
from shared.domain.errors import ConfigurationError

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 1.0
"""Between two looks at the file: a change takes effect after two looks that saw the same."""

Mark = tuple[int, int, int] | None
"""Of a file: its node, its size, its time of change; None where there is none."""


class CurrentCatalog:
    """Holds one immutable catalog at a time; whoever needs it for longer keeps what it got.

    Addresses, names of models and keys in the environment are as they were at the start.
    """

    def __init__(self, read: Callable[[], Catalog], overlay: Path | None = None) -> None:
        """`read`: the checked catalog, or a ConfigurationError, which is raised here too."""
        self._read = read
        self._overlay = overlay
        self._swapped: list[Callable[[Catalog], None]] = []
        self._mark = _mark(overlay)
        self._catalog = read()

    @property
    def catalog(self) -> Catalog:
        """As it stands now."""
        return self._catalog

    def on_swap(self, told: Callable[[Catalog], None]) -> None:
        """Have this called with every later catalog, at the moment when it takes effect."""
        self._swapped.append(told)

    async def refresh(self) -> bool:
        """Read and check it now; whether another one took effect.

        Raises ConfigurationError, and logs it: then all stays as it is.
        """
        self._mark = _mark(self._overlay)
        try:
            found = await asyncio.to_thread(self._read)
        except ConfigurationError as error:
            log.error("catalog_refused", what=str(self._overlay), detail=error.message)  # noqa: TRY400
            raise
        if found == self._catalog:
            return False
        self._catalog = found
        for told in self._swapped:
            told(found)
        log.info("catalog_taken", what=str(self._overlay))
        return True

    async def watch(self) -> None:
        """Refresh whenever the file has changed and is written no more; until cancelled."""
        seen = self._mark
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            mark = _mark(self._overlay)
            settled, seen = mark == seen, mark
            if mark != self._mark and settled:
                try:
                    await self.refresh()
                except ConfigurationError:
                    log.debug("catalog_kept")


def _mark(overlay: Path | None) -> Mark:
    """What changes when the file does; a file that cannot be looked at has none."""
    if overlay is None:
        return None
    try:
        status = overlay.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
