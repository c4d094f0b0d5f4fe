"""The papers tell the truth about the repository, and so does what is imported from it."""

import importlib
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

from shared.catalog.aliases import variables_of
from shared.catalog.load import load_catalog
from shared.settings import Settings
from tests.house import rules
from tests.house.source import HOUSES, ROOT, papers, read, texts

WORD: Final = re.compile(r"^([a-z-]+):.*## ", re.MULTILINE)
VARIABLE: Final = re.compile(r"^#?\s?([A-Z][A-Z0-9_]+)=", re.MULTILINE)
NAME: Final = re.compile(r"^[A-Za-z0-9-]+")
OWN_PREFIX: Final = "PROMPTMILL_"
# Read elsewhere than in Settings: by the catalog, and by the launcher.
BESIDE_SETTINGS: Final = {
    *variables_of(load_catalog()),
    *(name for each in load_catalog().providers.values() for name in each.key_variables),
    *(name for each in load_catalog().providers.values() for name in each.other_variables),
    "GOOGLE_APPLICATION_CREDENTIALS",  # Google's own library
    "PROMPTMILL_HOME",
    "PROMPTMILL_KEY",  # cli/server/address.py
    "PROMPTMILL_PG_BIN",
    "PROMPTMILL_PG_USER",
    "PROMPTMILL_URL",
    "PROMPTMILL_VALKEY_BIN",
}


def dependencies() -> list[str]:
    """The names of every direct dependency, those of the extras too."""
    project = tomllib.loads(read(Path("pyproject.toml")))["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    return [found[0] for each in [*project["dependencies"], *extras] if (found := NAME.match(each))]


def variables_of_settings() -> set[str]:
    """The variables that fill Settings, groups by their prefix."""
    return {
        str(field.validation_alias or OWN_PREFIX + name.upper())
        for name, field in Settings.model_fields.items()
    }


@pytest.mark.parametrize("house", HOUSES)
def test_a_house_is_imported_from_the_repository(house: str) -> None:
    module = importlib.import_module(house)
    assert Path(str(module.__file__)).parent == ROOT / house


def test_no_other_distribution_claims_the_name_of_a_house() -> None:
    claims = packages_distributions()
    assert {name for house in HOUSES for name in claims.get(house, [])} <= {"promptmill"}


def test_no_file_names_a_package_registry() -> None:
    named = [f"{path}: {each}" for path in texts() for each in rules.registries(read(path))]
    assert named == []


def test_every_relative_link_leads_somewhere() -> None:
    broken = [
        f"{path}: {each}"
        for path in papers()
        for each in rules.broken_links(path, read(path), ROOT)
    ]
    assert broken == []


def test_every_word_of_make_that_a_paper_names_exists() -> None:
    known = set(WORD.findall(read(Path("Makefile"))))
    unknown = [
        f"{path}: {each}" for path in papers() for each in rules.unknown_words(read(path), known)
    ]
    assert known
    assert unknown == []


def test_every_dependency_has_its_reason_and_is_locked() -> None:
    reasons = read(Path("docs/decisions/0007-dependencies.md"))
    lock = read(Path("requirements.lock"))
    names = dependencies()
    assert names
    assert [name for name in names if f"`{name}`" not in reasons] == []
    assert [name for name in names if not re.search(rf"^{name}==", lock, re.MULTILINE)] == []


def test_the_template_of_the_environment_names_only_what_is_read() -> None:
    groups = tuple(f"{variable}__" for variable in variables_of_settings())
    known = variables_of_settings() | BESIDE_SETTINGS
    named = VARIABLE.findall(read(Path(".env.template")))
    assert named
    assert [each for each in named if each not in known and not each.startswith(groups)] == []


def test_a_registry_a_dead_link_and_an_unknown_word_are_found(tmp_path: Path) -> None:
    registry = "pypi" + ".org"
    assert list(rules.registries(f"https://{registry}/simple"))
    assert list(rules.registries("--index-url https://example.com\n"))
    assert list(rules.broken_links(Path("a.md"), "[b](b.md#part)", tmp_path))
    assert not list(rules.broken_links(Path("a.md"), "[b](https://b.example) [c](#c)", tmp_path))
    assert list(rules.unknown_words("run `make coffee`", {"test"})) == [
        "`make coffee` does not exist"
    ]
