"""`promptmill doctor`: every check in turn, one line each."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Annotated, Final

import typer

from cli.doctor import machine, place, servers, setup
from cli.doctor.finding import Finding, Level, complaint
from cli.errors import Exit, told_plainly
from cli.local.environment import Surroundings
from shared.domain.errors import PromptmillError

app = typer.Typer()

Check = Callable[[Surroundings], Iterable[Finding]]
CHECKS: Final[dict[str, Check]] = {
    "python": lambda _: [machine.python()],
    "packages": lambda _: [machine.packages(), machine.lock()],
    "settings": lambda told: [*setup.settings(told), setup.variables(told), setup.pepper(told)],
    "disk": lambda told: [machine.disk(told.options().home)],
    "memory": lambda _: [machine.memory()],
    "open files": lambda _: [machine.open_files()],
    "catalog": lambda told: [setup.catalog(told)],
    "keys": lambda told: [setup.keys(told)],
    "home": lambda told: [place.home(told), place.state(told), place.owner(told)],
    "ports": lambda _: [place.loopback()],
    "postgres": lambda told: servers.postgres(told.options()),
    "redis": lambda told: servers.redis(told.options()),
}
COLOURS: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@app.command(epilog="Examples:\n\n  promptmill doctor\n\n  promptmill doctor --json")
def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say what is missing here, and how to mend it; exit code 1 when there is a problem."""
    with told_plainly():
        told = Surroundings.read()
    findings = list(_findings(told))
    if as_json:
        sys.stdout.write(json.dumps([{"check": name, **asdict(each)} for name, each in findings]))
        sys.stdout.write("\n")
    else:
        for name, finding in findings:
            _tell(name, finding)
    levels = Counter(finding.level for _, finding in findings)
    if not as_json:
        typer.echo(f"\n{levels[Level.PROBLEM]} problems, {levels[Level.WARNING]} warnings")
    raise typer.Exit(Exit.SOME_FAILED if levels[Level.PROBLEM] else Exit.OK)


def _findings(told: Surroundings) -> Iterator[tuple[str, Finding]]:
    """Of every check; what it cannot go on with is what it found, and is told once."""
    complaints: set[Finding] = set()
    for name, check in CHECKS.items():
        try:
            for finding in check(told):
                yield name, finding
        except PromptmillError as error:
            if complaint(error) not in complaints:
                yield name, complaint(error)
            complaints.add(complaint(error))


def _tell(name: str, finding: Finding) -> None:
    level = typer.style(f"{finding.level:<8}", fg=COLOURS[finding.level])
    typer.echo(f"{level} {name:<11} {finding.what}")
    if finding.way_out:
        typer.echo(f"{'':<8} {'':<11} -> {finding.way_out}")
