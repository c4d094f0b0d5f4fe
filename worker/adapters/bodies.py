"""Bodies of requests, on every wire: what nobody asked for is not there."""

from typing import Any


def present(body: dict[str, Any]) -> dict[str, Any]:
    """Without what is None."""
    return {name: value for name, value in body.items() if value is not None}
