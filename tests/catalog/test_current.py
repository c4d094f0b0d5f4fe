"""The catalog of a process follows its file; a file with a mistake changes nothing."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from shared.catalog.current import CurrentCatalog
from shared.catalog.deployments import Catalog
from shared.catalog.load import load_catalog
from shared.domain.errors import ConfigurationError

LIMITED = "[limits.openai]\nrequests = {}\n"


def current_of(path: Path) -> CurrentCatalog:
    return CurrentCatalog(partial(load_catalog, path), path)


def requests(catalog: Catalog) -> int:
    return catalog.plan("gpt-4.1")[0].limits.requests


async def test_a_refresh_swaps_the_whole_and_tells_of_it_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(LIMITED.format(7))
    current, told = current_of(path), list[Catalog]()
    current.on_swap(told.append)
    before = current.catalog
    assert await current.refresh() is False
    assert current.catalog is before
    path.write_text(LIMITED.format(8))
    assert await current.refresh() is True
    assert (requests(before), requests(current.catalog)) == (7, 8)
    assert told == [current.catalog]


@pytest.mark.parametrize("text", ["[limits", "[limits.openai]\nrequests = -1\n", None])
async def test_a_mistake_or_a_file_that_is_gone_changes_nothing(
    tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(LIMITED.format(7))
    current = current_of(path)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=str(path)):
        await current.refresh()
    assert requests(current.catalog) == 7


async def test_a_change_is_seen_once_it_is_written_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.catalog.current.LOOK_SECONDS", 0.02)
    path = tmp_path / "mine.toml"
    path.write_text(LIMITED.format(7))
    current, swapped = current_of(path), asyncio.Event()
    current.on_swap(lambda _: swapped.set())
    watching = asyncio.create_task(current.watch())
    try:
        path.write_text("[limits")
        path.write_text("")
        path.write_text(LIMITED.format(8))
        async with asyncio.timeout(20):
            await swapped.wait()
        assert requests(current.catalog) == 8
        # A mistake does not end the watch.
        swapped.clear()
        path.write_text("[limits")
        await asyncio.sleep(0.1)
        path.write_text(LIMITED.format(9))
        async with asyncio.timeout(20):
            await swapped.wait()
        assert requests(current.catalog) == 9
    finally:
        watching.cancel()
