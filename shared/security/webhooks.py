"""Signatures of what is sent out, as Standard Webhooks has them: whoever gets it can verify it."""

import hmac
from base64 import b64encode
from hashlib import sha256

from pydantic import SecretStr

from shared.domain.signing import signing_key


def signed_headers(secret: SecretStr, message_id: str, sent_at: int, body: bytes) -> dict[str, str]:
    """The headers of one delivery; `sent_at` in seconds since 1970. Raises ValueError."""
    signed = f"{message_id}.{sent_at}.".encode() + body
    digest = hmac.digest(signing_key(secret.get_secret_value()), signed, sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }
