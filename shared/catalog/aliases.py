"""Other names of models: those of the catalog's rows, and those that the environment gives."""

from collections.abc import Mapping
from typing import Final

from shared.catalog.deployments import DEFAULT_NAME, TIERS, Catalog, Tier
from shared.domain.errors import ConfigurationError, UnknownModelError

DEFAULT_PROVIDER_VARIABLE: Final = "AI_DEFAULT_PROVIDER"
DEFAULT_MODEL_VARIABLE: Final = "AI_DEFAULT_MODEL"
FIRST_CHOICE: Final = "openai"
"""The provider whose models bear the plain names of tiers where nobody prefers another."""
USUAL_TIER: Final[Tier] = "medium"


def aliases_of(
    catalog: Catalog, source: str, rows: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, str]:
    """Each alias and the model that it means; the environment wins over the rows.

    `openai-high` is OpenAI's model of the tier high, `high` that of the preferred provider, and
    `default` what AI_DEFAULT_MODEL names, or the preferred provider's model of the tier medium.
    Raises ConfigurationError for a name that is taken or leads nowhere.
    """
    found: dict[str, str] = {}
    for alias, name in rows.items():
        found[alias] = _model(catalog, f"{source}: aliases.{alias}", rows.get(name, name))
    for provider in catalog.providers.values():
        for tier, variable in provider.variables.items():
            if named := variables.get(variable, "").strip():
                found[f"{provider.id}-{tier}"] = _model(catalog, variable, found.get(named, named))
    chosen = catalog.preferred or FIRST_CHOICE
    of_chosen: dict[str, str] = {
        tier: found[name] for tier in TIERS if (name := f"{chosen}-{tier}") in found
    }
    found = {**of_chosen, **found}
    if catalog.preferred and USUAL_TIER in of_chosen:
        found[DEFAULT_NAME] = of_chosen[USUAL_TIER]
    if named := variables.get(DEFAULT_MODEL_VARIABLE, "").strip():
        found[DEFAULT_NAME] = _model(catalog, DEFAULT_MODEL_VARIABLE, found.get(named, named))
    if shadowed := sorted(found.keys() & catalog.models.keys()):
        message = f"{source}: aliases.{shadowed[0]}: a model has that name"
        raise ConfigurationError(message)
    return found


def variables_of(catalog: Catalog) -> list[str]:
    """Every variable that names a model or chooses a provider; none of them is a secret."""
    tiers = (name for each in catalog.providers.values() for name in each.variables.values())
    return [DEFAULT_PROVIDER_VARIABLE, DEFAULT_MODEL_VARIABLE, *tiers]


def _model(catalog: Catalog, where: str, name: str) -> str:
    try:
        return catalog.model(name).id
    except UnknownModelError as error:
        raise ConfigurationError(f"{where}: {error.message}") from None
