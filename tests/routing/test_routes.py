"""A route is a policy with a name; one that cannot work is told at start."""

from pathlib import Path

import pytest

from shared.domain.errors import ConfigurationError, InvalidRequestError
from shared.domain.generation import GenerationRequest, ReasoningEffort
from shared.routing.policy import Policy, Prefer
from shared.routing.routes import (
    RouteBook,
    policy_for,
    problems_of,
    require_takers,
    routes_of,
    whom,
)
from shared.routing.stored import Fallback
from tests.routing.ground import CATALOG, ask, ids, planned, with_rows


def test_a_route_of_the_overlay_takes_jobs_by_its_name(tmp_path: Path) -> None:
    catalog = with_rows(tmp_path, '[routes.team]\ncandidates = ["gpt-4.1", "claude-haiku-4-5"]\n')
    plan = planned(ask("team"), catalog=catalog)
    assert ids(plan) == ["openai/gpt-4.1", "azure/gpt-4.1", "anthropic/claude-haiku-4-5"]
    assert plan.fitted.request.model == "gpt-4.1"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('[routes."gpt-4.1"]\ntier = "low"', "routes.gpt-4.1: a model or an alias has that name"),
        ('[routes.search]\ntier = "low"', "routes.search: a model or an alias has that name"),
        ("[routes.team]\nmax_tries = 2", "routes.team: it names no candidates"),
        ('[routes.team]\ntier = "middle"', "routes.team.tier: "),
        ('[routes.team]\ncandidates = ["gpt-44"]', "routes.team.candidates[0]: unknown model"),
        (
            '[routes.team]\ncandidates = ["gpt-4.1"]\nfallbacks.default = ["x/gpt-4.1"]',
            "routes.team.fallbacks.default[0]: no provider 'x'",
        ),
        (
            '[routes.team]\ncandidates = ["gpt-4.1"]\nstrategy = "weighted"\nweights.sonar = 2',
            "routes.team.weights.sonar: it is none of the candidates",
        ),
    ],
)
def test_a_route_that_cannot_work_is_told_by_its_entry(tmp_path: Path, row: str, told: str) -> None:
    catalog = with_rows(tmp_path, row)
    with pytest.raises(ConfigurationError) as caught:
        routes_of(catalog)
    assert caught.value.message.startswith(told)
    assert problems_of(catalog) == [caught.value.message]


def test_the_built_in_routes_work() -> None:
    assert problems_of(CATALOG) == []
    assert {"smart", "fast", "cheap", "best"} <= routes_of(CATALOG).keys()


def test_a_plain_job_has_no_policy() -> None:
    assert policy_for(routes_of(CATALOG), "gpt-4.1", None) is None


def test_the_job_goes_before_its_route_and_that_before_the_tenant() -> None:
    routes = {"team": Policy(tier="low", prefer=Prefer.COST)}
    usual = Policy(max_tries=3, prefer=Prefer.SPEED, tier="high")
    policy = policy_for(routes, "team", Policy(prefer=Prefer.QUALITY), usual)
    assert policy == Policy(max_tries=3, prefer=Prefer.QUALITY, tier="low")
    assert policy_for(routes, "gpt-4.1", None, usual) is usual


def test_the_routes_of_a_catalog_are_read_once_and_those_of_another_anew(tmp_path: Path) -> None:
    book = RouteBook()
    assert book.of(CATALOG) is book.of(CATALOG)
    changed = with_rows(tmp_path, '[routes.team]\ntier = "low"\n')
    assert "team" in book.of(changed)


def test_a_route_leads_to_its_candidates_or_to_everyone() -> None:
    routes = {"team": Policy(candidates=("sonar", "azure/gpt-4.1")), **routes_of(CATALOG)}
    assert [each.id for each in whom(CATALOG, routes, "sonar")] == ["perplexity/sonar"]
    assert [each.id for each in whom(CATALOG, routes, "team")] == [
        "perplexity/sonar", "azure/gpt-4.1",
    ]  # fmt: skip
    everyone = {each.provider.id for each in whom(CATALOG, routes, "smart")}
    assert {"openai", "azure", "anthropic", "gemini", "xai", "perplexity"} <= everyone


def test_a_line_of_a_file_is_held_to_whom_its_route_names() -> None:
    route = Policy(candidates=("gpt-4o-mini",), fallbacks={Fallback.CONTEXT_LENGTH: ("gpt-4.1",)})
    require_takers(CATALOG, route, ask("team"))
    require_takers(CATALOG, route, ask("team", "x " * 150_000))
    with pytest.raises(InvalidRequestError) as caught:
        require_takers(CATALOG, route, ask("team", reasoning_effort=ReasoningEffort.HIGH))
    assert caught.value.field == "reasoning_effort"


def test_a_line_for_the_router_is_held_to_its_form() -> None:
    require_takers(CATALOG, Policy(tier="low"), ask("smart"))
    with pytest.raises(InvalidRequestError) as caught:
        require_takers(CATALOG, Policy(tier="low"), GenerationRequest(model="smart"))
    assert caught.value.field == "messages"
