"""Who is to be told of an event: the endpoints that want it, and a delivery for each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.face import Face
from shared.domain.ids import IdKind, new_id


@dataclass(slots=True)
class Listeners:
    """Endpoints that are told at present, by their tenants."""

    of_all: dict[str, list[Row[Any]]] = field(default_factory=dict)
    """`id` and `event_types` of those that hear of everything of that tenant."""
    of_jobs: set[str] = field(default_factory=set)
    """Tenants of whose jobs some may name one of their own."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message for an endpoint, ready to be written."""

    tenant_id: str
    endpoint_id: str
    message_id: str
    type: str
    subject: str
    body: str


LIVING: Final = "deleted_at IS NULL AND disabled_at IS NULL"
LISTENERS: Final = text(f"""
SELECT id, tenant_id, event_types FROM webhook_endpoints
WHERE tenant_id = ANY(CAST(:tenant_ids AS text[])) AND {LIVING} AND NOT of_jobs
UNION ALL
SELECT NULL, tenant_id, NULL FROM webhook_endpoints
WHERE tenant_id = ANY(CAST(:tenant_ids AS text[])) AND {LIVING} AND of_jobs GROUP BY tenant_id
""")

# An answer is read only where its form decides what is told.
ENDS: Final = text(f"""
SELECT jobs.id, jobs.state, jobs.cost_nano, jobs.cost_flagged, jobs.face,
       coalesce(payloads.echo -> 'background' = 'true', false) AS background,
       results.body ->> 'finish_reason' AS finish_reason,
       own.id AS own_id, own.event_types AS own_types
FROM jobs LEFT JOIN payloads ON payloads.job_id = jobs.id
LEFT JOIN results ON results.job_id = jobs.id AND jobs.face = :response
LEFT JOIN (SELECT id, tenant_id, event_types FROM webhook_endpoints WHERE {LIVING}) AS own
    ON own.id = payloads.webhook AND own.tenant_id = jobs.tenant_id
WHERE jobs.id = ANY(CAST(:job_ids AS text[]))
""").bindparams(response=Face.RESPONSE)

ADD: Final = text("""
INSERT INTO deliveries (id, tenant_id, endpoint_id, message_id, type, subject, body)
SELECT * FROM unnest(
    CAST(:id AS text[]), CAST(:tenant_id AS text[]), CAST(:endpoint_id AS text[]),
    CAST(:message_id AS text[]), CAST(:type AS text[]), CAST(:subject AS text[]),
    CAST(:body AS text[])
)
""")


async def find_listeners(connection: AsyncConnection, tenant_ids: Collection[str]) -> Listeners:
    """Who of these tenants is told anything."""
    listeners = Listeners()
    for row in await connection.execute(LISTENERS, {"tenant_ids": sorted(tenant_ids)}):
        if row.id is None:
            listeners.of_jobs.add(row.tenant_id)
        else:
            listeners.of_all.setdefault(row.tenant_id, []).append(row)
    return listeners


async def read_ends(connection: AsyncConnection, job_ids: Collection[str]) -> dict[str, Row[Any]]:
    """How these jobs ended, by their ids, and each's own endpoint: `own_id` and `own_types`."""
    rows = await connection.execute(ENDS, {"job_ids": list(job_ids)})
    return {row.id: row for row in rows}


async def add_deliveries(connection: AsyncConnection, fresh: Sequence[NewDelivery]) -> None:
    """Write them; each is due at once."""
    columns = {name: [getattr(row, name) for row in fresh] for name in NewDelivery.__slots__}
    columns["id"] = [new_id(IdKind.DELIVERY) for _ in fresh]
    await connection.execute(ADD, columns)
