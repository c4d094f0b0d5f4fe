"""Whom the living workers can call, and which providers are switched off."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import Deployment, Provider

# Both kinds of rows in one statement: it is asked for every job. Who is off has an id.
REACH = text("""
SELECT queues, missing, NULL AS id, NULL AS why
FROM workers WHERE state = 'alive' AND lease_until > clock_timestamp()
UNION ALL
SELECT NULL, NULL, id, concat_ws(': ', changed_by, nullif(reason, ''))
FROM providers WHERE NOT enabled
""")


@dataclass(frozen=True, slots=True)
class Living:
    """What a living worker says of itself."""

    queues: frozenset[str]
    missing: Mapping[str, str]
    """Provider to why this worker cannot call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Who can be called, as it stood at one moment."""

    living: Sequence[Living]
    off: Mapping[str, str]
    """Provider that is switched off to by whom and why."""

    def ready(self, provider: Provider) -> bool | None:
        """A living worker takes its queue and holds what it needs; None where nobody has said."""
        for each in self.living:
            if provider.queue_name in each.queues and provider.id not in each.missing:
                return True
        return False if any(provider.id in each.missing for each in self.living) else None

    def open(self, provider: Provider) -> bool:
        """Work can be released to it: somebody is ready for it, and it is switched on."""
        return provider.id not in self.off and self.ready(provider) is True

    def why_not_ready(self, provider: Provider) -> str:
        """What the workers lack that cannot call it."""
        said = {each.missing[provider.id] for each in self.living if provider.id in each.missing}
        return "; ".join(sorted(said))

    def refused(self, plan: Iterable[Deployment]) -> str | None:
        """Why none of these can be called; None when one can, or nobody has said yet."""
        asked = {deployment.provider.id: deployment.provider for deployment in plan}
        if not asked:
            return "no provider of the catalog serves it"
        if any(self.ready(provider) is not False for provider in asked.values()):
            return None
        return "; ".join(sorted({self.why_not_ready(provider) for provider in asked.values()}))

    def why_closed(self, plan: Iterable[Deployment]) -> str | None:
        """Why work can be released to none of these; None where one only waits for a worker."""
        asked = {deployment.provider.id: deployment.provider for deployment in plan}
        told = []
        for name, provider in sorted(asked.items()):
            if name in self.off:
                told.append(f"provider {name} is disabled by {self.off[name]}")
            elif self.ready(provider) is False:
                told.append(self.why_not_ready(provider))
            else:
                return None
        return "; ".join(dict.fromkeys(told)) or "no provider of the catalog serves it"


async def read_reach(connection: AsyncConnection) -> Reach:
    """As it stands now; a row for each living worker, and one for each provider that is off."""
    rows = (await connection.execute(REACH)).all()
    living = [Living(frozenset(row.queues), row.missing) for row in rows if row.id is None]
    return Reach(living=living, off={row.id: row.why for row in rows if row.id is not None})
