"""The provider's own settings as the environment that openstacksdk reads."""

from __future__ import annotations

from collections.abc import Callable

#: Variable that openstacksdk reads → the provider's key for it.
_CREDENTIAL_KEYS = {
    "OS_CLOUD": "cloud",
    "OS_REGION_NAME": "region",
    "OS_AUTH_URL": "authUrl",
    "OS_USERNAME": "userName",
    "OS_PASSWORD": "password",
    "OS_PROJECT_ID": "tenantId",
    "OS_PROJECT_NAME": "tenantName",
    "OS_USER_DOMAIN_NAME": "userDomainName",
    "OS_PROJECT_DOMAIN_NAME": "projectDomainName",
    "OS_APPLICATION_CREDENTIAL_ID": "applicationCredentialId",
    "OS_APPLICATION_CREDENTIAL_SECRET": "applicationCredentialSecret",
    "OS_CACERT": "cacertFile",
}


def credentials_from(get: Callable[[str], str | None]) -> dict[str, str]:
    """Return the provider's settings as the environment that openstacksdk reads.

    :param get: the provider's configuration: ``get("cloud")`` is the value of ``openstack:cloud``.
    """
    given = {variable: value for variable, key in _CREDENTIAL_KEYS.items() if (value := get(key))}
    if domain := get("domainName"):
        # To the provider this is the user's domain. To openstacksdk, OS_DOMAIN_NAME is the scope of the token.
        given.setdefault("OS_USER_DOMAIN_NAME", domain)
    return given
