"""The lists of Neutron for a pair that was never made. The preflight compares them with the settings.

The format is that of the question "networking" of ``gates.cloud_questions``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from .engine_json import list_in, mapping_in
from .invented_cloud import invented_id
from .type_tokens import FLOATING_IP, PORT, ROUTER, ROUTER_INTERFACE, SERVER, SUBNET

Entries = list[dict[str, Any]]


def networking_of(resources: Iterable[Mapping[str, Any]]) -> dict[str, Entries]:
    """Return the ports, subnets, routers and floating IPs of an invented state."""
    by_type: dict[str, list[Mapping[str, Any]]] = {}
    for resource in resources:
        by_type.setdefault(str(resource["type"]), []).append(resource)
    users = {
        str(network["port"]): str(server["id"])
        for server in by_type.get(SERVER, [])
        for network in list_in(mapping_in(server, "inputs"), "networks")
        if "port" in network
    }
    subnets = {str(one["id"]): mapping_in(one, "inputs") for one in by_type.get(SUBNET, [])}
    ports = [_port(one, users) for one in by_type.get(PORT, [])]
    addresses = {port["id"]: port["fixed_ips"][0]["ip_address"] for port in ports if port["fixed_ips"]}
    return {
        "ports": [*ports, *(_router_port(one, subnets) for one in by_type.get(ROUTER_INTERFACE, []))],
        "subnets": [
            {
                "id": id_,
                "name": inputs.get("name", ""),
                "ip_version": int(inputs.get("ipVersion", 4)),
                "cidr": inputs.get("cidr", ""),
                "gateway": inputs.get("gatewayIp"),
            }
            for id_, inputs in subnets.items()
        ],
        "routers": [
            {"id": one["id"], "external_network_id": mapping_in(one, "inputs").get("externalNetworkId")}
            for one in by_type.get(ROUTER, [])
        ],
        "floating_ips": [_floating_ip(one, addresses) for one in by_type.get(FLOATING_IP, [])],
    }


def with_existing(
    networking: Mapping[str, Entries], external_networks: Sequence[str], floating_ips: Mapping[str, str]
) -> dict[str, Entries]:
    """Return the lists with what a pair uses and does not make.

    :param external_networks: the names of external networks.
    :param floating_ips: each value of ``floatingIp`` that may be an address → its external network.
    """
    there = {one["address"] for one in networking.get("floating_ips", [])}
    return {
        **networking,
        "floating_ips": [
            *networking.get("floating_ips", []),
            *(
                {
                    "address": address,
                    "port_id": None,
                    "fixed_ip": None,
                    "external_network_id": invented_id("external network", network),
                    "tags": [],
                }
                for address, network in floating_ips.items()
                if is_ipv4(address) and address not in there
            ),
        ],
        "external_networks": [
            {"id": invented_id("external network", name), "name": name} for name in dict.fromkeys(external_networks)
        ],
    }


def _port(resource: Mapping[str, Any], users: Mapping[str, str]) -> dict[str, Any]:
    inputs, id_ = mapping_in(resource, "inputs"), str(resource["id"])
    return {
        "id": id_,
        "name": inputs.get("name", ""),
        "tags": list_in(inputs, "tags"),
        "network_id": inputs.get("networkId", ""),
        "device_id": users.get(id_, ""),
        "device_owner": "compute:nova" if id_ in users else "",
        "fixed_ips": [
            # Neutron chooses what a port leaves out. A port of the program has both, and an extra one may have neither.
            {"subnet_id": one.get("subnetId", ""), "ip_address": one["ipAddress"]}
            for one in list_in(inputs, "fixedIps")
            if one.get("ipAddress")
        ],
        "allowed_addresses": [one["ipAddress"] for one in list_in(inputs, "allowedAddressPairs")],
    }


def _router_port(resource: Mapping[str, Any], subnets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    inputs = mapping_in(resource, "inputs")
    subnet_id = str(inputs.get("subnetId", ""))
    subnet = subnets.get(subnet_id, {})
    return {
        "id": invented_id("port", str(resource["id"])),
        "name": "",
        "tags": [],
        "network_id": subnet.get("networkId", ""),
        "device_id": inputs.get("routerId", ""),
        "device_owner": "network:router_interface",
        "fixed_ips": [{"subnet_id": subnet_id, "ip_address": subnet.get("gatewayIp", "")}],
        "allowed_addresses": [],
    }


def _floating_ip(resource: Mapping[str, Any], addresses: Mapping[str, str]) -> dict[str, Any]:
    inputs = mapping_in(resource, "inputs")
    return {
        "address": mapping_in(resource, "outputs")["address"],
        "port_id": inputs.get("portId"),
        "fixed_ip": addresses.get(str(inputs.get("portId"))),
        "external_network_id": invented_id("external network", str(inputs.get("pool", ""))),
        "tags": list_in(inputs, "tags"),
    }


def is_ipv4(text: str) -> bool:
    """Whether a text is an IPv4 address."""
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
