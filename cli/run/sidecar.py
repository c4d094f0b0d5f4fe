"""The note beside the answers that lets the same command go on where it stopped."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cli.errors import InputError
from cli.run.requests import Wish
from shared.domain.ids import IdKind, new_id


class QuoteNote(BaseModel):
    """What a run was to cost when it began, nano-USD."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: int
    expected: int
    most: int


class Sidecar(BaseModel):
    """Which run the answers belong to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    fingerprint: str
    finished: bool = False
    quote: QuoteNote | None = None
    """None: nothing was submitted yet, or by a server that gives no quotes."""


def path_for(out: Path) -> Path:
    """`answers.jsonl` has `answers.jsonl.run.json` beside it."""
    return out.with_name(out.name + ".run.json")


def fingerprint(file: Path, wish: Wish, **wishes: Any) -> str:
    """The same for the same file and the same wishes, whatever its name."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(1 << 20):
            digest.update(part)
    digest.update(json.dumps({**asdict(wish), **wishes}, sort_keys=True).encode())
    return digest.hexdigest()


def begin_or_resume(out: Path, mark: str, *, restart: bool) -> tuple[Sidecar, bool]:
    """The run of these answers, and whether it was begun before.

    Raises InputError when the answers belong to another run.
    """
    path = path_for(out)
    if path.exists() and not restart:
        try:
            sidecar = Sidecar.model_validate_json(path.read_bytes())
        except ValidationError:
            message = f"{path} cannot be understood; add --restart to begin anew"
            raise InputError(message) from None
        if sidecar.fingerprint != mark:
            message = (
                f"{out} belongs to another run: the file, the prompt or an option differs. "
                "Choose another -o, or add --restart to begin anew"
            )
            raise InputError(message)
        return sidecar, True
    if out.exists() and not restart:
        message = f"{out} exists and no run of ours wrote it. Choose another -o, or add --restart"
        raise InputError(message)
    sidecar = Sidecar(run_id=new_id(IdKind.RUN), fingerprint=mark)
    save(out, sidecar)
    return sidecar, False


def save(out: Path, sidecar: Sidecar) -> None:
    """Replace the note at once."""
    path = path_for(out)
    half = path.with_name(path.name + ".part")
    try:
        half.write_text(sidecar.model_dump_json(indent=2) + "\n")
        half.replace(path)
    except OSError as error:
        message = f"{path}: {(error.strerror or str(error)).lower()}; choose another -o"
        raise InputError(message) from None
