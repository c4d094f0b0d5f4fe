"""Retries of clients that know no idempotency keys: the second try finds what the first made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Request

from api.admission.creates import CREATE, FRESH, OWN_KEY, create_of, tries_before
from api.deps import Parts
from shared.db.creates import claim_create
from shared.db.tenants import Caller
from shared.domain.errors import InvalidRequestError
from shared.domain.ids import IdKind, new_id

LONGEST_KEY: Final = 255


@asynccontextmanager
async def creating(parts: Parts, caller: Caller, http: Request, raw: bytes) -> AsyncIterator[str]:
    """The key to create under: until the end of the block a retry, too, is given the same.

    Raises InvalidRequestError for a bad key.
    """
    key = await idempotency_key(parts, caller, http, raw)
    tries = tries_before(http.headers)
    if tries is None:
        yield key
        return
    with parts.creates.under_way(create_of(caller.key_id, http.url.path, raw), key, tries):
        yield key


async def idempotency_key(parts: Parts, caller: Caller, http: Request, raw: bytes) -> str:
    """The caller's own key; else that of the byte-identical create that this retries, or a new one.

    An SDK retries only what it had no good reply to. Raises InvalidRequestError for a bad key.
    """
    if own := http.headers.get(OWN_KEY):
        if len(own) > LONGEST_KEY:
            message = f"Idempotency-Key: it is longer than {LONGEST_KEY} characters"
            raise InvalidRequestError(message, field="Idempotency-Key")
        return own
    create = create_of(caller.key_id, http.url.path, raw)
    setattr(http.state, CREATE, create)
    tries = tries_before(http.headers)
    if tries and (known := await _made_before(parts, caller, create, tries)):
        return known
    setattr(http.state, FRESH, True)
    return create + new_id(IdKind.REQUEST)


async def _made_before(parts: Parts, caller: Caller, create: str, tries: int) -> str | None:
    """The key of what an earlier try made, or is about to make; None where it was refused."""
    if await parts.creates.was_refused(create, tries):
        return None
    begun = parts.creates.begun(create, tries)
    if known := await _committed(parts, caller, create, tries) or begun:
        return known
    # What another process has committed while it was asked is looked for once more.
    elsewhere = await parts.creates.begun_elsewhere(create, tries)
    return elsewhere or await _committed(parts, caller, create, tries)


async def _committed(parts: Parts, caller: Caller, create: str, tries: int) -> str | None:
    async with parts.database.transaction() as connection:
        return await claim_create(connection, caller.tenant_id, create, tries)
