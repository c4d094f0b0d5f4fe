"""A tenant's admin makes and revokes its keys; nobody locks a tenant out by mistake."""

import asyncio

from shared.security.keys import Scope
from tests.api.conftest import Api, make_key


def test_an_admin_creates_lists_and_revokes_keys_of_its_own_tenant(api: Api) -> None:
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))
    with api.client(admin) as client:
        made = client.post("/api/v1/keys", json={"name": "ci", "expires_in_days": 1})
        assert made.status_code == 201, made.text
        key = made.json()
        assert key["scopes"] == ["jobs:read", "jobs:write"]
        listed = client.get("/api/v1/keys").json()["data"]
        with api.client(key["key"]) as other:
            assert other.get("/api/v1/jobs").status_code == 200
            revoked = client.post(f"/api/v1/keys/{key['id']}/revoke")
            assert revoked.json()["revoked_at"]
            assert other.get("/api/v1/jobs").status_code == 401
    assert listed[0]["id"] == key["id"]
    assert all("key" not in each for each in listed)
    assert key["key"].rsplit("_", 1)[1] not in str(listed)


def test_keys_need_the_scope_admin_and_foreign_ones_are_not_there(api: Api) -> None:
    admin = asyncio.run(make_key(api.database_url, "one", Scope.ADMIN))
    with api.client() as plain:
        assert plain.get("/api/v1/keys").status_code == 403
        assert plain.post("/api/v1/keys", json={"name": "x"}).status_code == 403
    with api.client(admin) as client:
        ours = {key["id"] for key in client.get("/api/v1/keys").json()["data"]}
        [(foreign,)] = api.sql(
            "SELECT api_keys.id FROM api_keys JOIN tenants ON tenants.id = tenant_id "
            "WHERE tenants.name = 'two'"
        )
        assert foreign not in ours
        assert client.post(f"/api/v1/keys/{foreign}/revoke").status_code == 404
        bad = client.post("/api/v1/keys", json={"name": "x", "scopes": ["root"]})
    assert (bad.status_code, bad.json()["error"]["field"]) == (400, "scopes[0]")
    assert api.sql("SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL") == [(0,)]


def test_the_last_admin_key_goes_by_force_only(api: Api) -> None:
    keys = [asyncio.run(make_key(api.database_url, "one", Scope.ADMIN)) for _ in range(2)]
    first, second = (f"key_{key.split('_')[2]}" for key in keys)
    with api.client(keys[0]) as client:
        assert client.post(f"/api/v1/keys/{second}/revoke").status_code == 200
        kept = client.post(f"/api/v1/keys/{first}/revoke")
        assert kept.status_code == 409
        assert "last key with the scope admin" in kept.json()["error"]["message"]
        assert client.post(f"/api/v1/keys/{first}/revoke?force=true").status_code == 200
        assert client.get("/api/v1/keys").status_code == 401
