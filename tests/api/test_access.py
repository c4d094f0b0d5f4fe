"""Who may do what: every route of OpenAPI, with no key, a wrong one, and a foreign one."""

import asyncio
import re

import httpx2
import pytest
from pydantic import SecretStr

from api.main import create_app
from shared.security.keys import Scope, hash_secret, mint_key, parse_key
from shared.settings import Settings
from tests.api.conftest import Api, job_body, make_key

OPEN_PATHS = {"/healthz", "/readyz"}


def routes() -> list[tuple[str, str]]:
    """(method, path) of all that needs a key."""
    settings = Settings.model_construct(
        catalog=None, simulator_url=None, api=Settings.model_fields["api"].default
    )
    paths = create_app(settings).openapi()["paths"]
    return [
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if path not in OPEN_PATHS
    ]


def test_every_route_refuses_a_request_without_a_key_or_with_a_wrong_one(api: Api) -> None:
    known = routes()
    assert len(known) >= 6
    key = mint_key("test").plaintext.get_secret_value()
    typo = api.key[:-1] + ("a" if api.key[-1] != "a" else "b")
    for method, path in known:
        url = api.url + re.sub(r"\{.*?\}", "x", path)
        for headers in ({}, {"authorization": "Bearer nonsense"},
                        {"authorization": f"Bearer {key}"}, {"authorization": f"Bearer {typo}"},
                        {"authorization": f"Basic {api.key}"}):  # fmt: skip
            response = httpx2.request(method, url, headers=headers)
            assert response.status_code == 401, (method, path, headers)
            assert response.headers["www-authenticate"] == "Bearer"
            assert api.key not in response.text


def test_a_foreign_id_is_a_404_on_every_route_that_takes_one(api: Api) -> None:
    with api.client() as client:
        job = client.post("/api/v1/jobs", json=job_body()).json()
    with_id = [(method, path) for method, path in routes() if "{job_id}" in path]
    assert with_id
    with api.client(api.other_key) as other:
        for method, path in with_id:
            response = other.request(method, path.format(job_id=job["id"]))
            assert response.status_code == 404, (method, path)
        assert other.get("/api/v1/jobs").json()["data"] == []
        assert other.get("/api/v1/jobs/summary").json()["counts"]["queued"] == 0
    assert api.sql("SELECT state FROM jobs") == [("queued",)]


def test_a_key_without_the_scope_is_a_403(api: Api) -> None:
    reader = asyncio.run(make_key(api.database_url, "one", Scope.JOBS_READ))
    with api.client(reader) as client:
        refused = client.post("/api/v1/jobs", json=job_body())
        assert client.get("/api/v1/jobs").status_code == 200
    assert refused.status_code == 403
    assert "jobs:write" in refused.json()["error"]["message"]


def test_me_tells_the_tenant_and_the_key_but_no_secret(api: Api) -> None:
    with api.client() as client:
        me = client.get("/api/v1/me")
    assert me.json()["tenant"]["name"] == "one"
    assert me.json()["key"]["scopes"] == ["jobs:read", "jobs:write"]
    assert api.key.rsplit("_", 1)[1] not in me.text


def test_an_unknown_path_has_the_one_error_shape(api: Api) -> None:
    response = httpx2.get(f"{api.url}/nowhere")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_the_database_keeps_no_key_in_clear(api: Api) -> None:
    presented = parse_key(api.key)
    assert presented is not None
    rows = api.sql("SELECT id, secret_hash, name FROM api_keys")
    assert presented.id in {row[0] for row in rows}
    assert all(presented.secret.get_secret_value().encode() not in bytes(row[1]) for row in rows)


@pytest.mark.parametrize("change", ["pm_x", "", "pm_test_a_b", "PM_" + "x" * 80, "\u00fcml"])
def test_what_is_no_key_is_refused_without_a_query(change: str) -> None:
    assert parse_key(change) is None


def test_the_pepper_matters() -> None:
    secret = SecretStr("s")
    assert hash_secret(secret, SecretStr("p" * 16)) != hash_secret(secret, SecretStr("q" * 16))
