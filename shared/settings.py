"""The only reader of the environment: read once at the edge, frozen, handed down."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared import shapes
from shared.domain.errors import ConfigurationError

Kind = TypeVar("Kind", bound=BaseSettings)
PREFIX: Final = "PROMPTMILL_"
BESIDE: Final = frozenset(
    {
        "PROMPTMILL_HOME", "PROMPTMILL_KEY", "PROMPTMILL_PG_BIN", "PROMPTMILL_PG_USER",
        "PROMPTMILL_URL", "PROMPTMILL_VALKEY_BIN",
    }
)  # fmt: skip
"""Variables of our prefix that the command and its users read, not Settings."""
WAY_OUT: Final = {
    "DATABASE_URL": "set it to postgresql://USER:PASSWORD@HOST:5432/DATABASE",
    "REDIS_URL": "set it to redis://:PASSWORD@HOST:6379/0",
    "FLOWER_BASIC_AUTH": "set it to USER:PASSWORD, 8 characters or more for the password",
    "PROMPTMILL_PEPPER": "set it to 16 random characters or more, the same for every process",
}


class Frozen(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LeaseSettings(Frozen):
    """How long a silent worker is believed to be alive; seconds."""

    ttl: float = Field(default=30.0, gt=0)
    heartbeat: float = Field(default=5.0, gt=0)
    unstarted: float = Field(default=30.0, gt=0)
    """A released attempt that nobody started in this time goes back."""


class DispatchSettings(Frozen):
    """The dispatcher's pace; seconds and rows."""

    poll: float = Field(default=1.0, gt=0)
    """The floor when no doorbell rings."""
    holder_ttl: float = Field(default=3.0, gt=0)
    """A dispatcher that was silent for so long has lost its routes."""
    batch: int = Field(default=400, gt=0)
    group: int = Field(default=20, gt=0)
    """Attempt ids per message from a deep backlog."""


class BreakerSettings(Frozen):
    """When a deployment that fails is left alone, and for how long; seconds."""

    calls: int = Field(default=10, gt=0)
    """In the window; fewer say nothing."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Of them that failed."""
    window: float = Field(default=30.0, gt=0)
    shortest: float = Field(default=10.0, gt=0)
    """The first pause; each further one is twice as long."""
    longest: float = Field(default=120.0, gt=0)
    probe: float = Field(default=60.0, gt=0)
    """The call that finds out is awaited so long before another may."""


class WorkerSettings(Frozen):
    """One worker process."""

    drain: float = Field(default=25.0, ge=0)
    """Seconds that running calls get at a graceful stop; the rest goes back."""
    call_timeout: float = Field(default=600.0, gt=0)
    connect_timeout: float = Field(default=10.0, gt=0)
    flush_rows: int = Field(default=100, gt=0)
    flush_after: float = Field(default=0.02, ge=0)
    events: bool = True
    """Tell Flower of every job."""
    failpoint: str | None = None
    """For the fault suite: `name` or `name:n`, where this process kills itself."""


class ApiSettings(Frozen):
    """The HTTP door."""

    max_body_bytes: int = Field(default=4 * 1024 * 1024, gt=0)
    max_bulk_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    max_wait: float = Field(default=60.0, gt=0)
    sync_wait: float = Field(default=600.0, gt=0)
    """Seconds that a face's synchronous form waits for its answer; then 504; the job goes on."""
    max_streams: int = Field(default=1000, gt=0)
    """Streams of events that one tenant may have open at one time in one api process."""
    max_queued: int = Field(default=5_000_000, gt=0)
    """Jobs that wait, of all tenants; a submission beyond is answered 503."""
    max_queued_bytes: int = Field(default=32 * 1024**3, gt=0)
    """The bytes of their requests."""
    tenant_max_queued: int | None = Field(default=None, gt=0)
    """Jobs that wait of a tenant that has no `max_queued` of its own; None: no limit."""
    max_file_bytes: int = Field(default=512 * 1024 * 1024, gt=0)
    max_stored_bytes: int = Field(default=10 * 1024**3, gt=0)  # of all of a tenant's files
    max_batch_bytes: int = Field(default=200 * 1024 * 1024, gt=0)
    max_batch_lines: int = Field(default=50_000, gt=0)
    cors_origins: Annotated[str, AfterValidator(shapes.origins)] = ""
    """Whose pages' scripts may call, with commas between: https://app.example,https://b.example."""

    @property
    def origins(self) -> tuple[str, ...]:
        """The same, each by itself."""
        return shapes.parted(self.cors_origins)


class StreamSettings(Frozen):
    """The logs of answers that are told while they come."""

    keep: float = Field(default=60.0, ge=1)
    """Seconds that a log outlives its attempt; the result itself is in the database."""
    log_bytes: int = Field(default=1024 * 1024, gt=0)
    """The most of one answer that is kept to be told again."""
    memory: int = Field(default=64 * 1024 * 1024, gt=0)
    """The same of all answers that come at one time, in bytes of a worker process."""


class EgressSettings(Frozen):
    """What this installation calls for its callers: images, files, webhooks."""

    allow_loopback: bool = False
    """For development: this machine too, and http beside https."""


class DeliverySettings(Frozen):
    """Webhooks that one worker tries at a time: what hangs takes no more room from others."""

    at_once: int = Field(default=512, gt=0)
    at_once_tenant: int = Field(default=64, gt=0)
    at_once_endpoint: int = Field(default=16, gt=0)


