"""Every import contract can be broken: one planted import for each of them."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from tests.house.source import HOUSES, ROOT, modules, read

LINTER: Final = Path(sys.executable).with_name("lint-imports")
# Contract to the import that it forbids: where it is planted, and what.
PLANTED: Final = {
    "Houses do not know each other; all stand on shared": ("api/__init__.py", "worker"),
    "Rooms of shared: from the statements down to the words": (
        "shared/catalog/__init__.py",
        "shared.db",
    ),
    "Rooms of the worker: Celery above, calls below": ("worker/adapters/__init__.py", "worker.app"),
    "The local stack knows nothing of the commands above it": ("cli/stack/__init__.py", "cli.main"),
    "The domain's words need no library but the id maker": ("shared/domain/money.py", "pydantic"),
    "The pipeline reads downwards from run": ("worker/pipeline/patience.py", "worker.pipeline.run"),
    "Only the registry knows dialects; a dialect knows its wire and the seam": (
        "worker/adapters/base.py",
        "worker.adapters.openai",
    ),
    "A plan is made upwards from what a policy says": (
        "shared/routing/policy.py",
        "shared.routing.resolve",
    ),
    "A request reads downwards through the api": ("api/errors.py", "api.jobs.routes"),
    "Providers are called by their adapters only": ("worker/pipeline/verdict.py", "openai"),
    "The simulator is an independent witness: of ours it knows the domain at most": (
        "simulator/__init__.py",
        "shared.settings",
    ),
    "HTTP is served by the api only": ("worker/__init__.py", "fastapi"),
    "Celery is the carrier: only the broker and the worker's upper rooms see it": (
        "worker/pipeline/__init__.py",
        "celery",
    ),
    "The terminal belongs to the command": ("simulator/__init__.py", "rich"),
}


def contracts() -> list[str]:
    """The names of all contracts."""
    settings = tomllib.loads(read(Path("pyproject.toml")))["tool"]["importlinter"]
    return [contract["name"] for contract in settings["contracts"]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The houses' modules and the contracts in another folder."""
    for path in modules(*HOUSES):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "cli/main.py").touch()
    return tmp_path


def broken_in(folder: Path) -> set[str]:
    """The names of the contracts that the linter finds broken there."""
    argv = [str(LINTER), "--no-cache", "--config", "pyproject.toml"]
    said = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    report = said.stdout.partition("Contracts: ")[0].replace("\n", " ")
    assert all(name in report for name in contracts()), said.stdout + said.stderr
    return {name for name in contracts() if f"{name} BROKEN" in report}


def test_the_houses_keep_every_contract(copy: Path) -> None:
    assert broken_in(copy) == set()


def test_every_contract_is_broken_by_what_it_forbids(copy: Path) -> None:
    for path, module in PLANTED.values():
        with (copy / path).open("a") as planted:
            planted.write(f"import {module}\n")
    assert broken_in(copy) == set(contracts())


def test_every_contract_has_its_planted_import() -> None:
    assert set(PLANTED) == set(contracts())


def test_a_new_room_needs_a_place(copy: Path) -> None:
    (copy / "shared/attic.py").write_text('"""Nobody knows."""\n')
    assert broken_in(copy) == {"Rooms of shared: from the statements down to the words"}
