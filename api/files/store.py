"""Contents of files, to and from the database in parts: never whole in memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import Database
from shared.db.files import PART_BYTES, add_part, begin_file, discard_files, read_part
from shared.domain.ids import IdKind, new_id


@dataclass(slots=True)
class FileWriter:
    """Takes bytes as they come; whoever sealed the file in a transaction has made it visible."""

    database: Database
    tenant_id: str
    key_id: str | None
    id: str = field(default_factory=lambda: new_id(IdKind.FILE))
    size: int = 0
    """Bytes so far."""
    _parts: int = 0
    _rest: bytearray = field(default_factory=bytearray)

    async def write(self, data: bytes) -> None:
        """Take more; each full part is committed."""
        self._rest += data
        self.size += len(data)
        while len(self._rest) >= PART_BYTES:
            async with self.database.transaction() as connection:
                await self._add(connection, bytes(self._rest[:PART_BYTES]))
            del self._rest[:PART_BYTES]

    async def flush(self, connection: AsyncConnection) -> None:
        """Write what no part is full of yet, in the transaction that seals the file."""
        if self._rest or not self._parts:
            await self._add(connection, bytes(self._rest))
            self._rest.clear()

    async def discard(self) -> None:
        """Let go of all that came."""
        if self._parts:
            async with self.database.transaction() as connection:
                await discard_files(connection, [self.id])

    async def _add(self, connection: AsyncConnection, data: bytes) -> None:
        if not self._parts:
            await begin_file(connection, self.id, self.tenant_id, self.key_id)
        await add_part(connection, self.id, self._parts, data)
        self._parts += 1


async def contents(database: Database, file_id: str) -> AsyncIterator[bytes]:
    """A file's bytes, part by part; no transaction is open while somebody takes them."""
    number = 0
    while True:
        async with database.transaction() as connection:
            data = await read_part(connection, file_id, number)
        if data is None:
            return
        yield data
        number += 1
