"""Prefixed ids that sort by the time of their making."""

from base64 import b32hexencode
from enum import StrEnum

import uuid_utils


class IdKind(StrEnum):
    """What an id names, as its prefix."""

    JOB = "job"
    ATTEMPT = "att"
    TENANT = "ten"
    KEY = "key"
    WORKER = "wrk"
    RUN = "run"
    REQUEST = "req"


def new_id(kind: IdKind) -> str:
    """A fresh id: the prefix, then a UUIDv7 in 26 characters of base32hex.

    Base32hex in lower case keeps the order of the bytes, so ids sort by time
    under the collation C.
    """
    text = b32hexencode(uuid_utils.uuid7().bytes)[:26]
    return f"{kind}_{text.decode().lower()}"
