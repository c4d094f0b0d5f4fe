"""The image's health check: ends with 0 when this container's process does its work."""  # noqa: INP001 - a script

import os
import socket
import sys
from http.client import HTTPConnection, HTTPException
from typing import Final

SECONDS: Final = 4
"""For an answer; docker-compose.yml gives the whole check more."""
USAGE: Final = "healthcheck: say `lease` for a worker, or PORT/PATH of what must answer 200\n"
LEASE: Final = """
SELECT count(*) FROM workers
WHERE host = %s AND state = 'alive' AND lease_until > clock_timestamp()
"""


class UnhealthyError(Exception):
    """With what is wrong, in a sentence."""


def require_lease() -> None:
    """Raises UnhealthyError unless the worker of this host has renewed its lease in time.

    A worker whose event loop hangs stops renewing; asking it through Celery would cost a
    second of CPU each time and prove less.
    """
    import psycopg  # noqa: PLC0415 - the other check does not need it

    # Settings would take longer to import than the check takes.
    url = os.environ["DATABASE_URL"].replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(url, connect_timeout=SECONDS) as connection:
            row = connection.execute(LEASE, [socket.gethostname()]).fetchone()
    except psycopg.Error as error:
        raise UnhealthyError(f"Postgres does not answer ({type(error).__name__})") from None
    if row is None or row[0] == 0:
        raise UnhealthyError("no living worker of this host holds a lease")


def require_answer(port: int, path: str) -> None:
    """Raises UnhealthyError unless a GET there, on this host, is answered by 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise UnhealthyError(f"port {port} does not answer: {error}") from None
    finally:
        connection.close()
    if status != 200:
        raise UnhealthyError(f"{path} answers {status}")


def main(words: list[str]) -> int:
    """Exit code: 0 healthy, 1 not, 2 for words that are no check."""
    port, slash, path = words[0].partition("/") if len(words) == 1 else ("", "", "")
    try:
        if words == ["lease"]:
            require_lease()
        elif port.isdecimal():
            require_answer(int(port), slash + path)
        else:
            sys.stderr.write(USAGE)
            return 2
    except UnhealthyError as error:
        sys.stderr.write(f"{words[0]}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
