"""Does a request fit its model? Asked by every door before a job is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from shared.catalog.deployments import Catalog, Deployment, Model, route_of
from shared.catalog.form import CONTENT_OF, require_form
from shared.catalog.tokens import count_input, least_input, most_input
from shared.catalog.wires import CONTENT, FOREIGN, NEEDS, SAMPLING, not_taken, uses, without
from shared.domain.errors import ContextLengthError, InvalidRequestError
from shared.domain.generation import GenerationRequest, RequestKind

MOST_NAMED: Final = 3
"""Other models that a refusal names."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A request that its model takes, with `max_tokens` set and its tokens counted."""

    request: GenerationRequest
    model: Model
    input_tokens: int
    max_tokens: int
    """0 of an embedding: nothing is generated."""
    unfit: tuple[str, ...] = ()
    """Deployments of its route that cannot take it."""


def fit(
    catalog: Catalog,
    request: GenerationRequest,
    input_tokens: int | None = None,
    *,
    rehearse: bool = False,
) -> Fitted:
    """The request as it will be stored. Raises InvalidRequestError that names the field.

    `input_tokens`: where they are counted already. With `drop_unsupported`, the options that
    nobody can give it are left out; what is said never is.
    """
    model = catalog.model(request.model)
    changed, unfit = _taken(catalog, request, model, rehearse=rehearse)
    max_tokens = _max_tokens(request, model)
    if input_tokens is None:
        input_tokens = count_input(request, model)
    input_tokens = _with_room(request, model, input_tokens, max_tokens)
    if request.max_tokens != max_tokens and request.kind is not RequestKind.EMBEDDING:
        changed["max_tokens"] = max_tokens
    if request.model != model.id:
        changed["model"] = model.id
    if changed:
        # To copy a request costs more than to check it.
        request = replace(request, **changed)  # type: ignore[arg-type]
    return Fitted(request, model, input_tokens, max_tokens, unfit)


def require_fit(catalog: Catalog, request: GenerationRequest) -> None:
    """Raise what `fit` would; counts tokens only where they may be too many."""
    model = catalog.model(request.model)
    _taken(catalog, request, model, rehearse=False)
    if most_input(request, model) + _max_tokens(request, model) > model.context_window:
        fit(catalog, request)


def _taken(
    catalog: Catalog, request: GenerationRequest, model: Model, *, rehearse: bool
) -> tuple[dict[str, object], tuple[str, ...]]:
    """The fields that are left out, and the deployments that cannot take the rest."""
    if request.kind is not model.kind:
        said = f"{model.id} is a model of the kind {model.kind}, not {request.kind}"
        raise InvalidRequestError(f"kind: {said}", field="kind")
    require_form(request)
    used = uses(request)
    if not used:
        return {}, ()
    left_out = _settle(request, used, _refusals(catalog, model, used))
    plan = catalog.plan(route_of(model, rehearse=False))
    lacking = [_lacking(deployment, used) for deployment in plan]
    if lacking and all(lacking):
        place = min(range(len(plan)), key=lambda place: len(lacking[place]))
        who = plan[place].provider.id
        refusals = dict.fromkeys(lacking[place], f"{who} has no place for it")
        left_out |= _settle(request, used, refusals)
    unfit = _unfit(plan if not rehearse else catalog.plan(route_of(model, rehearse=True)), used)
    return dict(without(request, left_out)), unfit


def _refusals(catalog: Catalog, model: Model, used: Mapping[str, str]) -> dict[str, str]:
    """What the model cannot give of this, each with the reason."""
    refusals: dict[str, str] = {}
    for feature in used:
        need = NEEDS.get(feature)
        if feature in FOREIGN[model.kind]:
            refusals[feature] = f"a request of the kind {model.kind} has no use for it"
        elif feature in SAMPLING and not model.sampling:
            refusals[feature] = f"{model.id} takes no sampling parameters"
        elif need is not None and need not in model.capabilities:
            able = [each.id for each in catalog.models.values() if need in each.capabilities]
            others = f" ({', '.join(able[:MOST_NAMED])} do)" if able else ""
            refusals[feature] = f"{model.id} cannot do {need} by the catalog{others}"
    return refusals


def _lacking(deployment: Deployment, used: Mapping[str, str]) -> frozenset[str]:
    return not_taken(deployment.provider) & used.keys()


def _unfit(plan: Sequence[Deployment], used: Mapping[str, str]) -> tuple[str, ...]:
    """Those that lack something which others of the plan have; none where all are alike."""
    if len(plan) == 1:
        return ()
    lacking = {deployment.id: _lacking(deployment, used) for deployment in plan}
    least = min((len(each) for each in lacking.values()), default=0)
    return tuple(name for name, each in lacking.items() if len(each) > least)


def _settle(
    request: GenerationRequest, used: dict[str, str], refusals: Mapping[str, str]
) -> frozenset[str]:
    """Leave out what may be, which `used` then says no more; refuse the rest by its field."""
    for feature, reason in refusals.items():
        said = feature in CONTENT or feature == request.kind
        if said or not request.drop_unsupported:
            path = used[feature]
            way_out = "" if said else "; leave it out, or set drop_unsupported"
            raise InvalidRequestError(f"{path}: {reason}{way_out}", field=path)
    for feature in refusals:
        del used[feature]
    return frozenset(refusals)


def _with_room(request: GenerationRequest, model: Model, input_tokens: int, max_tokens: int) -> int:
    """The input tokens, of which there are never more than room. Raises InvalidRequestError.

    They may be an upper estimate: refused is what has no room even by the lower one. What may
    have none is left to the provider, whose refusal costs nothing.
    """
    room = model.context_window - max_tokens
    if input_tokens <= room or not max_tokens:
        return input_tokens
    if (least := least_input(request, model)) > room:
        field = CONTENT_OF[request.kind]
        message = (
            f"{field}: {least} input and {max_tokens} output tokens do not fit the "
            f"context window of {model.id}, {model.context_window}"
        )
        raise ContextLengthError(message, field=field)
    return room


def _max_tokens(request: GenerationRequest, model: Model) -> int:
    if request.kind is RequestKind.EMBEDDING:
        return 0
    if request.max_tokens is None:
        return model.default_output
    if not 1 <= request.max_tokens <= model.max_output:
        message = f"max_tokens: {model.id} gives 1 to {model.max_output} output tokens"
        raise InvalidRequestError(message, field="max_tokens")
    return request.max_tokens
