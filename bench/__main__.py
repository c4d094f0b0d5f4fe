"""The benchmark: `python -m bench`, or `make bench`; docs/benchmark.md tells how to read it."""

from typing import Final

from bench.accept import accept
from bench.backlog import backlog, in_flight
from bench.figures import DEMANDS
from bench.gateway import gateway
from bench.harness import Bench
from bench.idle import idle, latency
from bench.quota.window import quota, shares
from bench.rescue import rescue
from bench.sizes import FULL, QUICK
from bench.streams import streams
from bench.throughput import throughput
from bench.usage import usage

BENCH: Final = Bench(
    word="make bench",
    about=__doc__,
    parts={
        "throughput": throughput,
        "in-flight": in_flight,
        "backlog": backlog,
        "accept": accept,
        "latency": latency,
        "idle": idle,
        "streams": streams,
        "gateway": gateway,
        "quota": quota,
        "rescue": rescue,
        "shares": shares,
        "usage": usage,
    },
    in_full_only=frozenset({"quota", "rescue", "shares"}),
    full=FULL,
    quick=QUICK,
    demands=DEMANDS,
)

if __name__ == "__main__":
    BENCH.run()
