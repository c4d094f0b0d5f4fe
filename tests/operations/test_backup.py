"""A backup holds everything of one moment; what is restored from it goes on from there."""

import asyncio
import json
import stat
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cli.stack.servers import Servers
from shared.db.backup import dump, restore, revision_of
from shared.db.backup_file import BackupError, new_backup, open_backup
from shared.db.engine import Database
from shared.db.migrate import migrate
from shared.domain.ids import IdKind, new_id
from shared.domain.job import JobState
from tests.api.conftest import make_key
from tests.databases import own_database
from tests.db.books import check_books
from tests.life import Life, answered, new_job
from tests.mill import eventually, running_mill
from tests.operations.conftest import Command

ODD = 'tab \t line \n back \\ \\. quote " é 你好 \u2028 null \\N'


@pytest.fixture
def empty_url(servers: Servers) -> Iterator[str]:
    """A database without a schema."""
    name = new_id(IdKind.RUN)
    yield servers.create_database(name)
    servers.drop_database(name)


@pytest.fixture
def second_url(servers: Servers) -> Iterator[str]:
    """A second migrated and empty database."""
    with own_database(servers, new_id(IdKind.RUN)) as url:
        yield url


@pytest.fixture
async def second(second_url: str) -> AsyncIterator[Database]:
    database = Database(second_url)
    yield database
    await database.close()


async def some_of_each(life: Life, database_url: str) -> None:
    """Jobs in every state, with results, holds, costs, keys and a repeatable key."""
    await make_key(database_url, "a")
    request = json.dumps({"model": "gpt-4.1-mini", "messages": [ODD], "max_tokens": 5})
    done = await life.started(*(new_job(request=request, metadata="{}") for _ in range(3)))
    result = json.dumps({"content": ODD})
    await life.leave(*(answered(attempt, result=result) for attempt in done))
    failed, *_ = await life.started()
    await life.leave(answered(failed, job_state=JobState.FAILED, result=None, error=ODD))
    await life.started(new_job())
    await life.accept(new_job())
    await life.release()
    await life.accept(new_job(idempotency_key="once"))


async def contents(database: Database) -> dict[str, str]:
    """A sum of every table but of the workers, whose leases end."""
    async with database.transaction() as connection:
        names = (
            await connection.execute(
                text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            )
        ).scalars()
        statement = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t"
        return {
            name: (await connection.execute(text(statement.format(name)))).scalar_one()
            for name in names
            if name != "workers"
        }


async def test_all_comes_back_and_goes_on(
    life: Life, database_url: str, empty_url: str, promptmill: Command, tmp_path: Path
) -> None:
    await some_of_each(life, database_url)
    file = tmp_path / "mill.backup"
    saved = promptmill("backup", file, "--json", database_url=database_url)
    assert saved.returncode == 0, saved.stderr
    told = json.loads(saved.stdout)
    assert (told["file"], told["bytes"]) == (str(file), file.stat().st_size)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    restored = promptmill("restore", file, "--json", database_url=empty_url)
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["file"] == str(file)

    database = Database(empty_url)
    copy = Life(database)
    assert await contents(database) == await contents(life.database)
    await check_books(copy)
    assert await copy.money() == await life.money()
    workers = await copy.one("SELECT array_agg(DISTINCT state) AS states FROM workers")
    assert workers.states == ["lost"], "no lease of the dump is believed"
    rescued = await copy.kill_worker()
    assert [left.moved_to for left in rescued] == [JobState.QUEUED]
    await copy.register("wrk_new")
    again = await copy.start(await copy.release(), "wrk_new")
    assert len(again) == 2, "the running job and the one that waited"
    await copy.leave(*(answered(attempt) for attempt in again))
    await check_books(copy)
    await database.close()


async def test_a_mill_that_died_goes_on_from_its_backup(
    environ: dict[str, str],
    second: Database,
    second_url: str,
    promptmill: Command,
    tmp_path: Path,
) -> None:
    database_url, redis_url = environ["DATABASE_URL"], environ["REDIS_URL"]
    async with running_mill(database_url, redis_url) as mill:
        await mill.start_simulator()
        worker = await mill.start_worker(slots=50)
        accepted = await mill.submit(400)
        await mill.in_state("succeeded", 100)
        worker.kill()
        worker.wait()
        file = tmp_path / "mill.backup"
        assert promptmill("backup", file, database_url=database_url).returncode == 0

        async def restored() -> bool:
            return promptmill("restore", file, database_url=second_url).returncode == 0

        await eventually("it is restored", restored)
        await mill.database.close()
        mill.database = second
        mill.environ["DATABASE_URL"] = second_url
        await mill.start_worker(slots=50)
        assert (await mill.all_final())["succeeded"] == 400
        await mill.check(accepted)


