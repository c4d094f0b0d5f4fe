"""The file of a backup: a zip of one COPY stream a table and a manifest of them all."""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from shared.domain.errors import PromptmillError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
FAST: Final = 1
"""Of zlib's levels: the text shrinks to about a sixth, and Postgres is not kept waiting."""
BLOCK: Final = 1 << 20


class BackupError(PromptmillError):
    """A backup cannot be made, read or restored; the message says why and what to do."""

    code = "backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCopy:
    """One table of a backup."""

    name: str
    columns: tuple[str, ...]
    rows: int
    sha256: str
    """Of the COPY stream in Postgres' text format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds; tables stand in an order in which they can be filled."""

    revision: str
    """Of the schema."""
    made_at: str
    made_by: str
    """Promptmill's version."""
    tables: tuple[TableCopy, ...]
    format: int = FORMAT


class BackupWriter:
    """A backup being written."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def table(self, name: str) -> "TableSink":
        """Where the stream of a table goes; close it before the next is opened."""
        return TableSink(self._archive.open(f"{name}.copy", "w", force_zip64=True))

    def finish(self, manifest: Manifest) -> None:
        """The last words: a file without them is no backup."""
        self._archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))


@dataclass(slots=True)
class TableSink:
    """Takes the stream of one table and keeps count."""

    stream: IO[bytes]
    rows: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def write(self, block: bytes) -> None:
        """The next bytes. COPY escapes line ends, so each one ends a row."""
        self.stream.write(block)
        self.digest.update(block)
        self.rows += block.count(b"\n")


class BackupReader:
    """A backup that is whole and of a format that we know."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest: Final = manifest

    def blocks(self, table: TableCopy) -> Iterator[bytes]:
        """The stream of a table. Raises BackupError when it is not what was written."""
        digest = hashlib.sha256()
        try:
            with self._archive.open(f"{table.name}.copy") as stream:
                while block := stream.read(BLOCK):
                    digest.update(block)
                    yield block
        except (zipfile.BadZipFile, KeyError, EOFError, zlib.error) as error:
            raise BackupError(f"the backup is damaged at table {table.name}: {error}") from None
        if digest.hexdigest() != table.sha256:
            raise BackupError(f"the backup is damaged: the sum of table {table.name} differs")


@contextmanager
def new_backup(path: Path) -> Iterator[BackupWriter]:
    """Write to a file beside `path` and take its name at the end; 0600, for it holds prompts.

    Raises BackupError when `path` exists or cannot be written. What was not finished is
    taken away again.
    """
    if path.exists():
        raise BackupError(f"{path} exists: name another file, or remove it first")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=FAST) as archive:
                yield BackupWriter(archive)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def open_backup(path: Path) -> Iterator[BackupReader]:
    """Raises BackupError when the file is none of ours, or not whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield BackupReader(archive, _manifest(path, archive))
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror or error}") from None
    except zipfile.BadZipFile:
        raise BackupError(f"{path} is no backup of Promptmill, or not whole") from None


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        told = json.loads(archive.read(MANIFEST))
        if told["format"] != FORMAT:
            made_by = told.get("made_by", "another version")
            raise BackupError(
                f"{path} has format {told['format']}, this Promptmill reads {FORMAT}: "
                f"restore it with the Promptmill that made it ({made_by})"
            )
        tables = tuple(
            TableCopy(**{**table, "columns": tuple(table["columns"])}) for table in told["tables"]
        )
        return Manifest(**{**told, "tables": tables})
    except (KeyError, TypeError, ValueError):
        raise BackupError(f"{path} is no backup of Promptmill: it has no manifest") from None
