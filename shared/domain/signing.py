"""Secrets that webhooks are signed with, as Standard Webhooks writes them."""

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Final

MARK: Final = "whsec_"
LEAST_BYTES: Final = 24


def signing_key(secret: str) -> bytes:
    """The bytes to sign with. Raises ValueError for anything else, and never repeats it."""
    try:
        key = b64decode(secret.removeprefix(MARK), validate=True)
    except Base64Error:
        key = b""
    if not secret.startswith(MARK) or len(key) < LEAST_BYTES:
        raise ValueError(f"it is not {MARK} and then {LEAST_BYTES} bytes or more in base64")
    return key
