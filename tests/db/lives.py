"""A machine that takes any step of a few jobs' lives next."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.domain.ids import IdKind, new_id
from tests.db.model import Model, ModelJob
from tests.db.shadowed import Shadowed
from tests.db.verdicts import VERDICTS
from tests.life import WORKER, Life

RECENT: Final = 4
"""Jobs, attempts and workers that a step may choose from: the latest."""
SEVERAL: Final = 3
CHOICE: Final = st.integers(0, RECENT - 1)
CHOICES: Final = st.lists(CHOICE, min_size=1, max_size=SEVERAL)
VERDICT: Final = st.sampled_from(sorted(VERDICTS))


@dataclass(frozen=True, slots=True)
class Choice:
    """What one step is about, of the latest of each kind."""

    job: ModelJob
    job_ids: frozenset[str]
    attempt_ids: list[str]
    worker_id: str
    verdicts: list[str]
    odd: bool


def choice(model: Model, chosen: list[int], verdicts: list[str]) -> Choice:
    odd = chosen[-1] % 2 == 1
    job_ids = _latest((not odd and model.unfinished()) or list(model.jobs), chosen)
    return Choice(
        job=model.jobs[job_ids[0]],
        job_ids=frozenset(job_ids),
        attempt_ids=_latest(list(model.attempts), chosen),
        worker_id=_latest(list(model.workers), chosen)[0],
        verdicts=verdicts,
        odd=odd,
    )


def _latest(ids: list[str], chosen: list[int]) -> list[str]:
    """Nothing where there are none."""
    return [ids[-1 - i % len(ids)] for i in chosen] if ids else []


Step = Callable[[Shadowed, Choice], Any]

STEPS: Final[dict[str, tuple[int, Step]]] = {
    "go on": (40, lambda mill, on: mill.go_on(on.job, on.verdicts[0], isolated=on.odd)),
    "accept": (4, lambda mill, on: mill.submit(None, b"this", later=on.odd)),
    "accept with a key": (
        4,
        lambda mill, on: mill.submit("one", b"that" if on.odd else b"this", later=False),
    ),
    "release": (6, lambda mill, on: mill.release(on.job_ids, isolated=on.odd)),
    "start": (3, lambda mill, on: mill.start(on.attempt_ids, on.worker_id)),
    "finish, early, late or again": (
        8,
        lambda mill, on: mill.finish(on.attempt_ids, on.verdicts),
    ),
    "start at any worker": (
        8,
        lambda mill, on: mill.start(mill.model.planned(), on.worker_id),
    ),
    "give back": (3, lambda mill, on: mill.give_back(on.attempt_ids)),
    "cancel": (8, lambda mill, on: mill.cancel(on.job.id)),
    "the deadline passes": (4, lambda mill, on: mill.deadline_passes(on.job.id)),
    "expire": (3, lambda mill, _: mill.expire()),
    "wake": (3, lambda mill, _: mill.wake()),
    "give back what is unstarted": (2, lambda mill, _: mill.give_back_unstarted()),
    "register": (4, lambda mill, _: mill.hire(new_id(IdKind.WORKER))),
    "beat": (4, lambda mill, on: mill.beat(on.worker_id)),
    "fall silent": (2, lambda mill, on: mill.fall_silent(on.worker_id)),
    "stop in order": (3, lambda mill, on: mill.stop_in_order(on.worker_id)),
    "stop in flight": (
        3,
        lambda mill, on: mill.stop_in_order(mill.flies(on.job) or on.worker_id),
    ),
    "lose the silent": (2, lambda mill, _: mill.lose_the_silent()),
    "crash": (4, lambda mill, on: mill.crash(on.worker_id)),
    "crash in flight": (8, lambda mill, on: mill.crash(mill.flies(on.job) or on.worker_id)),
    "rescue": (5, lambda mill, _: mill.rescue()),
}
"""Each step, and how often it is taken beside the others."""
DECK: Final = [name for name, (weight, _) in STEPS.items() for _ in range(weight)]


class Lives(RuleBasedStateMachine):
    """One rule with many steps: of several rules a walk would switch some off for good."""

    def __init__(self, life: Life, runner: asyncio.Runner, met: set[str]) -> None:
        """`met` collects the states that were ever met."""
        super().__init__()
        self.met = met
        self.mill = Shadowed(life, runner)

    @initialize()
    def open_the_mill(self) -> None:
        self.mill.hire(WORKER)
        self.mill.submit(None, b"this", later=False)

    @rule(
        step=st.sampled_from(DECK),
        chosen=CHOICES,
        verdicts=st.lists(VERDICT, min_size=SEVERAL, max_size=SEVERAL),
    )
    def take(self, *, step: str, chosen: list[int], verdicts: list[str]) -> None:
        _, do = STEPS[step]
        do(self.mill, choice(self.mill.model, chosen, verdicts))

    @invariant()
    def postgres_is_as_the_model_says(self) -> None:
        now = self.mill.compare()
        self.met |= {f"job {row.state}" for row in now.jobs}
        self.met |= {f"attempt {row.state}" for row in now.attempts}

    def teardown(self) -> None:
        self.mill.audit()
