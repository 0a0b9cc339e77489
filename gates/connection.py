"""The connection to the cloud of the environment's credentials, in the region that the provider works in."""

from __future__ import annotations

import os
from typing import Any

import openstack.config
from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import SDKException

#: The exceptions of openstacksdk when the cloud cannot be reached, or refuses.
NO_ANSWER = (SDKException, ClientException)


def connect() -> Any:
    """Return an ``openstack.connection.Connection``; its proxies have no types that would help.

    OS_REGION_NAME wins over the region of a clouds.yaml entry, as it does for the provider. openstacksdk by itself
    takes the entry's region.

    :raises openstack.exceptions.SDKException: when the credentials lead nowhere.
    """
    cloud: Any = openstack.config.get_cloud_region()
    if region := os.environ.get("OS_REGION_NAME"):
        cloud.config["region_name"] = region
    return Connection(config=cloud)
