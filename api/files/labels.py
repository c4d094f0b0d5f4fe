"""What a file may be kept for, and for how long."""

from collections.abc import Mapping
from typing import Any, Final

from shared.db.files import Label
from shared.domain.errors import InvalidRequestError

DAY: Final = 86_400
MONTH: Final = 30 * DAY
SHORTEST: Final = 3_600
BATCH: Final = "batch"
"""Input of a batch."""
PURPOSES: Final[Mapping[str, int | None]] = {
    BATCH: MONTH,
    "assistants": None,
    "evals": None,
    "fine-tune": None,
    "user_data": None,
    "vision": None,
}
"""With the seconds that such a file is kept where its owner says nothing; None: for ever."""
EXPIRY: Final = "expires_after"


def label_of(fields: Mapping[str, str], filename: str | None) -> Label:
    """What the fields of an upload say. Raises InvalidRequestError that names one."""
    if filename is None:
        message = "file: it is missing"
        raise InvalidRequestError(message, field="file")
    if "\0" in filename:
        message = "file: its name has a NUL character (U+0000); remove it"
        raise InvalidRequestError(message, field="file")
    purpose = fields.get("purpose", "")
    if purpose not in PURPOSES:
        message = f"purpose: it must be one of {', '.join(PURPOSES)}, not {purpose!r}"
        raise InvalidRequestError(message, field="purpose")
    anchor, seconds = (fields.get(f"{EXPIRY}[{name}]") for name in ("anchor", "seconds"))
    if anchor is None and seconds is None:
        return Label(purpose=purpose, filename=filename, seconds=PURPOSES[purpose])
    number = int(seconds) if seconds and seconds.isdecimal() else seconds
    asked = {"anchor": anchor, "seconds": number}
    return Label(purpose=purpose, filename=filename, seconds=expiry_seconds(asked, EXPIRY))


def expiry_seconds(asked: Mapping[str, Any], field: str) -> int:
    """The seconds of an `expires_after`. Raises InvalidRequestError that names its field."""
    if asked.get("anchor") != "created_at":
        message = f"{field}.anchor: it must be 'created_at'"
        raise InvalidRequestError(message, field=f"{field}.anchor")
    seconds = asked.get("seconds")
    if type(seconds) is not int or not SHORTEST <= seconds <= MONTH:
        message = f"{field}.seconds: it must be a whole number from {SHORTEST} to {MONTH}"
        raise InvalidRequestError(message, field=f"{field}.seconds")
    return seconds
