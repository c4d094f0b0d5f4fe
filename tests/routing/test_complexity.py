"""The classifier gives the same request the same verdict, by signals that can be told."""

import pytest

from shared.domain.conversation import FilePart, ImagePart, Message, Role, TextPart
from shared.domain.generation import GenerationRequest, ReasoningEffort, ResponseSchema, Tool
from shared.routing.complexity import COMPLEX_FROM, MODERATE_FROM, WEB, WORK, judge, of_work
from shared.routing.policy import Complexity
from tests.routing.ground import ask

SIMPLE = [
    "Hello",
    "What is the capital of France?",
    "Translate to German: good morning",
    "Is a tomato a fruit? Answer yes or no.",
    "Why is the sky blue?",
    "Translate: 'The news of today are bad.'",
]
MODERATE = [
    "Write a Python function that reverses a string.",
    "Compare Postgres and MySQL.",
    "Give me a plan for a week in Rome.",
    "Write an essay about the French Revolution.",
]
COMPLEX = [
    "Prove step by step that there are infinitely many primes.",
    "Design the architecture of a payment service and analyse its trade-offs; write the SQL.",
    "Debug this traceback, find the root cause and write a plan to refactor the class.",
]
SEARCH = [
    "What are today's headlines in Ghana?",
    "What is the latest version of Debian?",
    "Search the web for reviews of this phone.",
    "Who won the election this year?",
    "Who is the current president of France?",
]


@pytest.mark.parametrize(
    ("text", "complexity"),
    [
        *((text, Complexity.SIMPLE) for text in SIMPLE),
        *((text, Complexity.MODERATE) for text in MODERATE),
        *((text, Complexity.COMPLEX) for text in COMPLEX),
        *((text, Complexity.SEARCH) for text in SEARCH),
    ],
)
def test_a_prompt_is_judged_by_its_words(text: str, complexity: Complexity) -> None:
    judged = judge(ask(text=text))
    assert judged.complexity is complexity, judged
    assert judge(ask(text=text)) == judged


def test_the_signals_that_were_found_are_told_with_their_points() -> None:
    judged = judge(ask(text="Prove it step by step"))
    assert judged.signals == (("steps", 2), ("mathematics", 3))
    assert judged.points == COMPLEX_FROM


def test_words_are_whole_words() -> None:
    assert judge(ask(text="Planck was displanned by a barcode")).signals == ()


@pytest.mark.parametrize(
    ("request_", "signal"),
    [
        (ask(text="word " * 301), "long"),
        (ask(text="word " * 2001), "very long"),
        (ask(text="One? Two? Three?"), "several questions"),
        (ask(tools=(Tool(name="look"),)), "tools"),
        (ask(response_schema=ResponseSchema(schema={})), "schema"),
        (ask(reasoning_effort=ReasoningEffort.HIGH), "effort high"),
        (ask(reasoning_effort=ReasoningEffort.MEDIUM), "effort medium"),
        (ask(reasoning_effort=ReasoningEffort.MINIMAL), "effort low"),
        (ask(text="```\nx\n```"), "code block"),
        (ask(web_search=True), "web search asked"),
    ],
)
def test_what_a_request_brings_is_a_signal(request_: GenerationRequest, signal: str) -> None:
    assert signal in dict(judge(request_).signals)


def test_images_turns_and_the_system_count_too() -> None:
    turns = (
        Message(role=Role.SYSTEM, content="You analyse code."),
        *(Message(role=Role.USER, content="hm") for _ in range(6)),
        Message(role=Role.USER, content=(TextPart(text="And this?"), ImagePart(url="https://a/b"))),
    )
    judged = judge(GenerationRequest(model="m", messages=turns))
    found = {"many turns", "images or documents", "reasoning", "code"}
    assert found <= dict(judged.signals).keys()


def test_who_brings_the_material_needs_no_web() -> None:
    assert judge(ask(text="Summarise the latest meeting: " + "word " * 400)).search_points == 0
    document = Message(
        role=Role.USER,
        content=(
            TextPart(text="What is the latest figure in it?"),
            FilePart(url="https://a/b.pdf"),
        ),
    )
    judged = judge(GenerationRequest(model="m", messages=(document,)))
    assert judged.complexity is not Complexity.SEARCH


def test_the_caller_may_say_it_instead() -> None:
    judged = judge(ask(text=SEARCH[0]), Complexity.SIMPLE)
    assert (judged.complexity, judged.chosen, judged.signals) == (Complexity.SIMPLE, True, ())
    assert judge(ask(text=SEARCH[0]), Complexity.AUTO).complexity is Complexity.SEARCH


def test_every_signal_has_a_name_of_its_own() -> None:
    names = [signal.name for signal in (*WORK, *WEB)]
    assert len(names) == len(set(names))


def test_points_make_the_verdict() -> None:
    assert [of_work(points) for points in (MODERATE_FROM - 1, MODERATE_FROM, COMPLEX_FROM)] == [
        Complexity.SIMPLE, Complexity.MODERATE, Complexity.COMPLEX,
    ]  # fmt: skip


def test_a_prompt_of_any_length_is_judged_at_its_ends() -> None:
    assert "steps" in dict(judge(ask(text="x " * 100_000 + "step by step")).signals)
