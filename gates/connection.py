"""Connect to the cloud with the environment's credentials, in the provider's region."""

from __future__ import annotations

import os
from typing import Any

import openstack.config
from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import SDKException

#: The exceptions that openstacksdk raises if the cloud can't be reached, or refuses a request.
NO_ANSWER = (SDKException, ClientException)


def connect() -> Any:
    """Return an ``openstack.connection.Connection``, as Any because its proxies have no useful types.

    OS_REGION_NAME takes precedence over the region of a clouds.yaml entry, as for the provider. openstacksdk alone
    would use the entry's region.

    :raises SDKException, ClientException: if the credentials are incomplete, or name an unknown cloud.
    """
    cloud: Any = openstack.config.get_cloud_region()
    if region := os.environ.get("OS_REGION_NAME"):
        cloud.config["region_name"] = region
    return Connection(config=cloud)
