"""How much a request asks of a model, and whether its answer is on the web: a table of signals."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from shared.domain.conversation import FilePart, ImagePart, Role
from shared.domain.generation import GenerationRequest, ReasoningEffort
from shared.routing.policy import Complexity

MOST_READ: Final = 4_000
"""Characters that are read at each end of a text: what is asked stands there."""
LONG_WORDS: Final = 300
LONGER_WORDS: Final = 2_000
MANY_TURNS: Final = 6
MANY_QUESTIONS: Final = 3
MODERATE_FROM: Final = 2
COMPLEX_FROM: Final = 5
SEARCH_FROM: Final = 2
THINKS_LONG: Final = (ReasoningEffort.HIGH, ReasoningEffort.XHIGH, ReasoningEffort.MAX)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is looked at of a request."""

    request: GenerationRequest
    asked: str
    """The last turn of the user, or the prompt: both its ends."""
    told: str
    """The same after what the system says."""
    words: int
    """Of the last turn of the user."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Something to be found in a request, and what it counts for."""

    name: str
    points: int
    found: Callable[[Seen], object]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a request asks, and by which signals."""

    complexity: Complexity
    """Never AUTO."""
    points: int = 0
    """For the work: MODERATE from 2, COMPLEX from 5."""
    search_points: int = 0
    """For the web: SEARCH from 2."""
    signals: tuple[tuple[str, int], ...] = ()
    """Those that were found, with their points."""
    chosen: bool = False
    """The caller said it; nothing was looked at."""


def _words(*said: str) -> Callable[[Seen], object]:
    """Any of these in what is asked; each may end in any letters after a `*`."""
    found = _any_of(said)
    return lambda seen: found(seen.asked)


def _words_or_system(*said: str) -> Callable[[Seen], object]:
    found = _any_of(said)
    return lambda seen: found(seen.told)


def _any_of(said: tuple[str, ...]) -> Callable[[str], object]:
    alternatives = "|".join(re.escape(each).replace(r"\*", r"\w*") for each in said)
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE).search


def _has_part(*kinds: type) -> Callable[[Seen], object]:
    return lambda seen: any(
        isinstance(part, kinds)
        for message in seen.request.messages
        if not isinstance(message.content, str)
        for part in message.parts
    )


def _efforts(*efforts: ReasoningEffort) -> Callable[[Seen], object]:
    return lambda seen: seen.request.reasoning_effort in efforts


WORK: Final = (
    Signal("long", 1, lambda seen: seen.words > LONG_WORDS),
    Signal("very long", 2, lambda seen: seen.words > LONGER_WORDS),
    Signal("many turns", 1, lambda seen: len(seen.request.messages) > MANY_TURNS),
    Signal("several questions", 1, lambda seen: seen.asked.count("?") >= MANY_QUESTIONS),
    Signal("tools", 2, lambda seen: seen.request.tools),
    Signal("schema", 1, lambda seen: seen.request.response_schema),
    Signal("images or documents", 1, _has_part(ImagePart, FilePart)),
    Signal("effort high", 4, _efforts(*THINKS_LONG)),
    Signal("effort medium", 2, _efforts(ReasoningEffort.MEDIUM)),
    Signal("effort low", -2, _efforts(ReasoningEffort.NONE, ReasoningEffort.MINIMAL)),
    Signal("reasoning", 2, _words_or_system(
        "reasoning", "analy*", "compar*", "evaluat*", "assess*", "argue*", "argument*", "infer*",
        "trade-off*", "tradeoff*", "pros and cons", "critique", "root cause", "think carefully",
    )),
    Signal("explanation", 1, _words("why", "how do", "how does", "how would", "explain*")),
    Signal("code", 2, _words_or_system(
        "code", "function", "class", "python", "java", "javascript", "typescript", "rust", "sql",
        "regex", "algorithm", "refactor*", "debug*", "bug", "stack trace", "traceback",
        "unit test*", "compil*", "implement*", "api",
    )),
    Signal("code block", 1, lambda seen: "```" in seen.told),
    Signal("steps", 2, _words_or_system(
        "step by step", "step-by-step", "steps", "plan", "roadmap", "design", "architect*",
        "strateg*", "migrat*", "multi-step",
    )),
    Signal("mathematics", 3, _words_or_system(
        "prove", "proof", "theorem", "derive", "derivation", "integral", "equation*", "optimis*",
        "optimiz*", "probabilit*", "calculat*",
    )),
    Signal("long answer", 2, _words(
        "essay", "report", "article", "in detail", "detailed", "comprehensive", "thorough*",
    )),
    Signal("small task", -1, _words(
        "translate", "classify", "spell*", "rephrase", "one word", "one sentence", "yes or no",
        "true or false", "extract", "define", "synonym*", "capital of", "hello", "hi", "thanks",
    )),
)  # fmt: skip
WEB: Final = (
    Signal("web search asked", 4, lambda seen: seen.request.web_search),
    Signal("look it up", 3, _words(
        "search the web", "search online", "web search", "look up", "google", "browse",
        "on the internet", "find sources", "with sources", "cite sources",
    )),
    Signal("news", 2, _words("news", "latest", "headline*", "breaking", "up-to-date", "newest")),
    Signal("now", 2, _words(
        "today", "tonight", "yesterday", "right now", "currently", "at the moment", "as of",
        "this week", "this month", "this year", "these days",
    )),
    Signal("what changes", 1, _words(
        "weather", "forecast", "stock*", "share price", "price of", "exchange rate*", "score",
        "who won", "election*", "release date", "opening hours", "traffic", "president",
        "prime minister", "ceo",
    )),
    Signal("recent", 1, _words("recent*", "current", "new release*", "changed since")),
    Signal("work on a text", -3, _words(
        "translate", "rephrase", "rewrite", "proofread", "spell*", "classify",
    )),
    Signal("own material", -2, lambda seen: seen.words > LONG_WORDS or "```" in seen.asked),
    Signal("own documents", -2, _has_part(ImagePart, FilePart)),
)  # fmt: skip


def judge(request: GenerationRequest, chosen: Complexity | None = None) -> Judgement:
    """What a request asks of a model; the same request always gives the same.

    `chosen`: what the caller says instead. Words are looked for in English; other languages are
    judged by what they bring.
    """
    if chosen not in {None, Complexity.AUTO}:
        return Judgement(Complexity(chosen), chosen=True)
    seen = _seen(request)
    work = [signal for signal in WORK if signal.found(seen)]
    web = [signal for signal in WEB if signal.found(seen)]
    points, search_points = _sum(work), _sum(web)
    return Judgement(
        complexity=Complexity.SEARCH if search_points >= SEARCH_FROM else of_work(points),
        points=points,
        search_points=search_points,
        signals=tuple((signal.name, signal.points) for signal in (*work, *web)),
    )


def of_work(points: int) -> Complexity:
    """By the points for the work alone."""
    if points >= COMPLEX_FROM:
        return Complexity.COMPLEX
    return Complexity.MODERATE if points >= MODERATE_FROM else Complexity.SIMPLE


def _sum(signals: Iterable[Signal]) -> int:
    return sum(signal.points for signal in signals)


def _seen(request: GenerationRequest) -> Seen:
    said = {
        role: [m for m in request.messages if m.role is role] for role in (Role.SYSTEM, Role.USER)
    }
    asked = said[Role.USER][-1].text if said[Role.USER] else request.prompt or ""
    system = "\n".join(message.text for message in said[Role.SYSTEM])
    return Seen(
        request=request,
        asked=_ends(asked),
        told=_ends(f"{system}\n{asked}"),
        words=len(asked.split()),
    )


def _ends(text: str) -> str:
    return text if len(text) <= 2 * MOST_READ else f"{text[:MOST_READ]}\n{text[-MOST_READ:]}"
