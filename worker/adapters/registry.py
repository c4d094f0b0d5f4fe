"""Provider to adapter: clients made once per process, on its loop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from shared.catalog.deployments import Catalog, Provider
from shared.domain.clock import Clock
from shared.settings import WorkerSettings, provider_key
from worker.adapters.base import Adapter
from worker.adapters.openai import OpenAIAdapter


@dataclass(frozen=True, slots=True)
class Adapters:
    """The providers that this process can call, and why it cannot call the others."""

    ready: Mapping[str, Adapter]
    missing: Mapping[str, str]

    async def close(self) -> None:
        """Close every client."""
        for adapter in self.ready.values():
            await adapter.close()


def _openai(
    provider: Provider, connections: int, settings: WorkerSettings, clock: Clock
) -> Adapter:
    return OpenAIAdapter(
        base_url=provider.base_url or "",
        key=provider_key(provider.key_variables),
        connections=connections,
        connect_timeout=settings.connect_timeout,
        clock=clock,
    )


DIALECTS: Final[Mapping[str, Callable[[Provider, int, WorkerSettings, Clock], Adapter]]] = {
    "openai": _openai,
}


def open_adapters(
    catalog: Catalog, *, connections: int, settings: WorkerSettings, clock: Clock
) -> Adapters:
    """Make a client for every provider that has an address and, if it wants one, a key."""
    ready: dict[str, Adapter] = {}
    missing: dict[str, str] = {}
    for provider in catalog.providers.values():
        if reason := _reason_missing(provider):
            missing[provider.id] = reason
        else:
            dialect = DIALECTS[provider.adapter]
            ready[provider.id] = dialect(provider, connections, settings, clock)
    return Adapters(ready, missing)


def _reason_missing(provider: Provider) -> str | None:
    if provider.adapter not in DIALECTS:
        return f"provider {provider.id}: no adapter is called {provider.adapter!r}"
    if not provider.base_url:
        return f"provider {provider.id} has no base_url in this stack"
    if provider.key_variables and provider_key(provider.key_variables) is None:
        names = " or ".join(provider.key_variables)
        return f"{names} is not set for the workers"
    return None
