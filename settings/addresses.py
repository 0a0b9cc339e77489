"""The rules of the address plan: the gateway, the pool, the members and the VIPs.

Each ``check_…`` raises ValueError with the rule and the way out. None stands for a value that broke a rule of its own;
no rule is checked against it.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

#: Neutron reserves only the first and the last address of a subnet. A pair also needs a gateway, two members, the VIP
#: and a pool: a /29 is the smallest subnet with room for all of them.
LONGEST_PREFIX = 29

#: Host parts of the IPv6 addresses, as offsets from the subnet's first address. They end like the IPv4 defaults.
GATEWAY6, MASTER6, BACKUP6, VIP6 = 0x1, 0x4, 0x5, 0x201

#: First and last address of the IPv6 allocation pool, as offsets from the subnet's first address.
POOL6 = (0x1000, 0x1FFF)

#: RFC 4291 section 2.5.4: the interface identifiers of a unicast prefix have 64 bits.
PREFIX6 = 64


def check_network(network: IPv4Network) -> None:
    """Check that servers can have addresses in ``network`` and that it has room for a pair."""
    if network.prefixlen > LONGEST_PREFIX:
        raise ValueError(
            f"it has no room for a gateway, two members, the VIP and a pool: use a /{LONGEST_PREFIX} or larger"
        )
    if _has_no_hosts(network):
        raise ValueError("no server can have an address in it: use a private network (RFC 1918), such as 10.0.0.0/24")


def check_host(network: IPv4Network | None, address: IPv4Address) -> None:
    """Check that a host of ``network`` can have ``address``."""
    if network is None:
        return
    first, last = network[1], network[-2]
    if not first <= address <= last:
        raise ValueError(f"no host of cidr {network} can have it: use an address from {first} to {last}")


def check_distinct(address: IPv4Address, others: dict[str, IPv4Address | None]) -> None:
    """Check that none of the other keys (key → address) has the same address."""
    for key, other in others.items():
        if other == address:
            raise ValueError(f"{key} has the same address: give each its own")


def check_pool(start: IPv4Address | None, end: IPv4Address, gateway: IPv4Address | None) -> None:
    """Check that the allocation pool is a range and that the gateway is not in it."""
    if start is not None and end < start:
        raise ValueError(f"the pool ends before it starts ({start}): use an address from {start} on")
    if start is not None and gateway is not None and start <= gateway <= end:
        raise ValueError(
            f"the pool {start} to {end} contains the gateway {gateway}, which Neutron refuses: "
            "let the pool start after the gateway, or end before it"
        )


def check_outside_pool(
    vip: IPv4Address,
    pool: tuple[IPv4Address | None, IPv4Address | None],
    network: IPv4Network | None,
    taken: list[IPv4Address | None],
) -> None:
    """Check that the VIP is outside the allocation pool.

    :param taken: addresses of the pair that the message must not suggest.
    """
    start, end = pool
    if start is not None and end is not None and start <= vip <= end:
        raise ValueError(
            f"it lies in the allocation pool {start} to {end}, from which Neutron may give it to any other "
            f"port: {_way_out_of_the_pool((start, end), network, taken)}"
        )


def _way_out_of_the_pool(
    pool: tuple[IPv4Address, IPv4Address], network: IPv4Network | None, taken: list[IPv4Address | None]
) -> str:
    """Return advice: a free address next to the pool, if there is one."""
    start, end = pool
    # Three addresses may be taken. So one of four is free if the subnet goes on that far.
    for free in [*(end + step for step in range(1, 5)), *(start - step for step in range(1, 5))]:
        if network is not None and network[1] <= free <= network[-2] and free not in taken:
            return f"use {free}, or another address outside the pool"
    return "end the pool earlier (poolEnd) and use an address after it"


def check_network6(network: IPv6Network) -> None:
    """Check that ``network`` is a prefix that servers behind a router can have."""
    if network.prefixlen != PREFIX6:
        raise ValueError(f"the subnet of a router's interface is a /{PREFIX6} (RFC 4291): use {network[0]}/{PREFIX6}")
    if _has_no_hosts(network):
        raise ValueError("no server can have an address in it: use a prefix that the cloud routes to the router")


def vip6_of(network: IPv6Network | None, vip6: IPv6Address | None) -> IPv6Address | None:
    """Return the IPv6 VIP of a pair: the given one if it passes the rules, or the default address of the subnet.

    :param network: None for a pair without IPv6.
    :return: None for a pair without IPv6.
    :raises ValueError: with the rule and the way out.
    """
    if network is None:
        if vip6 is not None:
            raise ValueError("without cidr6 the pair has no IPv6: set cidr6, or remove vip6")
        return None
    if vip6 is None:
        return network[VIP6]
    if vip6 not in network:
        raise ValueError(f"no host of cidr6 {network} can have it: use {network[VIP6]}")
    taken = {0: "the routers of the subnet", GATEWAY6: "its gateway", MASTER6: "the master", BACKUP6: "the backup"}
    if owner := taken.get(int(vip6) - int(network[0])):
        raise ValueError(f"it belongs to {owner}: use {network[VIP6]}")
    if network[POOL6[0]] <= vip6 <= network[POOL6[1]]:
        raise ValueError(
            f"it lies in the allocation pool {network[POOL6[0]]} to {network[POOL6[1]]}, from which Neutron may give "
            f"it to any other port: use {network[VIP6]}"
        )
    return vip6


def _has_no_hosts(network: IPv4Network | IPv6Network) -> bool:
    return network.is_multicast or network.is_loopback or network.is_link_local or network.is_unspecified
