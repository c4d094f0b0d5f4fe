"""The quota benchmark: `python -m bench.quota`, or `make bench-quota`; docs/benchmark.md."""

import sys
from typing import Final

from bench.harness import Bench
from bench.quota.fairness import fairness
from bench.quota.matrix import matrix, minutes
from bench.quota.outage import outages
from bench.quota.rivals import race
from bench.quota.scale import FULL, QUICK

BENCH: Final = Bench(
    word="make bench-quota",
    about=__doc__,
    parts={
        "matrix": matrix,
        "minutes": minutes,
        "fairness": fairness,
        "outages": outages,
        "race": race,
    },
    in_full_only=frozenset({"minutes", "fairness", "outages"}),
    full=FULL,
    quick=QUICK,
)

if __name__ == "__main__":
    # A demand that is missed ends it with 1.
    sys.exit(not all(part.met for part in BENCH.run()))
