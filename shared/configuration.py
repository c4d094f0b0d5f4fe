"""What a process is started with: settings and catalog, checked together before anything runs."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog

from shared.catalog.current import CurrentCatalog
from shared.catalog.deployments import Catalog
from shared.catalog.load import load_catalog
from shared.catalog.pricing import unpriced
from shared.domain.clock import SystemClock
from shared.domain.errors import ConfigurationError
from shared.routing.routes import problems_of
from shared.settings import (
    Settings,
    environment,
    overlay_of_catalog,
    provider_key,
    read_settings,
    unknown_variables,
)
from shared.telemetry.logs import configure_logs

log = structlog.get_logger(__name__)
Told = TypeVar("Told")

KEY: Final = re.compile(r"[!#-&(-~]+")
"""Printable ASCII without space and quotes."""
EXIT_CODE: Final = 2
"""What a process that cannot be started as it is configured ends with."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Checked: every part fits the others."""

    settings: Settings
    current: CurrentCatalog


def read_configuration() -> Configuration:
    """Read and check everything that this process is told; logs are configured afterwards.

    Raises ConfigurationError that names every problem at once, one a line. A variable of
    our prefix that nobody reads is only warned of.
    """
    settings, current, problems = None, None, []
    try:
        settings = read_settings()
    except ConfigurationError as error:
        problems += error.message.splitlines()
    try:
        current = _current(overlay_of_catalog(), settings.simulator_url if settings else None)
    except ConfigurationError as error:
        problems += error.message.splitlines()
    unknown = unknown_variables()
    if problems or settings is None or current is None:
        told = {problem.partition(":")[0] for problem in problems}
        problems += [_unknown(name, near) for name, near in unknown.items() if name not in told]
        raise ConfigurationError("\n".join(problems))
    configure_logs(settings.log_level, settings.log_format)
    for variable, near in unknown.items():
        log.warning("unknown_variable", variable=variable, near=near)
    return Configuration(settings, current)


def current_catalog(settings: Settings) -> CurrentCatalog:
    """The catalog of these settings and the environment. Raises ConfigurationError."""
    return _current(settings.catalog, settings.simulator_url)


def configuration_or_exit(process: str) -> Configuration:
    """For an entry point: problems become lines on stderr and exit code 2."""
    return or_exit(process, read_configuration)


def or_exit(process: str, read: Callable[[], Told]) -> Told:
    """What `read` gives; its ConfigurationError becomes lines on stderr and exit code 2."""
    try:
        return read()
    except ConfigurationError as error:
        lines = error.message.splitlines()
        number = f"{len(lines)} problem{'s' if len(lines) > 1 else ''}"
        sys.stderr.write(f"{process}: it cannot start, {number} in its configuration:\n")
        sys.stderr.writelines(f"  {line}\n" for line in lines)
        raise SystemExit(EXIT_CODE) from None


def _current(overlay: Path | None, simulator_url: str | None) -> CurrentCatalog:
    return CurrentCatalog(partial(_checked_catalog, overlay, simulator_url), overlay)


def _checked_catalog(overlay: Path | None, simulator_url: str | None) -> Catalog:
    """Raises ConfigurationError that has every problem, one a line."""
    try:
        catalog = load_catalog(overlay, simulator_url=simulator_url, variables=environment())
    except ConfigurationError as error:
        problems = [error.message, *_unusable_keys(load_catalog())]
        raise ConfigurationError("\n".join(problems)) from None
    problems = [*_unusable_keys(catalog), *unpriced(catalog, SystemClock().now())]
    problems += problems_of(catalog)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return catalog


def _unusable_keys(catalog: Catalog) -> list[str]:
    """Keys that no provider can have made: with a space, a quote or a control character."""
    variables = {v for provider in catalog.providers.values() for v in provider.key_variables}
    return [
        f"{variable}: it holds a space, a quote or a character that no key has; "
        "set it to the key alone"
        for variable in sorted(variables)
        if (key := provider_key((variable,))) and not KEY.fullmatch(key.get_secret_value())
    ]


def _unknown(variable: str, near: str | None) -> str:
    hint = f"did you mean {near}?" if near else "take it out"
    return f"{variable}: nobody reads it (a warning only); {hint}"
