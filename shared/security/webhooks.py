"""Secrets and signatures of what is sent out, as Standard Webhooks has them."""

import hmac
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from pydantic import SecretStr

from shared.domain.signing import MARK, signing_key

HINT_LENGTH: Final = 4


def endpoint_secret(pepper: SecretStr, endpoint_id: str, number: int) -> SecretStr:
    """The secret of that number of an endpoint; derived, so that none is stored."""
    named = f"webhook:{endpoint_id}:{number}".encode()
    digest = hmac.digest(pepper.get_secret_value().encode(), named, sha256)
    return SecretStr(MARK + b64encode(digest).decode())


def endpoint_secrets(
    pepper: SecretStr, endpoint_id: str, number: int, *, with_old: bool
) -> tuple[SecretStr, ...]:
    """Those that sign now, the newest first; `with_old`: the one before still does, too."""
    oldest = max(number - 1, 1) if with_old else number
    return tuple(
        endpoint_secret(pepper, endpoint_id, each) for each in range(number, oldest - 1, -1)
    )


def hint_of(secret: SecretStr) -> str:
    """As much of a secret as tells it from another: `whsec_…kL8=`."""
    return f"{MARK}…{secret.get_secret_value()[-HINT_LENGTH:]}"


def signed_headers(
    secrets: Iterable[SecretStr], message_id: str, sent_at: int, body: bytes
) -> dict[str, str]:
    """The headers of one delivery, a signature by each secret; `sent_at` in seconds since 1970.

    Raises ValueError for what is no secret.
    """
    signed = f"{message_id}.{sent_at}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: SecretStr, signed: bytes) -> str:
    digest = hmac.digest(signing_key(secret.get_secret_value()), signed, sha256)
    return f"v1,{b64encode(digest).decode()}"
