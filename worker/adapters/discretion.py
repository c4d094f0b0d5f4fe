"""What a provider says of a failure, without the secrets that it quotes."""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import SecretStr

from shared.domain.generation import GenerationRequest
from worker.adapters.base import Adapter, Answer, CallError, Told

HIDDEN: Final = "[hidden]"
SHORTEST: Final = 6
"""Characters of a credential that is looked for; a shorter one is a word such as `none`."""
QUOTE: Final = 32
"""Characters of the request that may not stand in an error one after another."""
PIECE: Final = QUOTE // 2
"""A quotation holds one such piece at least, wherever the pieces begin."""
MOST_SEARCHED: Final = 16_384
"""Characters of one text: nobody waits while it is searched."""
SECRETS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Keys, also those that a provider has starred out in part.
        r"\b(?:sk|pk|rk|xai|pplx|gsk)-[\w*.\-]{6,}",
        r"\bAIza[\w*\-]{6,}",
        r"\bya29\.[\w.\-]+",
        r"\bAKIA[A-Z0-9]{12,}",
        r"\beyJ[\w\-]{8,}\.[\w\-]{8,}(?:\.[\w\-]*)?",
        # What stands where a key would.
        r"(?<=bearer )(?=\S*\d)[\w\-.~+/=*]{8,}",
        r"(?<=key provided: )[^\s,;]+",
        r"(?<=[?&]key=)[^&\s]+",
        r"(?<=[?&]api_key=)[^&\s]+",
        r"(?<=[?&]api-key=)[^&\s]+",
        r"(?<=[?&]access_token=)[^&\s]+",
        r"(?<=[?&]sig=)[^&\s]+",
        # The account of this installation.
        r"\borg-[A-Z0-9]{6,}",
        r"\bproj_[A-Z0-9]{6,}",
        r"\bprojects?[/: ]'?\d{6,}",
        r"\bproject_number:\d{6,}",
        r"[\w.\-]+@[\w.\-]+\.gserviceaccount\.com",
        r"\borganization\W{0,3}[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    )
)


class Discreet:
    """An adapter whose errors tell no secret, whatever kind they are of."""

    def __init__(self, adapter: Adapter, key: SecretStr | None) -> None:
        self._adapter = adapter
        self._key = key

    async def complete(
        self,
        request: GenerationRequest,
        *,
        model: str,
        attempt_id: str,
        timeout: float,
        told: Told | None = None,
    ) -> Answer:
        """See Adapter.complete."""
        try:
            return await self._adapter.complete(
                request, model=model, attempt_id=attempt_id, timeout=timeout, told=told
            )
        except CallError as error:
            error.message = unquoted(error.message, request)
            self._hush(error)
            raise

    async def check(self, *, timeout: float) -> None:
        """See Adapter.check."""
        try:
            await self._adapter.check(timeout=timeout)
        except CallError as error:
            self._hush(error)
            raise

    async def close(self) -> None:
        """Close the connections."""
        await self._adapter.close()

    def _hush(self, error: CallError) -> None:
        key = self._key.get_secret_value() if self._key else ""
        error.message = scrubbed(error.message, key)
        error.args = (error.message,)


def scrubbed(text: str, key: str = "") -> str:
    """The text without the credential in use and without what looks like any other."""
    if len(key) >= SHORTEST:
        text = text.replace(key, HIDDEN)
    for secret in SECRETS:
        text = secret.sub(HIDDEN, text)
    return text


def unquoted(text: str, request: GenerationRequest) -> str:
    """The text without what it quotes at length of the request: an error outlives its payload."""
    said = [each[:MOST_SEARCHED] for each in _texts(request) if len(each) >= QUOTE]
    place = 0
    while place + PIECE <= len(text):
        source = next((each for each in said if text[place : place + PIECE] in each), None)
        if source is None:
            place += PIECE
            continue
        first, end = _grown(text, place, source)
        if end - first >= QUOTE:
            text = text[:first] + HIDDEN + text[end:]
            end = first + len(HIDDEN)
        place = end
    return text


def _grown(text: str, place: int, source: str) -> tuple[int, int]:
    """How far the piece at this place goes on in the source, to both sides."""
    first, end = place, place + PIECE
    while end < len(text) and text[first : end + 1] in source:
        end += 1
    while first and text[first - 1 : end] in source:
        first -= 1
    return first, end


def _texts(request: GenerationRequest) -> Iterator[str]:
    for message in request.messages:
        yield message.text
    yield request.prompt or ""
    yield from (request.input,) if isinstance(request.input, str) else request.input or ()