async def test_a_backup_is_of_one_moment(life: Life, second: Database, tmp_path: Path) -> None:
    await life.started()
    file = tmp_path / "mill.backup"
    with new_backup(file) as backup:
        async with life.database.transaction() as connection:
            seen: list[str] = []

            def told(table: str, _: int) -> None:
                seen.append(table)

            writing = asyncio.create_task(dump(connection, backup, told))
            await asyncio.sleep(0)
            await life.started(new_job())
            await writing
    with open_backup(file) as reader:
        async with second.transaction() as connection:
            await restore(connection, reader, told)
    assert set(seen) >= {"jobs", "attempts", "ledger"}
    await check_books(Life(second))


async def test_a_full_database_is_refused_unless_forced(
    life: Life, database_url: str, second_url: str, promptmill: Command, tmp_path: Path
) -> None:
    await life.started()
    file = tmp_path / "mill.backup"
    assert promptmill("backup", file, database_url=database_url).returncode == 0
    alive = promptmill("restore", file, "--force", database_url=database_url)
    assert (alive.returncode, "1 workers run" in alive.stderr) == (2, True)
    async with life.database.transaction() as connection:
        await connection.execute(text("UPDATE workers SET lease_until = now()"))
    full = promptmill("restore", file, database_url=database_url)
    assert (full.returncode, "is not empty" in full.stderr) == (2, True)
    await life.started(new_job())
    assert promptmill("restore", file, "--force", database_url=database_url).returncode == 0
    assert (await life.one("SELECT count(*) AS n FROM jobs")).n == 1
    again = promptmill("backup", file, database_url=second_url)
    assert (again.returncode, f"{file} exists" in again.stderr) == (2, True)


def change(file: Path, **changes: Any) -> None:
    """Another manifest, or another table, in an otherwise whole file."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts["manifest.json"])
    parts["manifest.json"] = json.dumps({**manifest, **changes.pop("manifest", {})}).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**parts, **changes}.items():
            archive.writestr(name, content)


async def test_what_cannot_be_restored_says_why_and_changes_nothing(
    life: Life, second: Database, second_url: str, promptmill: Command, tmp_path: Path
) -> None:
    await life.started()
    file = tmp_path / "mill.backup"

    async def refused() -> str:
        with pytest.raises(BackupError) as caught, open_backup(file) as reader:
            async with second.transaction() as connection:
                await restore(connection, reader, lambda *_: None)
        return caught.value.message

    async def save() -> None:
        file.unlink(missing_ok=True)
        with new_backup(file) as backup:
            async with life.database.transaction() as connection:
                await dump(connection, backup, lambda *_: None)

    await save()
    change(file, **{"jobs.copy": b""})
    assert "the sum of table jobs differs" in await refused()
    await save()
    change(file, manifest={"revision": "9999"})
    assert "the backup has schema 9999" in await refused()
    ended = promptmill("restore", file, database_url=second_url)
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    await save()
    change(file, manifest={"format": 7})
    assert "format 7" in await refused()
    await save()
    file.write_bytes(file.read_bytes()[:-100])
    assert "no backup of Promptmill, or not whole" in await refused()
    assert (await Life(second).one("SELECT count(*) AS n FROM tenants")).n == 0


async def test_a_backup_of_an_older_schema_is_brought_up_to_date(
    servers: Servers, empty_url: str, promptmill: Command, tmp_path: Path
) -> None:
    old = servers.create_database(name := new_id(IdKind.RUN))
    migrate(old, "0001")
    before = Database(old)
    async with before.transaction() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('ten_a', 'a')"))
        await connection.execute(
            text(
                "INSERT INTO api_keys (id, tenant_id, name, secret_hash, scopes)"
                " VALUES ('key_a', 'ten_a', 'old', '', '{}')"
            )
        )
    await before.close()
    file = tmp_path / "mill.backup"
    assert promptmill("backup", file, database_url=old).returncode == 0
    assert promptmill("restore", file, database_url=empty_url).returncode == 0
    servers.drop_database(name)
    database = Database(empty_url)
    async with database.transaction() as connection:
        assert await revision_of(connection) != "0001"
    assert (await Life(database).one("SELECT count(*) AS n FROM api_keys")).n == 1
    await database.close()


def test_an_interrupted_backup_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with new_backup(tmp_path / "mill.backup") as backup:
            backup.table("jobs").stream.close()
            assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
