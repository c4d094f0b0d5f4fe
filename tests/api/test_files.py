"""Files at the door: no other form, no more than allowed, and their lines by number."""

import io
from typing import Any

import httpx2
import pytest

from api.files.lines import FileLine, chunks_of, lines_of
from api.files.store import FileWriter, contents
from shared.db.engine import Database
from shared.db.files import PART_BYTES, Label, drop_expired_files, read_file, seal_file
from shared.domain.clock import SystemClock
from tests.api.conftest import Api
from tests.life import TENANT, Life

MOST = 3 * PART_BYTES
MOST_IN_ALL = MOST + PART_BYTES
LABEL = Label(purpose="batch", filename="f", seconds=60)


@pytest.fixture(scope="module")
def api_settings() -> dict[str, str]:
    return {
        "PROMPTMILL_API__MAX_FILE_BYTES": str(MOST),
        "PROMPTMILL_API__MAX_BATCH_BYTES": str(PART_BYTES),
        "PROMPTMILL_API__MAX_STORED_BYTES": str(MOST_IN_ALL),
    }


def send(api: Api, size: int = 1, *, tries: str = "0", **fields: str) -> httpx2.Response:
    with api.client() as client:
        file = {"file": ("a.bin", io.BytesIO(b"x" * size))}
        headers = {"x-stainless-retry-count": tries}
        return client.post("/v1/files", data=fields, files=file, headers=headers)


def test_a_file_up_to_its_bound_is_kept_in_parts(api: Api) -> None:
    file = send(api, MOST, purpose="user_data").json()
    assert file["bytes"] == MOST
    assert api.sql("SELECT number, length(data) FROM file_parts ORDER BY 1") == [
        (number, PART_BYTES) for number in range(3)
    ]


@pytest.mark.parametrize(
    ("size", "purpose"), [(MOST + 1, "user_data"), (PART_BYTES + 1, "batch"), (2 * MOST, "evals")]
)
def test_a_larger_one_is_refused_and_leaves_nothing(api: Api, size: int, purpose: str) -> None:
    reply = send(api, size, purpose=purpose)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")
    assert api.sql("SELECT count(*) FROM files") == [(0,)]
    assert api.sql("SELECT count(*) FROM file_parts") == [(0,)]


def test_a_tenant_keeps_so_much_and_no_more(api: Api) -> None:
    first = send(api, MOST, purpose="user_data").json()
    beyond = send(api, PART_BYTES + 1, purpose="user_data")
    assert (beyond.status_code, str(MOST_IN_ALL) in beyond.text) == (413, True)
    assert api.sql("SELECT count(*) FROM files") == [(1,)]
    last = send(api, PART_BYTES, purpose="user_data")
    assert last.status_code == 200
    again = send(api, PART_BYTES, tries="1", purpose="user_data")
    assert again.json()["id"] == last.json()["id"]
    full = send(api, 1, purpose="user_data").json()["error"]
    assert (full["param"], full["code"]) == ("file", "body_too_large")
    with api.client(api.other_key) as other:
        kept = other.post(
            "/v1/files", data={"purpose": "user_data"}, files={"file": ("a", io.BytesIO(b"x"))}
        )
        assert kept.status_code == 200
    with api.client() as client:
        assert client.delete(f"/v1/files/{first['id']}").json()["deleted"]
    assert send(api, 1, purpose="user_data").status_code == 200


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("purpose", {}),
        ("purpose", {"purpose": "batch_output"}),
        ("expires_after.anchor", {"purpose": "batch", "expires_after[seconds]": "3600"}),
        (
            "expires_after.seconds",
            {"purpose": "batch", "expires_after[anchor]": "created_at",
             "expires_after[seconds]": "soon"},
        ),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(api: Api, param: str, fields: dict[str, str]) -> None:
    reply = send(api, PART_BYTES, **fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert api.sql("SELECT count(*) FROM files") == [(0,)]


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("application/json", b"{}", "multipart/form-data"),
        ("multipart/form-data", b"", "boundary"),
        ("multipart/form-data; boundary=b", b"no such thing", "well-formed"),
        ("multipart/form-data; boundary=b", b"--b\r\n", "in the middle"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n',
            "file",
        ),
    ],
)
def test_what_is_no_such_form_is_refused(api: Api, kind: str, body: bytes, said: str) -> None:
    with api.client() as client:
        reply = client.post("/v1/files", content=body, headers={"content-type": kind})
    assert reply.status_code == 400, reply.text
    assert said in reply.json()["error"]["message"]


async def kept(database: Database, *pieces: bytes) -> str:
    """The id of a file of the test's tenant."""
    writer = FileWriter(database, TENANT, None)
    for piece in pieces:
        await writer.write(piece)
    async with database.transaction() as connection:
        await writer.flush(connection)
        await seal_file(connection, writer.id, writer.size, LABEL)
    return writer.id


async def lines(life: Life, longest: int, *pieces: bytes) -> list[tuple[int, bytes | None]]:
    file_id = await kept(life.database, *pieces)
    return [(each.number, each.data) async for each in lines_of(life.database, file_id, longest)]


async def test_lines_have_their_numbers_whatever_part_they_begin_in(life: Life) -> None:
    long = b"y" * (PART_BYTES - 3)
    found = await lines(life, 2 * PART_BYTES, b"\xef\xbb\xbfa\n\n \r\n", long, b"\nlast")
    assert found == [(1, b"a"), (4, long), (5, b"last")]


async def test_a_line_that_is_too_long_is_known_by_its_number(life: Life) -> None:
    found = await lines(life, 10, b"a\n", b"b" * (3 * PART_BYTES), b"\nc\n", b"d" * 11)
    assert found == [(1, b"a"), (2, None), (3, b"c"), (4, None)]


async def test_chunks_are_bounded_by_lines_and_by_bytes() -> None:
    async def some() -> Any:
        for number, size in enumerate((1, 1, 1, 5, 9, 1), 1):
            yield FileLine(number, b"z" * size)

    chunks = [chunk async for chunk in chunks_of(some(), most_lines=2, most_bytes=6)]
    assert [[each.number for each in chunk] for chunk in chunks] == [[1, 2], [3, 4], [5], [6]]


async def test_a_file_whose_time_is_over_is_not_there_and_then_gone(life: Life) -> None:
    file_id = await kept(life.database, b"soon gone")
    assert b"".join([part async for part in contents(life.database, file_id)]) == b"soon gone"
    async with life.database.transaction() as connection:
        assert await read_file(connection, TENANT, file_id)
        assert await drop_expired_files(connection, SystemClock().now()) == 0
    await life.all("UPDATE files SET expires_at = now() - interval '1 s' RETURNING 1")
    async with life.database.transaction() as connection:
        assert await read_file(connection, TENANT, file_id) is None
        assert await drop_expired_files(connection, SystemClock().now()) == 1
    assert await life.all("SELECT FROM file_parts") == []
