"""Named places where the fault suite makes this process kill itself."""

import os
import signal
from typing import Final

NAMES: Final = frozenset(
    {"after_release", "before_send", "after_answer", "before_commit", "after_commit_before_ack"}
)


class Failpoints:
    """`name` dies at the first passage of that place, `name:n` at the n-th; None never."""

    def __init__(self, plan: str | None) -> None:
        name, _, passages = (plan or "").partition(":")
        if plan and name not in NAMES:
            known = ", ".join(sorted(NAMES))
            message = f"PROMPTMILL_WORKER__FAILPOINT: unknown failpoint {name!r} (one of {known})"
            raise ValueError(message)
        self._name = name
        self._left = int(passages or 1)

    def passing(self, name: str) -> None:
        """Pass the place of that name, or die there as by `kill -9`."""
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
