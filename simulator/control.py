"""The control routes of a test: counters, script, limits, reset."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from simulator.account import Account
from simulator.faults import Script
from simulator.http import Request, Response
from simulator.limits import Limits
from simulator.stats import together
from simulator.strict import sentence

OBJECT: Final = TypeAdapter(dict[str, Any])
ANYTHING: Final = TypeAdapter(Any)


class Control:
    """What a test may ask and set while the accounts run."""

    def __init__(self, accounts: Mapping[str, Account], script: Script) -> None:
        self._accounts = accounts
        self._script = script

    async def stats(self, _: Request) -> Response:
        """GET /_sim/stats: of all accounts together, and of each that was asked for anything."""
        snapshots = {name: _snapshot(account) for name, account in self._accounts.items()}
        asked = {name: each for name, each in snapshots.items() if each["first_at"] is not None}
        return _reply({**together(snapshots.values()), "providers": asked})

    async def script(self, request: Request) -> Response:
        """POST /_sim/script: replace the script."""
        try:
            self._script.load(ANYTHING.validate_json(request.body))
        except ValidationError as error:
            return _reply({"error": sentence(error)}, status=400)
        return _reply({"ok": True})

    async def limits(self, request: Request) -> Response:
        """POST /_sim/limits: change those that are named; what was admitted still counts.

        With `provider` only that account's. A window that grows does not bring back what the
        shorter one forgot.
        """
        try:
            changes = OBJECT.validate_json(request.body)
            provider = changes.pop("provider", None)
            changed = {
                name: Limits.model_validate({**account.gate.limits.model_dump(), **changes})
                for name, account in self._accounts.items()
                if provider in {None, name}
            }
        except ValidationError as error:
            return _reply({"error": sentence(error)}, status=400)
        if not changed:
            known = ", ".join(self._accounts)
            return _reply({"error": f"provider: {provider!r} is none of {known}"}, status=400)
        for name, limits in changed.items():
            self._accounts[name].gate.set(limits)
        return _reply(next(iter(changed.values())).model_dump())

    async def reset(self, _: Request) -> Response:
        """POST /_sim/reset: forget counters, script, caches and windows; not the limits."""
        self._script.load([])
        for account in self._accounts.values():
            account.counters.clear()
            account.gate.clear()
            account.shelf.prefixes.clear()
        return _reply({"ok": True})


def _snapshot(account: Account) -> dict[str, Any]:
    window = account.gate.arrivals
    return {
        **account.counters.snapshot(),
        "max_requests_in_window": window.most_requests,
        "max_tokens_in_window": window.most_tokens,
    }


def _reply(value: Any, status: int = 200) -> Response:
    return Response(status=status, body=orjson.dumps(value))
