"""Which server: an option, the environment, `promptmill login`, or this machine's stack."""

import ipaddress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from cli.errors import InputError
from cli.local.environment import Surroundings
from cli.local.running import find_running
from cli.server import credentials
from shared.security.keys import parse_key

URL_VARIABLE: Final = "PROMPTMILL_URL"
KEY_VARIABLE: Final = "PROMPTMILL_KEY"
LOCAL: Final = "local"
"""`--url local`: this machine's stack, whatever else is set."""
NOWHERE: Final = (
    "no server to talk to. Start one here by `promptmill up`, "
    f"or set {URL_VARIABLE} and {KEY_VARIABLE}, or run `promptmill login URL`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says about the server."""

    url: str | None = None
    key_variable: str = KEY_VARIABLE
    plain_http: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server and a key for it."""

    url: str
    key: str = field(repr=False)


def find_server(asked: Asked) -> Server:
    """The server that is meant. Raises InputError that says the ways to name one."""
    found = find_remote(asked) or _local(asked)
    if found is None:
        raise InputError(NOWHERE)
    return found


def find_remote(asked: Asked) -> Server | None:
    """The server that an option, the environment or a login names; None: this machine's."""
    if asked.url == LOCAL:
        return None
    values = Surroundings.read().values
    named = asked.url or values.get(URL_VARIABLE, "").strip() or None
    stored = None if named else credentials.load()
    if stored is not None:
        plain = asked.plain_http or stored.plain_http
        return Server(
            url=checked_url(stored.url, plain_http=plain), key=_variable(asked) or stored.key
        )
    if named is None:
        return None
    url = checked_url(named, plain_http=asked.plain_http)
    return Server(url=url, key=_variable(asked) or _stored_key(url, asked))


def checked_url(url: str, *, plain_http: bool) -> str:
    """The URL without a slash at its end. Raises InputError: a key travels by TLS only."""
    parts = urlsplit(url)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.username:
        message = f"{url!r} is no server's URL; one looks like https://mill.example"
        raise InputError(message)
    if parts.scheme == "http" and not (plain_http or _is_loopback(host)):
        message = (
            f"{url}: the key would travel in clear. Use https://, "
            "or add --plain-http if the way there is safe"
        )
        raise InputError(message)
    return url.rstrip("/")


def checked_key(key: str, source: str) -> str:
    """The key, if it looks like one. Raises InputError that names its source, never the key."""
    if parse_key(key) is None:
        message = f"{source}: this is no key of Promptmill (pm_…); a part of it may be missing"
        raise InputError(message)
    return key


def _variable(asked: Asked) -> str | None:
    """The key that the environment gives, for whichever server."""
    key = Surroundings.read().values.get(asked.key_variable, "").strip()
    return checked_key(key, asked.key_variable) if key else None


def _stored_key(url: str, asked: Asked) -> str:
    """The key that `login` stored for this very URL."""
    stored = credentials.load()
    if stored is None or stored.url != url:
        message = f"{url} needs a key: set {asked.key_variable}, or run `promptmill login {url}`"
        raise InputError(message)
    return stored.key


def _local(asked: Asked) -> Server | None:
    running = find_running()
    if running is None:
        return None
    return Server(url=running.api_url, key=_variable(asked) or running.api_key)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
