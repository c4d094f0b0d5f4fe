"""The repository as the house tests read it: its houses, its modules, its papers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
HOUSES: Final = ("api", "worker", "shared", "cli", "simulator")
BESIDE: Final = ("tests", "bench", "examples")
TEXTS: Final = (
    *HOUSES,
    *BESIDE,
    "deploy",
    "docs",
    ".ci",
)
UNREAD: Final = frozenset({"__pycache__", "node_modules"})
PLAIN: Final = frozenset(
    {"", ".cfg", ".html", ".ini", ".lock", ".lua", ".mako", ".md", ".py", ".sh", ".sql"}
    | {".template", ".toml", ".txt", ".yaml", ".yml"}
)


def modules(*folders: str) -> Iterator[Path]:
    """Every Python file under these folders, as a path inside the repository."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if UNREAD.isdisjoint(path.parts):
                yield path.relative_to(ROOT)


def texts() -> Iterator[Path]:
    """Every text file of the project, as a path inside the repository."""
    inside = (path for folder in TEXTS for path in (ROOT / folder).rglob("*"))
    for path in sorted([*ROOT.iterdir(), *inside]):
        mine = path.name != ".env" and path.suffix in PLAIN and UNREAD.isdisjoint(path.parts)
        if mine and path.is_file():
            yield path.relative_to(ROOT)


def papers() -> list[Path]:
    """Every Markdown file of the project, as a path inside the repository."""
    return [path for path in texts() if path.suffix == ".md"]


def read(path: Path) -> str:
    """The text of a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")
