"""The provider's configuration, and how it reaches the processes that ask the cloud.

The program hands the configuration of the pair's provider to each process in one environment variable (``VARIABLE``),
because a process argument can be read by every user of the machine. The process inherits the environment of the engine,
as the provider's plugin does. So both work out the same values: the configuration counts, then the environment.

The keys are those of pulumi-openstack 5.5. Names of variables and precedence are those of the Terraform provider in it
(terraform-provider-openstack 3.4, ``openstack/provider.go`` and ``utils/v2/auth/config.go``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: The variable with the provider's configuration: a JSON object, key → value. null is a value that is not known yet.
VARIABLE = "OPENSTACK_PROVIDER"


class Treatment(StrEnum):
    """What happens with a configuration key of the provider."""

    #: The processes connect with it.
    PASSED = "passed"
    #: It changes nothing for a process that only asks the cloud.
    IRRELEVANT = "irrelevant"
    #: A pair can't be made with it.
    REFUSED = "refused"


@dataclass(frozen=True)
class ProviderKey:
    """One configuration key of the provider."""

    #: The environment variables that the plugin reads when the key is not configured. The first one that is set counts.
    variables: tuple[str, ...] = ()
    treatment: Treatment = Treatment.PASSED
    #: Why the key is irrelevant; for a refused key, the reason and the way out.
    why: str = ""
    #: Whether the plugin ignores the key next to ``cloud``: an entry of clouds.yaml has all of the login.
    is_login: bool = False


def _login(*variables: str) -> ProviderKey:
    return ProviderKey(variables, is_login=True)


def _irrelevant(why: str, *variables: str) -> ProviderKey:
    return ProviderKey(variables, Treatment.IRRELEVANT, why)


#: All configuration keys of the provider.
KEYS: dict[str, ProviderKey] = {
    "cloud": ProviderKey(("OS_CLOUD",)),
    "region": ProviderKey(("OS_REGION_NAME",)),
    "authUrl": _login("OS_AUTH_URL"),
    "userName": _login("OS_USERNAME"),
    "userId": _login("OS_USER_ID"),
    "password": _login("OS_PASSWORD"),
    "token": _login("OS_TOKEN", "OS_AUTH_TOKEN"),
    "applicationCredentialId": _login("OS_APPLICATION_CREDENTIAL_ID"),
    "applicationCredentialName": _login("OS_APPLICATION_CREDENTIAL_NAME"),
    "applicationCredentialSecret": _login("OS_APPLICATION_CREDENTIAL_SECRET"),
    "tenantId": _login("OS_TENANT_ID", "OS_PROJECT_ID"),
    "tenantName": _login("OS_TENANT_NAME", "OS_PROJECT_NAME"),
    "userDomainId": _login("OS_USER_DOMAIN_ID"),
    "userDomainName": _login("OS_USER_DOMAIN_NAME"),
    "projectDomainId": _login("OS_PROJECT_DOMAIN_ID"),
    "projectDomainName": _login("OS_PROJECT_DOMAIN_NAME"),
    "domainId": _login("OS_DOMAIN_ID"),
    "domainName": _login("OS_DOMAIN_NAME"),
    "defaultDomain": _login("OS_DEFAULT_DOMAIN"),
    "systemScope": ProviderKey(
        ("OS_SYSTEM_SCOPE",),
        Treatment.REFUSED,
        "a pair belongs to a project, and a token for the whole system can make no server: remove it, and name the "
        "project by tenantName or tenantId",
        is_login=True,
    ),
    "cacertFile": ProviderKey(("OS_CACERT",)),
    "cert": ProviderKey(("OS_CERT",)),
    "key": ProviderKey(("OS_KEY",)),
    "insecure": ProviderKey(("OS_INSECURE",)),
    "endpointType": ProviderKey(("OS_ENDPOINT_TYPE",)),
    "endpointOverrides": ProviderKey(),
    "maxRetries": ProviderKey(),
    "allowReauth": _irrelevant("openstacksdk gets a new token when one expires", "OS_ALLOW_REAUTH"),
    "delayedAuth": _irrelevant("it changes only when the plugin logs in", "OS_DELAYED_AUTH"),
    "disableNoCacheHeader": _irrelevant("it changes only a header of the plugin's requests"),
    "enableLogging": _irrelevant("it changes only the plugin's log"),
    "swauth": _irrelevant("it is about Swift, which a pair does not use", "OS_SWAUTH"),
}

#: The texts that Go's strconv.ParseBool takes for true.
_TRUE = {"1", "t", "true"}


class CredentialsError(ValueError):
    """The configuration can't be used. The message names the keys, and the way out."""


