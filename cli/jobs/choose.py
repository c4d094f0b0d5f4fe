"""Which jobs a word means: by id, or by what they have in common."""

import functools
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from cli.client import Client, RefusedError
from cli.errors import InputError
from cli.local.environment import Surroundings
from cli.server.address import Asked, find_server
from cli.server.options import talk
from cli.spread import Options, spread
from shared.domain.clock import SystemClock
from shared.domain.errors import PromptmillError
from shared.domain.job import FINAL_STATES, JobState, Lane

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
SPAN: Final = re.compile(r"(\d+)([smhdw])")
COMPLETED: Final = 20


def _complete_state(incomplete: str) -> list[str]:
    return [state for state in JobState if state.startswith(incomplete)]


def _complete_lane(incomplete: str) -> list[str]:
    return [lane.label for lane in Lane if lane.label.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """The models and routes of the catalog that begin so."""
    try:
        catalog = Surroundings.read().catalog()
    except PromptmillError:
        return []
    names = (*catalog.models, *catalog.routes)
    return sorted(name for name in names if name.startswith(incomplete))


def _complete_job(incomplete: str) -> list[str]:
    """The newest jobs; nothing where no server answers."""
    try:
        found = talk(find_server(Asked()), lambda api: api.get("/api/v1/jobs", limit=COMPLETED))
    except PromptmillError:
        return []
    return [job["id"] for job in found["data"] if job["id"].startswith(incomplete)]


JobId = Annotated[str, typer.Argument(metavar="ID", autocompletion=_complete_job)]
JobIds = Annotated[list[str] | None, typer.Argument(metavar="ID", autocompletion=_complete_job)]
BatchOption = Annotated[str | None, typer.Option("--batch", help="With this label.")]
OPTIONS: Final[Options] = {
    name: (Annotated[str | None, typer.Option(f"--{name}", help=said, autocompletion=known)], None)
    for name, said, known in (
        ("state", "In this state.", _complete_state),
        ("batch", "With this label.", None),
        ("lane", "bulk, standard or interactive.", _complete_lane),
        ("model", "Of this model.", complete_model),
        ("since", "Made since: 30m, 2h, 7d, or 2026-11-21.", None),
        ("project", "Of this project.", None),
        ("tag", "With this tag.", None),
        ("user", "For this end user.", None),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the chosen jobs have in common; None: any."""

    state: str | None = None
    batch: str | None = None
    lane: str | None = None
    model: str | None = None
    since: str | None = None
    project: str | None = None
    tag: str | None = None
    end_user: str | None = None

    def __post_init__(self) -> None:
        """Raises InputError that names the option."""
        if self.state is not None and self.state not in set(JobState):
            message = f"--state {self.state}: choose one of {', '.join(JobState)}"
            raise InputError(message)
        check_lane(self.lane)

    @property
    def is_everything(self) -> bool:
        """Whether nothing was chosen."""
        return not any(asdict(self).values())

    def params(self) -> dict[str, Any]:
        """As GET /jobs takes it."""
        return {**asdict(self), "since": _moment(self.since) if self.since else None}


def choosing(act: Callable[..., object]) -> Callable[..., None]:
    """A word whose parameter `choice` the command line says by options."""

    @functools.wraps(act)
    def word(*given: Any, user: str | None, **more: Any) -> None:
        chosen = {name: more.pop(name) for name in OPTIONS if name != "user"}
        act(*given, choice=Choice(end_user=user, **chosen), **more)

    spread(act, word, "choice", OPTIONS)
    return word


def require_some(ids: list[str] | None, choice: Choice) -> None:
    """Raises InputError unless jobs were chosen in just one way."""
    if bool(ids) != choice.is_everything:
        raise InputError(
            "say which jobs: IDs, or one of --state, --batch, --since, --lane, --model, --project, "
            "--tag, --user"
        )


def check_lane(lane: str | None) -> None:
    """Raises InputError for a lane that there is not."""
    known = [each.label for each in Lane]
    if lane is not None and lane not in known:
        message = f"--lane {lane}: choose one of {', '.join(known)}"
        raise InputError(message)


def is_final(job: dict[str, Any]) -> bool:
    """Whether the job has ended."""
    return job["state"] in FINAL_STATES


async def require(api: Client, job_id: str) -> dict[str, Any]:
    """The job of that id. Raises InputError when this tenant has none."""
    try:
        return await api.job(job_id)
    except RefusedError as error:
        raise InputError(error.message) from None


def _moment(text: str) -> str:
    """A span before now, or a day or moment (UTC where it says nothing), in ISO 8601."""
    if span := SPAN.fullmatch(text):
        number, unit = span.groups()
        try:
            return (SystemClock().now() - timedelta(**{UNITS[unit]: int(number)})).isoformat()
        except OverflowError:
            pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"--since {text}: say 30m, 2h or 7d, or a day or moment like 2026-11-21T08:00Z"
        raise InputError(message) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
