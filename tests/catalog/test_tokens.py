"""Tokens: exactly as OpenAI counts text, and never too few of anything else."""

import base64
from typing import Any, Final

import orjson
import pytest
import toktok
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog.deployments import Model
from shared.catalog.families import family_of
from shared.catalog.fit import fit
from shared.catalog.load import load_catalog
from shared.catalog.tokens import (
    count_input,
    count_inputs,
    least_input,
    most_input,
)
from shared.domain.conversation import (
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Role,
    TextPart,
    ToolCall,
)
from shared.domain.errors import InvalidRequestError
from shared.domain.generation import GenerationRequest, RequestKind, ResponseSchema, Tool

CATALOG: Final = load_catalog()
FRAME: Final = 3 + 1
"""A message's frame and its role."""
PRIMING: Final = 3
WORDS: Final = "the quick brown fox jumps over the lazy dog " * 20
SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL: Final = Tool(name="weather", description="Tell the weather of a city", parameters=SCHEMA)


def model(name: str) -> Model:
    return Model(id=name, context_window=1_000_000)


MINI: Final = model("gpt-4.1-mini")


def chat(*contents: str | tuple[Part, ...], **options: Any) -> GenerationRequest:
    messages = tuple(Message(role=Role.USER, content=content) for content in contents)
    return GenerationRequest(model=MINI.id, messages=messages, **options)


def tokens_of(text: str) -> int:
    return int(toktok.batch_count([text], "o200k_base")[0])


@pytest.mark.parametrize(
    ("texts", "tokens"),
    [
        (("",), 0),
        (("hello world",), 2),
        (("antidisestablishmentarianism",), 6),
        (("2 + 2 = 4",), 7),
        (("お誕生日おめでとう",), 8),
        (("tiktoken is great!",), 6),
        (("tiktoken is great!", "hello world", ""), 8),
        (("<|endoftext|>",), 7),
    ],
)
def test_tokens_equal_openais_published_examples(texts: tuple[str, ...], tokens: int) -> None:
    """Source: the cookbook on counting tokens, o200k_base; a control word is plain text."""
    assert count_input(chat(*texts), MINI) == tokens + FRAME * len(texts) + PRIMING
    parts = chat(*[(TextPart(text=text),) for text in texts])
    assert count_input(parts, MINI) == count_input(chat(*texts), MINI)


def test_a_long_text_without_spaces_is_counted_in_reasonable_time() -> None:
    assert count_input(chat("a" * 200_000), MINI) > 20_000


