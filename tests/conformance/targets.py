"""Every wire as a target of one suite, and what each of them cannot do by its own rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

FEATURES: Final = (
    "text",
    "system prompt",
    "several turns",
    "length limit",
    "stop sequence",
    "tools and their results",
    "parallel tools",
    "tool choice",
    "image",
    "image by URL",
    "answer of a schema",
    "refusal",
    "filtered answer",
    "thought that must come back",
    "streamed text",
    "streamed tools",
    "stream that is cut",
    "error within a stream",
    "exact usage",
    "thought that is counted",
    "cached input",
    "one request a call",
    "cancel in the middle",
    "broken replies",
    "errors by kind",
    "waits that it asks for",
    "embedding",
    "legacy completion",
)
"""The rows of the table in docs/providers.md."""
NO_EMBEDDINGS: Final = "it has no embeddings"
NO_COMPLETIONS: Final = "it has no legacy completions"
NO_THOUGHT: Final = "its thought stays with the provider"
NOT_SAID: Final = "it does not say what was cached"
NO_STOP: Final = "it takes no stop sequences"
NO_FETCHING: Final = "it takes bytes: the worker fetches them"
NO_REFUSALS: Final = "its refusals are plain text"
NO_DETAILS: Final = "it does not say how much was thought"
NO_WAITS: Final = "it names no wait"
NOT_MARKED: Final = "it caches only what is marked, and nothing is"
KEEPS_THOUGHT: Final = {"thought that must come back": NO_THOUGHT}
COMPLETES_NOT: Final = {"legacy completion": NO_COMPLETIONS}
CHATS_ONLY: Final = {"embedding": NO_EMBEDDINGS, **COMPLETES_NOT}
GEMINI_LACKS: Final = {"image by URL": NO_FETCHING, **COMPLETES_NOT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One adapter on one wire of the simulator."""

    name: str
    adapter: str
    """Its word in the catalog."""
    path: str
    """Of its base URL on the simulator."""
    model: str
    api_version: str | None = None
    legacy_max_tokens: bool = False
    tells_cost: bool = False
    """It says what it billed."""
    embedding_model: str = "text-embedding-3-small"
    completion_model: str = "gpt-3.5-turbo-instruct"
    llmock: str | None = None
    """The path of its base URL on llmock; None: that does not speak this wire."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Feature to reason."""


TARGETS: Final = (
    Target(
        name="OpenAI chat", adapter="openai", path="/v1", model="gpt-4.1-mini", llmock="/v1",
        lacks=KEEPS_THOUGHT,
    ),
    Target(
        name="OpenAI Responses", adapter="openai-responses", path="/v1", model="gpt-5.4-mini",
        llmock="/v1",
        lacks={"stop sequence": NO_STOP, **CHATS_ONLY},
    ),
    Target(
        name="Azure v1", adapter="openai", path="/azure/openai/v1", model="gpt-4.1-mini",
        lacks={**KEEPS_THOUGHT, **COMPLETES_NOT},
    ),
    Target(
        name="Azure classic", adapter="azure", path="/azure", model="gpt-4.1-mini",
        api_version="2024-10-21",
        lacks={**KEEPS_THOUGHT, **COMPLETES_NOT},
    ),
    Target(
        name="Anthropic", adapter="anthropic", path="/anthropic", model="claude-sonnet-5-5",
        llmock="/anthropic",
        lacks={**CHATS_ONLY, "cached input": NOT_MARKED},
    ),
    Target(
        name="Gemini v1", adapter="gemini", path="/gemini", model="gemini-3.8-flash",
        api_version="v1", embedding_model="gemini-embedding-001",
        lacks=GEMINI_LACKS,
    ),
    Target(
        name="Gemini v1beta", adapter="gemini", path="/gemini", model="gemini-3.8-flash",
        api_version="v1beta", embedding_model="gemini-embedding-001", llmock="/gemini",
        lacks=GEMINI_LACKS,
    ),
    Target(
        name="Vertex", adapter="vertex", path="/vertex", model="gemini-3.8-flash",
        api_version="v1beta1",
        lacks={**GEMINI_LACKS, **CHATS_ONLY},
    ),
    Target(
        name="xAI", adapter="openai", path="/xai/v1", model="grok-4.7", llmock="/xai/v1",
        tells_cost=True,
        lacks={**KEEPS_THOUGHT, **CHATS_ONLY},
    ),
    Target(
        name="Perplexity", adapter="openai-responses", path="/perplexity/v1",
        model="perplexity/sonar", tells_cost=True,
        lacks={
            **KEEPS_THOUGHT,
            **CHATS_ONLY,
            "stop sequence": NO_STOP,
            "cached input": NOT_SAID,
        },
    ),
    Target(
        name="Compatible", adapter="openai", path="/compatible/v1", model="gpt-oss-120b",
        legacy_max_tokens=True,
        lacks={
            **KEEPS_THOUGHT,
            **CHATS_ONLY,
            "cached input": NOT_SAID,
            "refusal": NO_REFUSALS,
            "thought that is counted": NO_DETAILS,
            "waits that it asks for": NO_WAITS,
        },
    ),
)  # fmt: skip
TESTED: Final[set[str]] = set()
"""The features that some test is about."""
Test = Callable[..., Any]


def conforms(feature: str) -> Callable[[Test], Test]:
    """A test that every target passes which does not lack the feature."""
    assert feature in FEATURES, feature
    TESTED.add(feature)
    able = [target for target in TARGETS if feature not in target.lacks]
    return pytest.mark.parametrize("target", able, ids=lambda target: target.name)
