"""What an account has that a wire looks at while it reads a request."""

from dataclasses import dataclass, field

from simulator.call import BadCallError, Problem
from simulator.prefixes import PrefixCache
from simulator.prices import ModelPrice, price_of


@dataclass(slots=True)
class Shelf:
    """Its models with their prices, and its prompt cache."""

    prices: dict[str, ModelPrice]
    prefixes: PrefixCache = field(default_factory=PrefixCache)

    def price(self, model: str) -> ModelPrice:
        """What the model costs. Raises BadCallError where the account has no such model."""
        found = price_of(self.prices, model)
        if found is None:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise BadCallError(Problem(404, message, code="model_not_found"))
        return found
