"""Which endpoint a word means: by its id, or by its name."""

from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote

from cli.client import Client
from cli.errors import InputError
from shared.domain.ids import IdKind

PATH: Final = "/api/v1/webhooks"
PAGE: Final = 500


async def pages(api: Client, path: str, **params: Any) -> AsyncIterator[dict[str, Any]]:
    """Everything of a list, page by page."""
    asked = {"limit": PAGE, **params}
    more = True
    while more:
        page = await api.get(path, **asked)
        for each in page["data"]:
            yield each
        more = page["has_more"]
        asked["after"] = page["next"]


async def path_of(api: Client, given: str) -> str:
    """Of the endpoint of that id, or of that name. Raises InputError."""
    if given.startswith(f"{IdKind.ENDPOINT}_"):
        return f"{PATH}/{quote(given, safe='')}"
    found = [each["id"] async for each in pages(api, PATH) if each["name"] == given]
    if not found:
        message = f"no webhook {given!r}; `promptmill webhooks list` shows them"
        raise InputError(message)
    if len(found) > 1:
        message = f"{given!r} is the name of {' and '.join(found)}: say which by its id"
        raise InputError(message)
    return f"{PATH}/{found[0]}"
