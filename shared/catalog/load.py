"""Read the catalog: catalog.toml, the overlay on it, and what the environment adds."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from shared.catalog.aliases import DEFAULT_PROVIDER_VARIABLE, aliases_of
from shared.catalog.deployments import REHEARSAL_PREFIX, Catalog, Model, Provider
from shared.catalog.limits import Limits, limits_row
from shared.domain.errors import ConfigurationError

SECTIONS: Final = ("providers", "models", "deployments", "limits", "aliases", "routes")
PROVIDER_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PROVIDER_ID_RULE: Final = "up to 64 letters, digits, dots, dashes and underscores are wanted"
RESERVED: Final = frozenset({"isolated", "upkeep"})
"""Queues that are no provider's."""
OF_NAMES: Final = frozenset({"aliases"})
"""Sections of plain names; the others hold tables."""
UPSTREAM: Final = "upstream"
MODEST: Final[Mapping[str, Any]] = {"context_window": 32_768, "max_output": 4096}
"""Of a model that a provider's row lists and no row describes."""
FREE: Final[Mapping[str, Any]] = {"prices": {}}
"""Beside that at one's own servers, unless it is told what the model costs."""
CREDENTIALS: Final = ("key_variables", "header_variables", "location_variables")
"""Who wants any of these is no server of one's own: it sends a bill."""
NOTHING_SET: Final[Mapping[str, str]] = {}
FORMS: Final[Mapping[type, TypeAdapter[Any]]] = {
    kind: TypeAdapter(kind) for kind in (Provider, Model, Limits)
}
"""What checks the rows of each kind: making one takes longer than checking all of them."""
T = TypeVar("T")


def load_catalog(
    overlay: Path | None = None,
    *,
    simulator_url: str | None = None,
    variables: Mapping[str, str] = NOTHING_SET,
) -> Catalog:
    """The built-in catalog with the overlay's values laid over it.

    `variables`: the environment, which may name addresses and models. Raises ConfigurationError
    that names the file and the entry, or the variable.
    """
    table = tomllib.loads((files("shared.catalog") / "catalog.toml").read_text("utf-8"))
    source = str(overlay or "catalog.toml")
    if overlay is not None:
        table = _laid_over(table, _read(overlay))
        _check_shape(source, table)
    _add_listed_models(source, table)
    _set_addresses(table, simulator_url, variables)
    catalog = Catalog(
        providers=_entries(source, table, "providers", Provider),
        models=_entries(source, table, "models", Model),
        limits={
            name: _entry(source, f"limits.{name}", Limits, limits_row(table["limits"], name))
            for name in table["limits"]
        },
        upstreams={
            name: _upstream(source, name, values) for name, values in table["deployments"].items()
        },
        preferred=_preferred(table, variables.get(DEFAULT_PROVIDER_VARIABLE, "").strip()),
        routes=table["routes"],
    )
    _check_ids(source, catalog)
    _check_names(source, catalog)
    catalog.aliases.update(aliases_of(catalog, source, table["aliases"], variables))
    return catalog


