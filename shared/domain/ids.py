"""Prefixed ids that sort by the time of their making."""

from base64 import b32hexencode
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

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
    FILE = "file"
    BATCH = "batch"
    ENDPOINT = "we"
    EVENT = "evt"
    DELIVERY = "dlv"


def new_id(kind: IdKind) -> str:
    """A fresh id: the prefix, then a UUIDv7 in 26 characters of base32hex.

    Base32hex in lower case keeps the order of the bytes, so ids sort by time
    under the collation C.
    """
    return _id(kind, uuid_utils.uuid7().bytes)


def id_of(kind: IdKind, moment: datetime, what: str) -> str:
    """The same id each time for what happened at that moment and has a name of its own."""
    return _id(kind, _milliseconds(moment) + blake2b(what.encode(), digest_size=10).digest())


def renamed(id_: str, kind: str) -> str:
    """The same id under another prefix: what one thing is called in another API."""
    return f"{kind}_{id_.partition('_')[2]}"


def first_id(kind: IdKind, moment: datetime) -> str:
    """What sorts before every id made at that moment or later."""
    return _id(kind, _milliseconds(moment) + bytes(10))


def _milliseconds(moment: datetime) -> bytes:
    return max(round(moment.timestamp() * 1000), 0).to_bytes(6, "big")


def _id(kind: IdKind, value: bytes) -> str:
    return f"{kind}_{b32hexencode(value)[:26].decode().lower()}"
