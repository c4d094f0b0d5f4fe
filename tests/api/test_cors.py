"""Pages of other origins call only where their origin is named, and read what replies tell."""

import httpx2
import pytest

from api.cors import EXPOSED
from shared import shapes
from tests.api.conftest import Api, job_body

PAGE = "https://app.example:8443"


@pytest.fixture(scope="module")
def api_settings() -> dict[str, str]:
    return {"PROMPTMILL_API__CORS_ORIGINS": f"{PAGE}, https://b.example"}


def preflight(api: Api, origin: str, method: str = "POST") -> httpx2.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization, content-type, idempotency-key",
    }
    return httpx2.options(f"{api.url}/api/v1/jobs", headers=headers)


def test_a_page_that_is_named_may_call_and_read_our_headers(api: Api) -> None:
    asked = preflight(api, PAGE)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert "idempotency-key" in asked.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in asked.headers
    with api.client() as client:
        made = client.post("/api/v1/jobs", json=job_body(), headers={"origin": PAGE})
    assert made.status_code == 202
    assert made.headers["access-control-allow-origin"] == PAGE
    exposed = made.headers["access-control-expose-headers"].split(", ")
    assert set(exposed) == set(EXPOSED)
    ours = {"location", "x-request-id", "retry-after", "idempotent-replayed", "x-should-retry"}
    assert ours <= set(exposed)


def test_an_error_can_be_read_by_the_page_too(api: Api) -> None:
    refused = httpx2.get(f"{api.url}/api/v1/me", headers={"origin": PAGE})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example:8443", "null"])
def test_another_page_is_kept_out(api: Api, origin: str) -> None:
    assert preflight(api, origin).status_code == 400
    reply = httpx2.get(f"{api.url}/healthz", headers={"origin": origin})
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    "value", ["app.example", "https://app.example/", "https://a.example/page", "ftp://a.example"]
)
def test_what_is_no_origin_is_told_at_the_start(value: str) -> None:
    with pytest.raises(ValueError, match=r"origin|begin"):
        shapes.origins(f"https://ok.example,{value}")


def test_all_pages_and_none_are_said_plainly() -> None:
    assert shapes.parted(shapes.origins("*")) == ("*",)
    assert shapes.parted(shapes.origins("")) == ()