@pytest.mark.parametrize(
    ("name", "percent"),
    [
        ("gpt-6.1-sol", 100),
        ("o3", 100),
        ("claude-opus-5-5", 175),
        ("claude-opus-4-8", 175),
        ("claude-sonnet-5", 175),
        ("anthropic/claude-haiku-5-5", 175),
        ("claude-opus-4-7", 125),
        ("claude-sonnet-4-5-20250929", 125),
        ("claude-opus-4-20250514", 125),
        ("claude-3-5-haiku-latest", 125),
        ("gemini-3.8-flash", 110),
        ("grok-4.7", 125),
        ("perplexity/sonar", 125),
        ("llama-4", 125),
    ],
)
def test_a_text_is_counted_by_its_models_vocabulary(name: str, percent: int) -> None:
    exact = count_input(chat(WORDS), MINI)
    counted = count_input(chat(WORDS), model(name))
    assert counted == -(-exact * percent // 100)
    assert least_input(chat(WORDS), model(name)) <= exact <= counted


def test_a_model_under_another_name_is_counted_as_what_it_is_priced_as() -> None:
    house = Model(id="house", context_window=10**6, price_model="claude-opus-5-5")
    assert count_input(chat(WORDS), house) == count_input(chat(WORDS), model("claude-opus-5-5"))


@pytest.mark.parametrize(
    ("name", "most", "small"),
    [
        # A picture of 2048 x 4096 pixels is 1105 tokens by OpenAI's guide; no other is more than
        # eight tiles.
        ("gpt-4o", 85 + 8 * 170, 85),
        ("gpt-4o-mini", 2_833 + 8 * 5_667, 2_833),
        ("gpt-4.1-mini", -(-1_536 * 172 // 100), None),
        ("gpt-5.4-nano", -(-1_536 * 246 // 100), None),
        ("gpt-6.1-sol", 10_000 * 120 // 100, None),
        ("claude-opus-5-5", 4_784, None),
        ("claude-haiku-4-5", 1_600, None),
        ("gemini-3.8-flash", 2_240, None),
        ("gemini-2.5-pro", 17 * 258, None),
        ("grok-4.7", 7 * 256, None),
    ],
)
def test_an_image_is_counted_as_the_largest_of_its_kind(
    name: str, most: int, small: int | None
) -> None:
    called, text = model(name), TextPart(text=WORDS)
    without = count_input(chat((text,)), called)
    for detail, tokens in ((None, most), ("high", most), ("low", most if small is None else small)):
        image = ImagePart(url="https://example.com/a.png", detail=detail)  # type: ignore[arg-type]
        assert count_input(chat((text, image)), called) - without == tokens


def test_the_letters_of_an_image_are_not_counted_as_text() -> None:
    small, large = (
        count_input(chat((ImagePart(url=f"data:image/png;base64,{'A' * size}"),)), MINI)
        for size in (4, 400_000)
    )
    assert small == large


def document(content: bytes, kind: str = "application/pdf") -> FilePart:
    return FilePart(url=f"data:{kind};base64,{base64.b64encode(content).decode()}")


@pytest.mark.parametrize(
    ("part", "pages"),
    [
        (document(b"%PDF-1.4 <</Type /Page>> <</Type/Page /Parent 1 0 R>>"), 2),
        # The longest that each provider takes: nothing else bounds it.
        (document(b"%PDF-1.4 /Count 2000 <</Type /Page>>"), None),
        (document(b"PK"), None),
        (FilePart(url="https://example.com/a.pdf"), None),
        (FilePart(url="data:application/pdf;base64,not/base64!"), None),
    ],
)
def test_a_document_is_counted_by_its_pages(part: FilePart, pages: int | None) -> None:
    for name, most in (
        ("gpt-4.1-mini", 1_000), ("claude-opus-5-5", 600), ("claude-haiku-4-5", 100),
        ("gemini-3.8-flash", 1_000),
    ):  # fmt: skip
        called = model(name)
        added = count_input(chat((part,)), called) - count_input(chat(()), called)
        assert added == (pages or most) * family_of(name).page


@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
def test_a_document_of_text_is_counted_as_text(kind: str) -> None:
    read = chat((document(WORDS.encode(), kind),))
    assert count_input(read, MINI) == count_input(chat(WORDS), MINI)


def test_tools_and_schemas_are_counted_with_all_their_words() -> None:
    plain = count_input(chat("hi"), MINI)
    json = tokens_of(orjson.dumps(SCHEMA).decode())
    assert count_input(chat("hi", tools=(TOOL,)), MINI) - plain > json + 8
    assert count_input(chat("hi", tools=(TOOL, TOOL)), MINI) - plain > 2 * json
    schema = ResponseSchema(schema=SCHEMA)
    assert count_input(chat("hi", response_schema=schema), MINI) - plain > json
    claude = model("claude-opus-5-5")
    added = count_input(chat("hi", tools=(TOOL,)), claude) - count_input(chat("hi"), claude)
    assert added > 1_000


def test_calls_of_tools_and_opaque_parts_are_counted() -> None:
    call = ToolCall(id="call_1", name="weather", arguments='{"city": "Oslo"}')
    turns = (
        Message(role=Role.ASSISTANT, tool_calls=(call,)),
        Message(role=Role.TOOL, content="rain", tool_call_id="call_1"),
    )
    request = GenerationRequest(model=MINI.id, messages=turns)
    said = tokens_of("call_1") + tokens_of("weather") + tokens_of(call.arguments)
    assert count_input(request, MINI) >= said + tokens_of("rain") + 2 * FRAME + PRIMING
    thought = OpaquePart(wire="anthropic", data={"type": "thinking", "thinking": WORDS})
    assert count_input(chat((thought,)), MINI) > tokens_of(WORDS)


def test_a_search_reserves_room_for_what_it_finds() -> None:
    found = count_input(chat("hi", web_search=True), MINI) - count_input(chat("hi"), MINI)
    assert found == 5 * 8_000
    sonar = CATALOG.models["sonar"]
    always = count_input(chat("hi"), sonar) - count_input(chat("hi"), model("perplexity/sonar"))
    assert always == found


def test_a_prompt_and_what_is_embedded_stand_without_a_frame() -> None:
    asked = {"model": MINI.id, "kind": RequestKind.COMPLETION, "prompt": WORDS}
    assert count_input(GenerationRequest(**asked), MINI) == tokens_of(WORDS)  # type: ignore[arg-type]
    embedded = {"model": MINI.id, "kind": RequestKind.EMBEDDING}
    one = GenerationRequest(**embedded, input=WORDS)  # type: ignore[arg-type]
    two = GenerationRequest(**embedded, input=(WORDS, "hello world"))  # type: ignore[arg-type]
    assert count_input(one, MINI) == tokens_of(WORDS)
    assert count_input(two, MINI) == tokens_of(WORDS) + 2


def test_many_are_counted_as_each_of_them_would_be() -> None:
    image = ImagePart(url="data:image/png;base64,AAAA")
    embedding = GenerationRequest(model="m", kind=RequestKind.EMBEDDING, input=("a b", "c"))
    requests = [
        chat("hi", "there"),
        chat((image, TextPart(text="what is it?"))),
        chat(),
        chat("hi", tools=(TOOL,)),
        embedding,
    ]
    models = [MINI, model("claude-opus-5-5"), MINI, model("gemini-3.8-flash"), MINI]
    together = count_inputs(requests, models)
    assert together == [count_input(*pair) for pair in zip(requests, models, strict=True)]


@given(st.text(), st.sampled_from(["gpt-4.1-mini", "claude-opus-5-5", "gemini-3.8-flash"]))
def test_no_text_has_more_tokens_than_bytes(text: str, name: str) -> None:
    called = model(name)
    for asked in (chat(text), chat(text, tools=(TOOL,)), chat((TextPart(text=text),))):
        assert least_input(asked, called) <= count_input(asked, called)
        assert count_input(asked, called) <= most_input(asked, called)


def test_what_may_have_room_is_taken_at_the_whole_window_and_what_has_none_is_refused() -> None:
    """An estimate refuses nothing: the provider may count fewer."""
    claude = CATALOG.models["claude-haiku-4-5"]
    room = claude.context_window - 1_000

    def asked(words: int) -> GenerationRequest:
        said = Message(role=Role.USER, content=" a" * words)
        return GenerationRequest(model=claude.id, messages=(said,), max_tokens=1_000)

    perhaps = asked(room - 20_000)
    assert count_input(perhaps, claude) > room
    assert fit(CATALOG, perhaps).input_tokens == room
    with pytest.raises(InvalidRequestError, match="do not fit the context window"):
        fit(CATALOG, asked(room + 1))


def test_what_only_another_wire_is_told_refuses_nothing() -> None:
    thought = OpaquePart(wire="gemini", data={"thought": " a" * 200_000})
    said = (thought, TextPart(text="hi"))
    claude = CATALOG.models["claude-haiku-4-5"]
    assert least_input(chat(said), claude) == least_input(chat("hi"), claude)
    turns = (Message(role=Role.ASSISTANT, content=said),)
    asked = GenerationRequest(model=claude.id, messages=turns, max_tokens=1)
    assert fit(CATALOG, asked).input_tokens
