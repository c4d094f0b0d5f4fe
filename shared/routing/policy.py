"""The policy of a job as its caller writes it: whom to ask, in which order, at what cost."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from shared.catalog.deployments import Tier
from shared.domain.money import to_nano
from shared.routing.stored import Fallback, Strategy

MOST_NAMED: Final = 20
MOST_USD: Final = 1_000_000
Name = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], Field(max_length=MOST_NAMED)]


class Prefer(StrEnum):
    """What to look at among models that can all do it."""

    COST = "cost"
    SPEED = "speed"
    QUALITY = "quality"


class Complexity(StrEnum):
    """What a request asks of a model."""

    SIMPLE = "SIMPLE"
    MODERATE = "MODERATE"
    COMPLEX = "COMPLEX"
    SEARCH = "SEARCH"
    """Its answer is on the web, and changes."""
    AUTO = "auto"
    """Whatever the classifier finds."""


class Policy(BaseModel):
    """Each field may be absent; names are models, aliases or deployments (`provider/model`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidates: Names = ()
    """Who may be asked; the job's model goes first where it is not among them."""
    strategy: Strategy | None = None
    """The order among the candidates; `ordered` where absent."""
    weights: dict[Name, Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    """Candidate to its weight, 1 where absent, for the strategy `weighted`."""
    fallbacks: dict[Fallback, Annotated[Names, Field(min_length=1)]] | None = None
    """Kind of failure to those who are asked only after such a failure."""
    max_cost_usd: Annotated[Decimal, Field(gt=0, le=MOST_USD, decimal_places=9)] | None = None
    """The most that all attempts of the job may cost together."""
    max_tries: Annotated[int, Field(ge=1, le=20)] | None = None
    """Failed tries after which one deployment is asked no more; the job's own stands beside."""
    prefer: Prefer | None = None
    complexity: Complexity | None = None
    tier: Tier | None = None
    """The tier of models to choose from, whatever the complexity."""

    @field_validator("candidates")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise PydanticCustomError("twice", "{name} is named twice", {"name": twice})
        return names

    @model_validator(mode="after")
    def _weights_weigh(self) -> Self:
        if self.weights and self.strategy is not Strategy.WEIGHTED:
            raise PydanticCustomError("idle", 'weights need the strategy "weighted"')
        return self

    @property
    def chooses(self) -> bool:
        """A model shall be chosen by what the request asks for."""
        return (self.prefer, self.complexity, self.tier) != (None, None, None)

    @property
    def max_cost_nano(self) -> int | None:
        """The cap in nano-USD."""
        return None if self.max_cost_usd is None else to_nano(self.max_cost_usd)

    def over(self, base: "Policy | None") -> "Policy":
        """This policy where it says something, else the other; weights go with who they weigh."""
        if base is None:
            return self
        said = {name: getattr(self, name) for name in self.model_fields_set}
        if base.weights and not {"candidates", "strategy"}.isdisjoint(said):
            said = {"weights": None, **said}
        return base.model_copy(update=said)


NO_POLICY: Final = Policy()
