"""The lists of models that the accounts serve, in each provider's form."""

from simulator.http import Request
from simulator.shelf import Shelf
from simulator.wires.wire import Json


def openai_models(_: Request, shelf: Shelf) -> Json:
    """GET /v1/models."""
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": "openai"} for name in shelf.prices
    ]
    return {"object": "list", "data": data}
