"""Checks of what Promptmill was told: settings, catalog, keys."""

import subprocess
import sys
from typing import Final

from cli.doctor.finding import Finding, ok, problem, warning
from cli.local.environment import Surroundings
from shared.domain.errors import ConfigurationError
from shared.settings import unknown_variables

READ: Final = "from shared.configuration import *; or_exit('promptmill', read_configuration)"
"""What every process does first."""
GIVEN_BY_UP: Final = {
    "DATABASE_URL": "postgresql://promptmill@127.0.0.1/promptmill",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "PROMPTMILL_PEPPER": "made once by up and kept",
}


def settings(told: Surroundings) -> list[Finding]:
    """Each process can be started with them; what `up` would set itself may be absent."""
    env = {**GIVEN_BY_UP, **{name: value for name, value in told.values.items() if value.strip()}}
    for judged_elsewhere in ("PROMPTMILL_CATALOG", *unknown_variables(told.values)):
        env.pop(judged_elsewhere, None)
    asked = [sys.executable, "-c", READ]
    answer = subprocess.run(asked, env=env, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if answer.returncode == 0:
        return [ok("every setting can be used")]
    told_apart = [line.strip().partition("; ") for line in answer.stderr.splitlines()[1:]]
    return [problem(what, way_out) for what, _, way_out in told_apart]


def pepper(told: Surroundings) -> Finding:
    """Processes on several machines must share it; `up` makes one where it is alone."""
    if told.values.get("PROMPTMILL_PEPPER", "").strip():
        return ok("PROMPTMILL_PEPPER is set")
    if not told.options().database_url:
        return ok("`promptmill up` keeps a pepper of its own")
    return warning(
        "PROMPTMILL_PEPPER is not set: `promptmill up` makes one, but no other process knows it",
        "set it to 16 random characters or more, the same for every process",
    )


def catalog(told: Surroundings) -> Finding:
    """The overlay, if there is one, can be read and fits."""
    try:
        found = told.catalog()
    except ConfigurationError as error:
        return problem(error.message, "correct that file, or unset PROMPTMILL_CATALOG")
    overlay = told.values.get("PROMPTMILL_CATALOG")
    return ok(f"{len(found.models)} models known{f', with {overlay}' if overlay else ''}")


def keys(told: Surroundings) -> Finding:
    """At least one provider can be called."""
    try:
        providers = told.catalog().providers.values()
    except ConfigurationError:
        return warning("the keys cannot be checked", "mend the catalog first")
    real = [provider for provider in providers if not provider.rehearsal]
    ready = [provider.id for provider in real if told.has_any(provider.key_variables)]
    if ready:
        return ok(f"keys for {', '.join(ready)}")
    variables = sorted({name for provider in real for name in provider.key_variables})
    way_out = f"set {' or '.join(variables)} in the environment or in .env"
    return warning("no provider has a key: only rehearsals run", way_out)


def variables(told: Surroundings) -> Finding:
    """Nobody waits for a setting that nobody reads."""
    unknown = unknown_variables(told.values)
    if not unknown:
        return ok("every PROMPTMILL_ variable is known")
    said = ", ".join(f"{name} (near: {near})" if near else name for name, near in unknown.items())
    return warning(f"nobody reads {said}", "correct the name, or unset it")
