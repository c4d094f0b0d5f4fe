"""Take a file as it streams in; a retry of the same one finds what the first try made."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import Request
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Parts
from api.faces.retries import creating
from api.files.form import read_form
from api.files.labels import BATCH, label_of
from api.files.store import FileWriter
from shared.db.batches import claim_key
from shared.db.files import Label, read_file, seal_file, stored_bytes
from shared.db.tenants import Caller
from shared.domain.errors import BodyTooLargeError, ConflictError, IdempotencyMismatchError


async def upload(parts: Parts, caller: Caller, http: Request) -> Row[Any]:
    """The row of the file that this form brings. Raises InvalidRequestError."""
    writer = FileWriter(parts.database, caller.tenant_id, caller.key_id)
    digest = hashlib.sha256()

    async def take(data: bytes) -> None:
        digest.update(data)
        require_size(writer.size + len(data), parts.settings.api.max_file_bytes)
        await writer.write(data)

    try:
        form = await read_form(http.headers, http.stream(), take)
        label = label_of(form.fields, form.filename)
        if label.purpose == BATCH:
            require_size(writer.size, parts.settings.api.max_batch_bytes)
        return await _sealed_once(parts, caller, http, writer, digest, label)
    except BaseException:
        await writer.discard()
        raise


async def kept(
    parts: Parts, caller: Caller, stream: AsyncIterator[bytes], label: Label
) -> tuple[Row[Any], bytes]:
    """The row of a file that a body is the whole of, and the digest of what it holds."""
    writer = FileWriter(parts.database, caller.tenant_id, caller.key_id)
    digest = hashlib.sha256()
    try:
        async for data in stream:
            digest.update(data)
            require_size(writer.size + len(data), parts.settings.api.max_batch_bytes)
            await writer.write(data)
        async with parts.database.transaction() as connection:
            await writer.flush(connection)
            row = await seal_file(connection, writer.id, writer.size, label)
    except BaseException:
        await writer.discard()
        raise
    return _require_sealed(row), digest.digest()


def require_size(size: int, most: int) -> None:
    """Raises BodyTooLargeError."""
    if size > most:
        message = f"file: it is larger than {most} bytes; send it in parts"
        raise BodyTooLargeError(message, field="file")


async def require_room(connection: AsyncConnection, parts: Parts, caller: Caller) -> None:
    """Raises BodyTooLargeError where the caller's files, a new one among them, are too much.

    Only what is new is asked: a retry finds what its first try made, whatever room is left.
    """
    most = parts.settings.api.max_stored_bytes
    if await stored_bytes(connection, caller.tenant_id) > most:
        message = (
            f"file: with it your files would hold more than the {most} bytes that a tenant may "
            "keep; delete some (GET /v1/files lists them), or let them expire"
        )
        raise BodyTooLargeError(message, field="file")


async def _sealed_once(
    parts: Parts,
    caller: Caller,
    http: Request,
    writer: FileWriter,
    digest: "hashlib._Hash",
    label: Label,
) -> Row[Any]:
    """This file, or the one that an earlier try of the same upload has made."""
    said = orjson.dumps([label.purpose, label.filename, label.seconds])
    whole = digest.digest() + said
    async with (
        creating(parts, caller, http, whole) as key,
        parts.database.transaction() as connection,
    ):
        made_id, same = await claim_key(
            connection, caller.tenant_id, key, hashlib.sha256(whole).digest(), writer.id
        )
        if made_id == writer.id:
            await writer.flush(connection)
            row = await seal_file(connection, writer.id, writer.size, label)
            await require_room(connection, parts, caller)
        else:
            row = await read_file(connection, caller.tenant_id, made_id)
    if made_id != writer.id:
        await writer.discard()
    if not same:
        message = f"the idempotency key {key!r} was used with another body; use a new one"
        raise IdempotencyMismatchError(message, field="Idempotency-Key")
    return _require_sealed(row)


def _require_sealed(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        message = "the file is gone already; send it again"
        raise ConflictError(message)
    return row
