"""Folders that an account without privileges can enter, homes and launchers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.stack.home import Home
from cli.stack.reaper import remove
from tests.stack.launchers import Launchers


@pytest.fixture
def folder() -> Iterator[Path]:
    """A fresh folder; pytest's own would be closed to the servers' account."""
    path = Path(tempfile.mkdtemp(prefix="promptmill-stack-"))
    path.chmod(0o711)
    yield path
    remove(str(path))


@pytest.fixture
def home(folder: Path) -> Home:
    """A home that is ready for use."""
    made = Home(folder / "home")
    made.create()
    return made


@pytest.fixture
def launchers() -> Iterator[Launchers]:
    """Launchers that do not outlive the test."""
    made = Launchers()
    yield made
    made.end()
