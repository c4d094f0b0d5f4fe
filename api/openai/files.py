"""OpenAI's Files: upload, list, read, delete, download."""

from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import Row

from api.deps import AnyParts, Parts, Reader, Writer
from api.error_shapes import Dialect
from api.errors import error_responses
from api.files.store import contents
from api.files.upload import upload
from api.openai.pages import page_of
from shared.db.files import FilePage, delete_file, list_files, read_file
from shared.db.tenants import Caller
from shared.domain.errors import NotFoundError

router = APIRouter(prefix="/v1/files", tags=["openai"])
PATH: Final = "/v1/files"
ROOM_FOR_FORM: Final = 64 * 1024
"""Bytes of an upload that are no file."""
FileId = Annotated[str, Path(max_length=64)]
UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string"},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer"},
                    },
                }
            }
        },
    }
}


class FileObject(BaseModel):
    """A file as OpenAI tells of it; times are Unix seconds."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    status_details: None = None

    @classmethod
    def of(cls, row: Row[Any]) -> "FileObject":
        """From a row of shared/db/files.py."""
        return cls(
            id=row.id,
            bytes=row.bytes,
            created_at=int(row.created_at.timestamp()),
            expires_at=int(row.expires_at.timestamp()) if row.expires_at else None,
            filename=row.filename,
            purpose=row.purpose,
        )


class FileList(BaseModel):
    """One page of files."""

    object: Literal["list"]
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(BaseModel):
    """A file that is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


@router.post(
    "",
    operation_id="openai_upload_file",
    summary="Upload a file",
    responses=error_responses(400, 409, 413, dialect=Dialect.OPENAI),
    openapi_extra=UPLOAD,
)
async def upload_file(request: Request, parts: AnyParts, caller: Writer) -> FileObject:
    """A form with a `purpose` and a `file`; the file is stored while it comes."""
    return FileObject.of(await upload(parts, caller, request))


@router.get(
    "",
    operation_id="openai_list_files",
    summary="List files",
    responses=error_responses(400, dialect=Dialect.OPENAI),
)
async def list_files_route(
    parts: AnyParts,
    caller: Reader,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    purpose: Annotated[str | None, Query(max_length=64)] = None,
) -> FileList:
    """The caller's files, the newest first."""
    page = FilePage(after=after, limit=limit, descending=order == "desc", purpose=purpose)
    async with parts.database.transaction() as connection:
        rows = await list_files(connection, caller.tenant_id, page)
    data = [FileObject.of(row).model_dump() for row in rows[:limit]]
    return FileList.model_validate(page_of(data, more=len(rows) > limit))


@router.get(
    "/{file_id}",
    operation_id="openai_get_file",
    summary="Read about a file",
    responses=error_responses(400, 404, dialect=Dialect.OPENAI),
)
async def get_file(parts: AnyParts, caller: Reader, file_id: FileId) -> FileObject:
    """What it is called, how long it is and until when it is kept."""
    return FileObject.of(await _found(parts, caller, file_id))


@router.delete(
    "/{file_id}",
    operation_id="openai_delete_file",
    summary="Delete a file",
    responses=error_responses(400, 404, dialect=Dialect.OPENAI),
)
async def delete_file_route(parts: AnyParts, caller: Writer, file_id: FileId) -> FileDeleted:
    """Gone at once; a batch whose lines are not jobs yet goes no further without it."""
    async with parts.database.transaction() as connection:
        if not await delete_file(connection, caller.tenant_id, file_id):
            raise no_such_file(file_id)
    return FileDeleted(id=file_id)


@router.get(
    "/{file_id}/content",
    operation_id="openai_file_content",
    summary="Download a file",
    response_class=StreamingResponse,
    responses=error_responses(400, 404, dialect=Dialect.OPENAI)
    | {200: {"content": {"application/octet-stream": {}}}},
)
async def file_content(parts: AnyParts, caller: Reader, file_id: FileId) -> StreamingResponse:
    """Its bytes as they are, streamed."""
    row = await _found(parts, caller, file_id)
    return StreamingResponse(
        contents(parts.database, row.id),
        media_type="application/octet-stream",
        headers={
            "content-length": str(row.bytes),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(row.filename)}",
        },
    )


def no_such_file(file_id: str) -> NotFoundError:
    """As OpenAI says it."""
    return NotFoundError(f"No such File object: {file_id}", field="id")


async def _found(parts: Parts, caller: Caller, file_id: str) -> Row[Any]:
    async with parts.database.transaction() as connection:
        row = await read_file(connection, caller.tenant_id, file_id)
    if row is None:
        raise no_such_file(file_id)
    return row
