"""A connection to the cloud of the environment's credentials, in the region that the provider would work in."""

from __future__ import annotations

import os
from typing import Any

import openstack.config
from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import SDKException

#: What openstacksdk raises when the cloud can't be reached, or refuses.
NO_ANSWER = (SDKException, ClientException)


def connect() -> Any:
    """An ``openstack.connection.Connection``; its proxies have no types that would help.

    OS_REGION_NAME counts, as for the provider, also where OS_CLOUD names an entry of clouds.yaml: openstacksdk by
    itself would take that entry's region.

    :raises openstack.exceptions.SDKException: when the credentials lead nowhere.
    """
    cloud: Any = openstack.config.get_cloud_region()
    if region := os.environ.get("OS_REGION_NAME"):
        cloud.config["region_name"] = region
    return Connection(config=cloud)
