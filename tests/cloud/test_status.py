"""`ops status` on a real cloud reports each problem by its cause, and exits with 0 for a healthy pair."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from .deployment import Deployment

#: Breaks the pair, and returns the function that repairs it.
Fault = Callable[[Deployment], Callable[[], object]]


def _no_allowed_address_pair(pair: Deployment) -> Callable[[], object]:
    network, port = pair.cloud.network, pair.port(pair.members[0])
    network.update_port(port, allowed_address_pairs=[])
    return lambda: network.update_port(port, allowed_address_pairs=[{"ip_address": pair.outputs["vip"]}])


def _no_rule(protocol: str) -> Fault:
    def delete(pair: Deployment) -> Callable[[], object]:
        network = pair.cloud.network
        group = network.find_security_group(f"{pair.prefix}-sec-group", ignore_missing=False)
        rules = network.security_group_rules(security_group_id=group.id, direction="ingress")
        (rule,) = [rule for rule in rules if rule.protocol in {protocol, "vrrp" if protocol == "112" else protocol}]
        network.delete_security_group_rule(rule)
        return pair.up

    return delete


def _port_disabled(pair: Deployment) -> Callable[[], object]:
    network, port = pair.cloud.network, pair.port(pair.members[1])
    network.update_port(port, is_admin_state_up=False)
    return lambda: network.update_port(port, is_admin_state_up=True)


def _floating_ip_at_a_member(pair: Deployment) -> Callable[[], object]:
    network, vip = pair.cloud.network, pair.port(pair.prefix)
    (ip,) = network.ips(port_id=vip.id)
    network.update_ip(ip, port_id=pair.port(pair.members[0]).id)
    return lambda: network.update_ip(ip, port_id=vip.id)


def _another_group(pair: Deployment) -> Callable[[], object]:
    network, port = pair.cloud.network, pair.port(pair.members[1])
    groups = port.security_group_ids
    default = network.find_security_group("default", ignore_missing=False, project_id=pair.cloud.current_project_id)
    network.update_port(port, security_groups=[default.id])
    return lambda: network.update_port(port, security_groups=groups)


def _findings(pair: Deployment) -> tuple[int, list[str]]:
    done = pair.ops("status", pair.stack.name, "--json")
    assert done.stdout, done.stderr
    return done.returncode, [finding["cause"] for finding in json.loads(done.stdout)["findings"]]


def test_a_healthy_pair_exits_with_0(pair: Deployment) -> None:
    assert _findings(pair) == (0, [])
    shown = pair.ops("status", pair.stack.name)
    assert shown.returncode == 0
    assert f"answers: {pair.members[0]} 20" in shown.stdout
    assert "nothing is wrong" in shown.stdout


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (_no_allowed_address_pair, "the port of {master} has no allowed address pair 10.0.0.201"),
        (_no_rule("112"), "no rule lets protocol 112 (VRRP) of the peer in at {master}"),
        (_no_rule("tcp"), "no rule lets TCP 80 from 0.0.0.0/0 in at {master}"),
        (_no_rule("udp"), "no rule lets the peer's reports (UDP 61112) in at {master}"),
        (_port_disabled, "the port of {backup} is disabled"),
        (_floating_ip_at_a_member, "the VIP's port has no floating IP ("),
        (_another_group, "the port of {backup} is not in the security group acceptance-sec-group"),
    ],
)
def test_each_fault_is_reported_by_its_cause(pair: Deployment, fault: Fault, cause: str) -> None:
    undo = fault(pair)
    try:
        status, causes = _findings(pair)
    finally:
        undo()
    assert status == 2
    assert causes[0].startswith(cause.format(master=pair.members[0], backup=pair.members[1])), causes


def test_members_with_different_settings_are_reported(pair: Deployment) -> None:
    """A change of the virtual router id stopped half-way: both are master, and neither logs a line."""
    template = pair.template("keepalived.conf.j2")
    text = template.read_text(encoding="utf-8")
    line = "virtual_router_id {{ settings.virtual_router_id }}"
    assert line in text
    try:
        template.write_text(text.replace(line, "virtual_router_id {{ member.priority - 100 }}"), encoding="utf-8")
        targets = [f"--target=**::vrrp-backup{gate}" for gate in ("", "-handover", "-ready")]
        pair.pulumi("up", "--yes", "--skip-preview", *targets)
        status, causes = _findings(pair)
        assert status == 2
        assert any(f"{pair.members[0]} and {pair.members[1]} do not agree: virtual_router_id" in one for one in causes)
        assert any("both report that they are master" in one for one in causes)
    finally:
        template.write_text(text, encoding="utf-8")
        pair.up()
