"""A pair with IPv4 and IPv6: Neutron's resources are right, and the pair serves and fails over by IPv4.

A client of the IPv6 VIP needs a route to the subnet, which depends on the cloud. tests/lab sends requests by IPv6.
"""

from __future__ import annotations

import time

from .conftest import MakeStack
from .deployment import served_by

CIDR6, VIP6 = "2001:db8:7:7::/64", "2001:db8:7:7::201"


def test_a_pair_with_ipv6_has_both_addresses_and_fails_over(make_stack: MakeStack) -> None:
    pair = make_stack("dual")
    pair.set(cidr6=CIDR6)
    pair.set(httpCidrs=["0.0.0.0/0", "::/0"])
    pair.up()
    assert pair.outputs["vip6"] == VIP6
    network = pair.cloud.network
    reserved = network.find_port("dual-port6", ignore_missing=False)
    assert [fixed["ip_address"] for fixed in reserved.fixed_ips] == [VIP6]
    for member, host in zip(pair.members, ("4", "5"), strict=True):
        port = pair.port(member)
        assert sorted(fixed["ip_address"] for fixed in port.fixed_ips) == [f"10.0.0.{host}", f"2001:db8:7:7::{host}"]
        allowed = {one["ip_address"].removesuffix("/32").removesuffix("/128") for one in port.allowed_address_pairs}
        assert allowed == {"10.0.0.201", VIP6}
    pair.until_ready()
    pair.until_the_master_serves()
    status = pair.ops("status", pair.stack.name)
    assert status.returncode == 0, status.stdout + status.stderr
    assert set(pair.refresh()) == {"same"}
    assert set(pair.preview()) == {"same"}
    master = pair.port(pair.members[0])
    network.update_port(master, is_admin_state_up=False)
    try:
        end = time.monotonic() + 30
        while (member := served_by(pair.url)) != pair.members[1]:
            assert time.monotonic() < end, f"{member} answers"
    finally:
        network.update_port(master, is_admin_state_up=True)
    pair.until_the_master_serves()
