"""What a request asks for beside plain text, and which wires and models cannot give it."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from shared.catalog.deployments import Capability, Deployment, Provider
from shared.domain.conversation import FilePart, ImagePart, Message, Role
from shared.domain.generation import GenerationRequest, RequestKind

SAMPLING: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
CALLING: Final = ("tools", "tool_choice", "parallel_tool_calls")
NOTHING: Final[dict[str, Any]] = {
    **dict.fromkeys(SAMPLING),
    "stop": (),
    "seed": None,
    "tools": (),
    "tool_choice": None,
    "parallel_tool_calls": None,
    "response_schema": None,
    "reasoning_effort": None,
    "web_search": False,
    "prompt_cache": None,
    "metadata": None,
    "dimensions": None,
}
"""The options that may be left out, and what they are without a wish."""
OF_GENERATION: Final[dict[str, Any]] = {"max_tokens": None, "stream": False}
"""As above, where nothing is generated."""
IMAGES: Final = "images"
FILES: Final = "files"
TOOL_TURNS: Final = "tool turns"
CONTENT: Final = frozenset({IMAGES, FILES, TOOL_TURNS})
"""What is said: nobody may leave it out."""
USER_ID: Final = "user_id"
"""The one label that Anthropic's wire has a place for."""

NEEDS: Final[dict[str, Capability]] = {
    IMAGES: Capability.VISION,
    FILES: Capability.FILES,
    TOOL_TURNS: Capability.TOOLS,
    **dict.fromkeys(CALLING, Capability.TOOLS),
    "response_schema": Capability.SCHEMA,
    "reasoning_effort": Capability.REASONING,
    "web_search": Capability.WEB_SEARCH,
}
OF_CHAT: Final = frozenset(
    {*CALLING, "response_schema", "reasoning_effort", "web_search", "prompt_cache"}
)
FOREIGN: Final[dict[RequestKind, frozenset[str]]] = {
    RequestKind.CHAT: frozenset({"dimensions"}),
    RequestKind.COMPLETION: OF_CHAT | {"dimensions"},
    RequestKind.EMBEDDING: frozenset({*NOTHING, *OF_GENERATION}) - {"dimensions", "metadata"},
}
"""Options that mean nothing to requests of this kind."""

# OpenAI keeps labels of stored answers only, and nothing is stored there.
CHAT_COMPLETIONS: Final = frozenset({"web_search", "metadata", USER_ID, "prompt_cache"})
UNSUPPORTED: Final[dict[str, frozenset[str]]] = {
    "openai": CHAT_COMPLETIONS,
    "azure": CHAT_COMPLETIONS,
    "openai-responses": frozenset(
        {"stop", "seed", "presence_penalty", "frequency_penalty", "prompt_cache",
         RequestKind.COMPLETION, RequestKind.EMBEDDING}
    ),
    "anthropic": frozenset(
        {"seed", "presence_penalty", "frequency_penalty", "metadata",
         RequestKind.COMPLETION, RequestKind.EMBEDDING}
    ),
    "gemini": frozenset(
        {"parallel_tool_calls", "metadata", USER_ID, "prompt_cache", RequestKind.COMPLETION}
    ),
    "vertex": frozenset(
        {"parallel_tool_calls", "metadata", USER_ID, "prompt_cache", RequestKind.COMPLETION,
         RequestKind.EMBEDDING}
    ),
}  # fmt: skip
"""Wire to what it cannot express; `metadata` is every label but the user's id."""

_options = attrgetter(*NOTHING)
_no_options = tuple(NOTHING.values())


def uses(request: GenerationRequest) -> dict[str, str]:
    """Each option, kind of content and kind of request that it asks for, to its path."""
    used: dict[str, str] = {}
    if (options := _options(request)) != _no_options:
        asked = zip(NOTHING.items(), options, strict=True)
        used = {name: name for (name, nothing), value in asked if value != nothing}
        if request.metadata:
            _tell_labels(used, request.metadata)
    for place, message in enumerate(request.messages):
        # Almost every turn is plain text: it costs one look.
        if message.content.__class__ is not str or message.tool_calls or message.tool_call_id:
            for content, path in _contents(message):
                used.setdefault(content, f"messages[{place}]{path}")
    if request.kind is not RequestKind.CHAT:
        used[request.kind] = "kind"
        asked_of = attrgetter(*OF_GENERATION)(request)
        if request.kind is RequestKind.EMBEDDING and asked_of != tuple(OF_GENERATION.values()):
            used |= {n: n for n, nothing in OF_GENERATION.items() if getattr(request, n) != nothing}
    return used


def not_taken(provider: Provider) -> frozenset[str]:
    """What this provider's wire cannot say, and what the provider itself does not take."""
    return _not_taken(provider.adapter, provider.unsupported)


@lru_cache(maxsize=256)
def _not_taken(wire: str, unsupported: tuple[str, ...]) -> frozenset[str]:
    refused = UNSUPPORTED.get(wire, frozenset()) | set(unsupported)
    return refused | {*CALLING, TOOL_TURNS} if "tools" in refused else refused


def as_taken(
    request: GenerationRequest, provider: Provider
) -> tuple[GenerationRequest, frozenset[str]]:
    """The request as this provider gets it, and what it has no place for and must not miss."""
    lacking = not_taken(provider) & uses(request).keys()
    if not lacking or not request.drop_unsupported:
        return request, lacking
    said = lacking & {*CONTENT, request.kind}
    return replace(request, **without(request, lacking - said)), said


def searching(request: GenerationRequest, deployment: Deployment) -> GenerationRequest:
    """A model that searches for every answer is told to, where its wire has a word for it."""
    if request.web_search or not deployment.model.always_searches:
        return request
    can_say = Capability.WEB_SEARCH not in not_taken(deployment.provider)
    return replace(request, web_search=True) if can_say else request


def without(request: GenerationRequest, features: frozenset[str]) -> dict[str, Any]:
    """The fields that change where these options are left out."""
    nothing = {**NOTHING, **OF_GENERATION}
    changed = {name: nothing[name] for name in features if name in nothing}
    if request.metadata and features & {"metadata", USER_ID}:
        kept = {k: v for k, v in request.metadata.items() if _feature_of(k) not in features}
        changed["metadata"] = kept or None
    return changed


def _feature_of(label: str) -> str:
    return USER_ID if label == USER_ID else "metadata"


def _tell_labels(used: dict[str, str], labels: dict[str, str]) -> None:
    if USER_ID in labels:
        used[USER_ID] = f"metadata.{USER_ID}"
        if len(labels) == 1:
            del used["metadata"]


def _contents(message: Message) -> Iterator[tuple[str, str]]:
    if message.role is Role.TOOL or message.tool_calls:
        yield TOOL_TURNS, ".tool_calls" if message.tool_calls else ""
    if not isinstance(message.content, str):
        for place, part in enumerate(message.content):
            if isinstance(part, ImagePart):
                yield IMAGES, f".content[{place}]"
            elif isinstance(part, FilePart):
                yield FILES, f".content[{place}]"
