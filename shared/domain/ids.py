"""Prefixed ids that sort by the time of their making."""

from base64 import b32hexencode
from datetime import datetime
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
    BUDGET = "bud"


def new_id(kind: IdKind) -> str:
    """A fresh id: the prefix, then a UUIDv7 in 26 characters of base32hex.

    Base32hex in lower case keeps the order of the bytes, so ids sort by time
    under the collation C.
    """
    return _id(kind, uuid_utils.uuid7().bytes)


def first_id(kind: IdKind, moment: datetime) -> str:
    """What sorts before every id made at that moment or later."""
    milliseconds = max(round(moment.timestamp() * 1000), 0)
    return _id(kind, milliseconds.to_bytes(6, "big") + bytes(10))


def _id(kind: IdKind, value: bytes) -> str:
    return f"{kind}_{b32hexencode(value)[:26].decode().lower()}"
