"""Make a batch of a stored file; a retry of the same create finds the batch that it made."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from sqlalchemy import Row

from api.account.projects import project_of
from api.deps import Parts
from api.faces.ask import EXTENSION, extension_of
from api.faces.retries import creating
from api.files.labels import BATCH, MONTH
from api.files.upload import require_room
from api.jobs.parse import parse_as
from api.jobs.schemas import JobSubmit
from shared.db.batches import NewBatch, add_batch, claim_key, read_batch
from shared.db.files import read_file
from shared.db.tenants import Caller
from shared.domain.batch import window_seconds
from shared.domain.errors import (
    ConflictError,
    IdempotencyMismatchError,
    InvalidRequestError,
    NotFoundError,
)
from shared.domain.ids import IdKind, new_id

MAX_COST: Final = "max_cost"
"""What the extension calls the budget of a batch."""
OF_A_BATCH: Final = ("batch", "deadline_seconds")
"""Fields of a job that a batch says itself."""
LANE: Final = "bulk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A batch as it is asked for."""

    dialect: str
    endpoint: str
    input_file_id: str
    window: str
    job: Mapping[str, Any]
    """Fields of a JobSubmit for each of its lines."""
    metadata: Mapping[str, str] | None = None
    place: str = EXTENSION
    """Where the caller says those fields."""
    output_seconds: int = MONTH
    """How long its files are kept."""
    brings_file: bool = False
    """Its input came with it, and is new among the caller's files."""


async def create(
    parts: Parts, caller: Caller, http: Request, wanted: Wanted, raw: bytes
) -> Row[Any]:
    """The batch's row; `raw` tells one create from another.

    Raises InvalidRequestError, NotFoundError for the file.
    """
    batch_id = new_id(IdKind.BATCH)
    new = NewBatch(
        id=batch_id,
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        dialect=wanted.dialect,
        endpoint=wanted.endpoint,
        input_file_id=wanted.input_file_id,
        window_seconds=window_seconds(wanted.window, field="completion_window"),
        options={
            "window": wanted.window,
            "output_seconds": wanted.output_seconds,
            "job": _checked(caller, batch_id, wanted),
        },
        metadata=wanted.metadata,
    )
    digest = hashlib.sha256(raw).digest()
    async with (
        creating(parts, caller, http, raw) as key,
        parts.database.transaction() as connection,
    ):
        made_id, same = await claim_key(connection, caller.tenant_id, key, digest, batch_id)
        if not same:
            message = f"the idempotency key {key!r} was used with another body; use a new one"
            raise IdempotencyMismatchError(message, field="Idempotency-Key")
        if made_id == batch_id:
            _require_input(await read_file(connection, caller.tenant_id, new.input_file_id), new)
            if wanted.brings_file:
                await require_room(connection, parts, caller)
            return await add_batch(connection, new)
        known = await read_batch(connection, caller.tenant_id, made_id)
    if known is None:
        message = f"the idempotency key {key!r} made something else; use a new one"
        raise ConflictError(message, field="Idempotency-Key")
    return known


def job_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the `promptmill` object of a body says of a batch's jobs. Raises InvalidRequestError."""
    own = body.get(EXTENSION)
    if isinstance(own, dict) and MAX_COST in own:
        cost = {"batch_max_cost": own[MAX_COST]}
        rest = {name: value for name, value in own.items() if name != MAX_COST}
        body = {**body, EXTENSION: {**rest, **cost}}
    return extension_of(body)


def _checked(caller: Caller, batch_id: str, wanted: Wanted) -> Mapping[str, Any]:
    """The fields, if a job would take them. Raises InvalidRequestError that names one."""
    if own := next((name for name in OF_A_BATCH if name in wanted.job), None):
        message = f"{wanted.place}.{own}: a batch says it itself; leave it out"
        raise InvalidRequestError(message, field=f"{wanted.place}.{own}")
    fields = {"lane": LANE, **wanted.job}
    try:
        parse_as(JobSubmit, {**fields, "batch": batch_id, "request": {"model": "any"}})
    except InvalidRequestError as error:
        error.field = f"{wanted.place}.{error.field}"
        error.message = f"{wanted.place}.{error.message}"
        raise
    project_of(caller, fields.get("project"))
    return fields


def _require_input(file: Row[Any] | None, new: NewBatch) -> None:
    if file is None:
        message = f"No such File object: {new.input_file_id}"
        raise NotFoundError(message, field="input_file_id")
    if file.purpose != BATCH:
        message = f"input_file_id: its purpose is {file.purpose!r}; upload it with {BATCH!r}"
        raise InvalidRequestError(message, field="input_file_id")
