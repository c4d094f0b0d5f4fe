"""The router chooses models by what is asked, of those that can take it and be called."""

import pytest

from shared.catalog.deployments import Capability
from shared.catalog.pricing import worst_case
from shared.catalog.wires import not_taken
from shared.domain.generation import Tool
from shared.routing.policy import Complexity
from tests.routing.ground import AT, CATALOG, ask, error, ids, planned, refused


@pytest.mark.parametrize(
    ("route", "text", "tier"),
    [
        ("smart", "Hello", "low"),
        ("smart", "Compare Postgres and MySQL.", "medium"),
        ("smart", "Prove step by step that it holds.", "high"),
        ("cheap", "Prove step by step that it holds.", "medium"),
        ("best", "Hello", "medium"),
    ],
)
def test_the_router_chooses_the_tier_that_the_work_asks_for(
    route: str, text: str, tier: str
) -> None:
    plan = planned(ask(route, text))
    assert plan.candidates[0].deployment.model.tier == tier
    assert len({each.deployment.model.provider for each in plan.candidates}) == 3
    assert f"tier {tier}" in plan.candidates[0].reasons[0]


def test_what_the_job_says_overrides_its_route() -> None:
    plan = planned(ask("smart"), {"complexity": "COMPLEX", "max_cost_usd": 1})
    assert plan.judged is not None
    assert plan.judged.chosen
    assert plan.candidates[0].deployment.model.tier == "high"
    assert plan.stored().max_cost_nano == 1_000_000_000
    assert planned(ask("smart"), {"tier": "high"}).candidates[0].deployment.model.tier == "high"


@pytest.mark.parametrize(
    ("prefer", "order"),
    [
        ("cost", ["haiku", "sonnet", "opus"]),
        ("speed", ["haiku", "sonnet", "opus"]),
        ("quality", ["sonnet", "opus", "haiku"]),
    ],
)
def test_a_preference_orders_named_candidates(prefer: str, order: list[str]) -> None:
    """By their distance to the tier that suits a simple task, then by what is preferred."""
    names = ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"]
    plan = planned(ask(), {"candidates": names, "prefer": prefer, "complexity": "SIMPLE"})
    chosen = [model.split("-")[1] for each in plan.candidates
              if (model := each.deployment.model.id) in names]  # fmt: skip
    assert chosen == order


def test_the_cheapest_of_its_tier_comes_first_for_those_who_mind_the_bill() -> None:
    cheap, good = (
        planned(ask("smart"), {"prefer": prefer, "tier": "low"}).candidates[0]
        for prefer in ("cost", "quality")
    )
    costs = [
        worst_case(each.deployment, input_tokens=1000, max_tokens=1000, at=AT)
        for each in (cheap, good)
    ]
    assert costs[0] < costs[1]
    assert cheap.deployment.model.quality < good.deployment.model.quality


def test_who_has_no_credential_is_not_chosen() -> None:
    first = planned(ask("smart")).candidates[0].deployment.provider.id
    plan = planned(ask("smart"), shut=frozenset({first}))
    assert first not in {each.deployment.provider.id for each in plan.candidates}
    assert "it has no credential, or is switched off" in refused(plan).values()


def test_the_router_takes_several_models_of_an_only_provider() -> None:
    others = frozenset(CATALOG.providers) - {"openai"}
    plan = planned(ask("smart"), shut=others, sure=frozenset({"openai"}))
    assert len({each.deployment.model.id for each in plan.candidates}) == 3
    assert {each.deployment.model.provider for each in plan.candidates} == {"openai"}


def test_before_a_worker_lives_the_best_of_every_provider_may_be_asked() -> None:
    plan = planned(ask("smart"), sure=frozenset())
    providers = [each.deployment.model.provider for each in plan.candidates]
    chatting = {model.provider for model in CATALOG.models.values() if model.tier is not None}
    assert set(providers) == chatting - {"perplexity"}
    models = {each.deployment.model.id for each in plan.candidates}
    assert len(models) == len(set(providers))


def test_a_search_goes_to_models_that_search_and_asks_them_to() -> None:
    plan = planned(ask("smart", "What are today's headlines?"))
    assert plan.judged is not None
    assert plan.judged.complexity is Complexity.SEARCH
    assert plan.fitted.request.web_search
    assert all(
        Capability.WEB_SEARCH in each.deployment.model.capabilities for each in plan.candidates
    )


def test_where_nobody_can_search_the_work_decides() -> None:
    searching = frozenset(
        each.provider.id
        for model in CATALOG.models.values()
        if Capability.WEB_SEARCH in model.capabilities
        for each in CATALOG.plan(model.id)
        if "web_search" not in not_taken(each.provider)
    )
    plan = planned(ask("smart", "What are today's headlines?"), shut=searching)
    assert plan.judged is not None
    assert plan.judged.complexity is Complexity.SIMPLE
    assert "nobody here can search" in dict(plan.judged.signals)
    assert not plan.fitted.request.web_search
    told = error(ask("smart"), {"complexity": "SEARCH"}, shut=searching)
    assert told.field == "model"


def test_one_that_always_searches_is_not_chosen_for_other_work() -> None:
    told = error(ask("smart"), {}, shut=frozenset(CATALOG.providers) - {"perplexity"})
    assert "no model can be chosen" in told.message


def test_the_router_holds_to_capabilities_too() -> None:
    plan = planned(ask("smart", tools=(Tool(name="look"),)), {"candidates": ["sonar", "gpt-4.1"]})
    assert ids(plan) == ["openai/gpt-4.1", "azure/gpt-4.1"]
