"""A job and its policy to a plan: every name looked up, every capability held to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from shared.catalog.fit import Fitted
from shared.catalog.wires import NEEDS, uses
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest
from shared.domain.money import show_usd
from shared.routing.chain import Chain, Ground, Link, Refused, Task, all_named, chain_of, unserved
from shared.routing.complexity import judge, of_work
from shared.routing.costs import most_cost
from shared.routing.fits import Question, Verdicts, verdicts
from shared.routing.plan import Candidate, Plan
from shared.routing.policy import Complexity, Policy
from shared.routing.stored import Fallback

STEP_IN: Final = (Fallback.CONTEXT_LENGTH, Fallback.DEFAULT)
"""Lists that are asked at once where no candidate can take the job at all."""
Lists = Mapping[Fallback, tuple[Candidate, ...]]


def resolve(ground: Ground, request: GenerationRequest, policy: Policy, *, rehearse: bool) -> Plan:
    """The plan of one job. Pure: nobody is called, nothing is stored.

    Raises InvalidRequestError that names the field: that of the request by its path in there,
    that of the policy by `policy.…`.
    """
    judged = judge(request, policy.complexity) if policy.chooses else None
    task = Task(ground=ground, request=request, policy=policy, rehearse=rehearse, judged=judged)
    if judged is None or judged.complexity is not Complexity.SEARCH:
        return _plan(task)
    try:
        return _plan(replace(task, request=replace(request, web_search=True)))
    except InvalidRequestError:
        if judged.chosen or request.web_search:
            raise
    # Nobody here can search: an answer from memory is better than none.
    told = (*judged.signals, ("nobody here can search", 0))
    judged = replace(judged, complexity=of_work(judged.points), signals=told)
    return _plan(replace(task, judged=judged))


def _plan(task: Task) -> Plan:
    chain, policy = chain_of(task), task.policy
    lists = {
        kind: [
            (each, f"after {kind}") for each in all_named(task, names, f"policy.fallbacks.{kind}")
        ]
        for kind, names in (policy.fallbacks or {}).items()
    }
    found = verdicts(
        Question(task.ground.catalog, task.request, task.rehearse),
        [each.model for each, _ in chain.links],
        [each.model for listed in lists.values() for each, _ in listed],
    )
    _check_weights(task, chain)
    refused = list(chain.passed)
    candidates = _expanded(task, chain.links, found, refused)
    fallbacks = {kind: _expanded(task, listed, found, refused) for kind, listed in lists.items()}
    if policy.max_cost_nano is not None:
        payable = _payable(task, policy.max_cost_nano, candidates, fallbacks, refused)
        candidates = tuple(each for each in candidates if each.deployment.id in payable)
        fallbacks = {
            kind: tuple(each for each in listed if each.deployment.id in payable)
            for kind, listed in fallbacks.items()
        }
    if not candidates:
        candidates = _stepping_in(fallbacks, _nobody(task, chain, found, refused))
    fallbacks = {kind: listed for kind, listed in fallbacks.items() if listed}
    return Plan(
        fitted=_fitted(task, candidates, fallbacks),
        candidates=candidates,
        fallbacks=fallbacks,
        policy=policy,
        refused=tuple(dict.fromkeys(refused)),
        judged=task.judged,
    )


def _expanded(
    task: Task, links: Sequence[Link], found: Verdicts, refused: list[Refused]
) -> tuple[Candidate, ...]:
    """Each name as its deployments, the refused told; nobody twice."""
    expanded: dict[str, Candidate] = {}
    for each, reason in links:
        verdict = found[each.model.id]
        if isinstance(verdict, InvalidRequestError):
            refused.append(Refused(each.name, verdict.message))
            continue
        plan = each.deployments(task.ground.catalog, rehearse=task.rehearse)
        if not plan:
            refused.append(Refused(each.name, unserved(rehearse=task.rehearse)))
        able = [one for one in plan if one.id not in verdict.unfit]
        refused += [
            Refused(one.id, f"{one.provider.id} has no place for all that it asks")
            for one in plan
            if one not in able
        ]
        weight = (task.policy.weights or {}).get(each.name, 1.0) / max(len(able), 1)
        reasons = (reason, *_abilities(verdict))
        for one in able:
            candidate = Candidate(
                deployment=one,
                fitted=verdict,
                reasons=reasons,
                weight=weight,
            )
            expanded.setdefault(one.id, candidate)
    return tuple(expanded.values())


def _abilities(fitted: Fitted) -> tuple[str, ...]:
    """What was held against the model, and found."""
    needs = sorted({NEEDS[feature].value for feature in uses(fitted.request) if feature in NEEDS})
    room = f"{fitted.input_tokens} input and {fitted.max_tokens} output tokens fit its window"
    return (f"can do {', '.join(needs)}", room) if needs else (room,)


def _payable(
    task: Task,
    most_nano: int,
    candidates: tuple[Candidate, ...],
    fallbacks: Lists,
    refused: list[Refused],
) -> frozenset[str]:
    """Whom the job's cap pays for one call at least. Raises InvalidRequestError where nobody."""
    everybody = _everybody(candidates, fallbacks)
    if not everybody:
        return frozenset()
    costs = {
        each.deployment.id: most_cost(
            each.deployment,
            input_tokens=each.fitted.input_tokens,
            max_tokens=each.fitted.max_tokens,
            searching=task.request.web_search,
            at=task.ground.at,
        )
        for each in everybody
    }
    beyond = {name: cost for name, cost in costs.items() if cost is not None and cost > most_nano}
    if len(beyond) == len(costs):
        field = "policy.max_cost_usd"
        least = min(beyond, key=beyond.__getitem__)
        message = (
            f"{field}: {show_usd(most_nano)} pays for no call: the cheapest, of {least}, may cost "
            f"{show_usd(beyond[least])}; raise it, or lower max_tokens"
        )
        raise InvalidRequestError(message, field=field)
    refused += [
        Refused(name, f"a call may cost {show_usd(cost)}, more than max_cost_usd")
        for name, cost in beyond.items()
    ]
    return frozenset(costs.keys() - beyond.keys())


