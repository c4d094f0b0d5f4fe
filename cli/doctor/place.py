"""Checks of the home of the local stack, and of the ports on this machine."""

import os
import socket

from cli.doctor.finding import Finding, ok, problem, warning
from cli.local.environment import Surroundings
from cli.stack.account import choose_account
from cli.stack.home import Home


def home(told: Surroundings) -> Finding:
    """The folder is ours, and its lock is nobody's who died."""
    folder = Home(told.options().home)
    launcher = folder.launcher()
    if launcher is not None:
        return ok(f"a stack runs in {folder.root} (pid {launcher})")
    if folder.is_orphaned():
        held = f"servers of a launcher that died still hold {folder.lock_file}"
        return warning(held, "wait some seconds; if they stay, end them")
    there = next(each for each in (folder.root, *folder.root.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        return problem(f"{there} cannot be written", "set PROMPTMILL_HOME to a folder of yours")
    return ok(f"no stack runs in {folder.root}")


def state(told: Surroundings) -> Finding:
    """It can be read, and by its owner alone: it holds the keys of this installation."""
    folder = Home(told.options().home)
    folder.read_state()
    path = folder.state_file
    if path.exists() and path.stat().st_mode & 0o077:
        return problem(f"others can read {path}, which holds secrets", f"chmod 600 {path}")
    return ok("the state is readable by its owner alone" if path.exists() else "no state yet")


def owner(told: Surroundings) -> Finding:
    """The account that Postgres and Valkey run under owns the data."""
    options = told.options()
    if options.database_url and options.redis_url:
        return ok("no data of servers is kept here")
    uid = choose_account(options.home, options.pg_user).owner
    for folder in options.home.glob("pg*"):
        found = folder.stat().st_uid
        if found != uid:
            what = f"{folder} belongs to uid {found}, but Postgres would run as uid {uid}"
            return problem(what, "run this as that user, or set PROMPTMILL_PG_USER to it as root")
    return ok(f"the servers run as uid {uid}, who owns their data")


def loopback() -> Finding:
    """Ports can be had on 127.0.0.1."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        reason = error.strerror or str(error)
        return problem(f"no port can be had on 127.0.0.1 ({reason})", "allow the loopback network")
    return ok("ports can be had on 127.0.0.1")
