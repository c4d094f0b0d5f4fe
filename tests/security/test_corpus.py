"""No spelling of an address inside is ever connected to, not by a name that changes its mind."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shared.security.egress import Egress, EgressError, UnreachableError
from tests.security.corpus import CORPUS, NAMES

PUBLIC = "93.184.216.34"
ASKED_AS_IT_IS = socket.getaddrinfo


@pytest.fixture
async def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that somebody tried to connect to; nobody ever gets there."""
    reached: list[str] = []

    async def connect(_: Any, place: tuple[Any, ...]) -> None:
        reached.append(f"{place[0]}:{place[1]}")
        raise OSError("nobody is there")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)
    return reached


def answers(monkeypatch: pytest.MonkeyPatch, names: dict[str, Iterator[list[str]]]) -> list[str]:
    """Name servers of the test's own, asked for what is no number; the names they were asked."""
    asked: list[str] = []

    def look_up(host: str, port: int, family: int = 0, kind: int = 0, **_: Any) -> list[Any]:
        try:
            return ASKED_AS_IT_IS(host, port, family, kind, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            asked.append(host)
            if host not in names:
                raise
        return [ASKED_AS_IT_IS(each, port, 0, kind)[0] for each in next(names[host])]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


async def test_nothing_of_the_corpus_is_connected_to(
    monkeypatch: pytest.MonkeyPatch, reached: list[str]
) -> None:
    answers(monkeypatch, {name: iter([[inside]] * 9) for name, inside in NAMES.items()})
    assert len(CORPUS) >= 150
    told: list[str] = []
    async with Egress() as egress:
        for url in CORPUS:
            with pytest.raises((EgressError, UnreachableError)) as refused:
                await egress.post(url, b"{}", {}, seconds=5)
            if isinstance(refused.value, UnreachableError):
                told.append(url)
    assert reached == []
    # All but a few are known for what they are; these are names that nobody has.
    assert len(told) <= 5, told


async def test_one_address_inside_among_others_is_one_too_many(
    monkeypatch: pytest.MonkeyPatch, reached: list[str]
) -> None:
    answers(monkeypatch, {"both.example.org": iter([[PUBLIC, "10.0.0.1"]])})
    async with Egress() as egress:
        with pytest.raises(EgressError, match="public internet"):
            await egress.post("https://both.example.org/", b"{}", {}, seconds=5)
    assert reached == []


async def test_a_name_is_asked_once_and_what_it_said_is_what_is_called(
    monkeypatch: pytest.MonkeyPatch, reached: list[str]
) -> None:
    flips = iter([[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]])
    asked = answers(monkeypatch, {"flip.example.org": flips})
    async with Egress() as egress:
        with pytest.raises(UnreachableError):
            await egress.post("https://flip.example.org/", b"{}", {}, seconds=5)
    assert (len(asked), reached) == (1, [f"{PUBLIC}:443"])
    for _ in range(2):
        async with Egress() as egress:
            with pytest.raises(EgressError, match="public internet"):
                await egress.post("https://flip.example.org/", b"{}", {}, seconds=5)
    assert reached == [f"{PUBLIC}:443"]


async def test_a_name_server_that_hangs_holds_up_nobody_else(
    monkeypatch: pytest.MonkeyPatch, reached: list[str]
) -> None:
    over = threading.Event()

    def look_up(host: str, port: int, family: int, kind: int) -> list[Any]:
        if host == "slow.example.org":
            over.wait(30)
        return ASKED_AS_IT_IS(PUBLIC, port, family, kind)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with Egress() as egress:
        slow = [
            asyncio.create_task(egress.post("https://slow.example.org/", b"", {}, seconds=30))
            for _ in range(3)
        ]
        with pytest.raises(UnreachableError):
            await egress.post("https://quick.example.org/", b"", {}, seconds=5)
        assert reached == [f"{PUBLIC}:443"]
        over.set()
        assert {type(each) for each in await asyncio.gather(*slow, return_exceptions=True)} == {
            UnreachableError
        }
