"""Gates, preflight and `ops` connect as the provider's plugin does: the same login, project, region and endpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openstack.exceptions import ConfigException

from gates.connection import connect
from gates.credentials import KEYS, Treatment, credentials_from

CLOUDS = """
clouds:
  one: {auth: {auth_url: "http://127.0.0.1:9/v3", username: a, password: b}, region_name: nz-por-1}
  two:
    auth: {auth_url: "http://127.0.0.1:9/v3", username: a, password: b}
    regions: [nz-por-1, {name: nz-wlg-2, values: {auth: {project_name: capital}}}]
  insecure: {auth: {auth_url: "http://127.0.0.1:9/v3", username: a, password: b}, verify: false}
"""

AUTH_URL = "http://127.0.0.1:9/v3"
PASSWORD = {"authUrl": AUTH_URL, "userName": "ann", "password": "hunter2", "tenantName": "shop"}
CREDENTIAL = {"authUrl": AUTH_URL, "applicationCredentialId": "c-1", "applicationCredentialSecret": "s3cret"}


@pytest.fixture(autouse=True)
def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(CLOUDS, encoding="utf-8")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Connect as a process of a provider with this configuration; return openstacksdk's configuration."""

    def configured(**configuration: Any) -> Any:
        for variable, value in credentials_from(configuration.get).items():
            monkeypatch.setenv(variable, value)
        return connect().config

    return configured


class TestTheRegionOfTheProviderCounts:
    """Prevents a gate that looks for Hamilton's servers in Porirua: the provider uses its own region, but openstacksdk
    by itself uses the region of the entry in clouds.yaml.
    """

    @pytest.mark.parametrize("cloud", ["one", "two"])
    def test_the_region_takes_precedence_over_clouds_yaml(self, configured: Any, cloud: str) -> None:
        config = configured(cloud=cloud, region="nz-hlz-1")
        assert {config.get_region_name(), config.get_region_name("compute")} == {"nz-hlz-1"}

    @pytest.mark.parametrize("cloud", ["one", "two"])
    def test_os_region_name_takes_precedence_over_clouds_yaml(
        self, monkeypatch: pytest.MonkeyPatch, cloud: str
    ) -> None:
        monkeypatch.setenv("OS_CLOUD", cloud)
        monkeypatch.setenv("OS_REGION_NAME", "nz-hlz-1")
        config = connect().config
        assert {config.get_region_name(), config.get_region_name("compute")} == {"nz-hlz-1"}

    def test_without_a_region_that_of_clouds_yaml_counts(self, configured: Any) -> None:
        assert configured(cloud="one").get_region_name() == "nz-por-1"

    def test_a_region_that_the_entry_lists_brings_its_values(self, configured: Any) -> None:
        config = configured(cloud="two", region="nz-wlg-2")
        assert config.get_region_name() == "nz-wlg-2"
        assert config.config["auth"]["project_name"] == "capital"


class TestTheConfigurationOfTheProviderCounts:
    """Prevents that the operator's own environment wins over an explicit provider, or mixes with it."""

    def test_the_cloud_of_the_provider_counts_and_not_os_cloud(
        self, monkeypatch: pytest.MonkeyPatch, configured: Any
    ) -> None:
        monkeypatch.setenv("OS_CLOUD", "two")
        assert configured(cloud="one").name == "one"

    def test_the_region_of_the_provider_counts_and_not_os_region_name(
        self, monkeypatch: pytest.MonkeyPatch, configured: Any
    ) -> None:
        monkeypatch.setenv("OS_REGION_NAME", "nz-por-1")
        assert configured(region="nz-hlz-1", **PASSWORD).get_region_name() == "nz-hlz-1"

    def test_a_login_of_the_environment_is_not_added_to_a_cloud(
        self, monkeypatch: pytest.MonkeyPatch, configured: Any
    ) -> None:
        monkeypatch.setenv("OS_USERNAME", "mallory")
        monkeypatch.setenv("OS_PROJECT_NAME", "other")
        auth = configured(cloud="one").config["auth"]
        assert auth["username"] == "a"
        assert "project_name" not in auth

    def test_a_value_of_the_environment_completes_the_configuration(
        self, monkeypatch: pytest.MonkeyPatch, configured: Any
    ) -> None:
        monkeypatch.setenv("OS_PASSWORD", "from the environment")
        monkeypatch.setenv("OS_USERNAME", "mallory")
        auth = configured(authUrl=AUTH_URL, userName="ann", tenantName="shop").config["auth"]
        assert (auth["username"], auth["password"]) == ("ann", "from the environment")

    def test_the_older_of_two_variables_counts_as_for_the_plugin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for variable, value in {
            "OS_AUTH_URL": AUTH_URL,
            "OS_USERNAME": "ann",
            "OS_PASSWORD": "hunter2",
            "OS_PROJECT_NAME": "new",
            "OS_TENANT_NAME": "old",
        }.items():
            monkeypatch.setenv(variable, value)
        assert connect().config.config["auth"]["project_name"] == "old"

    def test_a_variable_that_the_plugin_does_not_read_has_no_effect(
        self, monkeypatch: pytest.MonkeyPatch, configured: Any
    ) -> None:
        monkeypatch.setenv("OS_INTERFACE", "admin")
        monkeypatch.setenv("OS_AUTH_TYPE", "v3token")
        config = configured(**PASSWORD)
        assert config.get_interface() == "public"
        assert config.config["auth_type"] == "password"


