"""A plan names who may take a job and why, and refuses the others with a reason."""

from pathlib import Path
from typing import Any

import pytest

from shared.catalog.tokens import PER_SEARCH
from shared.domain.conversation import ImagePart, Message, Role
from shared.domain.generation import GenerationRequest, RequestKind
from shared.routing.stored import Fallback, Strategy, input_at
from tests.routing.ground import CATALOG, ask, error, ids, planned, refused, with_rows

SEEING = GenerationRequest(
    model="gpt-4.1",
    messages=(Message(role=Role.USER, content=(ImagePart(url="https://files.example/a.png"),)),),
)


def test_the_jobs_model_goes_first_and_every_name_becomes_its_deployments() -> None:
    plan = planned(ask("gpt-4.1"), {"candidates": ["claude-haiku-4-5", "gemini/gemini-2.5-flash"]})
    assert ids(plan) == [
        "openai/gpt-4.1", "azure/gpt-4.1", "anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash",
    ]  # fmt: skip
    assert plan.candidates[0].reasons[0] == "the job's model"
    assert plan.candidates[2].reasons[0] == "named in candidates"
    assert plan.fitted.request.model == "gpt-4.1"


def test_a_model_among_the_candidates_keeps_its_place() -> None:
    plan = planned(ask("gpt-4.1"), {"candidates": ["claude-haiku-4-5", "gpt-4.1"]})
    assert ids(plan)[0] == "anthropic/claude-haiku-4-5"
    assert plan.fitted.request.model == "claude-haiku-4-5"


def test_one_deployment_can_be_put_before_the_others_of_its_model() -> None:
    plan = planned(ask("gpt-4.1"), {"candidates": ["azure/gpt-4.1", "gpt-4.1"]})
    assert ids(plan) == ["azure/gpt-4.1", "openai/gpt-4.1"]


def test_who_cannot_do_what_is_asked_is_refused_with_the_reason() -> None:
    plan = planned(SEEING, {"candidates": ["grok-code-fast-1", "claude-haiku-4-5"]})
    assert "xai/grok-code-fast-1" not in ids(plan)
    assert "vision" in refused(plan)["grok-code-fast-1"]
    assert "can do vision" in plan.candidates[0].reasons


def test_a_window_that_is_too_small_refuses() -> None:
    plan = planned(ask("gpt-4o", "x " * 150_000), {"candidates": ["gpt-4.1"]})
    assert ids(plan) == ["openai/gpt-4.1", "azure/gpt-4.1"]
    assert "do not fit the context window" in refused(plan)["gpt-4o"]


def test_the_list_for_long_jobs_steps_in_where_nobody_has_room() -> None:
    policy = {"fallbacks": {"context_length": ["gpt-4.1"], "content_filter": ["grok-4.3"]}}
    plan = planned(ask("gpt-4o", "x " * 150_000), policy)
    assert ids(plan) == ["openai/gpt-4.1", "azure/gpt-4.1"]
    assert set(plan.fallbacks) == {Fallback.CONTENT_FILTER}


def test_where_nobody_can_every_reason_is_told() -> None:
    told = error(SEEING.__class__(model="grok-code-fast-1", messages=SEEING.messages),
                 {"fallbacks": {"default": ["grok-code-fast-1"]}})  # fmt: skip
    assert told.field == "policy.candidates"
    assert "grok-code-fast-1 cannot do vision" in told.message


def test_the_only_candidates_own_error_is_told_as_without_a_policy() -> None:
    told = error(ask("claude-opus-5-5", temperature=0.5), {"max_tries": 2})
    assert told.field == "temperature"


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"candidates": ["gpt-4.1", "gpt-44"]}, "policy.candidates[1]"),
        ({"candidates": ["anthropic/gpt-4.1"]}, "policy.candidates[0]"),
        ({"candidates": ["simulator/gpt-4.1"]}, "policy.candidates[0]"),
        ({"fallbacks": {"default": ["nobody/gpt-4.1"]}}, "policy.fallbacks.default[0]"),
        ({"strategy": "weighted", "weights": {"sonar": 2}}, "policy.weights.sonar"),
    ],
)
def test_a_name_that_means_nothing_is_told_by_its_place(policy: dict[str, Any], field: str) -> None:
    told = error(ask("gpt-4.1"), policy)
    assert told.field == field
    assert told.message.startswith(field)


def test_a_models_weight_is_shared_by_its_deployments() -> None:
    policy = {
        "candidates": ["claude-haiku-4-5"],
        "strategy": "weighted",
        "weights": {"gpt-4.1": 3},
    }
    stored = planned(ask("gpt-4.1"), policy).stored()
    assert stored.strategy is Strategy.WEIGHTED
    assert stored.weights == {
        "openai/gpt-4.1": 1.5, "azure/gpt-4.1": 1.5, "anthropic/claude-haiku-4-5": 1.0,
    }  # fmt: skip


def test_tokens_are_enough_for_whoever_counts_most() -> None:
    alone = planned(ask("gpt-4.1", "word " * 500), {})
    both = planned(ask("gpt-4.1", "word " * 500), {"fallbacks": {"default": ["claude-opus-5-5"]}})
    assert both.fitted.input_tokens > alone.fitted.input_tokens
    assert both.fitted.max_tokens == CATALOG.models["claude-opus-5-5"].default_output
    assert both.fitted.request.max_tokens == both.fitted.max_tokens


