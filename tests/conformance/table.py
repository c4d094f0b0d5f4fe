"""The table adapter x feature of docs/providers.md, made from the suite: `python -m` writes it."""

import sys
from pathlib import Path
from typing import Final

from tests.conformance.targets import FEATURES, TARGETS

PAPER: Final = Path(__file__).parents[2] / "docs" / "providers.md"
BEGIN: Final = "<!-- made by `make conformance` -->"
END: Final = "<!-- end -->"
YES: Final = "yes"
NO: Final = "-"


def table() -> str:
    """One row a feature, one column a wire; below, why something is not there."""
    names = [target.name for target in TARGETS]
    rows = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for feature in FEATURES:
        cells = (NO if feature in target.lacks else YES for target in TARGETS)
        rows.append(f"| {feature} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def written(paper: str) -> str:
    """The paper with the table of now."""
    head, _, rest = paper.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAPER.write_text(written(PAPER.read_text()))
    sys.stdout.write(table() + "\n")
