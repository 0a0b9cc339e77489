"""A pair with IPv4 and IPv6: a failover moves both addresses, and the firewall guards both."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lab.cloud import Cloud
from lab.neutron import CLIENT_ADDRESS6
from lab.pair import LabPair
from lab.two_masters import OTHER_ROUTER_ID, SAME_ROUTER_ID, set_router_id
from lab.up import ask

from .conftest import Labs, from_client, holders

MASTER, BACKUP = "vrrp-master", "vrrp-backup"
PREFIX = "2001:db8:7:7:"
VIP6 = f"{PREFIX}:201"
URL6 = f"http://[{VIP6}]/"


@pytest.fixture(scope="module")
def cloud(labs_of_module: Labs) -> Cloud:
    return labs_of_module.up("two-families", cidr6=f"{PREFIX}:/64", httpCidrs='["0.0.0.0/0", "::/0"]')[0]


def holders6(cloud: Cloud) -> list[str]:
    return [member.name for member in cloud.nova.servers() if VIP6 in member.addresses()]


def wait_for(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_master_answers_on_both_addresses(cloud: Cloud) -> None:
    wait_for(lambda: ask(cloud, URL6) == MASTER)
    assert ask(cloud, str(cloud.record.about["outputs"]["url"])) == MASTER
    assert (holders(cloud), holders6(cloud)) == ([MASTER], [MASTER])


def test_both_addresses_move_together_to_the_backup_and_back(cloud: Cloud) -> None:
    master = cloud.nova.servers()[0]
    master.run("systemctl", "stop", "keepalived").check_returncode()
    try:
        wait_for(lambda: ask(cloud, URL6) == BACKUP)
        assert (holders(cloud), holders6(cloud)) == ([BACKUP], [BACKUP])
    finally:
        master.run("systemctl", "start", "keepalived").check_returncode()
    wait_for(lambda: ask(cloud, URL6) == MASTER)
    wait_for(lambda: (holders(cloud), holders6(cloud)) == ([MASTER], [MASTER]))


def test_the_backup_takes_both_addresses_from_a_master_that_is_cut_off(cloud: Cloud) -> None:
    master = cloud.nova.servers()[0]
    cloud.neutron.set_admin_state(master.port_id, up=False)
    try:
        wait_for(lambda: ask(cloud, URL6) == BACKUP)
    finally:
        cloud.neutron.set_admin_state(master.port_id, up=True)
    wait_for(lambda: ask(cloud, URL6) == MASTER)
    wait_for(lambda: holders6(cloud) == [MASTER])


def test_of_two_masters_that_cannot_hear_each_other_one_stops_and_the_other_announces_the_ipv6_vip(
    cloud: Cloud,
) -> None:
    """Prevents an outage of ten seconds: the router would send to the stopped one until keepalived's next refresh."""
    pair = LabPair(cloud)
    master = pair.members()[0]
    set_router_id(pair, master, OTHER_ROUTER_ID)
    try:
        wait_for(lambda: (len(holders(cloud)), len(holders6(cloud))) == (2, 2))
        time.sleep(2.5)  # the master announces the VIP a second time
        assert ask(cloud, URL6) == MASTER
        master.run("systemctl", "stop", "--no-block", "keepalived").check_returncode()
        wait_for(lambda: MASTER not in holders6(cloud))
        assert ask(cloud, URL6) == BACKUP
    finally:
        set_router_id(pair, master, SAME_ROUTER_ID)
        master.run("systemctl", "start", "keepalived").check_returncode()
    wait_for(lambda: (holders(cloud), holders6(cloud)) == ([MASTER], [MASTER]))


@pytest.mark.parametrize("gone_already", [None, "10.0.0.201/24", f"{VIP6}/128"])
def test_both_addresses_are_removed_from_a_master_whose_keepalived_stays_dead(
    cloud: Cloud, gone_already: str | None
) -> None:
    """Prevents two members with one address, of which the router may choose the wrong one.

    :param gone_already: an address that keepalived's child removed before it was killed itself.
    """
    master = cloud.nova.servers()[0]
    device = master.made.chosen["device"]
    kill = "systemctl kill --signal=KILL keepalived"
    # keepalived's child may have removed this address, and the other one, already.
    clean_up = f"ip address del {gone_already} dev {device} || true" if gone_already else "true"
    master.run("systemctl", "mask", "--runtime", "keepalived").check_returncode()
    try:
        master.run("sh", "-c", f"{kill} && {clean_up}").check_returncode()
        wait_for(lambda: (holders(cloud), holders6(cloud)) == ([BACKUP], [BACKUP]))
        assert ask(cloud, URL6) == BACKUP
    finally:
        master.run("systemctl", "unmask", "--runtime", "keepalived").check_returncode()
        master.run("systemctl", "start", "keepalived").check_returncode()
    wait_for(lambda: (holders(cloud), holders6(cloud)) == ([MASTER], [MASTER]))


def test_the_master_connects_from_its_own_address(cloud: Cloud) -> None:
    """Prevents connections from the VIP, which a failover would break."""
    route = cloud.nova.servers()[0].run("ip", "-6", "route", "get", str(CLIENT_ADDRESS6)).stdout
    assert f"src {PREFIX}:4 " in route


def test_icmp_gets_in_and_ssh_does_not(cloud: Cloud) -> None:
    assert from_client(cloud, "ping", "-6", "-c", "1", "-W", "2", VIP6) == 0
    assert "LISTEN" in cloud.nova.servers()[0].run("ss", "-Hltn", "sport = :22").stdout
    assert from_client(cloud, "curl", "--silent", "--max-time", "1", f"telnet://[{VIP6}]:22") == 28


def test_port_security_drops_packets_from_a_foreign_address(cloud: Cloud) -> None:
    backup = cloud.nova.servers()[1]
    device = backup.made.chosen["device"]
    foreign = f"{PREFIX}:77"
    backup.run("ip", "address", "add", f"{foreign}/64", "dev", device, "nodad").check_returncode()
    try:
        ping = ("ping", "-6", "-c", "2", "-i", "0.2", "-W", "1")
        assert backup.run(*ping, "-I", f"{PREFIX}:5", f"{PREFIX}:1").returncode == 0
        assert backup.run(*ping, "-I", foreign, f"{PREFIX}:1").returncode == 1
    finally:
        backup.run("ip", "address", "del", f"{foreign}/64", "dev", device).check_returncode()
