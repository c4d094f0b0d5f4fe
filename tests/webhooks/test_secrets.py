"""Secrets of endpoints are derived, and what is signed tells by which of them."""

import base64

import pytest
from pydantic import SecretStr

from shared.domain.signing import signing_key
from shared.security.webhooks import endpoint_secret, endpoint_secrets, hint_of, signed_headers

PEPPER = SecretStr("a pepper of some length")


def test_a_secret_is_the_same_for_an_endpoint_and_number_and_for_no_other() -> None:
    secret = endpoint_secret(PEPPER, "we_1", 1).get_secret_value()
    assert secret.startswith("whsec_")
    assert len(signing_key(secret)) == 32
    others = [
        endpoint_secret(PEPPER, "we_1", 2),
        endpoint_secret(PEPPER, "we_2", 1),
        endpoint_secret(SecretStr("another pepper of some length"), "we_1", 1),
    ]
    assert secret == endpoint_secret(PEPPER, "we_1", 1).get_secret_value()
    assert secret not in {each.get_secret_value() for each in others}
    assert hint_of(SecretStr(secret)) == f"whsec_…{secret[-4:]}"


@pytest.mark.parametrize(
    ("number", "with_old", "numbers"), [(3, True, [3, 2]), (3, False, [3]), (1, True, [1])]
)
def test_the_one_before_signs_too_where_it_still_may(
    number: int, *, with_old: bool, numbers: list[int]
) -> None:
    found = endpoint_secrets(PEPPER, "we_1", number, with_old=with_old)
    assert list(found) == [endpoint_secret(PEPPER, "we_1", each) for each in numbers]


def test_two_secrets_give_two_signatures_behind_each_other() -> None:
    secrets = endpoint_secrets(PEPPER, "we_1", 2, with_old=True)
    headers = signed_headers(secrets, "evt_1", 1_700_000_000, b"{}")
    one_by_one = [
        signed_headers([each], "evt_1", 1_700_000_000, b"{}")["webhook-signature"]
        for each in secrets
    ]
    assert headers["webhook-signature"] == " ".join(one_by_one)
    assert all(len(base64.b64decode(each.removeprefix("v1,"))) == 32 for each in one_by_one)
