"""Names that callers write: a model, an alias, or one deployment of a model."""

from dataclasses import dataclass

from shared.catalog.deployments import Catalog, Deployment, Model, route_of
from shared.domain.errors import InvalidRequestError, UnknownModelError


@dataclass(frozen=True, slots=True)
class Named:
    """What a name means."""

    name: str
    model: Model
    pinned: Deployment | None = None
    """The only deployment of the model that is meant."""

    def deployments(self, catalog: Catalog, *, rehearse: bool) -> tuple[Deployment, ...]:
        """Whom it stands for, the preferred first; none where nobody serves or plays it."""
        if self.pinned is None:
            return catalog.plan(route_of(self.model, rehearse=rehearse))
        if not rehearse or self.pinned.provider.rehearsal:
            return (self.pinned,)
        stand_ins = catalog.stand_ins([self.pinned.provider])
        return tuple(catalog.deployment(each, self.model) for each in stand_ins)


def named(catalog: Catalog, name: str, field: str, *, rehearse: bool = False) -> Named:
    """What a name means. Raises InvalidRequestError with this field for one that means nothing."""
    try:
        return Named(name, catalog.model(name))
    except UnknownModelError as error:
        provider_id, slash, model_id = name.partition("/")
        if not slash or model_id not in catalog.models:
            raise UnknownModelError(f"{field}: {error.message}", field=field) from None
    model = catalog.models[model_id]
    real, staged = (catalog.plan(route_of(model, rehearse=each)) for each in (False, True))
    pinned = next((each for each in (*real, *staged) if each.provider.id == provider_id), None)
    if pinned is None:
        serving = ", ".join(each.id for each in real) or "nobody"
        message = (
            f"{field}: no provider {provider_id!r} serves {model_id}; it is served by {serving}"
        )
        raise InvalidRequestError(message, field=field)
    if pinned.provider.rehearsal and not rehearse:
        message = f"{field}: {name} is for rehearsals only; set rehearse, or name a real provider"
        raise InvalidRequestError(message, field=field)
    return Named(name, model, pinned)
