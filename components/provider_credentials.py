"""The provider's credentials in the stack file, for the processes that ask the cloud."""

from __future__ import annotations

import pulumi

from gates.credentials import credentials_from


def credentials_of_the_stack() -> dict[str, str]:
    """Return the provider's settings in the stack that is being run, as the environment that openstacksdk reads."""
    return credentials_from(pulumi.Config("openstack").get)
