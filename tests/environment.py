"""The environment in which tests start the product's processes."""

import os

FROM_OUTSIDE = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")
PEPPER = "a pepper for tests only"


def environment(database_url: str, redis_url: str, **more: str) -> dict[str, str]:
    """Only what is named: no key or setting of the caller leaks into a test."""
    inherited = {name: os.environ[name] for name in FROM_OUTSIDE if name in os.environ}
    return {
        **inherited,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PROMPTMILL_PEPPER": PEPPER,
        "PYTHONUNBUFFERED": "1",
        **more,
    }