class TestAnApplicationCredential:
    """Prevents «password is a required attribute»: openstacksdk does not see by itself which login is meant."""

    def test_by_its_id_it_needs_nothing_else(self, configured: Any) -> None:
        config = configured(**CREDENTIAL)
        assert config.config["auth_type"] == "v3applicationcredential"
        assert config.config["auth"] == {
            "auth_url": AUTH_URL,
            "application_credential_id": "c-1",
            "application_credential_secret": "s3cret",
        }
        (method,) = config.get_session().auth.auth_methods
        assert (method.application_credential_id, method.application_credential_secret) == ("c-1", "s3cret")

    def test_by_its_name_it_needs_the_user(self, configured: Any) -> None:
        auth = configured(
            authUrl=AUTH_URL,
            applicationCredentialName="ci",
            applicationCredentialSecret="s3cret",  # no real secret
            userName="ann",
            userDomainName="shop",
        ).config["auth"]
        assert (auth["application_credential_name"], auth["username"], auth["user_domain_name"]) == (
            "ci",
            "ann",
            "shop",
        )

    def test_a_project_beside_it_is_no_scope(self, configured: Any) -> None:
        assert "project_name" not in configured(**CREDENTIAL, tenantName="shop").config["auth"]

    @pytest.mark.parametrize("variable", ["OS_PASSWORD", "OS_TOKEN"])
    def test_a_password_or_a_token_beside_it_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, configured: Any, variable: str
    ) -> None:
        """The plugin logs in with the password rather, and without a project. Next to a token it does not log in."""
        monkeypatch.setenv(variable, "of the operator")
        with pytest.raises(ConfigException, match=rf"applicationCredentialId and {variable}.* are set.*remove one"):
            configured(**CREDENTIAL)


class TestTheLogin:
    """Prevents a gate that logs in as another user, or for another project, than the provider."""

    def test_a_token_counts_more_than_a_password(self, configured: Any) -> None:
        config = configured(**PASSWORD, token="t-1")  # no real secret
        assert config.config["auth_type"] == "token"
        assert config.config["auth"]["token"] == "t-1"
        assert config.config["auth"]["project_name"] == "shop"
        assert "password" not in config.config["auth"]

    @pytest.mark.parametrize(
        ("configuration", "domains"),
        [
            ({}, {"user_domain_id": "default", "project_domain_id": "default"}),
            ({"defaultDomain": "d-1"}, {"user_domain_id": "d-1", "project_domain_id": "d-1"}),
            ({"domainName": "shop"}, {"user_domain_name": "shop", "project_domain_name": "shop"}),
            ({"domainId": "d-2"}, {"user_domain_id": "d-2", "project_domain_id": "d-2"}),
            (
                {"userDomainName": "people", "projectDomainId": "d-3"},
                {"user_domain_name": "people", "project_domain_id": "d-3"},
            ),
        ],
    )
    def test_the_domains_of_user_and_project_are_those_of_the_provider(
        self, configured: Any, configuration: dict[str, str], domains: dict[str, str]
    ) -> None:
        auth = configured(**PASSWORD, **configuration).config["auth"]
        assert {key: value for key, value in auth.items() if "domain" in key} == domains

    def test_a_user_id_needs_no_domain(self, configured: Any) -> None:
        auth = configured(authUrl=AUTH_URL, userId="u-1", password="x", tenantId="p-1").config["auth"]
        assert auth == {
            "auth_url": AUTH_URL,
            "user_id": "u-1",
            "password": "x",
            "project_id": "p-1",
            "project_domain_id": "default",
        }


def _login_parameter(name: str) -> Callable[[Any], Any]:
    """Return the question for one parameter of the login."""
    return lambda config: config.config["auth"].get(name)


