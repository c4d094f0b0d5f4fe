"""Count the tokens of a request, offline and exactly for OpenAI's models."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

import toktok

from shared.domain.conversation import Message

ENCODING: Final = "o200k_base"
PER_MESSAGE: Final = 3
PER_REPLY: Final = 3
"""Every reply is primed with three tokens; source: OpenAI's cookbook on counting tokens."""


def count_input(messages: Sequence[Message]) -> int:
    """The input tokens that the provider will count for these messages."""
    return count_inputs([messages])[0]


def count_inputs(conversations: Sequence[Sequence[Message]]) -> list[int]:
    """Those of each conversation: one count of a thousand costs a tenth of a thousand counts."""
    texts = [message.text for messages in conversations for message in messages]
    counts = iter(toktok.batch_count(texts, ENCODING))
    return [sum(islice(counts, len(messages))) + _frame(messages) for messages in conversations]


def most_input(messages: Sequence[Message]) -> int:
    """At most so many: a token stands for one byte or more."""
    return sum(len(message.text.encode()) for message in messages) + _frame(messages)


def _frame(messages: Sequence[Message]) -> int:
    # Each message carries its role, which is one token more than its frame.
    return len(messages) * (PER_MESSAGE + 1) + PER_REPLY
