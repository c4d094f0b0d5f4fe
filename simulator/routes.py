"""Which path is served by which account, over which wire."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import unquote

from simulator.account import Account
from simulator.control import Control
from simulator.faults import Script
from simulator.http import Handler, Request, Response
from simulator.shelf import Shelf
from simulator.wires.anthropic import AnthropicMessages, anthropic_models, count_tokens
from simulator.wires.azure import (
    AzureChat,
    AzureClassicChat,
    AzureClassicEmbeddings,
    AzureEmbeddings,
    AzureResponses,
)
from simulator.wires.dialects import (
    CompatibleChat,
    CompatibleEmbeddings,
    PerplexityResponses,
    XaiChat,
)
from simulator.wires.gemini import (
    GeminiEmbed,
    GeminiGenerate,
    VertexGenerate,
    gemini_model,
    gemini_models,
)
from simulator.wires.gemini import count_tokens as gemini_count
from simulator.wires.models import openai_models
from simulator.wires.openai_chat import OpenAIChat
from simulator.wires.openai_plain import OpenAICompletions, OpenAIEmbeddings
from simulator.wires.openai_responses import OpenAIResponses
from simulator.wires.wire import Json, Wire

Told = Callable[[Request, Shelf], Json]
CALLS: Final[dict[str, tuple[str, Wire]]] = {
    "/v1/chat/completions": ("openai", OpenAIChat()),
    "/v1/responses": ("openai", OpenAIResponses()),
    "/v1/embeddings": ("openai", OpenAIEmbeddings()),
    "/v1/completions": ("openai", OpenAICompletions()),
    "/azure/openai/v1/chat/completions": ("azure", AzureChat()),
    "/azure/openai/v1/responses": ("azure", AzureResponses()),
    "/azure/openai/v1/embeddings": ("azure", AzureEmbeddings()),
    "/xai/v1/chat/completions": ("xai", XaiChat()),
    "/perplexity/v1/responses": ("perplexity", PerplexityResponses()),
    "/compatible/v1/chat/completions": ("compatible", CompatibleChat()),
    "/compatible/v1/embeddings": ("compatible", CompatibleEmbeddings()),
    "/anthropic/v1/messages": ("anthropic", AnthropicMessages()),
}
"""POST: a path, the account that pays and the wire."""
TELLS: Final[dict[tuple[str, str], tuple[str, Wire, Told]]] = {
    ("GET", "/v1/models"): ("openai", OpenAIChat(), openai_models),
    ("GET", "/azure/openai/v1/models"): ("azure", AzureChat(), openai_models),
    ("GET", "/azure/openai/models"): ("azure", AzureChat(), openai_models),
    ("GET", "/xai/v1/models"): ("xai", XaiChat(), openai_models),
    ("GET", "/perplexity/v1/models"): ("perplexity", PerplexityResponses(), openai_models),
    ("GET", "/compatible/v1/models"): ("compatible", CompatibleChat(), openai_models),
    ("GET", "/anthropic/v1/models"): ("anthropic", AnthropicMessages(), anthropic_models),
    ("POST", "/anthropic/v1/messages/count_tokens"): (
        "anthropic",
        AnthropicMessages(),
        count_tokens,
    ),
}
"""What costs nothing."""
GEMINI: Final = r"/gemini/v1(?:beta)?/models"
VERTEX: Final = r"/vertex/v1(?:beta1)?/projects/[^/]+/locations/[^/]+/publishers/google/models"
DEPLOYMENT: Final = "/azure/openai/deployments/[^/]+"
CALL_PATTERNS: Final[tuple[tuple[str, str, Wire], ...]] = (
    (f"{DEPLOYMENT}/chat/completions", "azure", AzureClassicChat()),
    (f"{DEPLOYMENT}/embeddings", "azure", AzureClassicEmbeddings()),
    (rf"{GEMINI}/[^/:]+:generateContent", "gemini", GeminiGenerate(stream=False)),
    (rf"{GEMINI}/[^/:]+:streamGenerateContent", "gemini", GeminiGenerate(stream=True)),
    (rf"{VERTEX}/[^/:]+:generateContent", "gemini", VertexGenerate(stream=False)),
    (rf"{VERTEX}/[^/:]+:streamGenerateContent", "gemini", VertexGenerate(stream=True)),
    (rf"{GEMINI}/[^/:]+:batchEmbedContents", "gemini", GeminiEmbed(batch=True)),
    (rf"{GEMINI}/[^/:]+:embedContent", "gemini", GeminiEmbed(batch=False)),
)
"""The same as CALLS, where a model or deployment is in the path."""
TELL_PATTERNS: Final[tuple[tuple[str, str, str, Wire, Told], ...]] = (
    ("GET", GEMINI, "gemini", GeminiEmbed(batch=True), gemini_models),
    ("GET", rf"{GEMINI}/[^/:]+", "gemini", GeminiEmbed(batch=True), gemini_model),
    ("POST", rf"{GEMINI}/[^/:]+:countTokens", "gemini", GeminiEmbed(batch=True), gemini_count),
)


@dataclass(slots=True)
class Routes:
    """Method and path to handler."""

    exact: Mapping[tuple[str, str], Handler]
    patterns: list[tuple[str, re.Pattern[str], Handler]] = field(default_factory=list)

    def find(self, method: str, path: str) -> Handler | None:
        """The handler of a path, if there is one."""
        found = self.exact.get((method, path))
        if found is not None:
            return found
        matching = (
            handler
            for verb, pattern, handler in self.patterns
            if verb == method and pattern.fullmatch(unquote(path))
        )
        return next(matching, None)


def routes(accounts: Mapping[str, Account], script: Script) -> Routes:
    """Of all accounts, and the control routes."""
    control = Control(accounts, script)
    exact: dict[tuple[str, str], Handler] = {
        ("GET", "/_sim/stats"): control.stats,
        ("POST", "/_sim/script"): control.script,
        ("POST", "/_sim/limits"): control.limits,
        ("POST", "/_sim/reset"): control.reset,
    }
    for path, (name, wire) in CALLS.items():
        exact["POST", path] = partial(accounts[name].serve, wire)
    for (method, path), (name, wire, told) in TELLS.items():
        exact[method, path] = _telling(accounts[name], wire, told)
    patterns: list[tuple[str, re.Pattern[str], Handler]] = [
        ("POST", re.compile(pattern), partial(accounts[name].serve, wire))
        for pattern, name, wire in CALL_PATTERNS
    ]
    patterns += [
        (method, re.compile(pattern), _telling(accounts[name], wire, told))
        for method, pattern, name, wire, told in TELL_PATTERNS
    ]
    return Routes(exact, patterns)


def _telling(account: Account, wire: Wire, told: Told) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return account.tell(wire, request, told)

    return handle
