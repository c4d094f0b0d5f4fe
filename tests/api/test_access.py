"""Who may do what: every route, with no key, a wrong one, and one without its scope."""

import asyncio

import httpx2
import pytest
from pydantic import SecretStr

from shared.security.keys import Scope, hash_secret, mint_key, parse_key
from tests.api.conftest import Api, job_body, make_key
from tests.api.doors import OPEN_PATHS, SCOPES, app, doors

OPENED_BY = {scope: {scope} if scope is Scope.OPERATOR else {scope, Scope.ADMIN} for scope in Scope}


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    known = {door.name for door in doors()}
    assert sorted(known - SCOPES.keys()) == []
    assert sorted(SCOPES.keys() - known) == []
    told = {
        f"{method.upper()} {path}"
        for path, methods in app().openapi()["paths"].items()
        for method in methods
        if path not in OPEN_PATHS
    }
    assert told == {door.name for door in doors() if door.shown}


def test_every_route_refuses_a_request_without_a_key_or_with_a_wrong_one(api: Api) -> None:
    key = mint_key("test").plaintext.get_secret_value()
    typo = api.key[:-1] + ("a" if api.key[-1] != "a" else "b")
    wrong: tuple[dict[str, str], ...] = (
        {}, {"authorization": "Bearer nonsense"}, {"authorization": f"Bearer {key}"},
        {"authorization": f"Bearer {typo}"}, {"authorization": f"Basic {api.key}"},
        {"x-api-key": key},
    )  # fmt: skip
    with httpx2.Client(base_url=api.url) as client:
        for door in doors():
            for headers in wrong:
                response = client.request(door.method, door.filled(), headers=headers)
                assert response.status_code == 401, (door.name, headers)
                assert response.headers["www-authenticate"] == "Bearer"
                assert api.key not in response.text


@pytest.mark.parametrize("scope", list(Scope))
def test_a_route_opens_to_its_scope_alone(api: Api, scope: Scope) -> None:
    others = set(Scope) - OPENED_BY[scope]
    able, unable = (
        asyncio.run(make_key(api.database_url, "one", *scopes)) for scopes in ({scope}, others)
    )
    mine = [door for door in doors() if door.scope is scope]
    assert mine
    with api.client(able) as opened, api.client(unable) as refused:
        for door in mine:
            answer = refused.request(door.method, door.filled())
            assert answer.status_code == 403, door.name
            assert scope in answer.json()["error"]["message"]
            # Nothing is sent and nothing of that name is there, but the door is open.
            status = opened.request(door.method, door.filled()).status_code
            assert status not in {401, 403}, (door.name, status)
            assert status < 500, (door.name, status)


def test_a_refused_job_is_no_job(api: Api) -> None:
    reader = asyncio.run(make_key(api.database_url, "one", Scope.JOBS_READ))
    with api.client(reader) as client:
        assert client.post("/api/v1/jobs", json=job_body()).status_code == 403
        assert client.get("/api/v1/jobs").json()["data"] == []


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
