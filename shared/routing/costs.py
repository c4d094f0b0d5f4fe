"""The most that one call of a job can cost at a deployment."""

from datetime import datetime

from shared.catalog.deployments import Deployment
from shared.catalog.pricing import most_searches, worst_case
from shared.domain.errors import ConfigurationError


def most_cost(
    deployment: Deployment, *, input_tokens: int, max_tokens: int, searching: bool, at: datetime
) -> int | None:
    """In nano-USD, as the dispatcher will hold it; None where nobody knows the price."""
    try:
        return worst_case(
            deployment,
            input_tokens=input_tokens,
            max_tokens=max_tokens,
            searches=most_searches(deployment, asked=searching),
            at=at,
        )
    except ConfigurationError:
        return None
