"""docs/money.md names every scope, policy, window and field of a budget, and no other."""

import re
from pathlib import Path

from api.budgets.schemas import BudgetCreate
from api.jobs.schemas import JobSubmit
from shared.domain.budget import AtLimit, Every, Scope

PAPER = (Path(__file__).parents[2] / "docs" / "money.md").read_text()
CELL = re.compile(r"`([a-z_]+)`")


def named(header: str) -> list[str]:
    """The words in the first column of the table with this header."""
    table = PAPER.partition(f"{header}\n")[2].partition("\n\n")[0]
    return [word for row in table.splitlines()[1:] for word in CELL.findall(row.split("|")[1])]


def test_every_field_of_a_budget_is_told() -> None:
    told = named("| field | says |")
    assert sorted([*told, "name"]) == sorted(BudgetCreate.model_fields)


def test_every_scope_policy_and_window_is_told() -> None:
    assert sorted(named("| scope | counts the calls |")) == sorted(Scope)
    assert sorted(named("| `at_limit` | a job without room |")) == sorted(AtLimit)
    windows = re.findall(r"^\| `every` \| the window:(.*)\|$", PAPER, re.MULTILINE)
    assert [CELL.findall(each) for each in windows] == [list(Every)]


def test_the_labels_of_a_job_are_fields_of_it() -> None:
    told = named("| field | is |")
    assert told == ["project", "tags", "end_user", "batch_max_cost"]
    assert set(told) < set(JobSubmit.model_fields)
