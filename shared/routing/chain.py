"""Who is considered for a job, in order: those that are named, or those that the router chooses."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from shared.catalog.deployments import Catalog, Model, Tier
from shared.catalog.fit import Fitted
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest
from shared.routing.choose import eligible, ranked, tier_for
from shared.routing.complexity import Judgement
from shared.routing.fits import Question
from shared.routing.named import Named, named
from shared.routing.policy import Policy

MOST_CHOSEN: Final = 3
"""Models that the router chooses where nobody names candidates: one, and two behind it."""
NO_CREDENTIAL: Final = "it has no credential, or is switched off"
Link = tuple[Named, str]
"""A candidate, and why it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What plans are made on."""

    catalog: Catalog
    routes: Collection[str]
    """Names that stand for policies, not for models."""
    at: datetime
    """The moment at which prices are compared."""
    shut: Collection[str] = frozenset()
    """Providers that nobody can call now: the router chooses others."""
    sure: Collection[str] | None = None
    """Those that somebody can call for certain; None: everybody who is not shut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One job on that ground."""

    ground: Ground
    request: GenerationRequest
    policy: Policy
    rehearse: bool
    judged: Judgement | None = None
    """What it asks for, where models are chosen by that."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Who was considered and cannot take it, or cannot be called, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Who is considered, and whom the router passed over on the way."""

    links: list[Link]
    passed: list[Refused] = field(default_factory=list)


def chain_of(task: Task) -> Chain:
    """Whom the policy considers, in its order. Raises InvalidRequestError for unknown names."""
    catalog, asked = task.ground.catalog, task.request.model
    links: list[Link] = [
        (each, "named in candidates")
        for each in all_named(task, task.policy.candidates, "policy.candidates")
    ]
    if asked not in task.ground.routes:
        model = catalog.model(asked)
        if all(each.pinned or each.model is not model for each, _ in links):
            links.insert(0, (Named(asked, model), "the job's model"))
    if task.judged is None or len(links) == 1:
        return Chain(links)
    return Chain(_sorted(task, task.judged, links)) if links else _chosen(task, task.judged)


def all_named(task: Task, names: Sequence[str], field_: str) -> list[Named]:
    """What the names of a list mean."""
    return [
        named(task.ground.catalog, name, f"{field_}[{place}]", rehearse=task.rehearse)
        for place, name in enumerate(names)
    ]


def _sorted(task: Task, judged: Judgement, links: Sequence[Link]) -> list[Link]:
    """The named ones, the best choice first."""
    models = list({each.model.id: each.model for each, _ in links}.values())
    tier, reason = _wanted(task, judged)
    order = [model.id for model in _ranked(task, models, tier)]
    return sorted(
        ((each, reason) for each, _ in links), key=lambda link: order.index(link[0].model.id)
    )


def _chosen(task: Task, judged: Judgement) -> Chain:
    """The best models of the catalog that can take it and can be called.

    While nobody knows who can be called, the best of every provider: whoever can be takes it.
    """
    catalog, request = task.ground.catalog, task.request
    tier, reason = _wanted(task, judged)
    pool = eligible(catalog, request.kind, searching=request.web_search)
    question = Question(catalog, replace(request, drop_unsupported=False), task.rehearse)
    ranking = _ranked(task, pool, tier)
    best = {model.provider: model.id for model in reversed(ranking)}
    chain, sure = Chain([]), 0
    # The best of each provider first: one that fails shall not take the others with it.
    for model in sorted(ranking, key=lambda model: best[model.provider] != model.id):
        if sure == MOST_CHOSEN:
            break
        each = Named(model.id, model)
        certain = _is_certain(task, each)
        if not certain and best[model.provider] != model.id:
            continue
        if why_not := _uncallable(task, each) or _unable(question.to(model)):
            chain.passed.append(Refused(model.id, why_not))
            continue
        chain.links.append((each, reason))
        sure += certain
    return chain


def _is_certain(task: Task, each: Named) -> bool:
    """Whether somebody is known to be able to call it; before a worker lives, nobody knows."""
    sure = task.ground.sure
    plan = each.deployments(task.ground.catalog, rehearse=task.rehearse)
    return sure is None or any(one.provider.id in sure for one in plan)


def _uncallable(task: Task, each: Named) -> str | None:
    plan = each.deployments(task.ground.catalog, rehearse=task.rehearse)
    if not plan:
        return unserved(rehearse=task.rehearse)
    return NO_CREDENTIAL if all(one.provider.id in task.ground.shut for one in plan) else None


def _unable(verdict: Fitted | InvalidRequestError) -> str | None:
    return verdict.message if isinstance(verdict, InvalidRequestError) else None


def unserved(*, rehearse: bool) -> str:
    """Why a model or deployment stands for nobody."""
    return "no stand-in plays it in rehearsals" if rehearse else "no provider serves it"


def _ranked(task: Task, models: Sequence[Model], tier: Tier) -> list[Model]:
    return ranked(task.ground.catalog, models, tier, task.policy.prefer, task.ground.at)


def _wanted(task: Task, judged: Judgement) -> tuple[Tier, str]:
    """The tier to choose from, and the reason in words."""
    policy = task.policy
    tier = tier_for(judged.complexity, policy.prefer, policy.tier)
    prefer = f", prefer {policy.prefer}" if policy.prefer else ""
    return tier, f"tier {tier} for {judged.complexity}{prefer}"
