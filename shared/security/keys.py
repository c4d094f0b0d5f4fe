"""API keys: how they look, how they are stored, what they may do."""

import hashlib
import hmac
import secrets
import zlib
from base64 import b32hexencode
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import SecretStr

from shared.domain.ids import IdKind, new_id

PREFIX: Final = "pm"
SECRET_BYTES: Final = 32
CHECK_LENGTH: Final = 7


class Scope(StrEnum):
    """What a key may do."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    ADMIN = "admin"
    """All of its tenant's."""
    OPERATOR = "operator"
    """What is there for all tenants: providers, and limits. No other scope stands for it."""


OF_A_TENANT: Final = frozenset(Scope) - {Scope.OPERATOR}
"""What the first key of a tenant may do."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment at which it can be shown."""

    id: str
    secret: SecretStr
    """The part that only its holder knows."""
    plaintext: SecretStr
    """The whole key, as its holder presents it."""


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A well-formed key as somebody presented it."""

    id: str
    secret: SecretStr


def mint_key(environment: str, key_id: str | None = None) -> NewKey:
    """A fresh key: `pm_<environment>_<id>_<secret><checksum>`, 256 bits of secret.

    With the id of a key it is a fresh secret of that one.
    """
    key_id = key_id or new_id(IdKind.KEY)
    secret = _base32(secrets.token_bytes(SECRET_BYTES))
    body = f"{PREFIX}_{environment}_{key_id.removeprefix('key_')}_{secret}"
    return NewKey(key_id, SecretStr(secret), SecretStr(body + _check(body)))


def parse_key(text: str) -> PresentedKey | None:
    """The parts of a key; None for anything that the checksum tells to be no key."""
    body, check = text[:-CHECK_LENGTH], text[-CHECK_LENGTH:]
    parts = body.split("_")
    if len(parts) != 4 or parts[0] != PREFIX or not text.isascii():
        return None
    if not hmac.compare_digest(check, _check(body)):
        return None
    return PresentedKey(f"{IdKind.KEY}_{parts[2]}", SecretStr(parts[3]))


def hash_secret(secret: SecretStr, pepper: SecretStr) -> bytes:
    """What the database keeps; 256 bits of entropy need no slow hash."""
    return hmac.digest(
        pepper.get_secret_value().encode(), secret.get_secret_value().encode(), hashlib.sha256
    )


def _check(body: str) -> str:
    """A checksum that refuses typos without asking the database."""
    return _base32(zlib.crc32(body.encode()).to_bytes(4, "big"))


def _base32(data: bytes) -> str:
    return b32hexencode(data).decode().rstrip("=").lower()
