"""The providers' rules: one set of limits for the catalog and for the account that enforces it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

import httpx2

from shared.catalog.deployments import REHEARSAL_PREFIX, Catalog
from shared.catalog.load import load_catalog
from shared.catalog.tokens import count_input
from shared.db.accept import NewJob
from shared.domain.conversation import Message, Role
from shared.domain.generation import GenerationRequest
from tests.life import new_job
from tests.mill import Mill

LATENCY_MS: Final = 300
PER_TRANSACTION: Final = 1000
JITTER: Final = 0.105
"""Seconds between release and arrival that two busy cores cause: 60 ms were measured alone, 100 ms
with neighbours. A margin forgives so much; of a long window that is little."""
LEAST_MARGIN: Final = 0.005
"""The catalog's own."""
LONG: Final = 0.99
"""What is reachable in windows of twelve seconds and more: there 98 % are demanded."""
SLACK: Final = 0.023
"""What short windows may miss of the reachable part, beside one job."""
GUESS: Final = 0.06
"""What more they may miss where answers count by what will be written, which is guessed first."""
AT_ONE_TIME: Final = {"requests_per_second", "concurrency"}
"""Limits that no window sums up."""
WORDS: Final = {
    "requests": "rpm",
    "tokens": "tpm",
    "input_tokens": "tpm",
    "output_tokens": "output_tpm",
    "requests_per_second": "rps",
    "requests_per_day": "rpd",
    "concurrency": "concurrency",
    "short_windows": "short_windows",
}
"""What the catalog calls a limit, and what the simulator calls it."""
QUESTION: Final = " ".join(["How long is a piece of string?"] * 12)
"""Long enough that a token which an estimate is rounded up by is less than a percent."""
OWN_ROWS: Final = {
    "azure": """
[providers.simulator-azure]
stands_for = "azure"

[models."gpt-4o-mini"]
provider = "azure"
""",
    "compatible": """
[providers.server]
adapter = "openai"
base_url = "http://127.0.0.1:9/v1"
legacy_max_tokens = true
price_provider = "openai"

[models."gpt-6-luna"]
provider = "server"

[providers.simulator-compatible]
adapter = "openai"
base_path = "/compatible/v1"
legacy_max_tokens = true
queue = "simulator"
rehearsal = true
stands_for = "server"
""",
}
"""Azure's stand-in has a model of its own, and shares OpenAI's others; a server that the catalog
does not know has one that nobody else serves."""
PATHS: Final = {
    "openai": "/v1/chat/completions",
    "azure": "/azure/openai/v1/chat/completions",
    "anthropic": "/anthropic/v1/messages",
    "gemini": "/gemini/v1beta/models/{model}:generateContent",
    "xai": "/xai/v1/chat/completions",
    "compatible": "/compatible/v1/chat/completions",
}
KEYS: Final = {
    "authorization": "Bearer none",
    "anthropic-version": "2023-06-01",
    "x-goog-api-key": "none",
}
"""Each wire looks at its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One account, what it grants in a window, and the jobs that shall use it up."""

    account: str
    model: str
    limits: Mapping[str, int] = field(default_factory=dict)
    """By their names in the catalog."""
    short_windows: tuple[float, ...] = ()
    window: float = 3.0
    """Seconds: short, so that a run fills many."""
    jobs: int = 60
    """About so many fit into a window."""
    max_tokens: tuple[int, ...] = (20,)
    """Of the jobs, again and again."""
    question: str = QUESTION
    burst: float = 0.0
    """The part of a window that the meter may spend at once after a rest."""
    stall: float = 0.0
    """Seconds that an answer takes beside the latency of all."""
    jitter: float = JITTER
    """What the margin of the window forgives; a second cannot be made longer."""

    @property
    def margin(self) -> float:
        """The part of a window's limit that the jitter costs."""
        return max(self.jitter / self.window, LEAST_MARGIN)

    @property
    def short_margin(self) -> float:
        """The same of the shortest window there is."""
        return JITTER / min((*self.short_windows, 1.0))

    @property
    def _seconds_bind(self) -> bool:
        each_second = self.limits.get("requests_per_second")
        return bool(self.short_windows or (each_second and each_second * self.window <= self.jobs))

    @property
    def reachable(self) -> float:
        """The part of the binding limit that can be used at most."""
        if "concurrency" in self.limits:
            # Between the end of a call and the start of the next one.
            return 1 - JITTER / (LATENCY_MS / 1000 + self.stall)
        return 1 - (self.short_margin if self._seconds_bind else self.margin)

    @property
    def demanded(self) -> float:
        """The part of the binding limit that shall be used."""
        if self.reachable >= LONG:
            return 0.98
        # A window's edge cuts a job, and what is reachable is no whole number of them.
        a_job = 1 / self.jobs
        return self.reachable - SLACK - a_job - GUESS * ("output_tokens" in self.limits)

    @property
    def sure(self) -> float:
        """What a test may demand of any machine: a second that binds is lengthened by late turns.

        Of a longer window that is little; the benchmark demands the whole everywhere.
        """
        if not self._seconds_bind:
            return self.demanded
        late = 1 / (1 / self.reachable + self.short_margin)
        return self.demanded - self.reachable + late

    @property
    def stand_in(self) -> str:
        """The catalog's name of the account."""
        return "simulator" if self.account == "openai" else f"simulator-{self.account}"

    @property
    def catalog(self) -> str:
        """Its table in the overlay."""
        values: dict[str, Any] = {
            **self.limits,
            "window": self.window,
            "margin": round(self.margin, 6),
            "burst": self.burst,
        }
        if self.short_windows or "requests_per_second" in self.limits:
            values["short_margin"] = round(self.short_margin, 6)
        if self.short_windows:
            values["short_windows"] = list(self.short_windows)
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        return "\n".join([f"[limits.{self.stand_in}]", *lines])

    @property
    def enforced(self) -> dict[str, Any]:
        """What the simulator's account is told."""
        named = {WORDS[name]: value for name, value in self.limits.items()}
        windows = list(self.short_windows)
        return {
            "provider": self.account,
            "window": self.window,
            "short_windows": windows,
            **named,
        }

    @property
    def input_tokens(self) -> int:
        """As the API counts the question."""
        return _counted(self.model, self.question)

    def stretched(self, window: float, pace: float = 1.0) -> "Rule":
        """So many times the rate, summed over a window of so many seconds."""
        by = pace * window / self.window
        limits = {
            name: round(value * (pace if name in AT_ONE_TIME else by))
            for name, value in self.limits.items()
        }
        return replace(self, window=window, limits=limits, jobs=round(self.jobs * by))

    def forgiving(self, jitter: float) -> "Rule":
        """On a machine that holds requests up so long: windows of which it is the same part."""
        stretched = self.stretched(self.window * jitter / self.jitter)
        return replace(stretched, jitter=jitter)

    def job(self, number: int, **changes: Any) -> NewJob:
        """One of its jobs."""
        most = self.max_tokens[number % len(self.max_tokens)]
        body = {"model": self.model, "messages": _messages(self.question), "max_tokens": most}
        counted = {"input_tokens": self.input_tokens, "max_tokens": most}
        route = f"{REHEARSAL_PREFIX}{self.model}"
        return new_job(**{"route": route, "request": json.dumps(body), **counted, **changes})

    async def submit(self, mill: Mill, number: int) -> list[str]:
        """Accept so many of its jobs; their ids."""
        ids: list[str] = []
        for first in range(0, number, PER_TRANSACTION):
            numbers = range(first, min(first + PER_TRANSACTION, number))
            accepted = await mill.life.accept(*(self.job(i) for i in numbers))
            ids += [each.job_id for each in accepted]
        return ids

    def call(self) -> tuple[str, dict[str, Any]]:
        """Path and body of the same call without a mill."""
        path = PATHS[self.account].format(model=self.model)
        if self.account == "gemini":
            return path, {"contents": [{"role": "user", "parts": [{"text": self.question}]}]}
        messages, most = _messages(self.question), self.max_tokens[0]
        return path, {"model": self.model, "messages": messages, "max_tokens": most}


