"""The normal life of a pair: the first `up`, its outputs, and the changes that need no new server."""

from __future__ import annotations

from ipaddress import ip_address

from .conftest import FirstUp
from .deployment import Deployment


def test_the_first_up_makes_a_pair_that_answers(pair: Deployment, first_up: FirstUp) -> None:
    print(f"`up` took {first_up.up:.0f} s, and {first_up.ready:.0f} s until both members were ready")
    # 16 cloud resources, seven commands (the gates, the teardown and the final check), the component and the stack.
    assert first_up.changes == {"create": 25}
    assert pair.outputs["url"].startswith("http://")


def test_the_outputs_are_the_contract(pair: Deployment) -> None:
    outputs = pair.outputs
    assert set(outputs) == {"url", "floatingIp", "vip", "members"}
    assert ip_address(outputs["floatingIp"])
    assert (outputs["url"], outputs["vip"]) == (f"http://{outputs['floatingIp']}", "10.0.0.201")
    assert [
        (member["name"], member["role"], member["fixedAddress"], member["floatingIp"], member["portId"])
        for member in outputs["members"]
    ] == [
        (name, role, address, None, pair.port(name).id)
        for name, role, address in zip(pair.members, ("master", "backup"), ("10.0.0.4", "10.0.0.5"), strict=True)
    ]
    assert [member["serverId"] for member in outputs["members"]] == [pair.server(name).id for name in pair.members]


def test_a_second_up_and_a_refresh_change_nothing(pair: Deployment) -> None:
    assert set(pair.refresh()) == {"same"}
    assert set(pair.up()) == {"same"}


def test_a_preview_in_json_lists_the_changes_for_a_program(pair: Deployment) -> None:
    """A check of a pull request, or an operator's script, reads it."""
    pair.set(backupPriority="148")
    try:
        steps = pair.steps()
    finally:
        pair.forget("backupPriority")
    # Only the backup's user-data changes: the master's does not contain its peer's priority.
    assert {name for _, name in steps} == {
        "vrrp-master-stands-in",
        "vrrp-backup",
        "vrrp-backup-handover",
        "vrrp-backup-ready",
        "vrrp-complete",
    }
    assert ("replace", "vrrp-backup") in steps
    assert ("update", "vrrp-backup-ready") in steps


def test_floating_ips_rules_and_dns_servers_change_without_new_servers(pair: Deployment) -> None:
    servers = [pair.server(member) for member in pair.members]
    pair.set(memberFloatingIps="true")
    pair.set(sshCidrs=["192.0.2.0/24"])
    pair.set(dnsServers=["192.0.2.53"])
    try:
        assert pair.up() == {"create": 3, "update": 2, "same": 23}
        assert all(member["floatingIp"] for member in pair.outputs["members"])
    finally:
        pair.forget("memberFloatingIps", "sshCidrs", "dnsServers")
        pair.up()
    for server in servers:
        now = pair.server(server.name)
        assert (now.id, now.launched_at) == (server.id, server.launched_at)
    assert [member["floatingIp"] for member in pair.outputs["members"]] == [None, None]
