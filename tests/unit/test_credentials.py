"""The table of the provider's configuration keys is complete, and no value of a secret is in a message."""

from __future__ import annotations

import inspect
import json

import pulumi_openstack as openstack
import pytest

from gates.credentials import KEYS, VARIABLE, CredentialsError, Treatment, credentials_from, provider_settings


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


class TestTheTableIsTheProviders:
    """Prevents a key that a new version of the provider has and the gates do not know."""

    def test_it_has_exactly_the_keys_of_a_provider(self) -> None:
        parameters = list(inspect.signature(openstack.ProviderArgs).parameters)
        assert set(KEYS) == {_camel_case(name) for name in parameters}

    def test_a_key_that_is_not_passed_on_says_why(self) -> None:
        silent = [key for key, about in KEYS.items() if about.treatment is not Treatment.PASSED and not about.why]
        assert silent == []


class TestTheVariable:
    """Prevents a diff in every preview, and a variable that only one of two operators has."""

    def test_it_has_only_what_is_configured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OS_CLOUD", "of this operator")
        configured = {"region": "nz-hlz-1", "cloud": "", "password": None, "notAKey": "x"}
        assert credentials_from(configured.get) == {VARIABLE: '{"region": "nz-hlz-1"}'}

    def test_the_order_of_the_keys_is_always_the_same(self) -> None:
        one, other = {"region": "r", "authUrl": "u"}, {"authUrl": "u", "region": "r"}
        assert credentials_from(one.get) == credentials_from(other.get)

    @pytest.mark.parametrize(
        "configured",
        [
            {"cloud": "c", "password": "hunter2"},
            {"authUrl": "u", "applicationCredentialSecret": "hunter2", "password": "hunter2"},
            {"authUrl": "u", "systemScope": "true", "token": "hunter2"},
        ],
    )
    def test_no_message_has_a_secret(self, configured: dict[str, str]) -> None:
        with pytest.raises(CredentialsError) as raised:
            provider_settings({VARIABLE: json.dumps(configured)})
        assert "hunter2" not in str(raised.value)
