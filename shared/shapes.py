"""The shapes of what the environment may say; a message never repeats what may be a secret."""

from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from shared.domain.signing import signing_key

PEPPER_LENGTH: Final = 16
FLOWER_PASSWORD_LENGTH: Final = 8


def database(url: SecretStr) -> SecretStr:
    """A URL of Postgres. Raises ValueError."""
    return _shaped(url, {"postgresql", "postgres", "postgresql+psycopg"}, host=False)


def redis(url: SecretStr) -> SecretStr:
    """A URL of Redis. Raises ValueError."""
    return _shaped(url, {"redis", "rediss"}, host=True)


def http(url: str) -> str:
    """A URL of HTTP. Raises ValueError."""
    return _shaped(SecretStr(url), {"http", "https"}, host=True).get_secret_value()


def origins(value: str) -> str:
    """Origins of web pages with commas between, or `*` for all. Raises ValueError."""
    for each in parted(value):
        if each != "*" and (http(each).count("/") != 2 or not each.isascii()):
            raise ValueError(f"{each} is no origin: write it as in https://app.example:8443")
    return value


def parted(value: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(filter(None, (each.strip() for each in value.split(","))))


def long_enough(pepper: SecretStr) -> SecretStr:
    """A pepper that nobody guesses. Raises ValueError."""
    if len(pepper) < PEPPER_LENGTH:
        raise ValueError(f"it has {len(pepper)} characters, {PEPPER_LENGTH} are the least")
    return pepper


def signing(secret: SecretStr) -> SecretStr:
    """A secret that webhooks are signed with. Raises ValueError."""
    signing_key(secret.get_secret_value())
    return secret


def user_and_password(value: SecretStr) -> SecretStr:
    """A user, a colon and a password of some length. Raises ValueError."""
    user, colon, password = value.get_secret_value().partition(":")
    if not (user and colon and len(password) >= FLOWER_PASSWORD_LENGTH):
        raise ValueError("it is not a user, a colon and a password of some length")
    return value


def _shaped(url: SecretStr, schemes: set[str], *, host: bool) -> SecretStr:
    """A URL of one of these schemes; the message never repeats it: it holds a password."""
    try:
        parts = urlsplit(url.get_secret_value())
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ValueError("it is not a URL") from None
    if parts.scheme not in schemes:
        raise ValueError(f"it must begin with {' or '.join(f'{s}://' for s in sorted(schemes))}")
    if host and not parts.hostname:
        raise ValueError("it names no host")
    return url
