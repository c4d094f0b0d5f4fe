"""Promises about whom the servers run as."""

import os
from pathlib import Path

import pytest

from cli.stack.account import MASKED, OURSELVES, Account, choose_account, reachable, run_as
from cli.stack.errors import StackError
from cli.stack.home import Home
from cli.stack.options import StackOptions
from cli.stack.servers import Servers
from shared.domain.errors import ConfigurationError
from tests.stack.launchers import NOBODY, WITHOUT_ENTRY

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends an account")


@AS_ROOT
def test_root_lends_the_account_that_is_asked_for(folder: Path) -> None:
    chosen = choose_account(folder, "nobody")
    assert chosen.uid == NOBODY
    assert run_as(chosen, ["/usr/bin/id", "-u"]).strip() == str(NOBODY)


@AS_ROOT
@pytest.mark.parametrize("name", ["no-such-account", "root"])
def test_an_account_that_cannot_serve_is_refused_by_its_variable(folder: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="PROMPTMILL_PG_USER"):
        choose_account(folder, name)


@AS_ROOT
def test_a_folder_that_the_account_cannot_enter_makes_a_mask(folder: Path) -> None:
    assert reachable(Account(NOBODY, NOBODY), folder)
    folder.chmod(0o700)
    assert not reachable(Account(NOBODY, NOBODY), folder)
    assert choose_account(folder) == MASKED
    assert run_as(MASKED, ["/usr/bin/id", "-u"]).strip() == str(NOBODY)


@AS_ROOT
def test_data_of_another_owner_is_refused_in_words(home: Home) -> None:
    options = StackOptions(home=home.root, redis_url="redis://elsewhere", pg_user="nobody")
    lock = home.take_lock()
    Servers(options, lock).prepare()
    data = next(home.root.glob("pg*"))
    os.chown(data, WITHOUT_ENTRY, WITHOUT_ENTRY)
    with pytest.raises(StackError, match=f"belongs to uid {WITHOUT_ENTRY}.*PROMPTMILL_PG_USER"):
        Servers(options, lock).prepare()
    lock.release()


@pytest.mark.skipif(os.geteuid() == 0, reason="for an ordinary user")
def test_an_ordinary_user_serves_himself(folder: Path) -> None:
    assert choose_account(folder) == OURSELVES
