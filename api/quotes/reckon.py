"""What a job may cost before it is submitted: at least, by what is expected, and at most."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from api.jobs.schemas import JobSubmit
from shared.catalog.deployments import Catalog, Deployment
from shared.catalog.pricing import most_searches, price_of
from shared.catalog.tokens import least_inputs
from shared.db.accept import NewJob
from shared.db.answers import Measured
from shared.db.reach import Reach
from shared.domain.generation import Usage
from shared.routing.costs import hold_of

ENOUGH: Final = 5
"""Answers of a deployment that say more than a guess."""
GUESSED_PERCENT: Final = 50
"""Of `max_tokens`: the length of an answer where nothing was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that would be accepted; money in nano-USD."""

    job: NewJob
    asked: JobSubmit
    whom: tuple[Deployment, ...]
    """Who may take it, the first first."""
    expected_input: int
    expected_output: int
    least: int
    expected: int
    most: int
    """What is held for its call."""
    number: int = 1
    """Its line in the body."""

    @property
    def first(self) -> Deployment:
        """Who is asked first."""
        return self.whom[0]

    @property
    def input_tokens(self) -> int:
        """As that one counts them."""
        return self.job.input_at(self.first.id)


@dataclass(slots=True)
class Sum:
    """Of many lines."""

    lines: int = 0
    input_tokens: int = 0
    expected_input: int = 0
    output_tokens: int = 0
    """The most."""
    expected_output: int = 0
    least: int = 0
    expected: int = 0
    most: int = 0

    def add(self, line: Line) -> None:
        """Count one more."""
        self.lines += 1
        self.input_tokens += line.input_tokens
        self.expected_input += line.expected_input
        self.output_tokens += line.job.max_tokens
        self.expected_output += line.expected_output
        self.least += line.least
        self.expected += line.expected
        self.most += line.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoner:
    """Reckons on what stood at one moment."""

    catalog: Catalog
    reach: Reach
    measured: Mapping[str, Measured]
    at: datetime
    _found: dict[tuple[object, ...], tuple[Deployment, ...]] = field(default_factory=dict)

    def lines(self, jobs: Sequence[NewJob], asked: Sequence[JobSubmit]) -> Iterator[Line | None]:
        """Each job as it may be billed for one call; None where nobody serves it.

        `asked`: what was asked for, in the same order.
        """
        listed = [self._whom(job) for job in jobs]
        models = [{each.model.id: each.model for each in whom} for whom in listed]
        pairs = [(n, model) for n, those in enumerate(models) for model in those.values()]
        counts = least_inputs([asked[n].request for n, _ in pairs], [model for _, model in pairs])
        least: list[dict[str, int]] = [{} for _ in jobs]
        for (n, model), count in zip(pairs, counts, strict=True):
            least[n][model.id] = count
        for job, wish, whom, input_tokens in zip(jobs, asked, listed, least, strict=True):
            yield self._line(job, wish, whom, input_tokens) if whom else None

    def _line(
        self, job: NewJob, asked: JobSubmit, whom: tuple[Deployment, ...], least: Mapping[str, int]
    ) -> Line:
        expected = self.expected(whom[0], job)
        return Line(
            job=job,
            asked=asked,
            whom=whom,
            expected_input=expected.input_tokens,
            expected_output=expected.output_tokens,
            least=min(self._least(each, job, least[each.model.id]) for each in whom),
            expected=price_of(whom[0], expected, self.at).cost_nano,
            most=max(self._most(each, job) for each in whom),
        )

    def expected(self, deployment: Deployment, job: NewJob) -> Usage:
        """As past answers were there, or half of the most where there are too few."""
        known, input_tokens = self.known(deployment), job.input_at(deployment.id)
        if known is None:
            output_tokens = job.max_tokens * GUESSED_PERCENT // 100
        else:
            input_tokens = round(input_tokens * known.billed / known.counted)
            output_tokens = min(round(known.output / known.answers), job.max_tokens)
        searches = min(most_searches(deployment, asked=job.web_search), 1)
        return Usage(input_tokens=input_tokens, output_tokens=output_tokens, searches=searches)

    def known(self, deployment: Deployment) -> Measured | None:
        """What was measured there, if it was often enough."""
        found = self.measured.get(deployment.id)
        return found if found and found.answers >= ENOUGH and found.counted else None

    def _whom(self, job: NewJob) -> tuple[Deployment, ...]:
        """Those that can be called now, or that could be were there a worker."""
        candidates = job.policy.candidates if job.policy else None
        key = (job.route, job.unfit or (), candidates)
        if (known := self._found.get(key)) is None:
            named = self._named(job)
            known = tuple(each for each in named if self.reach.open(each.provider)) or named
            self._found[key] = known
        return known

    def _named(self, job: NewJob) -> tuple[Deployment, ...]:
        """Who is asked before anything has failed."""
        if job.policy is None:
            unfit = job.unfit or ()
            return tuple(each for each in self.catalog.plan(job.route) if each.id not in unfit)
        return tuple(filter(None, map(self.catalog.known, job.policy.candidates)))

    def _most(self, deployment: Deployment, job: NewJob) -> int:
        """As the dispatcher holds it."""
        return hold_of(
            deployment,
            input_tokens=job.input_at(deployment.id),
            max_tokens=job.max_tokens,
            searching=job.web_search,
            at=self.at,
        )

    def _least(self, deployment: Deployment, job: NewJob, input_tokens: int) -> int:
        """Its input was in a cache, and its answer is one token."""
        tokens = min(input_tokens, job.input_at(deployment.id))
        usage = Usage(
            input_tokens=tokens, cached_tokens=tokens, output_tokens=min(job.max_tokens, 1)
        )
        return price_of(deployment, usage, self.at).cost_nano
