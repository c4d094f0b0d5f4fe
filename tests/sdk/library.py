"""The HTTP library that the installed SDK of OpenAI stands on: httpx2 under 3, httpx under 2."""

import sys
from typing import Any, Final

import openai

_CLIENT: Final = next(
    each for each in openai.DefaultHttpxClient.__mro__ if each.__name__ == "Client"
)
HTTP: Final[Any] = sys.modules[_CLIENT.__module__.partition(".")[0]]
OF_2: Final = openai.__version__.startswith("2.")
CUT_OFF: Final[type[Exception]] = HTTP.TransportError if OF_2 else openai.APIConnectionError
"""What a stream that is cut off raises: an SDK of 2 lets its library's own error through."""