#: Key → the rest of a configuration, its value, and the question to openstacksdk's configuration with the answer.
PASSED: dict[str, tuple[dict[str, Any], Any, Callable[[Any], Any], Any]] = {
    "cloud": ({}, "one", lambda config: config.name, "one"),
    "region": (PASSWORD, "nz-hlz-1", lambda config: config.get_region_name("network"), "nz-hlz-1"),
    "cacertFile": (PASSWORD, "/ca.pem", lambda config: config.get_requests_verify_args()[0], "/ca.pem"),
    "cert": (PASSWORD, "/c.pem", lambda config: config.get_requests_verify_args()[1], "/c.pem"),
    "key": (
        {**PASSWORD, "cert": "/c.pem"},
        "/k.pem",
        lambda config: config.get_requests_verify_args()[1],
        ("/c.pem", "/k.pem"),
    ),
    "insecure": (PASSWORD, "true", lambda config: config.get_requests_verify_args()[0], False),
    "endpointType": (PASSWORD, "internalURL", lambda config: config.get_interface("compute"), "internal"),
    "endpointOverrides": (
        PASSWORD,
        '{"compute": "https://nova.example/v2.1/"}',
        lambda config: config.get_endpoint("compute"),
        "https://nova.example/v2.1/",
    ),
    "maxRetries": (PASSWORD, "3", lambda config: config.get_connect_retries("compute"), 3),
    **{
        key: (rest, "the value", _login_parameter(name), "the value")
        for key, name, rest in (
            ("authUrl", "auth_url", PASSWORD),
            ("userName", "username", PASSWORD),
            ("userId", "user_id", {"authUrl": AUTH_URL, "password": "x"}),
            ("password", "password", PASSWORD),
            ("token", "token", {"authUrl": AUTH_URL}),
            ("applicationCredentialId", "application_credential_id", CREDENTIAL),
            ("applicationCredentialSecret", "application_credential_secret", CREDENTIAL),
            (
                "applicationCredentialName",
                "application_credential_name",
                {"authUrl": AUTH_URL, "applicationCredentialSecret": "x", "userId": "u"},
            ),
            ("tenantId", "project_id", PASSWORD),
            ("tenantName", "project_name", PASSWORD),
            ("userDomainId", "user_domain_id", PASSWORD),
            ("userDomainName", "user_domain_name", PASSWORD),
            ("projectDomainId", "project_domain_id", PASSWORD),
            ("projectDomainName", "project_domain_name", PASSWORD),
            ("domainId", "user_domain_id", PASSWORD),
            ("domainName", "project_domain_name", PASSWORD),
            ("defaultDomain", "user_domain_id", PASSWORD),
        )
    },
}


class TestEveryKeyIsPassedOnOrRefused:
    """Prevents a key of the provider that the gates do not know, so that they ask another cloud."""

    def test_each_passed_key_has_a_row(self) -> None:
        assert set(PASSED) == {key for key, about in KEYS.items() if about.treatment is Treatment.PASSED}

    @pytest.mark.parametrize("key", PASSED)
    def test_openstacksdk_gets_the_value(self, configured: Any, key: str) -> None:
        rest, value, question, answer = PASSED[key]
        assert question(configured(**{**rest, key: value})) == answer

    @pytest.mark.parametrize("key", [key for key in PASSED if KEYS[key].variables])
    def test_a_variable_of_the_plugin_is_as_good_as_the_key(
        self, monkeypatch: pytest.MonkeyPatch, configured: Any, key: str
    ) -> None:
        rest, value, question, answer = PASSED[key]
        monkeypatch.setenv(KEYS[key].variables[-1], value)
        assert question(configured(**{name: other for name, other in rest.items() if name != key})) == answer

    def test_insecure_is_read_as_the_plugin_reads_it(self, configured: Any) -> None:
        assert configured(cloud="insecure").get_requests_verify_args()[0] is False
        assert configured(cloud="insecure", insecure="false").get_requests_verify_args()[0] is True
        assert configured(**PASSWORD, insecure=True).get_requests_verify_args()[0] is False

    def test_an_override_may_be_another_type_of_the_catalog(self, configured: Any) -> None:
        config = configured(**PASSWORD, endpointOverrides={"compute": "compute-next"})
        assert config.get_service_type("compute") == "compute-next"

    @pytest.mark.parametrize("key", [key for key, about in KEYS.items() if about.treatment is Treatment.IRRELEVANT])
    def test_an_irrelevant_key_changes_nothing(self, configured: Any, key: str) -> None:
        assert configured(**PASSWORD, **{key: "true"}).config == configured(**PASSWORD).config

    @pytest.mark.parametrize("key", [key for key, about in KEYS.items() if about.treatment is Treatment.REFUSED])
    def test_a_refused_key_is_named_with_the_way_out(self, configured: Any, key: str) -> None:
        with pytest.raises(ConfigException, match=rf"the provider's {key} is set, but .*: remove it"):
            configured(**PASSWORD, **{key: "true"})
        configured(**PASSWORD, **{key: "false"})

    @pytest.mark.parametrize("key", [key for key, about in KEYS.items() if about.is_login and key != "systemScope"])
    def test_a_login_next_to_a_cloud_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, configured: Any, key: str
    ) -> None:
        """The plugin ignores it, so the pair would be made in another project than the stack file says."""
        with pytest.raises(ConfigException, match=f"ignores {key} next to cloud = one"):
            configured(cloud="one", **{key: "x"})
        monkeypatch.setenv("OS_CLOUD", "two")
        with pytest.raises(ConfigException, match=rf"ignores {key} next to OS_CLOUD \(environment\) = two"):
            configured(**{key: "x"})

    def test_a_value_that_is_not_known_yet_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENSTACK_PROVIDER", '{"authUrl": "http://127.0.0.1:9", "password": null}')
        with pytest.raises(ConfigException, match="password is known only after an `up`: make it"):
            connect()
        monkeypatch.setenv("OPENSTACK_PROVIDER", '{"authUrl": null, "password": null}')
        with pytest.raises(ConfigException, match="authUrl and password are known only after an `up`: make them"):
            connect()
