"""Gemini's dialect, outward: a request in the normal form becomes a body in camelCase."""

from collections.abc import Iterable
from typing import Any, Final

from shared.domain.conversation import Message, Role
from shared.domain.generation import (
    GenerationRequest,
    NamedTool,
    ReasoningEffort,
    RequestKind,
    Tool,
    ToolMode,
)
from worker.adapters.bodies import present
from worker.adapters.gemini_turns import UNSIGNED, contents_of

MODELS: Final = "models"
"""The collection that Google's models are in."""
CALLING_MODES: Final = {ToolMode.AUTO: "AUTO", ToolMode.NONE: "NONE", ToolMode.REQUIRED: "ANY"}
# Up to Gemini 2.5: tokens, none of them where the model can stop thinking; a Pro cannot.
THINKING_BUDGETS: Final = {
    ReasoningEffort.NONE: 0,
    ReasoningEffort.MINIMAL: 1024,
    ReasoningEffort.LOW: 1024,
    ReasoningEffort.MEDIUM: 8192,
    ReasoningEffort.HIGH: 24576,
    ReasoningEffort.XHIGH: 24576,
    ReasoningEffort.MAX: 24576,
}
LEAST_BUDGET_OF_PRO: Final = 128
# Since Gemini 3: the levels that nearly all of these models know; none of them stops thinking.
THINKING_LEVELS: Final = {
    ReasoningEffort.NONE: "LOW",
    ReasoningEffort.MINIMAL: "LOW",
    ReasoningEffort.LOW: "LOW",
    ReasoningEffort.MEDIUM: "MEDIUM",
    ReasoningEffort.HIGH: "HIGH",
    ReasoningEffort.XHIGH: "HIGH",
    ReasoningEffort.MAX: "HIGH",
}


def resource_of(model: str, models: str = MODELS) -> str:
    """The model's name as a resource, `models/…`."""
    return model if model.startswith((f"{models}/", "tunedModels/")) else f"{models}/{model}"


def path_of(request: GenerationRequest, model: str, *, stream: bool, models: str = MODELS) -> str:
    """Where the request goes, below the API's version."""
    if request.kind is RequestKind.EMBEDDING:
        return f"{resource_of(model, models)}:batchEmbedContents"
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"{resource_of(model, models)}:{method}"


def calls_in(request: GenerationRequest) -> int:
    """The tool calls of the conversation so far: an answer's new ones are numbered on from it."""
    return sum(len(turn.tool_calls) for turn in request.messages)


def to_wire(request: GenerationRequest, model: str) -> dict[str, Any]:
    """The body of the request; absent parameters stay absent. Raises CallError as `contents_of`."""
    if request.kind is RequestKind.EMBEDDING:
        return {"requests": _embeddings(request, resource_of(model))}
    body = {
        "systemInstruction": _instruction(request.messages),
        "generationConfig": _settings(request, model),
        "tools": _tools(request),
        "toolConfig": _tool_config(request),
    }
    contents = contents_of(request.messages, model)
    return {"contents": contents, **{name: value for name, value in body.items() if value}}


def _embeddings(request: GenerationRequest, resource: str) -> list[dict[str, Any]]:
    texts = (request.input,) if isinstance(request.input, str) else request.input or ()
    size = {"outputDimensionality": request.dimensions} if request.dimensions else {}
    return [{"model": resource, "content": {"parts": [{"text": text}]}, **size} for text in texts]


def _instruction(messages: Iterable[Message]) -> dict[str, Any] | None:
    texts = [turn.text for turn in messages if turn.role is Role.SYSTEM and turn.text]
    return {"parts": [{"text": text} for text in texts]} if texts else None


def _settings(request: GenerationRequest, model: str) -> dict[str, Any]:
    schema = request.response_schema
    return present(
        {
            "maxOutputTokens": request.max_tokens,
            "temperature": request.temperature,
            "topP": request.top_p,
            "presencePenalty": request.presence_penalty,
            "frequencyPenalty": request.frequency_penalty,
            "stopSequences": list(request.stop) or None,
            "seed": request.seed,
            "responseMimeType": "application/json" if schema else None,
            "responseJsonSchema": schema.schema if schema else None,
            "thinkingConfig": _thinking(request, model),
        }
    )


def _thinking(request: GenerationRequest, model: str) -> dict[str, Any] | None:
    effort = request.reasoning_effort
    if effort is None:
        return None
    shown = {"includeThoughts": True} if request.stream and effort != ReasoningEffort.NONE else {}
    if not UNSIGNED.search(model):
        return {"thinkingLevel": THINKING_LEVELS[effort], **shown}
    least = LEAST_BUDGET_OF_PRO if "-pro" in model else 0
    return {"thinkingBudget": max(THINKING_BUDGETS[effort], least), **shown}


def _tools(request: GenerationRequest) -> list[dict[str, Any]]:
    declarations = [_declaration(tool) for tool in request.tools]
    functions = [{"functionDeclarations": declarations}] if declarations else []
    return [*functions, *([{"googleSearch": {}}] if request.web_search else [])]


def _declaration(tool: Tool) -> dict[str, Any]:
    return present(
        {
            "name": tool.name,
            "description": tool.description,
            "parametersJsonSchema": tool.parameters,
        }
    )


def _tool_config(request: GenerationRequest) -> dict[str, Any] | None:
    choice = request.tool_choice
    if choice is None or not request.tools:
        return None
    if isinstance(choice, NamedTool):
        config = {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    else:
        config = {"mode": CALLING_MODES[choice]}
    return {"functionCallingConfig": config}
