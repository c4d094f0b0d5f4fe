"""Whether a URL may be told anything, by its spelling: what it leads to is looked at later."""

from shared.domain.errors import InvalidRequestError
from shared.security.egress import EgressError, check_url, is_loopback, looks_public


def require_url(url: str, *, field: str, development: bool) -> None:
    """Raises InvalidRequestError that names the field; `development`: this machine is fine, too."""
    try:
        check_url(url, plain_http=development)
    except EgressError as error:
        message = f"{field}: {error}"
        raise InvalidRequestError(message, field=field) from None
    if looks_public(url) or (development and is_loopback(url)):
        return
    message = f"{field}: its address is not on the public internet"
    raise InvalidRequestError(message, field=field)