def _messages(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


@cache
def _counted(model_id: str, question: str) -> int:
    message = Message(role=Role.USER, content=question)
    request = GenerationRequest(model=model_id, messages=(message,))
    return count_input(request, _catalog().models[model_id])


@cache
def _catalog() -> Catalog:
    return load_catalog()


def overlay(rules: Sequence[Rule]) -> str:
    """The catalog of a mill under these rules."""
    accounts = {rule.account for rule in rules}
    own = (rows for account, rows in OWN_ROWS.items() if account in accounts)
    return "\n\n".join([*own, *(rule.catalog for rule in rules)])


async def enforce(mill: Mill, rules: Sequence[Rule], **options: str | float) -> None:
    """Start the simulator, warm it up, and let each account hold its rule."""
    await mill.start_simulator(**{"latency-ms": LATENCY_MS, "latency-spread": 0, **options})
    async with httpx2.AsyncClient(base_url=mill.simulator_url, trust_env=False) as client:
        for rule in rules:
            # A first count of tokens loads a vocabulary; that is no jitter of ours.
            await is_refused(client, rule)
        await set_limits(client, rules)
    mill.ledger_path.write_text("")


async def set_limits(client: httpx2.AsyncClient, rules: Sequence[Rule]) -> None:
    """Let each account hold its rule, with empty windows."""
    (await client.post("/_sim/reset")).raise_for_status()
    slow = [
        {"match": {"provider": rule.account}, "do": {"stall": rule.stall}}
        for rule in rules
        if rule.stall
    ]
    (await client.post("/_sim/script", json=slow)).raise_for_status()
    for rule in rules:
        (await client.post("/_sim/limits", json=rule.enforced)).raise_for_status()


async def is_refused(client: httpx2.AsyncClient, rule: Rule) -> bool:
    """Whether one call without a mill gets a 429."""
    path, body = rule.call()
    reply = await client.post(path, json=body, headers=KEYS)
    assert reply.status_code in {200, 429}, reply.text
    return reply.status_code == 429
