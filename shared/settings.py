"""The only reader of the environment: read once at the edge, frozen, handed down."""

import os
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.domain.errors import ConfigurationError

KEY_VARIABLES_FILE: Final = ".env"


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


class WorkerSettings(Frozen):
    """One worker process."""

    drain: float = Field(default=25.0, ge=0)
    """Seconds that running calls get at a graceful stop; the rest goes back."""
    call_timeout: float = Field(default=600.0, gt=0)
    connect_timeout: float = Field(default=10.0, gt=0)
    flush_rows: int = Field(default=100, gt=0)
    flush_after: float = Field(default=0.02, ge=0)
    failpoint: str | None = None
    """For the fault suite: `name` or `name:n`, where this process kills itself."""


class ApiSettings(Frozen):
    """The HTTP door."""

    max_body_bytes: int = Field(default=4 * 1024 * 1024, gt=0)
    max_bulk_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    max_wait: float = Field(default=60.0, gt=0)


class Settings(BaseSettings):
    """Everything that the environment may say; `PROMPTMILL_LEASE__TTL=30` sets `lease.ttl`."""

    model_config = SettingsConfigDict(
        env_prefix="PROMPTMILL_", env_nested_delimiter="__", frozen=True, extra="ignore"
    )

    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    redis_url: SecretStr = Field(validation_alias="REDIS_URL")
    pepper: SecretStr = Field(min_length=16)
    """Mixed into the hashes of API keys; made once per installation."""
    catalog: Path | None = None
    """A TOML file laid over the built-in catalog."""
    simulator_url: str | None = None
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    lease: LeaseSettings = LeaseSettings()
    dispatch: DispatchSettings = DispatchSettings()
    worker: WorkerSettings = WorkerSettings()
    api: ApiSettings = ApiSettings()

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL in the form that SQLAlchemy takes for psycopg 3."""
        url = self.database_url.get_secret_value()
        for scheme in ("postgresql://", "postgres://"):
            if url.startswith(scheme):
                return "postgresql+psycopg://" + url.removeprefix(scheme)
        return url


def read_settings() -> Settings:
    """The settings of this process; ConfigurationError lists every problem at once."""
    try:
        return Settings()  # type: ignore[call-arg]  # the environment fills it
    except ValidationError as error:
        problems = "; ".join(_problem(detail["loc"], detail["msg"]) for detail in error.errors())
        message = f"the environment is not complete: {problems}"
        raise ConfigurationError(message) from None


def provider_key(variables: tuple[str, ...]) -> SecretStr | None:
    """The first of these environment variables that is set and not empty."""
    for variable in variables:
        if value := os.environ.get(variable, "").strip():
            return SecretStr(value)
    return None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    names = [str(part).upper() for part in location]
    plain = len(names) == 1 and names[0] in {"DATABASE_URL", "REDIS_URL"}
    variable = names[0] if plain else "PROMPTMILL_" + "__".join(names)
    return f"{variable}: {message.lower()}"
