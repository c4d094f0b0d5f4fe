"""The cheaper route that a budget sends a job to near its cap: who of it can take the job."""

from collections.abc import Sequence
from dataclasses import replace

from shared.domain.errors import InvalidRequestError
from shared.routing.chain import Ground, Refused
from shared.routing.costs import most_cost
from shared.routing.plan import Candidate, Plan
from shared.routing.policy import NO_POLICY
from shared.routing.resolve import resolve
from shared.routing.routes import Routes
from shared.routing.strategies import UNPRICED


def with_downgrades(ground: Ground, routes: Routes, plan: Plan, names: Sequence[str]) -> Plan:
    """The plan of a job with those who take it near the cap, by each of these names.

    A name that means nothing any more, or nobody who can take the job, is told among the refused:
    then the job waits at the cap.
    """
    cheaper: dict[str, Candidate] = {}
    refused = []
    for name in names:
        asked = replace(plan.fitted.request, model=name, drop_unsupported=False)
        policy = routes.get(name, NO_POLICY)
        try:
            found = resolve(ground, asked, policy, rehearse=False).candidates
        except InvalidRequestError as error:
            refused.append(Refused(name, f"to come to it near the cap: {error.message}"))
            continue
        for each in _no_dearer(ground, plan, found, name):
            cheaper.setdefault(each.deployment.id, each)
    everybody = (plan.fitted, *(each.fitted for each in cheaper.values()))
    return replace(
        plan,
        fitted=replace(plan.fitted, input_tokens=max(each.input_tokens for each in everybody)),
        downgrades=tuple(cheaper.values()),
        refused=(*plan.refused, *refused),
    )


def _no_dearer(
    ground: Ground, plan: Plan, found: Sequence[Candidate], name: str
) -> list[Candidate]:
    """Those found; the job's own where they cost no more: nobody is sent to what is dearer."""
    searching = plan.fitted.request.web_search
    priced = {
        id(each): _cost(ground, each, searching=searching) for each in (*plan.candidates, *found)
    }
    known = [each for each in found if priced[id(each)] < UNPRICED]
    most = max((priced[id(each)] for each in known), default=0)
    own = [each for each in plan.candidates if priced[id(each)] <= most]
    reason = f"it costs no more than {name}" if own else f"its budget sends it to {name}"
    return [replace(each, reasons=(reason, *each.reasons)) for each in own or known]


def _cost(ground: Ground, each: Candidate, *, searching: bool) -> int:
    """The most that its call may cost, nano-USD; UNPRICED where nobody knows."""
    cost = most_cost(
        each.deployment,
        input_tokens=each.fitted.input_tokens,
        max_tokens=each.fitted.max_tokens,
        searching=searching,
        at=ground.at,
    )
    return UNPRICED if cost is None else cost
