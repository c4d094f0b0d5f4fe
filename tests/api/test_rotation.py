"""A key gets a new secret and other limits while it is in use, and tells when it was used last."""

import asyncio

import httpx2
import pytest
from pydantic import SecretStr

from shared.security.keys import Scope, hash_secret, mint_key
from tests.api.conftest import Api, eventually, make_key
from tests.environment import PEPPER


@pytest.fixture
def admin(api: Api) -> str:
    return asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))


def status(api: Api, key: str) -> int:
    with api.client(key) as client:
        return client.get("/api/v1/me").status_code


def id_of(key: str) -> str:
    return f"key_{key.split('_')[2]}"


def rotated(api: Api, admin: str, key: str, **body: int) -> httpx2.Response:
    with api.client(admin) as client:
        return client.post(f"/api/v1/keys/{id_of(key)}/rotate", json=body)


def test_after_a_rotation_both_secrets_count_and_are_the_same_key(api: Api, admin: str) -> None:
    assert status(api, api.key) == 200
    reply = rotated(api, admin, api.key)
    assert reply.status_code == 200, reply.text
    new = reply.json()
    assert new["id"] == id_of(new["key"]) == id_of(api.key)
    assert new["key"] != api.key
    assert new["old_secret_until"] > new["created_at"]
    for key in (api.key, new["key"]):
        with api.client(key) as client:
            me = client.get("/api/v1/me").json()["key"]
        assert (me["id"], me["scopes"]) == (new["id"], ["jobs:read", "jobs:write"])
    assert api.sql("SELECT count(*) FROM api_keys WHERE id = %s", new["id"]) == [(1,)]
    with api.client(admin) as client:
        assert new["key"].rsplit("_", 1)[1] not in client.get("/api/v1/keys").text


def test_the_old_secret_ends_when_its_time_is_over(api: Api, admin: str) -> None:
    new = rotated(api, admin, api.key).json()["key"]
    assert (status(api, api.key), status(api, new)) == (200, 200)
    api.sql("UPDATE api_keys SET old_secret_until = now() WHERE id = %s", id_of(api.key))
    eventually(lambda: status(api, api.key) == 401, "the old secret has ended")
    assert status(api, new) == 200


def test_more_than_two_never_count_and_the_one_in_use_is_not_lost(api: Api, admin: str) -> None:
    second = rotated(api, admin, api.key).json()["key"]
    refused = rotated(api, admin, api.key)
    assert (refused.status_code, "force=true" in refused.json()["error"]["message"]) == (409, True)
    with api.client(admin) as client:
        forced = client.post(f"/api/v1/keys/{id_of(api.key)}/rotate?force=true").json()
    assert [status(api, key) for key in (api.key, second, forced["key"])] == [200, 401, 200]
    last = rotated(api, admin, api.key, old_seconds=0).json()
    assert last["old_secret_until"] is None
    counting = [status(api, key) for key in (api.key, second, forced["key"], last["key"])]
    assert counting == [401, 401, 401, 200]


def test_a_secret_of_another_process_counts_at_once_where_the_key_is_known(api: Api) -> None:
    assert status(api, api.key) == 200
    new = mint_key("test", id_of(api.key))
    hashed = hash_secret(new.secret, SecretStr(PEPPER))
    api.sql("UPDATE api_keys SET secret_hash = %s WHERE id = %s", hashed, new.id)
    assert status(api, new.plaintext.get_secret_value()) == 200
    assert status(api, api.key) == 401


def test_what_is_over_gets_no_new_secret(api: Api, admin: str) -> None:
    with api.client(admin) as client:
        assert client.post(f"/api/v1/keys/{id_of(api.key)}/revoke").status_code == 200
    assert rotated(api, admin, api.key).status_code == 409
    assert rotated(api, admin, api.other_key).status_code == 404
    assert rotated(api, admin, admin, old_seconds=-1).status_code == 400


def test_an_expired_key_counts_no_longer(api: Api) -> None:
    assert status(api, api.key) == 200
    api.sql("UPDATE api_keys SET expires_at = now() WHERE id = %s", id_of(api.key))
    eventually(lambda: status(api, api.key) == 401, "the key has expired")


def test_nobody_rotates_a_key_into_rights_that_it_lacks(api: Api, admin: str) -> None:
    operator = asyncio.run(make_key(api.database_url, "one", *Scope))
    assert rotated(api, admin, operator).status_code == 403
    with api.client(operator) as client:
        wish = {"name": "p", "scopes": ["admin"], "project": "p"}
        bound = client.post("/api/v1/keys", json=wish).json()["key"]
    assert rotated(api, bound, api.key).status_code == 403
    assert rotated(api, bound, bound).status_code == 200
    assert rotated(api, operator, operator).status_code == 200


def test_limits_of_a_key_change_while_it_lives(api: Api, admin: str) -> None:
    path = f"/api/v1/keys/{id_of(api.key)}"
    with api.client(admin) as client:
        set_ = client.patch(path, json={"max_running": 3, "requests_per_minute": 1})
        assert set_.status_code == 200, set_.text
        eventually(lambda: status(api, api.key) == 429, "the limit counts")
        kept = client.patch(path, json={"requests_per_minute": None}).json()
        assert (kept["max_running"], kept["requests_per_minute"]) == (3, None)
        assert status(api, api.key) == 200
        same = client.patch(path, json={}).json()
        assert {**same, "last_used_at": None} == {**kept, "last_used_at": None}
        assert client.patch(path, json={"max_running": 0}).status_code == 400
        assert client.patch("/api/v1/keys/key_x", json={}).status_code == 404


def test_when_a_key_was_used_last_is_written_once_a_minute(api: Api, admin: str) -> None:
    def used() -> str | None:
        with api.client(admin) as client:
            keys = client.get("/api/v1/keys").json()["data"]
        [key] = [each for each in keys if each["id"] == id_of(api.key)]
        found: str | None = key["last_used_at"]
        return found

    assert used() is None
    assert status(api, api.key) == 200
    first = eventually(used, "the use is written down")
    writes = "SELECT xmin::text FROM api_keys WHERE id = %s"
    before = api.sql(writes, id_of(api.key))
    assert [status(api, api.key) for _ in range(20)] == [200] * 20
    # Somebody else's first use is written after it: whatever had to be written is.
    other = asyncio.run(make_key(api.database_url, "one"))
    assert status(api, other) == 200
    last = "SELECT last_used_at FROM api_keys WHERE id = %s"
    eventually(lambda: api.sql(last, id_of(other))[0][0], "the other's use is written")
    assert (used(), api.sql(writes, id_of(api.key))) == (first, before)
