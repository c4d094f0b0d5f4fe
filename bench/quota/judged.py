"""What a part of the quota benchmark found, and what was demanded of it."""

from dataclasses import dataclass, field

from bench.figures import Demand, Part


@dataclass(slots=True)
class Judged:
    """A table, its figures, and by the same keys what they must not miss."""

    part: Part
    demands: dict[str, Demand] = field(default_factory=dict)

    def judge(self, key: str, figure: float, demand: Demand) -> None:
        """One figure with its demand."""
        self.part.figures[key] = figure
        self.demands[key] = demand

    @property
    def met(self) -> bool:
        """Whether no figure is missed."""
        return all(demand.met(self.part.figures[key]) for key, demand in self.demands.items())
