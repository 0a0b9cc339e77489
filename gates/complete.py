"""Checks the whole pair at the end of a change: what Neutron has, and what both members report.

The engine does not see every fault. For example, Neutron (Zed) leaves a floating IP at the old address when the VIP's
port gets another one. Then every resource is up to date, and no request reaches the VIP.

Run as ``python -m gates.complete`` with EXPECTED in the environment, as JSON::

    {"vip_ports": {"10.0.0.201": "ID"},
     "floating_ip": "203.0.113.10",
     "group": "ID", "rules": {"vrrp-ingress-vrrp": "ID"},
     "members": {"vrrp-master": {"server": "ID", "port": "ID", "addresses": ["10.0.0.4"]}}}

(``floating_ip`` is null for a pair without one), READY_TIMEOUT (seconds), and the credentials that openstacksdk finds.

With ``unless-new-pair`` PAIR_MADE_AT is needed too (seconds since 1970; empty if it is not known). If the pair was made
in the last five minutes, its members still boot. Then only a server in Nova's status ERROR is a problem.

Exits with 1 if something does not fit, and names each problem. Exits with 1 also if the cloud gave no answer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openstack.exceptions import NotFoundException

from .arguments import UNLESS_NEW_PAIR
from .connection import NO_ANSWER, connect
from .member_console import NovaServer, Server, look_at, say, wait, why_hopeless
from .peer import HOPELESS
from .ready import JUST_MADE

#: Seconds in which the members may agree on one master after both are ready.
SETTLE = 60.0
#: Seconds between two looks at the members' states.
PAUSE = 2.0


# -- what Neutron has --------------------------------------------------------------------------------------


def network_problems(network: Any, expected: Mapping[str, Any]) -> Iterator[str]:
    """Yield each difference between Neutron and the pair, as a sentence.

    :param network: openstacksdk's proxy of Neutron.
    :raises SDKException, ClientException: Neutron gave no answer.
    """
    vip_ports: dict[str, str] = expected["vip_ports"]
    for vip, port_id in vip_ports.items():
        port = _port(network, port_id)
        if port is None or vip not in _addresses(port.fixed_ips):
            yield f"the VIP's port {port_id} {'does not exist' if port is None else f'does not have {vip}'}."
    if expected["floating_ip"]:
        yield from _floating_ip_problems(network, expected["floating_ip"], *next(iter(vip_ports.items())))
    for name, member in expected["members"].items():
        yield from _member_problems(network, name, member, set(vip_ports), expected["group"])
    rules = {str(rule.id) for rule in network.security_group_rules(security_group_id=expected["group"])}
    yield from (f"the rule {name} does not exist." for name, id_ in expected["rules"].items() if id_ not in rules)


def _floating_ip_problems(network: Any, address: str, vip: str, vip_port: str) -> Iterator[str]:
    floating_ip = next(iter(network.ips(floating_ip_address=address)), None)
    if floating_ip is None:
        yield f"the floating IP {address} does not exist."
    elif floating_ip.port_id != vip_port or floating_ip.fixed_ip_address != vip:
        yield (
            f"the floating IP {address} leads to {floating_ip.fixed_ip_address or 'no address'} instead of {vip}: "
            f"`openstack floating ip set --port {vip_port} --fixed-ip-address {vip} {address}` corrects this."
        )


def _member_problems(network: Any, name: str, member: Mapping[str, Any], vips: set[str], group: str) -> Iterator[str]:
    port = _port(network, member["port"])
    if port is None:
        yield f"the port of {name} does not exist."
        return
    if port.device_id != member["server"]:
        yield f"the port of {name} is not attached to its server."
    if not port.is_admin_state_up:
        yield f"the port of {name} is disabled: `openstack port set --enable {port.id}`."
    if missing := set(member["addresses"]) - _addresses(port.fixed_ips):
        yield f"the port of {name} does not have {', '.join(sorted(missing))}."
    # OVN forwards a floating IP only to a port whose address pair is exactly the VIP, without a prefix length.
    if (allowed := _addresses(port.allowed_address_pairs)) != vips:
        yield (
            f"the allowed address pairs of {name} are {', '.join(sorted(allowed)) or 'missing'} instead of "
            f"{', '.join(sorted(vips))}."
        )
    if group not in (port.security_group_ids or ()):
        yield f"the port of {name} is not in the pair's security group."


def _port(network: Any, port_id: str) -> Any:
    try:
        return network.get_port(port_id)
    except NotFoundException:
        return None


def _addresses(entries: Any) -> set[str]:
    return {str(entry["ip_address"]) for entry in entries or ()}


# -- what the members report -------------------------------------------------------------------------------


def member_problems(
    servers: Mapping[str, Server],
    timeout: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """Yield a sentence for each problem in the members' reports. Both must be ready, and one must be the master.

    A drained member is no problem while its peer is the master: an operator has decided this.

    :param servers: name → server of each member.
    :param timeout: seconds that a member may take until it is ready.
    :raises SDKException, ClientException: Nova gave no answer.
    """
    serving: dict[str, Server] = {}
    drained: list[str] = []
    for name, server in servers.items():
        if look_at(server, lambda status: status == "ACTIVE").is_drained:
            say(f"{name} is drained: only its peer can serve.")
            drained.append(name)
            continue
        reasons: list[str] = []
        if wait(server, name, timeout, reasons.append, sleep, clock, HOPELESS) is None:
            yield f"{reasons[-1]}."
        else:
            serving[name] = server
    if len(serving) + len(drained) == len(servers):
        yield from _master_problems(serving, sleep, clock)


def _master_problems(
    serving: Mapping[str, Server], sleep: Callable[[float], None], clock: Callable[[], float]
) -> Iterator[str]:
    end = clock() + SETTLE
    while True:
        looks = {name: look_at(server) for name, server in serving.items()}
        masters = [
            name for name, look in looks.items() if look.is_ready and look.report and look.report.what == "MASTER"
        ]
        if len(masters) == 1:
            return
        if clock() >= end:
            break
        sleep(PAUSE)
    if masters:
        yield (
            f"{' and '.join(masters)} are both master for {SETTLE:.0f} s: they do not hear each other. "
            "`python -m ops status` names the cause."
        )
    else:
        yield "no member is master."


def servers_in_error(servers: Mapping[str, Server]) -> Iterator[str]:
    """Yield a sentence for each member that Nova could not make, or has lost.

    The provider tells its error once. After that a server in ERROR is no difference, and no later `up` would tell it.

    :param servers: name → server of each member.
    :raises SDKException, ClientException: Nova gave no answer.
    """
    for name, server in servers.items():
        look = look_at(server, lambda _: False)
        if look.status == "ERROR":
            yield f"{why_hopeless(look, name, HOPELESS)}."


# -- the command -------------------------------------------------------------------------------------------


def _pair_is_new() -> bool:
    made_at = os.environ["PAIR_MADE_AT"]
    return bool(made_at) and 0 <= time.time() - int(made_at) <= JUST_MADE


def main(arguments: list[str]) -> int:
    """Check the pair that the environment describes; return the exit status."""
    expected: dict[str, Any] = json.loads(os.environ["EXPECTED"])
    is_new = arguments == [UNLESS_NEW_PAIR] and _pair_is_new()
    try:
        connection: Any = connect()
        servers = {name: NovaServer(connection.compute, one["server"]) for name, one in expected["members"].items()}
        in_error = list(servers_in_error(servers))
        problems = list(in_error)
        if not is_new:
            problems = list(network_problems(connection.network, expected))
            problems += member_problems(servers, float(os.environ["READY_TIMEOUT"]))
    except NO_ANSWER as error:
        say(f"the cloud gave no answer about the pair ({error}). `python -m ops status` checks it.")
        return 1
    if not problems:
        print("the pair is new: its members still boot" if is_new else "the pair is complete")
        return 0
    say("The change is made, and the pair is not as it should be:")
    for problem in problems:
        say(f"  {problem}")
    if in_error:
        say(
            "A server in ERROR is made again by `pulumi up --replace URN`; `pulumi stack --show-urns` shows its URN. "
            "Correct the cause first."
        )
    say("`pulumi up --refresh` repairs what Pulumi manages. `python -m ops status` shows the pair at any time.")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
