"""Named places where the fault suite makes this process kill or freeze itself."""

import os
import signal
from typing import Final

NAMES: Final = frozenset(
    {
        "in_release",
        "after_release",
        "before_send",
        "after_answer",
        "before_commit",
        "after_commit_before_ack",
    }
)
SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Failpoints:
    """Obeys a plan `name[:passage[:kill|stop]]`; None never does anything.

    `before_send:20` dies as by `kill -9` at the twentieth passage of that place,
    `in_release:1:stop` freezes at the first. Raises ValueError for any other plan.
    """

    def __init__(self, plan: str | None) -> None:
        name, passage, action = [*(plan or "").split(":"), "", ""][:3]
        if plan and (name not in NAMES or (action or "kill") not in SIGNALS):
            known = ", ".join(sorted(NAMES))
            message = f"PROMPTMILL_WORKER__FAILPOINT: no such plan {plan!r} (places: {known})"
            raise ValueError(message)
        self._name = name
        self._left = int(passage or 1)
        self._signal = SIGNALS[action or "kill"]

    def passing(self, name: str) -> None:
        """Pass the place of that name, or obey the plan there."""
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._signal)
