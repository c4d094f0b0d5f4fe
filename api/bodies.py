"""Bodies that are parsed by hand, for exact and early refusals, as OpenAPI tells them."""

from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel

COMPONENT: Final = "#/components/schemas/{model}"
PARTS: Final = "$defs"
EVENTS: Final = "text/event-stream"
UNUSED: Final = ("HTTPValidationError", "ValidationError")
"""FastAPI's shapes of wrong parameters, which no route of ours replies with."""


def body_of(
    shape: type[BaseModel],
    media_type: str = "application/json",
    example: Any = None,
    *,
    required: bool = True,
) -> dict[str, Any]:
    """The body's place in OpenAPI, for `openapi_extra`."""
    content: dict[str, Any] = {"schema": shape.model_json_schema(ref_template=COMPONENT)}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": required, "content": {media_type: content}}}


class Described(FastAPI):
    """An app whose OpenAPI tells bodies that are parsed by hand, and errors as they are."""

    def openapi(self) -> dict[str, Any]:
        """As FastAPI makes it, mended."""
        described = super().openapi()
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        for methods in described["paths"].values():
            for operation in methods.values():
                for content in operation.get("requestBody", {}).get("content", {}).values():
                    schemas |= content["schema"].get(PARTS, {})
                _mend(operation["responses"])
        for name in UNUSED:
            schemas.pop(name, None)
        return described


def _mend(responses: dict[str, Any]) -> None:
    """Parameters that are wrong are a 400 here; errors are JSON; a stream is no one string."""
    told = str(responses.get("422", ""))
    if any(f"/{name}'" in told for name in UNUSED):
        del responses["422"]
    if "401" in responses:
        # Whatever needs a key may be told that its URL is wrong.
        responses.setdefault("400", {**responses["401"], "description": "Bad Request"})
    for status, response in responses.items():
        content = response.get("content", {})
        if status >= "400" and content:
            response["content"] = {"application/json": next(iter(content.values()))}
        if EVENTS in content:
            content[EVENTS].pop("schema", None)