def credentials_from(get: Callable[[str], Any]) -> dict[str, str]:
    """Return the environment that hands a configuration to a process. The value is a secret.

    :param get: the provider's configuration: ``get("cloud")`` is the value of ``openstack:cloud``, None without one.
    """
    return credentials_of_configuration({key: value for key in KEYS if (value := get(key)) not in (None, "")})


def credentials_of_configuration(configured: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment that hands a configuration to a process: always the same for the same configuration.

    :param configured: key → value; None for a value that is not known yet.
    """
    return {VARIABLE: json.dumps(configured, sort_keys=True)}


def is_true(value: object) -> bool:
    """Whether the plugin takes a value, such as ``"true"``, for true."""
    return str(value).lower() in _TRUE


def provider_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings with which the provider's plugin works, key → value, without keys that are irrelevant.

    :param environment: of a process that the engine started.
    :raises CredentialsError: a key is refused, not known yet, or the plugin would ignore it, as it ignores an
        application credential next to a password or a token.
    """
    configured: dict[str, Any] = json.loads(environment.get(VARIABLE) or "{}")
    if unknown := [key for key, value in configured.items() if value is None]:
        are, them = ("is", "it") if len(unknown) == 1 else ("are", "them")
        raise CredentialsError(
            f"the provider's {' and '.join(unknown)} {are} known only after an `up`: make {them} in another stack, or "
            f"give {them} by configuration values."
        )
    settings = {**_of_the_environment(environment), **configured}
    settings = {key: value for key, value in settings.items() if KEYS[key].treatment is not Treatment.IRRELEVANT}
    for key, value in settings.items():
        if KEYS[key].treatment is Treatment.REFUSED and is_true(value):
            raise CredentialsError(f"the provider's {_where(key, configured)} is set, but {KEYS[key].why}.")
    if "cloud" in settings:
        if ignored := [key for key in configured if KEYS[key].is_login]:
            raise CredentialsError(
                f"the provider ignores {', '.join(ignored)} next to {_where('cloud', configured)} = "
                f"{settings['cloud']}, and logs in as that entry of clouds.yaml says: remove one of the two."
            )
        settings = {key: value for key, value in settings.items() if not KEYS[key].is_login}
    _check_that_one_login_counts(settings, configured)
    return settings


def _of_the_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return key → value of the first variable of each key that is set and not empty."""
    found: dict[str, str] = {}
    for key, about in KEYS.items():
        if value := next((environment[name] for name in about.variables if environment.get(name)), None):
            found[key] = value
    return found


def _check_that_one_login_counts(settings: Mapping[str, Any], configured: Mapping[str, Any]) -> None:
    """Refuse an application credential next to a password or a token.

    With both, the plugin does not use the application credential. With a password it logs in without a project, so
    Keystone may choose the user's default project.
    """
    credential = next((key for key in settings if key.startswith("applicationCredential")), None)
    other = next((key for key in ("token", "password") if key in settings), None)
    if credential and other:
        raise CredentialsError(
            f"both {_where(credential, configured)} and {_where(other, configured)} are set, and the provider "
            "does not log in with the application credential then: remove one of the two."
        )


def _where(key: str, configured: Mapping[str, Any]) -> str:
    """Return the key as an operator sets it: in the configuration, or by a variable."""
    return key if key in configured else f"{' or '.join(KEYS[key].variables)} (environment)"
