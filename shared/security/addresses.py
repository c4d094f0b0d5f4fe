"""Which addresses lie on the public internet, and names looked up so that none else comes out."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

V6_UNICAST: Final = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given to hosts of the internet."""
NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        # Protocol assignments, a metadata server among them; a cloud's host agent; 6to4.
        "192.0.0.0/24", "168.63.129.16/32", "192.88.99.0/24",
        # Teredo, ORCHID and the like; 6to4; documentation.
        "2001::/23", "2002::/16", "2001:db8::/32", "3fff::/20",
    )
)  # fmt: skip
"""What the standard library, or some version of it, takes for public."""
MOST_LOOKUPS: Final = 512
"""At one time; a look-up that nobody waits for any more counts until it ends."""


class DeniedAddressError(OSError):
    """The guard's own refusal, told apart from what the network refuses."""

    def __init__(self) -> None:
        super().__init__("its address is not on the public internet")


def is_public(address: str) -> bool:
    """Whether an IP address, as text, lies on the public internet. Raises ValueError."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # What else holds an IPv4 address (NAT64 and its kin) is no unicast of the internet.
        ip = ip.ipv4_mapped or ip
    if ip.version == V6_UNICAST.version and ip not in V6_UNICAST:
        return False
    reserved = any(ip.version == net.version and ip in net for net in NOT_PUBLIC)
    return ip.is_global and not ip.is_multicast and not reserved


class Resolver(AbstractResolver):
    """Looks each name up in a thread of its own: a name server that hangs holds up nobody else."""

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed
        self._lookups = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of a name. DeniedAddressError where one of them may not be called."""
        found = await self._look_up(host, port, family)
        addresses = [(kind, str(place[0])) for kind, _, _, _, place in found]
        if not all(self._allowed(address) for _, address in addresses):
            raise DeniedAddressError
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, address in addresses
        ]

    async def close(self) -> None:
        """Nothing to close: threads end with their look-ups, or with the process."""

    async def _look_up(self, host: str, port: int, family: int) -> list[Any]:
        if self._lookups >= MOST_LOOKUPS:
            raise OSError("too many names are being looked up")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()
        self._lookups += 1

        def ended(found: list[Any] | Exception) -> None:
            self._lookups -= 1
            if answer.done():
                return
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        Thread(
            target=_look_up, args=(host, port, family, loop, ended), daemon=True, name="look-up"
        ).start()
        return await answer


def _look_up(
    host: str,
    port: int,
    family: int,
    loop: asyncio.AbstractEventLoop,
    ended: Callable[[list[Any] | Exception], None],
) -> None:
    found: list[Any] | Exception
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        found = error
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(ended, found)
