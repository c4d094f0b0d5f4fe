"""JSON that the command line gives: a policy, or a whole job."""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from cli.errors import InputError

PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy", metavar="JSON|FILE", help="Whom to ask, in which order: docs/routing.md."
    ),
]


def read_policy(given: str | None) -> dict[str, Any] | None:
    """The policy of --policy: JSON itself, or a file of it. Raises InputError."""
    if given is None:
        return None
    if given.lstrip().startswith("{"):
        return _object(given.encode(), "--policy")
    return _object(_content(Path(given), "--policy"), f"--policy: {given}")


def with_max_cost(policy: dict[str, Any] | None, most: Decimal | None) -> dict[str, Any] | None:
    """The policy with the most that a job may cost. Raises InputError where both say one."""
    if most is None:
        return policy
    if "max_cost_usd" in (policy or {}):
        raise InputError("--max-cost: the policy has a max_cost_usd of its own; say it once")
    return {**(policy or {}), "max_cost_usd": format(most, "f")}


def read_job(file: Path) -> dict[str, Any]:
    """The job in a file of JSON, or on stdin (-). Raises InputError."""
    content = sys.stdin.buffer.read() if str(file) == "-" else _content(file, "--file")
    return _object(content, f"--file: {file}")


def _content(file: Path, option: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        message = f"{option}: {file} cannot be read: {error.strerror}"
        raise InputError(message) from None


def _object(content: bytes, where: str) -> dict[str, Any]:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        message = f"{where}: not JSON: {error}"
        raise InputError(message) from None
    if not isinstance(value, dict):
        message = f"{where}: a JSON object is wanted"
        raise InputError(message)
    return value
