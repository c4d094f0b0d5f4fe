"""What of a prompt Anthropic is asked to keep: the marks on the wire."""

from typing import Any

from shared.domain.conversation import Message, OpaquePart, Role, TextPart
from tests.adapters.test_anthropic_request import ASKED, THOUGHT, TOOL, USER, wire

MARK = {"type": "ephemeral", "ttl": "1h"}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def test_a_prompt_is_kept_but_for_its_last_part() -> None:
    body = wire(
        Message(role=Role.SYSTEM, content="Be brief."),
        USER,
        Message(role=Role.ASSISTANT, content="!"),
        USER,
        tools=(TOOL,),
        prompt_cache="1h",
    )
    assert body["system"] == [text("Be brief.", cache_control=MARK)]
    assert body["messages"] == [
        ASKED,
        {"role": "assistant", "content": [text("!", cache_control=MARK)]},
        ASKED,
    ]
    assert "cache_control" not in body["tools"][0]


def test_a_document_is_kept_and_the_question_about_it_is_not() -> None:
    parts = (TextPart(text="A long one."), TextPart(text="What does it say?"))
    body = wire(Message(role=Role.USER, content=parts), tools=(TOOL,), prompt_cache="1h")
    [turn] = body["messages"]
    assert turn["content"] == [text("A long one.", cache_control=MARK), text("What does it say?")]
    assert body["tools"][0]["cache_control"] == MARK, "nothing else stands before the turns"


def test_thought_is_never_marked_and_nothing_is_without_the_wish() -> None:
    thought = OpaquePart(wire="anthropic", data=THOUGHT)
    thinking = Message(role=Role.ASSISTANT, content=(thought,))
    body = wire(USER, thinking, USER, prompt_cache="1h")
    assert [turn["content"] for turn in body["messages"]] == [
        [text("?", cache_control=MARK)],
        [THOUGHT],
        [text("?")],
    ]
    assert wire(USER, prompt_cache="1h")["messages"] == [ASKED]
    assert "cache_control" not in str(wire(USER, thinking, USER, tools=(TOOL,)))
    assert "cache_control" not in THOUGHT
