"""Providers, models and deployments: read from catalog.toml and the overlay on it."""

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from shared.catalog.prices import Prices
from shared.domain.errors import ConfigurationError, UnknownModelError
from shared.domain.generation import RequestKind

REHEARSAL_PREFIX: Final = "rehearsal:"
SECTIONS: Final = ("providers", "models", "limits")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a provider grants one deployment; 0 means no limit of that kind."""

    requests: NonNegativeInt = 0
    """Per window."""
    tokens: NonNegativeInt = 0
    """Per window."""
    concurrency: NonNegativeInt = 0
    window: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """Seconds."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.005
    """The part of a limit left unused: `margin * window` seconds of jitter on the way to the
    provider cannot bring two windows together."""


class Capability(StrEnum):
    """What a model can do beyond text."""

    VISION = "vision"
    """It reads images."""
    FILES = "files"
    """It reads documents."""
    TOOLS = "tools"
    SCHEMA = "schema"
    """It answers in JSON of a given schema."""
    REASONING = "reasoning"
    """It takes a reasoning effort."""
    WEB_SEARCH = "web_search"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A company, or a server that speaks like one."""

    id: str
    adapter: str
    """The wire that it speaks: a row of WIRES in fit.py."""
    base_url: str | None = None
    base_url_variables: tuple[str, ...] = ()
    """The first of these that is set in the environment wins over `base_url`."""
    api_version: str | None = None
    """Where the wire has versions in its addresses."""
    key_variables: tuple[str, ...] = ()
    price_provider: str | None = None
    """Its name in the price data, where that differs."""
    prices: Prices | None = None
    """Of all that it serves; they win over the model's and over the price data."""
    rehearsal: bool = False
    """Only for work that was submitted as a rehearsal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What callers name."""

    id: str
    kind: RequestKind = RequestKind.CHAT
    context_window: PositiveInt
    max_output: PositiveInt
    capabilities: frozenset[Capability] = frozenset()
    tier: Literal["low", "medium", "high"] | None = None
    tags: tuple[str, ...] = ()
    """What it is good for, such as `code_write` or `fast_tasks`."""
    default_output: PositiveInt = 1024
    """`max_tokens` where the request has none: it is what rate and money are reserved for."""
    sampling: bool = True
    provider: str = "openai"
    price_model: str | None = None
    """Its name in the price data, where that differs."""
    prices: Prices | None = None
    """They win over the price data; `{}` is free."""

    @property
    def priced_as(self) -> str:
        """The model's name in the price data."""
        return self.price_model or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One model at one provider under one credential, with limits of its own."""

    id: str
    provider: Provider
    model: Model
    limits: Limits
    upstream: str
    """The provider's own name of the model."""
    billed_as: Provider | None = None
    """Whose prices hold, where they are not the provider's own: a stand-in bills as another."""

    @property
    def queue(self) -> str:
        """The Celery queue of its provider."""
        return self.provider.id


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that can be called."""

    providers: dict[str, Provider]
    models: dict[str, Model]
    limits: dict[str, Limits]

    def model(self, name: str) -> Model:
        """The model of that name; UnknownModelError names near ones."""
        if name in self.models:
            return self.models[name]
        near = get_close_matches(name, self.models, n=3, cutoff=0.5) or sorted(self.models)[:5]
        message = f"unknown model {name!r}; did you mean {', '.join(near)}?"
        raise UnknownModelError(message, field="model")

    def plan(self, route: str) -> tuple[Deployment, ...]:
        """The deployments of a route, the preferred first; empty when nothing serves it."""
        name = route.removeprefix(REHEARSAL_PREFIX)
        model = self.models.get(name)
        if model is None:
            return ()
        rehearsal = name != route
        return tuple(
            self.deployment(provider, model)
            for provider in self.providers.values()
            if provider.rehearsal == rehearsal and (rehearsal or provider.id == model.provider)
        )

    def deployment(self, provider: Provider, model: Model) -> Deployment:
        """One model at one provider; limits of the pair win over the provider's."""
        deployment_id = f"{provider.id}/{model.id}"
        limits = self.limits.get(deployment_id) or self.limits.get(provider.id) or Limits()
        return Deployment(
            id=deployment_id,
            provider=provider,
            model=model,
            limits=limits,
            upstream=model.id,
            billed_as=self.providers[model.provider] if provider.rehearsal else None,
        )

    def find(self, deployment_id: str) -> Deployment:
        """The deployment of that id, `provider/model`; KeyError when the catalog has it no more."""
        provider_id, _, model_id = deployment_id.partition("/")
        return self.deployment(self.providers[provider_id], self.models[model_id])

    def queues(self) -> tuple[str, ...]:
        """One Celery queue per provider."""
        return tuple(self.providers)


def route_of(model: Model, *, rehearse: bool) -> str:
    """The route of a job: the model, at its real providers or at the stand-ins."""
    return f"{REHEARSAL_PREFIX}{model.id}" if rehearse else model.id


def load_catalog(overlay: Path | None = None, *, simulator_url: str | None = None) -> Catalog:
    """The built-in catalog with the overlay's values laid over it.

    Raises ConfigurationError that names the file and the entry.
    """
    table = tomllib.loads((files("shared.catalog") / "catalog.toml").read_text("utf-8"))
    source = str(overlay or "catalog.toml")
    if overlay is not None:
        table = _laid_over(table, _read(overlay))
        _check_shape(source, table)
    if simulator_url is not None:
        table["providers"]["simulator"]["base_url"] = f"{simulator_url}/v1"
    catalog = Catalog(
        providers=_entries(source, table, "providers", Provider),
        models=_entries(source, table, "models", Model),
        limits={
            name: _entry(source, f"limits.{name}", Limits, values)
            for name, values in table["limits"].items()
        },
    )
    _check_names(source, catalog)
    return catalog


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
        for name, values in entries.items() if isinstance(entries, dict) else [("NAME", None)]:
            if not isinstance(values, dict):
                message = f"{source}: {section}.{name} must be a table of settings"
                raise ConfigurationError(message)


def _check_names(source: str, catalog: Catalog) -> None:
    """What is named exists: a limit that nobody obeys is a mistake. Raises ConfigurationError."""
    for model in catalog.models.values():
        if model.provider not in catalog.providers:
            message = f"{source}: models.{model.id}: no provider is called {model.provider!r}"
            raise ConfigurationError(message)
    for name in catalog.limits:
        provider, slash, model_id = name.partition("/")
        if provider not in catalog.providers or (slash and model_id not in catalog.models):
            message = f"{source}: limits.{name}: it names no provider and no provider/model"
            raise ConfigurationError(message)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = (
            _laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


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
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in (name, *detail["loc"]))
        message = f"{source}: {where}: {detail['msg'].lower()}"
        raise ConfigurationError(message) from None
