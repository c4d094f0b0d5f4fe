"""Which create a retry is given: one of the same bytes that no other client has, or none."""

import pytest
from sqlalchemy import text

from api.admission.creates import Creates, create_of
from shared.db.creates import claim_create
from shared.redis_client import connect_redis
from tests.life import TENANT, Life, new_job

CREATE = create_of("key_a", "/v1/chat/completions", b"{}")


async def made(life: Life, *keys: str, create: str = CREATE) -> None:
    await life.accept(*(new_job(idempotency_key=create + key) for key in keys))


async def claimed(life: Life, tries: int, create: str = CREATE) -> str | None:
    async with life.database.transaction() as connection:
        found = await claim_create(connection, TENANT, create, tries)
    return found and found.removeprefix(create)


async def test_each_create_serves_one_client_however_often_that_one_tries(life: Life) -> None:
    await made(life, "req_1", "req_2")
    assert [await claimed(life, tries) for tries in (1, 1, 1)] == ["req_2", "req_1", None]
    assert [await claimed(life, tries) for tries in (2, 3)] == ["req_2", "req_2"]
    assert [await claimed(life, tries) for tries in (2, 2)] == ["req_1", None]


@pytest.mark.parametrize(
    ("key", "path", "raw"),
    [
        ("key_b", "/v1/chat/completions", b"{}"),
        ("key_a", "/v1/embeddings", b"{}"),
        ("key_a", "/v1/chat/completions", b"{ }"),
    ],
)
async def test_another_key_path_or_body_is_another_create(
    life: Life, key: str, path: str, raw: bytes
) -> None:
    await made(life, "req_1", create=create_of(key, path, raw))
    assert await claimed(life, 1) is None


async def test_what_was_made_long_ago_is_no_retrys(life: Life) -> None:
    await made(life, "req_1")
    async with life.database.transaction() as connection:
        await connection.execute(
            text("UPDATE idempotency_keys SET created_at = now() - interval '61 minutes'")
        )
    assert await claimed(life, 1) is None


async def test_a_refusal_counts_for_one_retry_of_the_next_count(redis_url: str) -> None:
    redis = connect_redis(redis_url)
    creates = Creates(redis)
    await creates.refused(CREATE, 0, fresh=False)
    assert not await creates.was_refused(CREATE, 2)
    assert await creates.was_refused(CREATE, 1)
    assert not await creates.was_refused(CREATE, 1)
    await redis.aclose()


async def test_a_refused_retry_begins_anew_only_if_nothing_was_made_before(redis_url: str) -> None:
    redis = connect_redis(redis_url)
    creates = Creates(redis)
    await creates.refused(CREATE, 1, fresh=False)  # its first try may have made something
    assert not await creates.was_refused(CREATE, 2)
    await creates.refused(CREATE, 0, fresh=False)
    await creates.refused(CREATE, 1, fresh=False)
    assert await creates.was_refused(CREATE, 2)
    await creates.refused(CREATE, 2, fresh=True)
    assert await creates.was_refused(CREATE, 3)
    await redis.aclose()


async def test_without_redis_nothing_was_refused_or_begun() -> None:
    redis = connect_redis("redis://127.0.0.1:1/0")
    creates = Creates(redis)
    await creates.refused(CREATE, 0, fresh=True)
    assert not await creates.was_refused(CREATE, 1)
    assert await creates.begun_elsewhere(CREATE, 1) is None
    await redis.aclose()


async def test_what_is_about_to_be_made_is_given_to_its_retry(redis_url: str) -> None:
    redis = connect_redis(redis_url)
    creates = Creates(redis)
    with creates.under_way(CREATE, "first", 0), creates.under_way(CREATE, "second", 1):
        assert creates.begun(CREATE, 0) is None
        assert creates.begun(CREATE, 1) == "first"
        assert creates.begun(CREATE, 2) == "second"
    assert creates.begun(CREATE, 9) is None
    await redis.aclose()
