"""Provider to adapter: clients made once per process, on its loop."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, TypedDict

from pydantic import SecretStr

from shared.catalog.deployments import Catalog, Provider
from shared.domain.clock import Clock
from shared.settings import WorkerSettings, provider_key
from worker.adapters.base import Adapter
from worker.adapters.discretion import Discreet
from worker.adapters.transport import Connections

Dialect = Callable[[Provider, int, WorkerSettings, Clock], Adapter]


class Ready(Mapping[str, Adapter]):
    """The adapters of these rows, each opened by the first who asks for it."""

    def __init__(
        self,
        rows: Mapping[str, Provider],
        open_one: Callable[[Provider], Adapter],
        opened: dict[str, Adapter],
    ) -> None:
        self.rows = rows
        self.opened = opened
        self._open_one = open_one

    def __getitem__(self, provider_id: str) -> Adapter:
        if provider_id not in self.opened:
            self.opened[provider_id] = self._open_one(self.rows[provider_id])
        return self.opened[provider_id]

    def __contains__(self, provider_id: object) -> bool:
        return provider_id in self.rows

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(slots=True)
class Adapters:
    """The providers that this process can call, and why it cannot call the others."""

    ready: Ready
    missing: Mapping[str, str]
    open_one: Callable[[Provider], Adapter]
    lazily: bool = False
    """Whether a client is made with its first call: in a process that is idle nearly always, all
    of them cost 2 s of CPU and 60 MB."""
    retired: list[tuple[float, Adapter]] = field(default_factory=list)
    """Of rows that changed or went, and since when: calls in flight may still need them."""

    def renew(self, catalog: Catalog) -> None:
        """Follow a changed catalog: what its rows did not change goes on as it is."""
        rows: dict[str, Provider] = {}
        missing: dict[str, str] = {}
        for provider in catalog.providers.values():
            if reason := _reason_missing(provider):
                missing[provider.id] = reason
            else:
                rows[provider.id] = provider
        before = self.ready
        kept = {
            name: each
            for name, each in before.opened.items()
            if rows.get(name) == before.rows[name]
        }
        self.retired += [
            (monotonic(), each) for name, each in before.opened.items() if name not in kept
        ]
        self.ready, self.missing = Ready(rows, self.open_one, kept), missing
        if not self.lazily:
            for name in rows:
                self.ready[name]

    async def close_retired(self, longest_call: float) -> None:
        """Close what no call can need any more; `longest_call` in seconds."""
        over = [each for since, each in self.retired if monotonic() - since > longest_call]
        self.retired = [each for each in self.retired if each[1] not in over]
        for adapter in over:
            await adapter.close()

    async def close(self) -> None:
        """Close every client."""
        for adapter in (*self.ready.opened.values(), *(each for _, each in self.retired)):
            await adapter.close()


class Line(TypedDict):
    """What every adapter is made of."""

    base_url: str
    key: SecretStr | None
    connections: Connections
    connect_timeout: float
    clock: Clock


# An official client costs up to a second and 30 MB: each is imported for those who call it.


def _openai(provider: Provider, line: Line) -> Adapter:
    from worker.adapters.openai import OpenAIAdapter  # noqa: PLC0415

    return OpenAIAdapter(
        **line, legacy_max_tokens=provider.legacy_max_tokens, service_tier=provider.service_tier
    )


def _responses(provider: Provider, line: Line) -> Adapter:
    from worker.adapters.responses import ResponsesAdapter  # noqa: PLC0415

    return ResponsesAdapter(**line, service_tier=provider.service_tier)


def _azure(provider: Provider, line: Line) -> Adapter:
    from worker.adapters.azure import AzureAdapter  # noqa: PLC0415

    return AzureAdapter(**line, api_version=provider.api_version or "")


def _anthropic(provider: Provider, line: Line) -> Adapter:
    from worker.adapters.anthropic import AnthropicAdapter  # noqa: PLC0415

    return AnthropicAdapter(**line, service_tier=provider.service_tier)


def _gemini(provider: Provider, line: Line) -> Adapter:
    from worker.adapters.gemini import GeminiAdapter  # noqa: PLC0415

    return GeminiAdapter(**line, api_version=provider.api_version or "")


def _vertex(provider: Provider, line: Line) -> Adapter:
    from worker.adapters.vertex import EVERYWHERE, VertexAdapter  # noqa: PLC0415

    location = provider_key(provider.location_variables)
    return VertexAdapter(
        base_url=line["base_url"],
        project=line["key"].get_secret_value() if line["key"] else "",
        location=location.get_secret_value() if location else EVERYWHERE,
        connections=line["connections"],
        connect_timeout=line["connect_timeout"],
        clock=line["clock"],
        api_version=provider.api_version or "",
    )


def _dialect(make: Callable[[Provider, Line], Adapter]) -> Dialect:
    def opened(
        provider: Provider, connections: int, settings: WorkerSettings, clock: Clock
    ) -> Adapter:
        key = provider_key(provider.key_variables)
        line = Line(
            base_url=provider.base_url or "",
            key=key,
            connections=Connections(connections, _headers(provider)),
            connect_timeout=settings.connect_timeout,
            clock=clock,
        )
        return Discreet(make(provider, line), key)

    return opened


DIALECTS: Final[Mapping[str, Dialect]] = {
    "openai": _dialect(_openai),
    "openai-responses": _dialect(_responses),
    "azure": _dialect(_azure),
    "anthropic": _dialect(_anthropic),
    "gemini": _dialect(_gemini),
    "vertex": _dialect(_vertex),
}
VERSIONED: Final = frozenset({"azure", "gemini", "vertex"})
"""Wires whose addresses hold a version."""


def open_adapters(
    catalog: Catalog,
    *,
    connections: int,
    settings: WorkerSettings,
    clock: Clock,
    lazily: bool = False,
) -> Adapters:
    """Make a client for every provider that has an address and, if it wants one, a key.

    `lazily`: make each with its first call.
    """

    def open_one(provider: Provider) -> Adapter:
        return DIALECTS[provider.adapter](provider, connections, settings, clock)

    adapters = Adapters(Ready({}, open_one, {}), {}, open_one, lazily)
    adapters.renew(catalog)
    return adapters


def _reason_missing(provider: Provider) -> str | None:
    if provider.adapter not in DIALECTS:
        return f"provider {provider.id}: no adapter is called {provider.adapter!r}"
    if not provider.base_url:
        nowhere = f"provider {provider.id} has no base_url in this stack"
        return _unset(provider.base_url_variables) or nowhere
    if provider.adapter in VERSIONED and not provider.api_version:
        return f"provider {provider.id} has no api_version, which its wire wants"
    if provider.key_variables and provider_key(provider.key_variables) is None:
        return _unset(provider.key_variables)
    return None


def _headers(provider: Provider) -> dict[str, str]:
    """The row's own headers, as far as the environment holds them."""
    held = {name: provider_key((each,)) for name, each in provider.header_variables.items()}
    return {name: value.get_secret_value() for name, value in held.items() if value}


def _unset(variables: tuple[str, ...]) -> str | None:
    return f"{' or '.join(variables)} is not set for the workers" if variables else None
