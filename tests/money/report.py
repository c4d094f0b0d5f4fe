"""The books of a fault run at rest, beside the providers' bill."""

from dataclasses import dataclass, field

from shared.domain.money import show_usd


@dataclass(slots=True)
class Report:
    """The books of a run at rest; nano-USD."""

    jobs: int
    states: dict[str, int]
    calls: int = 0
    failed: int = 0
    asked: set[str] = field(default_factory=set)
    """The deployments that were called."""
    known: int = 0
    """What we booked for the calls whose cost we know."""
    billed: int = 0
    """What the providers billed for the same calls."""
    unknown: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Attempts whose cost nobody told us: what they are charged, and the bill."""
    excess: dict[str, int] = field(default_factory=dict)
    """Attempts that cost more than was held, and by how much."""
    admissions: int = 0
    bound: int = 0
    """How often the parking budget was full."""
    killed: int = 0
    left: int = 0

    @property
    def difference(self) -> int:
        """Of what is known; 0, or the books are wrong."""
        return self.known - self.billed

    def __str__(self) -> str:
        """For people."""
        charged = sum(charge for charge, _ in self.unknown.values())
        real = sum(bill for _, bill in self.unknown.values())
        ends = ", ".join(f"{number} {state}" for state, number in sorted(self.states.items()))
        lines = {
            "jobs": f"{self.jobs}: {ends}",
            "calls": f"{self.calls}, of which {self.failed} failed",
            "disturbed": f"{self.killed} workers killed, {self.left} clients left",
            "caps": f"{self.admissions} admissions within them; one was reached {self.bound} times",
            "unknown": f"{len(self.unknown)} calls, charged {show_usd(charged)}, the most that they"
            f" can cost; billed {show_usd(real)}",
            "excess": f"{len(self.excess)} calls cost more than was held, and block new ones",
            "ledger": f"{self.known} nano-USD, {show_usd(self.known)}: calls of known cost",
            "providers": f"{self.billed} nano-USD, {show_usd(self.billed)}: their bill for these",
            "difference": f"{self.difference} nano-USD",
        }
        return "\n".join(f"{name:<10}  {line}" for name, line in lines.items())
