"""A pair with IPv6 beside IPv4: one failover moves both addresses, and one firewall guards both."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lab.cloud import Cloud
from lab.neutron import CLIENT_ADDRESS6
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
    return [member.name for member in cloud.nova.members() if VIP6 in member.addresses()]


def wait_for(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_master_answers_to_both(cloud: Cloud) -> None:
    wait_for(lambda: ask(cloud, URL6) == MASTER)
    assert ask(cloud, str(cloud.record.about["outputs"]["url"])) == MASTER
    assert (holders(cloud), holders6(cloud)) == ([MASTER], [MASTER])


def test_both_move_together_and_back(cloud: Cloud) -> None:
    master = cloud.nova.members()[0]
    master.run("systemctl", "stop", "keepalived").check_returncode()
    try:
        wait_for(lambda: ask(cloud, URL6) == BACKUP)
        assert (holders(cloud), holders6(cloud)) == ([BACKUP], [BACKUP])
    finally:
        master.run("systemctl", "start", "keepalived").check_returncode()
    wait_for(lambda: ask(cloud, URL6) == MASTER)
    wait_for(lambda: (holders(cloud), holders6(cloud)) == ([MASTER], [MASTER]))


def test_a_master_that_is_cut_off_is_replaced_for_both(cloud: Cloud) -> None:
    master = cloud.nova.members()[0]
    cloud.neutron.set_admin_state(master.port_id, up=False)
    try:
        wait_for(lambda: ask(cloud, URL6) == BACKUP)
    finally:
        cloud.neutron.set_admin_state(master.port_id, up=True)
    wait_for(lambda: ask(cloud, URL6) == MASTER)
    wait_for(lambda: holders6(cloud) == [MASTER])


@pytest.mark.parametrize("gone_already", [None, "10.0.0.201/24", f"{VIP6}/128"])
def test_what_a_keepalived_that_stays_dead_has_left_is_taken_away_in_both(
    cloud: Cloud, gone_already: str | None
) -> None:
    """Prevents two members with one address, of which the router may take the wrong one.

    :param gone_already: its child cleans up when its parent dies, until it is killed itself.
    """
    master = cloud.nova.members()[0]
    device = master.made.chosen["device"]
    kill = "systemctl kill --signal=KILL keepalived"
    # It may have cleaned that one up, and the other one, by itself.
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


def test_the_master_calls_out_from_its_own_address(cloud: Cloud) -> None:
    """Prevents connections that a failover breaks, as those from the VIP would be."""
    route = cloud.nova.members()[0].run("ip", "-6", "route", "get", str(CLIENT_ADDRESS6)).stdout
    assert f"src {PREFIX}:4 " in route


def test_icmp_is_let_in_and_ssh_is_not(cloud: Cloud) -> None:
    assert from_client(cloud, "ping", "-6", "-c", "1", "-W", "2", VIP6) == 0
    assert "LISTEN" in cloud.nova.members()[0].run("ss", "-Hltn", "sport = :22").stdout
    assert from_client(cloud, "curl", "--silent", "--max-time", "1", f"telnet://[{VIP6}]:22") == 28


def test_a_port_with_a_foreign_address_is_silent(cloud: Cloud) -> None:
    backup = cloud.nova.members()[1]
    device = backup.made.chosen["device"]
    foreign = f"{PREFIX}:77"
    backup.run("ip", "address", "add", f"{foreign}/64", "dev", device, "nodad").check_returncode()
    try:
        ping = ("ping", "-6", "-c", "2", "-i", "0.2", "-W", "1")
        assert backup.run(*ping, "-I", f"{PREFIX}:5", f"{PREFIX}:1").returncode == 0
        assert backup.run(*ping, "-I", foreign, f"{PREFIX}:1").returncode == 1
    finally:
        backup.run("ip", "address", "del", f"{foreign}/64", "dev", device).check_returncode()
