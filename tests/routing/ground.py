"""What the tests of this room plan on: the built-in catalog, or it with a few rows more."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from shared.catalog.deployments import Catalog
from shared.catalog.load import load_catalog
from shared.domain.conversation import Message, Role
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest
from shared.routing.chain import Ground
from shared.routing.plan import Plan
from shared.routing.policy import NO_POLICY, Policy
from shared.routing.resolve import resolve
from shared.routing.routes import policy_for, routes_of

AT: Final = datetime(2026, 11, 1, tzinfo=UTC)
CATALOG: Final = load_catalog()


def ask(model: str = "gpt-4.1", text: str = "Hello", **more: Any) -> GenerationRequest:
    """A chat of one turn."""
    turns = (Message(role=Role.USER, content=text),)
    return GenerationRequest(model=model, messages=turns, **more)


def planned(
    request: GenerationRequest,
    policy: dict[str, Any] | None = None,
    *,
    rehearse: bool = False,
    shut: frozenset[str] = frozenset(),
    sure: frozenset[str] | None = None,
    catalog: Catalog = CATALOG,
) -> Plan:
    """The plan of a request and the policy beside it."""
    routes = routes_of(catalog)
    asked = None if policy is None else Policy.model_validate(policy)
    ground = Ground(catalog=catalog, routes=routes, at=AT, shut=shut, sure=sure)
    whole = policy_for(routes, request.model, asked) or NO_POLICY
    return resolve(ground, request, whole, rehearse=rehearse)


def with_rows(folder: Path, rows: str) -> Catalog:
    """The built-in catalog with an overlay."""
    overlay = folder / "catalog.toml"
    overlay.write_text(rows)
    return load_catalog(overlay)


def ids(plan: Plan) -> list[str]:
    """The candidates' deployments."""
    return [each.deployment.id for each in plan.candidates]


def refused(plan: Plan) -> dict[str, str]:
    """Who was refused, and why."""
    return {each.name: each.reason for each in plan.refused}


def error(request: GenerationRequest, policy: dict[str, Any], **more: Any) -> InvalidRequestError:
    """The refusal of a job of which there is no plan."""
    with pytest.raises(InvalidRequestError) as caught:
        planned(request, policy, **more)
    return caught.value
