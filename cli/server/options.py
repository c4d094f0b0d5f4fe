"""The options by which every word finds its server, and those that many words share."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from cli.client import Client, connect
from cli.errors import told_plainly
from cli.server.address import KEY_VARIABLE, LOCAL, Asked, Server, find_remote, find_server
from cli.spread import Options, spread

T = TypeVar("T")

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help=f"The server; `{LOCAL}` is this machine's stack."),
]
KeyVariable = Annotated[
    str,
    typer.Option("--key-variable", metavar="NAME", help="The variable that holds the key."),
]
PlainHttp = Annotated[bool, typer.Option("--plain-http", help="Allow http:// to another machine.")]


def on_a_server(act: Callable[..., object]) -> Callable[..., None]:
    """A word whose first parameter is the Server: the command line says which, by options."""
    return _placed(act, find_server)


def on_any_server(act: Callable[..., object]) -> Callable[..., None]:
    """The same for a word that can do without one: None is this machine."""
    return _placed(act, find_remote)


def _placed(
    act: Callable[..., object], find: Callable[[Asked], Server | None]
) -> Callable[..., None]:
    @functools.wraps(act)
    def word(*, url: str | None, key_variable: str, plain_http: bool, **given: Any) -> None:
        with told_plainly():
            act(find(Asked(url=url, key_variable=key_variable, plain_http=plain_http)), **given)

    options: Options = {
        "url": (Url, None), "key_variable": (KeyVariable, KEY_VARIABLE),
        "plain_http": (PlainHttp, False),
    }  # fmt: skip
    spread(act, word, next(iter(inspect.signature(act).parameters)), options)
    return word


def talk(server: Server, what: Callable[[Client], Awaitable[T]], *, patience: float = 0.0) -> T:
    """Do it with a client of the server, which may be away for so many seconds."""

    async def session() -> T:
        async with connect(server.url, server.key, patience=patience) as api:
            return await what(api)

    return asyncio.run(session())