def _everybody(candidates: Sequence[Candidate], fallbacks: Lists) -> list[Candidate]:
    return [*candidates, *(each for listed in fallbacks.values() for each in listed)]


def _stepping_in(
    fallbacks: dict[Fallback, tuple[Candidate, ...]], error: InvalidRequestError
) -> tuple[Candidate, ...]:
    """The first list that can stand in for candidates, which is then none of the fallbacks."""
    kind = next((kind for kind in STEP_IN if fallbacks.get(kind)), None)
    if kind is None:
        raise error
    return tuple(
        replace(each, reasons=("no candidate can take the job", *each.reasons))
        for each in fallbacks.pop(kind)
    )


def _nobody(
    task: Task, chain: Chain, found: Verdicts, refused: Sequence[Refused]
) -> InvalidRequestError:
    """Why nobody can take it: an only candidate's own error, or each one's reason."""
    reasons = "; ".join(f"{each.name}: {each.reason}" for each in refused)
    if not chain.links:
        return InvalidRequestError(f"model: no model can be chosen: {reasons}", field="model")
    only = found[chain.links[0][0].model.id] if len(chain.links) == 1 else None
    if isinstance(only, InvalidRequestError) and not task.policy.fallbacks:
        return only
    message = f"policy.candidates: nobody can take this job: {reasons}"
    return InvalidRequestError(message, field="policy.candidates")


def _check_weights(task: Task, chain: Chain) -> None:
    """Raises InvalidRequestError for a weight of somebody who is no candidate."""
    names = {each.name for each, _ in chain.links}
    if idle := set(task.policy.weights or ()) - names:
        field = f"policy.weights.{min(idle)}"
        message = f"{field}: it is none of the candidates, {', '.join(sorted(names))}"
        raise InvalidRequestError(message, field=field)


def _fitted(task: Task, candidates: Sequence[Candidate], fallbacks: Lists) -> Fitted:
    """The request as the first candidate's model takes it, with tokens enough for everyone."""
    first = candidates[0].fitted
    everybody = _everybody(candidates, fallbacks)
    request = first.request
    if request.drop_unsupported != task.request.drop_unsupported:
        request = replace(request, drop_unsupported=task.request.drop_unsupported)
    return replace(
        first,
        request=request,
        input_tokens=max(each.fitted.input_tokens for each in everybody),
        unfit=(),
    )