class AlertSettings(Frozen):
    """Whom budgets tell beside the log that they near their caps."""

    url: Annotated[str, AfterValidator(shapes.http)] | None = None
    """Gets each alert as a POST, signed with the secret."""
    secret: Annotated[SecretStr, AfterValidator(shapes.signing)] | None = None
    """`whsec_` and 24 random bytes or more in base64."""
    timeout: float = Field(default=10.0, gt=0)
    """Seconds that it has to answer."""
    allow_private: bool = False
    """It may be inside your network, and http beside https."""

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.url is not None and self.secret is None:
            raise ValueError("a url needs a secret to sign with")
        return self


class RetentionSettings(Frozen):
    """How long what has ended is kept; days. None: for ever. The ledger always is."""

    payload_days: float | None = Field(default=None, gt=0)
    """Requests, metadata and results."""
    job_days: float | None = Field(default=None, gt=0)
    """Whole jobs with their attempts, events and idempotency keys."""
    usage_minute_days: float | None = Field(default=90.0, gt=0)
    """The sums of usage by the minute; those by the day are always kept."""
    event_days: float | None = Field(default=30.0, gt=0)
    """Events that everybody was told of, and deliveries that ended, with their tries."""


class Settings(BaseSettings):
    """Everything that the environment may say; `PROMPTMILL_LEASE__TTL=30` sets `lease.ttl`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="ignore"
    )

    database_url: Annotated[SecretStr, AfterValidator(shapes.database)] = Field(
        validation_alias="DATABASE_URL"
    )
    redis_url: Annotated[SecretStr, AfterValidator(shapes.redis)] = Field(
        validation_alias="REDIS_URL"
    )
    pepper: Annotated[SecretStr, AfterValidator(shapes.long_enough)]
    """Mixed into the hashes of API keys; made once per installation."""
    catalog: Path | None = None
    """A TOML file laid over the built-in catalog."""
    simulator_url: Annotated[str, AfterValidator(shapes.http)] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"
    """auto: JSON lines, but for people where stderr is a terminal."""
    lease: LeaseSettings = LeaseSettings()
    dispatch: DispatchSettings = DispatchSettings()
    breaker: BreakerSettings = BreakerSettings()
    worker: WorkerSettings = WorkerSettings()
    api: ApiSettings = ApiSettings()
    stream: StreamSettings = StreamSettings()
    egress: EgressSettings = EgressSettings()
    delivery: DeliverySettings = DeliverySettings()
    alerts: AlertSettings = AlertSettings()
    retention: RetentionSettings = RetentionSettings()

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL in the form that SQLAlchemy takes for psycopg 3."""
        url = self.database_url.get_secret_value()
        for scheme in ("postgresql://", "postgres://"):
            if url.startswith(scheme):
                return "postgresql+psycopg://" + url.removeprefix(scheme)
        return url


class FlowerSettings(BaseSettings):
    """What Flower may know: the broker, and who may look; no database, no key."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    redis_url: Annotated[SecretStr, AfterValidator(shapes.redis)] = Field(
        validation_alias="REDIS_URL"
    )
    basic_auth: Annotated[SecretStr, AfterValidator(shapes.user_and_password)] = Field(
        validation_alias="FLOWER_BASIC_AUTH"
    )


def read_settings() -> Settings:
    """The settings of this process; ConfigurationError has every problem, one a line."""
    return filled(Settings)


def filled(kind: type[Kind]) -> Kind:
    """Settings out of the environment; ConfigurationError has every problem, one a line."""
    try:
        return kind()
    except ValidationError as error:
        problems = (_problem(each["loc"], each["type"], each["msg"]) for each in error.errors())
        raise ConfigurationError("\n".join(problems)) from None


def overlay_of_catalog() -> Path | None:
    """What PROMPTMILL_CATALOG names: to be checked even where other settings are wrong."""
    value = os.environ.get(f"{PREFIX}CATALOG", "").strip()
    return Path(value) if value else None


def environment() -> Mapping[str, str]:
    """All of it, for the catalog, whose rows say which variables name models and addresses."""
    return os.environ


def unknown_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """The variables of our prefix that nobody reads, each with the nearest that somebody does."""
    known = _known_variables() | BESIDE
    unknown = (name for name in sorted(environ) if name.startswith(PREFIX) and name not in known)
    return {name: next(iter(get_close_matches(name, known, n=1)), None) for name in unknown}


def provider_key(variables: tuple[str, ...]) -> SecretStr | None:
    """The first of these environment variables that is set and not empty."""
    for variable in variables:
        if value := os.environ.get(variable, "").strip():
            return SecretStr(value)
    return None


def _known_variables() -> set[str]:
    known: set[str] = set()
    for name, field in Settings.model_fields.items():
        variable = str(field.validation_alias or f"{PREFIX}{name.upper()}")
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Frozen):
            known |= {f"{variable}__{each.upper()}" for each in group.model_fields}
        else:
            known.add(variable)
    return known


def _problem(location: tuple[int | str, ...], kind: str, message: str) -> str:
    names = [str(part).upper() for part in location]
    plain = len(names) == 1 and names[0] in WAY_OUT
    variable = names[0] if plain else PREFIX + "__".join(names)
    if kind == "extra_forbidden":
        near = get_close_matches(variable, _known_variables(), n=1)
        return f"{variable}: nobody reads it; did you mean {near[0] if near else 'another'}?"
    said = "it is not set" if kind == "missing" else message.removeprefix("Value error, ")
    way_out = WAY_OUT.get(variable, "correct it, or leave it out for the default")
    return f"{variable}: {said[:1].lower()}{said[1:]}; {way_out}"
