"""A deployment of limits, attempts that ask its meter, and calls that have ended."""

from collections.abc import Mapping
from itertools import count
from typing import Any

from shared.catalog.deployments import Deployment, Model, Provider
from shared.catalog.limits import Limits
from shared.meters.counting import Want
from shared.meters.meter import Call, Ended, Slot

QUEUE = "openai"
PLENTY = 1_000_000
NUMBERS = count()


def deployment(model: str = "m", **limits: Any) -> Deployment:
    return Deployment(
        id=f"openai/{model}",
        provider=Provider(id=QUEUE, adapter="openai"),
        model=Model(id=model, context_window=1000, max_output=1000),
        limits=Limits(**limits),
        upstream=model,
    )


def wants(number: int, tokens: int = 10, most: int = 0) -> list[Want]:
    return [Want(f"att_{next(NUMBERS)}", tokens, most) for _ in range(number)]


def ended(want: Want, place: Deployment, **made: Any) -> Ended:
    slot = Slot(want.attempt_id, place.id, QUEUE)
    return Ended(slot, place, Call(attempt_id=want.attempt_id, **made))


def used(**amounts: int) -> Mapping[str, int]:
    return amounts
