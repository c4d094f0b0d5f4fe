"""The words `login` and `logout`."""

import sys
from getpass import getpass
from typing import Annotated, Final

import typer

from cli.errors import InputError, told_plainly
from cli.output import AsJson, print_json
from cli.server import credentials
from cli.server.address import LOCAL, Server, checked_key, checked_url
from cli.server.options import PlainHttp, talk

LOGIN_EXAMPLES: Final = """
Examples:

  promptmill login https://mill.example

  promptmill login https://mill.example < key.txt
"""

app = typer.Typer()


@app.command(epilog=LOGIN_EXAMPLES)
def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server.")],
    *,
    plain_http: PlainHttp = False,
    as_json: AsJson = False,
) -> None:
    """Remember a server and a key, which is asked for or read from stdin."""
    with told_plainly():
        if url == LOCAL:
            raise InputError("this machine's stack needs no login; `promptmill logout` goes back")
        address = checked_url(url, plain_http=plain_http)
        key = checked_key(_read_key(address), "the key")
        me = talk(Server(url=address, key=key), lambda api: api.get("/api/v1/me"))
        found = credentials.Credentials(url=address, key=key, plain_http=plain_http)
        file = credentials.save(found)
        if as_json:
            print_json([{"url": address, "file": str(file), **me}])
            return
        scopes = ", ".join(me["key"]["scopes"])
        typer.echo(f"{address}: tenant {me['tenant']['name']}, key {me['key']['name']} ({scopes})")
        typer.echo(f"remembered in {file}; every word uses it until `promptmill logout`")


@app.command(epilog="Examples:\n\n  promptmill logout")
def logout(*, as_json: AsJson = False) -> None:
    """Forget the remembered server and its key; the key itself goes on to count."""
    with told_plainly():
        forgotten = credentials.forget()
        if as_json:
            print_json([{"forgotten": forgotten}])
        else:
            typer.echo("forgotten" if forgotten else "nothing was remembered")


def _read_key(url: str) -> str:
    """From a prompt that shows nothing, or from stdin."""
    if sys.stdin.isatty():
        return getpass(f"key for {url}: ").strip()
    return sys.stdin.readline().strip()