def test_each_candidate_keeps_its_own_count() -> None:
    [alone] = {each.fitted.input_tokens for each in planned(ask("gpt-4.1-mini"), {}).candidates}
    plan = planned(ask("gpt-4.1-mini"), {"candidates": ["sonar"]})
    assert plan.fitted.input_tokens > PER_SEARCH > alone
    stored = plan.stored()
    assert stored.inputs == {"openai/gpt-4.1-mini": alone, "azure/gpt-4.1-mini": alone}
    assert input_at(stored, "perplexity/sonar", plan.fitted.input_tokens) > PER_SEARCH
    assert planned(ask("gpt-4.1-mini"), {}).stored().inputs == {}


def test_the_searches_of_one_candidate_cost_no_other_its_place() -> None:
    plan = planned(ask("gpt-4.1-mini"), {"candidates": ["sonar"], "max_cost_usd": "0.005"})
    assert ids(plan) == ["openai/gpt-4.1-mini", "azure/gpt-4.1-mini"]
    assert "more than max_cost_usd" in refused(plan)["perplexity/sonar"]


def test_behind_one_that_always_searches_the_others_need_not() -> None:
    plan = planned(ask("sonar"), {"candidates": ["gpt-4.1-mini"]})
    assert ids(plan) == ["perplexity/sonar", "openai/gpt-4.1-mini", "azure/gpt-4.1-mini"]
    assert not plan.fitted.request.web_search
    assert plan.candidates[1].fitted.input_tokens < PER_SEARCH


def test_who_gives_fewer_tokens_than_asked_is_refused() -> None:
    plan = planned(ask("gpt-4.1", max_tokens=20_000), {"candidates": ["gpt-4o"]})
    assert ids(plan) == ["openai/gpt-4.1", "azure/gpt-4.1"]
    assert refused(plan)["gpt-4o"].startswith("max_tokens")


def test_options_are_left_out_only_where_no_candidate_takes_them_all() -> None:
    eased = ask("claude-opus-5-5", temperature=0.5, drop_unsupported=True)
    kept = planned(eased, {"candidates": ["gpt-4.1"]})
    assert ids(kept) == ["openai/gpt-4.1", "azure/gpt-4.1"]
    assert kept.fitted.request.temperature == 0.5
    assert kept.fitted.request.drop_unsupported
    dropped = planned(eased, {"candidates": ["gpt-5.4"]})
    assert ids(dropped)[0] == "anthropic/claude-opus-5-5"
    assert dropped.fitted.request.temperature is None


def test_a_rehearsal_goes_to_the_stand_ins_of_the_candidates() -> None:
    plan = planned(ask("gpt-4.1"), {"candidates": ["claude-haiku-4-5", "azure/gpt-4.1"]},
                   rehearse=True)  # fmt: skip
    assert ids(plan) == ["simulator/gpt-4.1", "simulator-anthropic/claude-haiku-4-5"]


def test_what_cannot_be_rehearsed_is_refused(tmp_path: Path) -> None:
    catalog = with_rows(tmp_path, '[providers.odd]\nadapter = "mistral"\nmodels = ["odd-1"]\n')
    plan = planned(ask("gpt-4.1"), {"candidates": ["odd-1"]}, rehearse=True, catalog=catalog)
    assert refused(plan) == {"odd-1": "no stand-in plays it in rehearsals"}


def test_a_named_candidate_without_a_credential_keeps_its_place() -> None:
    plan = planned(ask("gpt-4.1"), {}, shut=frozenset({"openai"}))
    assert ids(plan)[0] == "openai/gpt-4.1"


def test_an_embedding_may_have_a_policy_but_no_router() -> None:
    request = GenerationRequest(
        model="text-embedding-3-small", kind=RequestKind.EMBEDDING, input="hello"
    )
    assert ids(planned(request, {"max_tries": 2}))[0] == "openai/text-embedding-3-small"
    told = error(GenerationRequest(model="smart", kind=RequestKind.EMBEDDING, input="hello"), {})
    assert told.field == "model"


def test_who_is_dearer_than_the_job_may_cost_is_refused() -> None:
    policy = {"candidates": ["gpt-4.1-nano"], "max_cost_usd": "0.001"}
    plan = planned(ask("gpt-4.1", max_tokens=1000), policy)
    assert {each.deployment.model.id for each in plan.candidates} == {"gpt-4.1-nano"}
    assert "more than max_cost_usd" in refused(plan)["openai/gpt-4.1"]


def test_a_cost_that_pays_for_nobody_is_told_by_its_field() -> None:
    told = error(ask("gpt-4.1"), {"max_cost_usd": "0.000001"})
    assert told.field == "policy.max_cost_usd"
    assert "pays for no call: the cheapest, of openai/gpt-4.1, may cost $0.0" in told.message


def test_one_without_a_known_price_stays_a_candidate(tmp_path: Path) -> None:
    row = '[models.odd-1]\ncontext_window = 9000\nprovider = "openai"\n'
    plan = planned(ask("odd-1"), {"max_cost_usd": "0.01"}, catalog=with_rows(tmp_path, row))
    assert ids(plan) == ["openai/odd-1"]
