"""Drift: a preview shows each change that was made by hand, and `up` repairs it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .deployment import Deployment
from .seen import Table, watched


def _allowed_address_pair_removed(pair: Deployment) -> None:
    pair.cloud.network.update_port(pair.port(pair.members[0]), allowed_address_pairs=[])


def _rule_deleted(pair: Deployment) -> None:
    group = pair.cloud.network.find_security_group(f"{pair.prefix}-sec-group", ignore_missing=False)
    (rule,) = pair.cloud.network.security_group_rules(security_group_id=group.id, protocol="tcp")
    pair.cloud.network.delete_security_group_rule(rule)


def _port_disabled(pair: Deployment) -> None:
    pair.cloud.network.update_port(pair.port(pair.members[0]), admin_state_up=False)


def _floating_ip_detached(pair: Deployment) -> None:
    (ip,) = pair.cloud.network.ips(port_id=pair.port(pair.prefix).id)
    pair.cloud.network.update_ip(ip, port_id=None)


def _master_deleted(pair: Deployment) -> None:
    server = pair.server(pair.members[0])
    pair.cloud.compute.delete_server(server)
    pair.cloud.compute.wait_for_delete(server, wait=120)


@pytest.mark.parametrize(
    ("drift", "repair"),
    [
        (_allowed_address_pair_removed, {("update", "vrrp-master-port")}),
        (_rule_deleted, {("create", "vrrp-ingress-http-80-from-anywhere"), ("update", "vrrp-complete")}),
        (_port_disabled, {("update", "vrrp-master-port")}),
        (_floating_ip_detached, {("update", "vrrp-floating-ip")}),
        (
            _master_deleted,
            {
                ("create", "vrrp-master"),
                ("update", "vrrp-master-ready"),
                # The refresh has found the server gone, so the engine does not run the command of the old gate.
                ("replace", "vrrp-master-handover"),
                ("update", "vrrp-complete"),
            },
        ),
    ],
)
def test_a_preview_shows_drift_and_up_repairs_it(
    pair: Deployment, table: Table, drift: Callable[[Deployment], None], repair: set[tuple[str, str]]
) -> None:
    address, servers = pair.outputs["floatingIp"], [pair.server(member).id for member in pair.members]
    drift(pair)
    assert set(pair.steps()) == repair
    with watched(pair.url) as seen:
        pair.up()
    table.add(f"repair of: {drift.__name__.strip('_').replace('_', ' ')}", seen)
    assert pair.outputs["floatingIp"] == address
    now = [pair.server(member).id for member in pair.members]
    assert (now[0] == servers[0], now[1]) == (drift is not _master_deleted, servers[1])
