"""Which deployments the workers can call, as the workers report it."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import Catalog
from shared.db.providers import know

REPORT = text("""
INSERT INTO deployments (id, ready, reason)
SELECT * FROM unnest(CAST(:id AS text[]), CAST(:ready AS boolean[]), CAST(:reason AS text[]))
ON CONFLICT (id) DO UPDATE SET ready = excluded.ready, reason = excluded.reason,
    reported_at = clock_timestamp()
""")

REASONS = text("""
SELECT id, ready, reason FROM deployments WHERE id = ANY(CAST(:ids AS text[]))
""")


async def report_deployments(
    connection: AsyncConnection, catalog: Catalog, missing: Mapping[str, str]
) -> None:
    """Say of every deployment whether this fleet can call it; `missing`: provider to why not."""
    deployments = sorted(catalog.deployments(), key=lambda deployment: deployment.id)
    await know(connection, list(catalog.providers))
    reasons = [missing.get(deployment.provider.id) for deployment in deployments]
    await connection.execute(
        REPORT,
        {
            "id": [deployment.id for deployment in deployments],
            "ready": [reason is None for reason in reasons],
            "reason": reasons,
        },
    )


async def why_not(connection: AsyncConnection, ids: Sequence[str]) -> str | None:
    """Why none of these deployments can be called; None when one can, or nobody has said yet."""
    if not ids:
        return "no provider of the catalog serves it"
    rows = (await connection.execute(REASONS, {"ids": list(ids)})).all()
    if len(rows) < len(ids) or any(row.ready for row in rows):
        return None
    return "; ".join(sorted({row.reason for row in rows}))
