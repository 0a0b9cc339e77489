"""The configuration of the provider that makes a pair, for the processes that ask the cloud."""

from __future__ import annotations

from typing import Any

import pulumi

from gates.credentials import KEYS, credentials_from, credentials_of_configuration

#: A resource of the provider's package, for questions about the package's provider.
_MEMBER = "openstack:index:Resource"

#: The engine's own function that reads a resource of this run. The SDKs make resources from references with it.
_GET_RESOURCE = "pulumi:pulumi:getResource"


def provider_of(resource: pulumi.Resource | None) -> pulumi.ProviderResource | None:
    """Return the OpenStack provider of a resource's children; None if it is the stack's default provider."""
    return resource.get_provider(_MEMBER) if resource is not None else None


def provider_of_invokes(opts: pulumi.InvokeOptions | None) -> pulumi.ProviderResource | None:
    """Return the OpenStack provider that an invoke with these options would use; None for the default provider."""
    if opts is None:
        return None
    return opts.provider or provider_of(opts.parent)


def credentials_of(provider: pulumi.ProviderResource | None) -> dict[str, str]:
    """Return the environment that hands the provider's configuration to a process. Its values are secrets.

    Waits until an explicit provider is registered, as every invoke of it does.

    :param provider: None for the default provider, whose configuration is that of the stack (``openstack:…``).
    """
    if provider is None:
        return credentials_from(pulumi.Config("openstack").get)
    # The outputs of a provider are its inputs, but openstack.Provider shows only those that are texts.
    found: Any = pulumi.runtime.invoke(_GET_RESOURCE, {"urn": provider.urn}).value
    inputs: dict[str, Any] = found["state"]
    # A preview does not know a value that another resource has yet to make.
    return credentials_of_configuration(
        {
            key: None if pulumi.contains_unknowns(value) else value
            for key in KEYS
            if (value := inputs.get(key)) not in (None, "")
        }
    )
