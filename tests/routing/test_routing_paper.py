"""docs/routing.md tells every field, strategy, signal and tier as they are; its examples work."""

import re
import tomllib
from pathlib import Path
from typing import Final

import orjson

from api.jobs.schemas import JobSubmit
from shared.routing.choose import TIER_FOR
from shared.routing.complexity import WEB, WORK
from shared.routing.policy import Policy, Prefer
from shared.routing.routes import problems_of, routes_of
from shared.routing.stored import Strategy
from tests.routing.ground import planned, with_rows

PAPER: Final = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAPER, re.MULTILINE | re.DOTALL)


def rows(first: str) -> list[list[str]]:
    """The rows of the table whose first column is called so."""
    found = re.search(rf"^\| {first} \|.*\n\|[-|]*\|\n((?:\|.*\n)+)", PAPER, re.MULTILINE)
    assert found is not None
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in found[1].splitlines()
    ]


def test_every_field_stands_in_its_table() -> None:
    assert [row[0] for row in rows("field")] == list(Policy.model_fields)


def test_every_strategy_stands_in_its_table() -> None:
    assert [row[0] for row in rows("strategy")] == list(Strategy)


def test_every_signal_stands_in_its_table_with_its_points() -> None:
    real = [(each.name, "work", each.points) for each in WORK]
    real += [(each.name, "web", each.points) for each in WEB]
    assert [(name, kind, int(points)) for name, kind, points, _ in rows("signal")] == real


def test_every_tier_stands_in_its_table() -> None:
    columns = (Prefer.COST, Prefer.SPEED, None, Prefer.QUALITY)
    real = [[str(name), *(tiers[each] for each in columns)] for name, tiers in TIER_FOR.items()]
    assert rows("complexity") == real


def test_the_example_of_a_job_can_be_planned() -> None:
    job, usual = blocks("json")
    asked = JobSubmit.model_validate_json(job, strict=True)
    assert asked.policy is not None
    plan = planned(asked.request, orjson.loads(job)["policy"])
    assert len(plan.candidates) >= 2
    assert Policy.model_validate_json(usual, strict=True).max_cost_nano == 500_000_000


def test_the_example_of_a_route_can_be_loaded(tmp_path: Path) -> None:
    [example] = blocks("toml")
    [name] = tomllib.loads(example)["routes"]
    catalog = with_rows(tmp_path, example)
    assert problems_of(catalog) == []
    assert routes_of(catalog)[name].strategy is Strategy.WEIGHTED


def test_the_policy_on_the_command_line_is_one() -> None:
    given = re.findall(r"--policy '(\{.*?\})'", PAPER)
    assert [Policy.model_validate_json(each, strict=True).prefer for each in given] == ["cost"]
