"""Lines of batches that never become jobs, and why: of dialects where each counts for itself."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

NO_END: Final = 2**31 - 1

# Whoever reads the lines again after a crash finds the same.
REFUSE = text("""
INSERT INTO batch_refusals (batch_id, line, custom_id, code, message)
VALUES (:batch_id, :line, :custom_id, :code, :message)
ON CONFLICT (batch_id, line) DO NOTHING
""")
BETWEEN = text("""
SELECT line, custom_id, code, message FROM batch_refusals
WHERE batch_id = :batch_id AND line > :after AND line <= :last ORDER BY line
""")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One line."""

    line: int
    custom_id: str
    code: str
    message: str


async def refuse_lines(
    connection: AsyncConnection, batch_id: str, refusals: Sequence[Refusal]
) -> None:
    """Note them; to repeat it changes nothing."""
    if refusals:
        values = [{"batch_id": batch_id, **asdict(each)} for each in refusals]
        await connection.execute(REFUSE, values)


async def refusals_between(
    connection: AsyncConnection, batch_id: str, *, after: int, last: int = NO_END
) -> list[Refusal]:
    """Those of the lines behind `after` up to `last`, in their order."""
    asked = {"batch_id": batch_id, "after": after, "last": last}
    return [Refusal(*row) for row in await connection.execute(BETWEEN, asked)]
