"""Bodies that are parsed by hand, for exact and early refusals, as OpenAPI tells them."""

from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel

COMPONENT: Final = "#/components/schemas/{model}"
PARTS: Final = "$defs"


def body_of(
    shape: type[BaseModel], media_type: str = "application/json", example: Any = None
) -> dict[str, Any]:
    """The body's place in OpenAPI, for `openapi_extra`."""
    content: dict[str, Any] = {"schema": shape.model_json_schema(ref_template=COMPONENT)}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {media_type: content}}}


class Described(FastAPI):
    """An app whose OpenAPI has what such bodies are made of among its schemas."""

    def openapi(self) -> dict[str, Any]:
        """As FastAPI makes it, and those."""
        described = super().openapi()
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        for methods in described["paths"].values():
            for operation in methods.values():
                for content in operation.get("requestBody", {}).get("content", {}).values():
                    schemas |= content["schema"].get(PARTS, {})
        return described
