"""An error has the shape of the API whose path was called, and a key comes in either header."""

from typing import Any

import httpx2
import pytest

from api.admission.requests import duration
from api.faces.heads import DROPPED, MODEL, head_of
from api.jobs.schemas import Cost, JobRead
from shared.db.accept import Accepted
from tests.api.conftest import Api

VERSION = {"anthropic-version": "2023-06-01"}
CHATS = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "x"}]}


def test_an_unknown_path_is_told_in_the_words_of_its_api(api: Api) -> None:
    with api.client() as client:
        native = client.get("/nowhere")
        openai = client.get("/v1/nowhere")
        anthropic = [client.get("/v1/messages/a/b/c"), client.get("/v1/nowhere", headers=VERSION)]
    assert native.json()["error"]["code"] == "not_found"
    assert openai.json() == {
        "error": {
            "message": "Not Found",
            "type": "invalid_request_error",
            "param": None,
            "code": "not_found",
        }
    }
    for reply in anthropic:
        assert reply.json() == {
            "type": "error",
            "error": {"type": "not_found_error", "message": "Not Found"},
            "request_id": reply.headers["request-id"],
        }
    assert "request-id" not in openai.headers


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b"{}", None),
        ({**CHAT, "stream_options": "x"}, "stream_options"),
        ({**CHAT, "promptmill": []}, "promptmill"),
        ({**CHAT, "promptmill": {"lane": "x"}}, "promptmill.lane"),
        ({**CHAT, "user": "u" * 200}, "user"),
        ({**CHAT, "response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({**CHAT, "tools": [{"type": "x"}]}, "tools[0].type"),
        ({**CHAT, "n": 3}, "n"),
    ],
)
def test_what_is_wrong_with_a_chat_is_a_400_by_its_parameter(
    api: Api, body: Any, param: str | None
) -> None:
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    with api.client() as client:
        reply = client.post(CHATS, **content)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (400, "invalid_request_error")
    assert param is None or error["param"] == param
    assert api.sql("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/models"])
def test_a_key_may_come_as_anthropics_clients_send_it(api: Api, path: str) -> None:
    for headers in ({"x-api-key": api.key}, {"x-api-key": api.key, "authorization": "Bearer x"}):
        assert httpx2.get(api.url + path, headers=headers).status_code == 200
    assert httpx2.get(api.url + path, headers={"x-api-key": "pm_x"}).status_code == 401


def test_native_routes_keep_their_statuses(api: Api) -> None:
    wrong = {"request": {**CHAT, "model": "gpt-nothing"}}
    with api.client() as client:
        native = client.post("/api/v1/jobs", json=wrong)
        openai = client.post(CHATS, json=wrong["request"])
    assert (native.status_code, native.json()["error"]["code"]) == (400, "unknown_model")
    assert (openai.status_code, openai.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (0.4501, "451ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m0s"), (391.7, "6m31s")],
)
def test_durations_are_in_openais_words(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_headers_hold_what_a_header_can() -> None:
    job = JobRead.model_construct(model="m", result={"model": "mödel\r\nx: y"}, cost=Cost.of(7))
    names = ["a\r\nset-cookie: b", "ü", *map(str, range(100))]
    head = head_of(Accepted("job_1", replayed=True), names, job)
    assert head[DROPPED].startswith("a\\r\\nset-cookie: b, \\xfc, 0, 1")
    assert len(head[DROPPED].split(", ")) == 20
    assert head[MODEL] == "m\\xf6del\\r\\nx: y"
    assert all(value.isascii() and value.isprintable() for value in head.values())
