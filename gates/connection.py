"""Connect to the cloud as the provider of the pair does: the same project, region and endpoints."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import openstack.config
from keystoneauth1.exceptions import ClientException
from openstack.config import OpenStackConfig
from openstack.connection import Connection
from openstack.exceptions import ConfigException, SDKException

from .credentials import CredentialsError, is_true, provider_settings

#: The exceptions that openstacksdk raises if the cloud can't be reached, or refuses a request.
NO_ANSWER = (SDKException, ClientException)

#: The provider's key → openstacksdk's.
_TRANSPORT = {"cacertFile": "cacert", "cert": "cert", "key": "key"}

#: Parameter of keystoneauth's plugins → the provider's key.
_APPLICATION_CREDENTIAL = {
    "application_credential_id": "applicationCredentialId",
    "application_credential_name": "applicationCredentialName",
    "application_credential_secret": "applicationCredentialSecret",
}
_USER = {"username": "userName", "user_id": "userId"}
_PROJECT = {"project_id": "tenantId", "project_name": "tenantName"}
_SCOPE_DOMAIN = {"domain_id": "domainId", "domain_name": "domainName"}


def connect() -> Any:
    """Return an ``openstack.connection.Connection``, as Any because its proxies have no useful types.

    The process was started by the engine, or its environment has the provider's configuration
    (``credentials.credentials_from``).

    :raises SDKException, ClientException: if the credentials are incomplete, contradict each other, or name an unknown
        cloud.
    """
    try:
        settings = provider_settings(os.environ)
    except CredentialsError as error:
        raise ConfigException(str(error)) from None
    return Connection(config=_cloud_region(settings))


def _cloud_region(settings: Mapping[str, Any]) -> Any:
    """Return openstacksdk's configuration for the provider's settings."""
    others = _transport(settings)
    region = settings.get("region")
    if "cloud" in settings:
        cloud = _entry_of_clouds_yaml(settings["cloud"], region, others)
    elif "authUrl" in settings:
        # Read neither clouds.yaml nor the environment: the plugin does not read the one, and only a part of the other.
        alone = OpenStackConfig(load_yaml_config=False, load_envvars=False)
        cloud = alone.get_one(region_name=region, **_login(settings), **others)
    else:
        # The provider would refuse this. openstacksdk takes the only entry of clouds.yaml, which is enough for `ops`.
        cloud = openstack.config.get_cloud_region(**others)
    if region:
        cloud.config["region_name"] = region
    return cloud


def _entry_of_clouds_yaml(name: str, region: str | None, others: Mapping[str, Any]) -> Any:
    config = OpenStackConfig()
    try:
        return config.get_one(cloud=name, region_name=region, **others)
    except ConfigException:
        # openstacksdk knows only the regions that the entry lists. The provider takes every region.
        return config.get_one(cloud=name, **others)


def _transport(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return openstacksdk's settings of TLS, of the endpoints and of the repetitions."""
    found: dict[str, Any] = {theirs: settings[ours] for ours, theirs in _TRANSPORT.items() if ours in settings}
    if "insecure" in settings:
        # An entry of clouds.yaml may have either of the two.
        found["insecure"] = is_true(settings["insecure"])
        found["verify"] = not found["insecure"]
    if "endpointType" in settings:
        found["interface"] = str(settings["endpointType"]).removesuffix("URL")
    if "maxRetries" in settings:
        found["connect_retries"] = int(float(settings["maxRetries"]))
    overrides = settings.get("endpointOverrides", {})
    for service, value in (json.loads(overrides) if isinstance(overrides, str) else overrides).items():
        # A value is a URL, or the type under which the catalog has the service.
        what = "endpoint_override" if "://" in value else "service_type"
        found[f"{service.replace('-', '_')}_{what}"] = value
    return found


def _login(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return keystoneauth's plugin and its parameters, by the rules of the provider (gophercloud's clientconfig)."""

    def given(names: Mapping[str, str]) -> dict[str, Any]:
        return {theirs: settings[ours] for theirs, ours in names.items() if ours in settings}

    auth = {"auth_url": settings["authUrl"]}
    if "token" in settings:
        return {"auth_type": "token", "auth": {**auth, "token": settings["token"], **_scope(settings, given)}}
    if credential := given(_APPLICATION_CREDENTIAL):
        by_name = "application_credential_id" not in credential
        user = {**given(_USER), **_domain("user", settings)} if by_name else {}
        return {"auth_type": "v3applicationcredential", "auth": {**auth, **credential, **user}}
    return {
        "auth_type": "password",
        "auth": {
            **auth,
            **given(_USER),
            **({"password": settings["password"]} if "password" in settings else {}),
            **_domain("user", settings),
            **_scope(settings, given),
        },
    }


def _scope(settings: Mapping[str, Any], given: Any) -> dict[str, Any]:
    """Return the project of the token; without a project, its domain."""
    if project := given(_PROJECT):
        return {**project, **_domain("project", settings)}
    return given(_SCOPE_DOMAIN)


def _domain(owner: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the domain of the user or of the project: its own, else ``domainId``/``domainName``, else the default.

    :param owner: ``user`` or ``project``.
    """
    if owner == "user" and "userId" in settings:
        return {}
    found = {
        f"{owner}_domain_{what.lower()}": value
        for what in ("Id", "Name")
        if (value := settings.get(f"{owner}Domain{what}") or settings.get(f"domain{what}"))
    }
    return found or {f"{owner}_domain_id": settings.get("defaultDomain", "default")}
