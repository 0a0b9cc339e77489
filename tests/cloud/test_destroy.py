"""`pulumi destroy` leaves nothing behind, and Neutron refuses none of its requests."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from .conftest import MakeStack

#: The log file of the cloud's own Neutron, if this machine has it: the provider repeats refused requests and does not
#: report them.
NEUTRON_LOG = os.environ.get("NEUTRON_SERVER_LOG")

#: neutron-server's line of one request: `"DELETE /v2.0/ports/… HTTP/1.1" status: 409`.
REFUSED = re.compile(r'"(?:DELETE|PUT) [^"]*" status: 409')


def test_neutron_refuses_no_request_of_a_destroy(make_stack: MakeStack) -> None:
    if NEUTRON_LOG is None:
        # Only the operator of the cloud can read that log; the other tests of this file do not need it.
        pytest.skip("NEUTRON_SERVER_LOG does not name the log of this cloud's Neutron")
    deployment = make_stack()
    deployment.set(memberFloatingIps="true")
    before = deployment.left()
    deployment.up()
    log = Path(NEUTRON_LOG)
    began = log.stat().st_size
    deployment.destroy()
    with log.open(encoding="utf-8", errors="replace") as file:
        file.seek(began)
        said = file.read()
    assert '"DELETE /v2.0/networks/' in said, "this log does not show the requests"
    assert REFUSED.findall(said) == []
    assert deployment.left() == before


def test_destroy_works_after_some_resources_were_deleted_by_hand(make_stack: MakeStack) -> None:
    deployment = make_stack()
    before = deployment.left()
    deployment.up()
    network, compute = deployment.cloud.network, deployment.cloud.compute
    master, backup = deployment.members
    server = deployment.server(master)
    compute.delete_server(server)
    compute.wait_for_delete(server, wait=120)
    (ip,) = network.ips(port_id=deployment.port(deployment.prefix).id)
    network.delete_ip(ip)
    # The port of a running server.
    network.delete_port(deployment.port(backup))
    group = network.find_security_group(f"{deployment.prefix}-sec-group", ignore_missing=False)
    (rule,) = network.security_group_rules(security_group_id=group.id, protocol="tcp")
    network.delete_security_group_rule(rule)
    deployment.destroy()
    assert deployment.left() == before