def _preferred(table: dict[str, Any], named: str) -> str | None:
    """The provider of that id, or whose models' variables begin so: `grok` is xai."""
    rows = table["providers"]
    by_prefix = {str(row.get("variable_prefix", "")).lower(): name for name, row in rows.items()}
    return named if named in rows else by_prefix.get(named.lower(), named) if named else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        message = f"PROMPTMILL_CATALOG names {path}, which does not exist"
        raise ConfigurationError(message) from None
    except OSError as error:
        message = f"PROMPTMILL_CATALOG names {path}, which cannot be read: {error.strerror}"
        raise ConfigurationError(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"the catalog {path} is not TOML: {error}"
        raise ConfigurationError(message) from None


def _check_shape(source: str, table: dict[str, Any]) -> None:
    """Sections hold tables of settings, and there are no others. Raises ConfigurationError."""
    for section, entries in table.items():
        if section not in SECTIONS:
            message = f"{source}: [{section}] is unknown; the sections are {', '.join(SECTIONS)}"
            raise ConfigurationError(message)
        wanted, called = (
            (str, "a model's name") if section in OF_NAMES else (dict, "a table of settings")
        )
        for name, values in entries.items() if isinstance(entries, dict) else [("NAME", None)]:
            if not isinstance(values, wanted):
                message = f"{source}: {section}.{name} must be {called}"
                raise ConfigurationError(message)


def _add_listed_models(source: str, table: dict[str, Any]) -> None:
    """A provider's row may name models that nobody describes: they get modest defaults."""
    for provider_id, row in table["providers"].items():
        listed = row.get("models", [])
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            message = f"{source}: providers.{provider_id}.models: a list of models' names is wanted"
            raise ConfigurationError(message)
        for name in listed:
            described = table["models"].get(name, {})
            if "provider" not in described and "context_window" not in described:
                priced = "price_model" in described or _is_billed(table, name)
                modest = {"provider": provider_id, **MODEST, **({} if priced else FREE)}
                table["models"][name] = {**modest, **described}


def _is_billed(table: dict[str, Any], model: str) -> bool:
    """Whether anybody who lists it may ask money for it: then somebody must say how much."""
    serving = (row for row in table["providers"].values() if model in _texts(row.get("models")))
    return any(row.get(each) for row in serving for each in CREDENTIALS)


def _set_addresses(
    table: dict[str, Any], simulator_url: str | None, variables: Mapping[str, str]
) -> None:
    """Where the simulator's address and those in the environment lead each provider."""
    for row in table["providers"].values():
        named = (variables.get(name, "").strip() for name in _texts(row.get("base_url_variables")))
        found = simulator_url if row.get("rehearsal") else next(filter(None, named), None)
        if found:
            row["base_url"] = found.rstrip("/") + str(row.get("base_path", ""))


def _texts(values: Any) -> Iterable[str]:
    """What is a list of texts; what is not is told when the row is read."""
    return values if isinstance(values, list) else ()


def _check_ids(source: str, catalog: Catalog) -> None:
    """Ids can stand in queues, deployments, routes and addresses. Raises ConfigurationError."""
    for provider in catalog.providers.values():
        if not PROVIDER_ID.fullmatch(provider.id):
            message = f"{source}: providers.{provider.id}: {PROVIDER_ID_RULE}"
            raise ConfigurationError(message)
        if not PROVIDER_ID.fullmatch(provider.queue_name) or provider.queue_name in RESERVED:
            taken = " and ".join(sorted(RESERVED))
            message = (
                f"{source}: providers.{provider.id}: its queue cannot be called "
                f"{provider.queue_name!r}; {taken} are taken, else as for ids: {PROVIDER_ID_RULE}"
            )
            raise ConfigurationError(message)
    for name in catalog.models:
        if name.startswith(REHEARSAL_PREFIX):
            message = (
                f"{source}: models.{name}: {REHEARSAL_PREFIX!r} begins the routes of rehearsals"
            )
            raise ConfigurationError(message)


def _check_names(source: str, catalog: Catalog) -> None:
    """What is named exists: a limit that nobody obeys is a mistake. Raises ConfigurationError."""
    for model in catalog.models.values():
        if model.provider not in catalog.providers:
            message = f"{source}: models.{model.id}: no provider is called {model.provider!r}"
            raise ConfigurationError(message)
    for section, names in (("limits", catalog.limits), ("deployments", catalog.upstreams)):
        for name in names:
            provider, slash, model_id = name.partition("/")
            known = provider in catalog.providers and (not slash or model_id in catalog.models)
            if not known or (section == "deployments" and not slash):
                message = f"{source}: {section}.{name}: it names no {_nameable(section)}"
                raise ConfigurationError(message)
    for each in catalog.providers.values():
        if each.stands_for is not None and each.stands_for not in catalog.providers:
            where = f"providers.{each.id}.stands_for"
            raise ConfigurationError(f"{source}: {where}: no provider has that name")
    _check_preferred(catalog)


def _check_preferred(catalog: Catalog) -> None:
    """Raises ConfigurationError for an AI_DEFAULT_PROVIDER that the catalog has not."""
    if catalog.preferred is not None and catalog.preferred not in catalog.providers:
        known_names = ", ".join(p.id for p in catalog.providers.values() if not p.rehearsal)
        message = (
            f"{DEFAULT_PROVIDER_VARIABLE}: no provider is called {catalog.preferred!r}; "
            f"choose of {known_names}"
        )
        raise ConfigurationError(message)


def _nameable(section: str) -> str:
    return "provider and no provider/model" if section == "limits" else "provider/model"


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = (
            _laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _upstream(source: str, name: str, values: dict[str, Any]) -> str:
    """What a row of [deployments] says: the provider's own name of the model."""
    unknown = set(values) - {UPSTREAM}
    if unknown:
        message = f"{source}: [deployments.{name}] has an unknown setting {min(unknown)!r}"
        raise ConfigurationError(message)
    upstream = values.get(UPSTREAM, name.partition("/")[2])
    if not isinstance(upstream, str) or not upstream:
        message = f"{source}: deployments.{name}.upstream: a name is wanted"
        raise ConfigurationError(message)
    return upstream


def _entries(source: str, table: dict[str, Any], section: str, kind: type[T]) -> dict[str, T]:
    return {
        name: _entry(source, f"{section}.{name}", kind, {**values, "id": name})
        for name, values in table[section].items()
    }


def _entry(source: str, name: str, kind: type[T], values: dict[str, Any]) -> T:
    unknown = set(values) - set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if unknown:
        message = f"{source}: [{name}] has an unknown setting {min(unknown)!r}"
        raise ConfigurationError(message)
    try:
        row: T = FORMS[kind].validate_python(values)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in (name, *detail["loc"]))
        message = f"{source}: {where}: {detail['msg'].lower()}"
        raise ConfigurationError(message) from None
    return row
