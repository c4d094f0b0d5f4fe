"""Providers, models and deployments: who can be called, and by which names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, PositiveInt

from shared.catalog.limits import Limits
from shared.catalog.prices import Prices
from shared.domain.errors import UnknownModelError
from shared.domain.generation import RequestKind

REHEARSAL_PREFIX: Final = "rehearsal:"
PLAN_MARK: Final = "#"
"""In a route: what follows tells the plans of policies apart."""
Tier = Literal["low", "medium", "high"]
TIERS: Final[tuple[Tier, ...]] = get_args(Tier)
Score = Annotated[int, Field(ge=1, le=5)]
"""From 1 to 5, 5 the best."""
USUAL_SCORE: Final = 3
DEFAULT_NAME: Final = "default"
"""The alias of the model of jobs that name none."""


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
    """The wire that it speaks: a row of UNSUPPORTED in wires.py."""
    base_url: str | None = None
    base_url_variables: tuple[str, ...] = ()
    """The first of these that is set in the environment wins over `base_url`."""
    base_path: str = ""
    """What follows an address that was not written here: of such a variable, of the simulator."""
    api_version: str | None = None
    """Where the wire has versions in its addresses."""
    key_variables: tuple[str, ...] = ()
    variable_prefix: str | None = None
    """`OPENAI`: OPENAI_MODEL_NAME_HIGH, _MEDIUM and _LOW name its models of these tiers."""
    models: tuple[str, ...] = ()
    """What it serves beside the models that name it as their provider."""
    unsupported: tuple[str, ...] = ()
    """Fields of a request that its wire has and it does not take."""
    legacy_max_tokens: bool = False
    """The server knows `max_tokens` and no `max_completion_tokens`."""
    fetches_urls: bool = False
    """A public service that may be sent a caller's URL of an image; others get the bytes."""
    header_variables: dict[str, str] = field(default_factory=dict, hash=False)
    """Headers of every call to the variables that hold them; one that is not set is not sent."""
    location_variables: tuple[str, ...] = ()
    """Where Vertex is called: the first of these that is set."""
    queue: str | None = None
    """The Celery queue, where several share one; its id where absent."""
    service_tier: str | None = None
    """The tier that every request asks for, so that no other's price holds; absent: none."""
    price_provider: str | None = None
    """Its name in the price data, where that differs."""
    prices: Prices | None = None
    """Of all that it serves; they win over the model's and over the price data."""
    rehearsal: bool = False
    """Only for work that was submitted as a rehearsal."""
    stands_for: str | None = None
    """The one provider that it plays; absent: all that speak its wire and have no other."""

    @property
    def queue_name(self) -> str:
        """The Celery queue that its work goes through."""
        return self.queue or self.id

    @property
    def other_variables(self) -> tuple[str, ...]:
        """What the environment may say of it beside its key and its models."""
        return (
            *self.base_url_variables, *self.location_variables, *self.header_variables.values()
        )  # fmt: skip

    @property
    def variables(self) -> dict[Tier, str]:
        """The variables that name its models, by tier."""
        prefix = self.variable_prefix
        return {tier: f"{prefix}_MODEL_NAME_{tier.upper()}" for tier in TIERS} if prefix else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What callers name."""

    id: str
    kind: RequestKind = RequestKind.CHAT
    context_window: PositiveInt
    max_output: PositiveInt = 4096
    """Of no meaning for embeddings."""
    capabilities: frozenset[Capability] = frozenset()
    tier: Tier | None = None
    speed: Score = USUAL_SCORE
    """How soon it answers, compared with the others."""
    quality: Score = USUAL_SCORE
    """How good its answers are, compared with the others."""
    tags: tuple[str, ...] = ()
    """What it is good for, such as `code_write` or `fast_tasks`."""
    default_output: PositiveInt = 1024
    """`max_tokens` where the request has none: it is what rate and money are reserved for."""
    sampling: bool = True
    provider: str = "openai"
    always_searches: bool = False
    """It searches the web for every answer, asked or not."""
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
    price_provider: str | None = None
    """Whose prices hold, as the price data names it."""
    prices: Prices | None = None
    """They win over the price data."""

    @property
    def queue(self) -> str:
        """The Celery queue of its provider."""
        return self.provider.queue_name


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that can be called."""

    providers: dict[str, Provider]
    models: dict[str, Model]
    limits: dict[str, Limits]
    aliases: dict[str, str] = field(default_factory=dict)
    """Other names of models."""
    upstreams: dict[str, str] = field(default_factory=dict)
    """Deployment to the provider's own name of the model, where that differs."""
    preferred: str | None = None
    """The provider that comes first wherever it serves the model."""
    routes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Named policies as they are written; shared/routing/routes.py reads them."""
    plans: dict[str, tuple[Deployment, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Those that were asked for: every line of a file asks."""
    found: dict[str, Deployment] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The same, by id: every call asks, several times."""

    def model(self, name: str) -> Model:
        """The model of that name or alias; UnknownModelError names near ones."""
        known = self.models.get(self.aliases.get(name, name))
        if known is not None:
            return known
        names = [*self.models, *self.aliases, *self.routes]
        near = get_close_matches(name, names, n=3, cutoff=0.5) or sorted(self.models)[:5]
        message = f"unknown model {name!r}; did you mean {', '.join(near)}?"
        raise UnknownModelError(message, field="model")

    def plan(self, route: str) -> tuple[Deployment, ...]:
        """The deployments of a route, the preferred first; empty when nothing serves it."""
        if (known := self.plans.get(route)) is not None:
            return known
        name = route.removeprefix(REHEARSAL_PREFIX)
        model = self.models.get(name)
        if model is None:
            return ()
        serving = self._serving(model)
        chosen = serving if name == route else self.stand_ins(serving)
        plan = tuple(self.deployment(provider, model) for provider in chosen)
        self.plans[route] = plan
        return plan

    def deployment(self, provider: Provider, model: Model) -> Deployment:
        """One model at one provider; limits of the pair win over the provider's."""
        deployment_id = f"{provider.id}/{model.id}"
        limits = self.limits.get(deployment_id) or self.limits.get(provider.id) or Limits()
        # A stand-in bills as the one that it stands for.
        billing = self.providers[model.provider] if provider.rehearsal else provider
        return Deployment(
            id=deployment_id,
            provider=provider,
            model=model,
            limits=limits,
            upstream=self.upstreams.get(deployment_id, model.id),
            price_provider=billing.price_provider or billing.id,
            prices=billing.prices or model.prices,
        )

    def deployments(self) -> Iterator[Deployment]:
        """Every one that some route can be released to."""
        for model in self.models.values():
            for rehearse in (False, True):
                yield from self.plan(route_of(model, rehearse=rehearse))

    def find(self, deployment_id: str) -> Deployment:
        """The deployment of that id, `provider/model`; KeyError when the catalog has it no more."""
        if (known := self.found.get(deployment_id)) is None:
            provider_id, _, model_id = deployment_id.partition("/")
            known = self.deployment(self.providers[provider_id], self.models[model_id])
            self.found[deployment_id] = known
        return known

    def known(self, deployment_id: str) -> Deployment | None:
        """As `find`; None where the catalog has it no more."""
        try:
            return self.find(deployment_id)
        except KeyError:
            return None

    def queues(self) -> tuple[str, ...]:
        """One Celery queue per provider; the stand-ins share one."""
        queues = (provider.queue_name for provider in self.providers.values())
        return tuple(dict.fromkeys(queues))

    def _serving(self, model: Model) -> list[Provider]:
        """The real providers of a model: the preferred, its own, then as the catalog lists them."""
        serving = [
            provider
            for provider in self.providers.values()
            if not provider.rehearsal and self._serves(provider, model)
        ]
        own = (self.preferred, model.provider)
        rank = {name: place for place, name in reversed(list(enumerate(own)))}
        return sorted(serving, key=lambda provider: rank.get(provider.id, len(own)))

    def _serves(self, provider: Provider, model: Model) -> bool:
        return (
            provider.id == model.provider
            or model.id in provider.models
            or f"{provider.id}/{model.id}" in self.upstreams
        )

    def stand_ins(self, serving: list[Provider]) -> list[Provider]:
        """For each of these who plays it, or who speaks its wire; each once."""
        staged = [each for each in self.providers.values() if each.rehearsal]
        of_provider = {each.stands_for: each for each in staged if each.stands_for}
        of_wire = {each.adapter: each for each in staged if not each.stands_for}
        chosen = (of_provider.get(each.id) or of_wire.get(each.adapter) for each in serving)
        return list(filter(None, dict.fromkeys(chosen)))


def model_of(route: str) -> str:
    """The model's name in a route."""
    return route.removeprefix(REHEARSAL_PREFIX).partition(PLAN_MARK)[0]


def route_of(model: Model, *, rehearse: bool) -> str:
    """The route of a job: the model, at its real providers or at the stand-ins."""
    return f"{REHEARSAL_PREFIX}{model.id}" if rehearse else model.id
