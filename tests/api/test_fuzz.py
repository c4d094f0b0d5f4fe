"""Whatever is sent to any route: nothing breaks, and no reply is unlike what OpenAPI says."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import CheckFunction
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.conftest import Api
from tests.api.doors import app
from tests.api.test_foreign import owned

EXAMPLES: Final = int(os.environ.get("PROMPTMILL_FUZZ", "3"))
"""Requests for each route and mode; the default takes about a minute."""
CHECKS: Final[list[CheckFunction]] = [
    status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip
NOBODY_WORKS: Final = 504
"""What is said on purpose, here where no job is ever answered."""
SECONDS: Final = 30.0


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    """What would be a body of JSON is one line of many."""
    return json.dumps(value, default=str).encode()


@dataclass
class Probe:
    """Who asks, about what there is, and what was wrong in the replies."""

    url: str
    key: str
    real: dict[str, str]
    """Parameter of a path to something that there is."""
    wrong: dict[tuple[str, str], str] = field(default_factory=dict)
    """Route and kind of mistake to the first that was found."""
    requests: int = 0

    def send(self, case: Case[Any], *, about_real: bool) -> None:
        known = self.real if about_real else {}
        case.path_parameters = {
            name: known.get(name, value) for name, value in (case.path_parameters or {}).items()
        }
        if isinstance(case.body, dict) and case.body.get("stream"):
            return  # nobody works here: such a stream would never end
        self.requests += 1
        headers = {"authorization": f"Bearer {self.key}"}
        try:
            response = case.call(base_url=self.url, headers=headers, timeout=SECONDS)
        except OSError as error:
            self.note(case, type(error).__name__, str(error))
        else:
            self.judge(case, response)

    def judge(self, case: Case[Any], response: Response) -> None:
        status, text = response.status_code, response.text[:500]
        if status >= 500 and status != NOBODY_WORKS:
            self.note(case, str(status), text)
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for each in group.exceptions:
                self.note(case, f"{status} {each}", text)

    def note(self, case: Case[Any], kind: str, text: str) -> None:
        self.wrong.setdefault((case.operation.label, kind), f"{case.as_curl_command()}\n{text}")


@pytest.fixture(scope="module")
def api_settings() -> dict[str, str]:
    """Who waits for an answer waits in vain, so let it be short."""
    return {"PROMPTMILL_API__SYNC_WAIT": "0.05", "PROMPTMILL_API__MAX_WAIT": "0.05"}


def operations() -> Iterator[Any]:
    for each in schemathesis.openapi.from_dict(app().openapi()).get_all_operations():
        assert isinstance(each, Ok), each
        yield each.ok()


@pytest.mark.timeout(600 * EXAMPLES)
def test_no_request_breaks_the_api_or_gets_a_reply_that_openapi_does_not_tell(
    api: Api, operator: str
) -> None:
    real = owned(api, operator)
    with api.client(operator) as client:
        # A stream about what has not ended would not end either.
        for path in (f"/api/v1/jobs/{real['job_id']}", f"/v1/responses/{real['response_id']}"):
            assert client.post(f"{path}/cancel").is_success
    probe = Probe(api.url, operator, real)
    for operation in operations():
        for mode in GenerationMode:
            with suppress(Unsatisfiable):  # nothing of this route can be sent wrongly
                ask_in_vain(operation.as_strategy(generation_mode=mode), probe)
    assert probe.requests > 100
    assert not probe.wrong, "\n\n".join(f"{of}\n{text}" for of, text in probe.wrong.items())


def ask_in_vain(strategy: st.SearchStrategy[Case[Any]], probe: Probe) -> None:
    """Requests that fit OpenAPI or do not, half of them about what there is."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy, about_real=st.booleans())
    def send(case: Case[Any], about_real: bool) -> None:  # noqa: FBT001 - drawn
        probe.send(case, about_real=about_real)

    send()


def test_no_parameter_breaks_on_what_postgres_cannot_keep(api: Api, operator: str) -> None:
    broken = []
    with api.client(operator) as client:
        for operation in operations():
            path = re.sub(r"{\w+}", "a%00b", operation.path)
            names = [each.name for each in operation.query]
            for query in ({}, *({name: "a\0b"} for name in names)):
                status = client.request(operation.method.upper(), path, params=query).status_code
                if status >= 500:
                    broken.append((operation.label, query, status))
    assert broken == []
