"""OpenAPI tells every body, and everything that it refers to is there."""

import json
import re
from typing import Any

from api.main import create_app
from shared.settings import Settings


def described() -> dict[str, Any]:
    settings = Settings.model_construct(
        catalog=None, simulator_url=None, api=Settings.model_fields["api"].default
    )
    return create_app(settings).openapi()


def test_every_reference_leads_to_a_schema() -> None:
    for _ in range(2):
        found = described()
        names = set(re.findall(r'"\$ref": "#/(.*?)"', json.dumps(found)))
        schemas = {f"components/schemas/{name}" for name in found["components"]["schemas"]}
        assert names <= schemas


def test_the_body_of_a_job_tells_its_policy() -> None:
    found = described()
    for path in ("/api/v1/jobs", "/api/v1/explain"):
        body = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert "policy" in body["schema"]["properties"]
        assert body["example"]["request"]["model"]
    assert "fallbacks" in found["components"]["schemas"]["Policy"]["properties"]


def test_errors_are_told_as_they_are_answered() -> None:
    for path, methods in described()["paths"].items():
        for method, operation in methods.items():
            told = operation["responses"]
            errors = {status: each for status, each in told.items() if status >= "400"}
            assert "HTTPValidationError" not in json.dumps(errors), (method, path)
            assert ("400" in told) == ("401" in told), (method, path)
            shapes = {kind for each in errors.values() for kind in each.get("content", {})}
            assert shapes <= {"application/json"}, (method, path)
