"""Several options of a word as the one parameter that is made of them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

Options = Mapping[str, tuple[Any, Any]]
"""Parameter to its annotation, as Typer reads it, and its default."""


def spread(
    act: Callable[..., object], word: Callable[..., object], parameter: str, options: Options
) -> None:
    """Let `word`, which wraps `act`, show these options in place of its parameter."""
    signature = inspect.signature(act)
    kept = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for each in signature.parameters.values()
        if each.name != parameter
    ]
    ours = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in options.items()
    ]
    hints = {k: v for k, v in get_type_hints(act, include_extras=True).items() if k != parameter}
    word.__signature__ = signature.replace(parameters=[*kept, *ours])  # type: ignore[attr-defined]
    word.__annotations__ = {**hints, **{name: kind for name, (kind, _) in options.items()}}
