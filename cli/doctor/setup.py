"""Checks of what Promptmill was told: catalog, keys, home, ports."""

import os
import socket

from cli.doctor.finding import Finding, ok, problem, warning
from cli.local.environment import Surroundings
from cli.stack.home import Home
from shared.domain.errors import ConfigurationError
from shared.settings import unknown_variables


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


def variables() -> Finding:
    """Nobody waits for a setting that nobody reads."""
    unknown = unknown_variables()
    if not unknown:
        return ok("every PROMPTMILL_ variable is known")
    said = ", ".join(f"{name} (near: {near})" if near else name for name, near in unknown.items())
    return warning(f"nobody reads {said}", "correct the name, or unset it")


def home(told: Surroundings) -> Finding:
    """The folder of the local stack is ours and in nobody's way."""
    folder = Home(told.options().home)
    there = next(each for each in (folder.root, *folder.root.parents) if each.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        return problem(f"{there} cannot be used", "set PROMPTMILL_HOME to a folder of yours")
    if (launcher := folder.launcher()) is not None:
        return ok(f"a stack runs in {folder.root} (pid {launcher})")
    return ok(f"no stack runs in {folder.root}")


def loopback() -> Finding:
    """Ports can be had on 127.0.0.1."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        reason = error.strerror or str(error)
        return problem(f"no port can be had on 127.0.0.1 ({reason})", "allow the loopback network")
    return ok("ports can be had on 127.0.0.1")
