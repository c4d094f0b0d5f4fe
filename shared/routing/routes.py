"""Routes: policies that have a name, which callers give in place of a model's."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from shared.catalog.deployments import Catalog, Deployment, route_of
from shared.catalog.fit import require_fit
from shared.catalog.form import require_form
from shared.domain.errors import ConfigurationError, InvalidRequestError
from shared.domain.generation import GenerationRequest
from shared.domain.places import first_mistake
from shared.routing.named import named
from shared.routing.policy import Policy

Routes = Mapping[str, Policy]
SECTION: Final = "routes"


class RouteBook:
    """The routes of whatever catalog stands now; each catalog's are read once."""

    def __init__(self) -> None:
        self._read: tuple[Catalog, Routes] | None = None

    def of(self, catalog: Catalog) -> Routes:
        """The routes of this catalog, which was checked when it was loaded."""
        if self._read is None or self._read[0] is not catalog:
            self._read = (catalog, routes_of(catalog))
        return self._read[1]


def routes_of(catalog: Catalog) -> Routes:
    """The routes of a catalog, by name. Raises ConfigurationError that names the entry."""
    return {name: _route(catalog, name, values) for name, values in catalog.routes.items()}


def problems_of(catalog: Catalog) -> list[str]:
    """A line for each route that cannot be read."""
    problems = []
    for name, values in catalog.routes.items():
        try:
            _route(catalog, name, values)
        except ConfigurationError as error:
            problems.append(error.message)
    return problems


def policy_for(
    routes: Routes, model: str, asked: Policy | None, usual: Policy | None = None
) -> Policy | None:
    """The policy of a job of this model name; None for a plain job.

    What the job says goes before what the route says that its model names, and that before what
    is `usual` for its tenant.
    """
    policy = usual
    for each in (routes.get(model), asked):
        if each is not None:
            policy = each.over(policy)
    return policy


def check_names(catalog: Catalog, where: str, policy: Policy) -> None:
    """Raises InvalidRequestError for a name that means nothing there, by its place in `where`."""
    inside = f"{where}." if where else ""
    lists = {f"{inside}candidates": policy.candidates}
    lists |= {
        f"{inside}fallbacks.{kind}": names for kind, names in (policy.fallbacks or {}).items()
    }
    for field, names in lists.items():
        for place, each in enumerate(names):
            named(catalog, each, f"{field}[{place}]", rehearse=True)
    if idle := set(policy.weights or ()) - set(policy.candidates):
        field = f"{inside}weights.{min(idle)}"
        raise InvalidRequestError(f"{field}: it is none of the candidates", field=field)


def whom(catalog: Catalog, routes: Routes, model: str) -> tuple[Deployment, ...]:
    """Everybody real who may be asked for a job that names this model or route."""
    if model not in routes:
        return catalog.plan(route_of(catalog.model(model), rehearse=False))
    names = routes[model].candidates or tuple(catalog.models)
    found = (named(catalog, name, model).deployments(catalog, rehearse=False) for name in names)
    return tuple({each.id: each for plan in found for each in plan}.values())


def require_takers(catalog: Catalog, route: Policy, request: GenerationRequest) -> None:
    """Raises InvalidRequestError for a request that none whom the route names can take.

    Cheap, for files of many lines: where the router chooses of all models, only its form counts.
    """
    require_form(request)
    lists = (route.candidates, *(route.fallbacks or {}).values())
    names = dict.fromkeys(name for names in lists for name in names) if route.candidates else ()
    errors = []
    for name in names:
        try:
            require_fit(catalog, replace(request, model=named(catalog, name, name).model.id))
        except InvalidRequestError as error:
            errors.append(error)
        else:
            return
    if errors:
        raise errors[0]


def _route(catalog: Catalog, name: str, values: Mapping[str, Any]) -> Policy:
    where = f"{SECTION}.{name}"
    if name in catalog.models or name in catalog.aliases:
        message = f"{where}: a model or an alias has that name"
        raise ConfigurationError(message)
    try:
        policy = Policy.model_validate(values)
        check_names(catalog, where, policy)
    except ValidationError as error:
        field, said, _ = first_mistake(values, error.errors())
        raise ConfigurationError(f"{where}.{field}: {said}".replace(".: ", ": ")) from None
    except InvalidRequestError as error:
        raise ConfigurationError(error.message) from None
    if not policy.candidates and not policy.chooses:
        message = f"{where}: it names no candidates, and nothing to choose them by"
        raise ConfigurationError(message)
    return policy
