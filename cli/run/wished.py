"""What the command line says about every prompt, as options of the words that read files."""

import functools
from collections.abc import Callable
from typing import Any, Final

from cli.local.environment import Surroundings
from cli.run.options import MaxTokens, ModelName, Prompt, System, Temperature
from cli.run.requests import Wish
from cli.spread import Options, spread

OPTIONS: Final[Options] = {
    "prompt": (Prompt, None),
    "system": (System, None),
    "model": (ModelName, None),
    "max_tokens": (MaxTokens, None),
    "temperature": (Temperature, None),
}


def wished(act: Callable[..., object]) -> Callable[..., None]:
    """A word whose parameter `wish` the command line says by options."""

    @functools.wraps(act)
    def word(*given: Any, model: str | None, **more: Any) -> None:
        said = {name: more.pop(name) for name in OPTIONS if name != "model"}
        wish = Wish(model=model or Surroundings.read().default_model(), **said)
        act(*given, wish=wish, **more)

    spread(act, word, "wish", OPTIONS)
    return word
