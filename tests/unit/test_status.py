"""What `ops status` finds: each way in which a pair is declared wrongly while keepalived looks healthy.

The pair is made up here. That each of these really looks like that is shown by tests/lab and on a cloud.
"""

from __future__ import annotations

import dataclasses
import re
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from ops.outside import MemberFacts, Outside, PortFacts, Rule, ask_the_service, look
from ops.status import judge
from settings import PairSettings
from settings.pair import Role
from settings.service import Check, Service
from userdata.console_protocol import Condition, Report

from .conftest import settings_of

GROUP = "group"
ANYWHERE = "0.0.0.0/0"
SPEAKS = "virtual_router_id 1, version 3, advert_int 0.25, unicast, no auth"
MASTER, BACKUP = "vrrp-master", "vrrp-backup"

RULES = (
    Rule("icmp", None, None, ANYWHERE),
    Rule("112", None, None, GROUP),
    Rule("tcp", 80, 80, ANYWHERE),
    Rule("udp", 61112, 61112, GROUP),
)


def port(server: str, address: str) -> PortFacts:
    return PortFacts(f"port-of-{server}", True, (address,), ("10.0.0.201",), (GROUP,), True, server)


NOW = 1_795_391_838


def ready(state: str) -> Report:
    return Report(Condition.READY, state, "b1", NOW - 3600, NOW - 60)


def not_ready(why: str) -> Report:
    return Report(Condition.NOT_READY, why, "b1", NOW - 3600, NOW - 60)


def member(name: str, address: str, state: str) -> MemberFacts:
    return MemberFacts(name, "ACTIVE", f"id-of-{name}", port(f"id-of-{name}", address), ready(state), SPEAKS)


HEALTHY = Outside(
    members={
        Role.MASTER: member(MASTER, "10.0.0.4", "MASTER"),
        Role.BACKUP: member(BACKUP, "10.0.0.5", "BACKUP"),
    },
    vip_port=PortFacts("vip", True, ("10.0.0.201",), (), (), True, ""),
    floating_ip="198.51.100.7",
    members_floating_ips={},
    pair_group=GROUP,
    rules={GROUP: RULES},
    vip6_port=None,
    gateways=("10.0.0.1",),
    answers=[MASTER] * 20,
)

Change = Callable[[Outside], Outside]


def with_member(role: Role, **changed: Any) -> Change:
    def change(outside: Outside) -> Outside:
        members = {**outside.members, role: dataclasses.replace(outside.members[role], **changed)}
        return dataclasses.replace(outside, members=members)

    return change


def with_port(role: Role, **changed: Any) -> Change:
    def change(outside: Outside) -> Outside:
        facts = outside.members[role].port
        assert facts
        return with_member(role, port=dataclasses.replace(facts, **changed))(outside)

    return change


def without_rule(protocol: str) -> Change:
    left = tuple(rule for rule in RULES if rule.protocol != protocol)
    return lambda outside: dataclasses.replace(outside, rules={GROUP: left})


def with_(**changed: Any) -> Change:
    return lambda outside: dataclasses.replace(outside, **changed)


def causes(outside: Outside, settings: PairSettings | None = None) -> list[str]:
    return [finding.cause for finding in judge(outside, settings or settings_of("nz-por-1"), NOW)]


#: What was done, and the first cause that is named.
WRONG: list[tuple[Change, str]] = [
    (with_port(Role.MASTER, allowed_addresses=()), "the port of vrrp-master has no allowed address pair 10.0.0.201"),
    (
        with_port(Role.BACKUP, allowed_addresses=("10.0.0.0/24",)),
        "the allowed address pair of vrrp-backup is a network (10.0.0.0/24)",
    ),
    (without_rule("112"), "no rule lets protocol 112 (VRRP) in at vrrp-master"),
    (without_rule("tcp"), "no rule lets TCP 80 from 0.0.0.0/0 in at vrrp-master"),
    (without_rule("udp"), "no rule lets the peer's word (UDP 61112) in at vrrp-master"),
    (
        with_member(Role.BACKUP, speaks=SPEAKS.replace("_id 1", "_id 2"), report=ready("MASTER")),
        "vrrp-master and vrrp-backup do not agree: virtual_router_id 1 and virtual_router_id 2",
    ),
    (
        with_member(Role.BACKUP, speaks=SPEAKS.replace("0.25", "1")),
        "vrrp-master and vrrp-backup do not agree: advert_int 0.25 and advert_int 1",
    ),
    (with_member(Role.BACKUP, hears="silent"), "vrrp-backup hears no word of vrrp-master (UDP 61112)"),
    (with_member(Role.BACKUP, report=ready("MASTER")), "vrrp-master and vrrp-backup both say that they are master"),
    (with_member(Role.MASTER, report=ready("BACKUP")), "neither says that it is master"),
    (with_member(Role.BACKUP, report=not_ready("drained")), "vrrp-backup is not ready: drained"),
    (with_member(Role.BACKUP, report=None), "vrrp-backup has not said on its console that it is ready"),
    (with_member(Role.BACKUP, server_status="SHUTOFF"), "vrrp-backup is SHUTOFF"),
    (with_member(Role.BACKUP, server_status=None), "there is no server vrrp-backup"),
    (with_member(Role.BACKUP, port=None), "vrrp-backup has no port of its name"),
    (with_port(Role.MASTER, enabled=False), "the port of vrrp-master is disabled"),
    (with_port(Role.MASTER, server=""), "the port of vrrp-master is not attached to it"),
    (
        with_port(Role.BACKUP, groups=("default",)),
        "the port of vrrp-backup is not in the security group vrrp-sec-group",
    ),
    (with_(pair_group=None), "the port of vrrp-master is not in the security group vrrp-sec-group"),
    (with_(vip_port=None), "there is no port vrrp-port"),
    (with_(vip_port=PortFacts("vip", True, ("10.0.0.9",), (), (), True, "")), "the VIP's port has 10.0.0.9 and not"),
    (
        with_(vip_port=PortFacts("vip", True, ("10.0.0.201",), (), (), True, "s-1")),
        "the VIP's port is attached to the server s-1",
    ),
    (with_(floating_ip=None, answers=[]), "the VIP's port has no floating IP"),
    (
        with_(floating_ip=None, answers=[], members_floating_ips={"198.51.100.7": "port-of-id-of-vrrp-master"}),
        "the VIP's port has no floating IP (198.51.100.7 leads to the port of vrrp-master)",
    ),
    (with_(gateways=()), "no router has 10.0.0.1 in the network"),
    (with_(answers=[None] * 5), "nobody answers through the floating IP"),
    (with_(answers=[BACKUP] * 20), "vrrp-backup answers, and vrrp-master is the master"),
    (
        with_member(Role.BACKUP, report=dataclasses.replace(ready("BACKUP"), said_at=NOW - 3600)),
        "vrrp-backup has said nothing for 60 minutes",
    ),
    (
        with_member(Role.MASTER, report=Report(Condition.FAILED, "install ended with 7", "b1", NOW, None)),
        "vrrp-master has failed: install ended with 7",
    ),
    (with_(answers=[MASTER] * 19 + [None]), "1 of 20 requests were lost"),
    (with_(answers=[MASTER, BACKUP] * 10), "vrrp-backup and vrrp-master answered in turns"),
]


class TestWhatIsWrongIsNamedByItsCause:
    """Prevents a monitoring that is green while every request is lost."""

    def test_nothing_is_wrong_with_a_healthy_pair(self) -> None:
        assert causes(HEALTHY) == []

    def test_nor_with_one_whose_backup_serves(self) -> None:
        swapped = with_member(Role.MASTER, report=ready("BACKUP"))(
            with_member(Role.BACKUP, report=ready("MASTER"))(HEALTHY)
        )
        assert causes(dataclasses.replace(swapped, answers=[BACKUP] * 20)) == []

    @pytest.mark.parametrize(("change", "cause"), WRONG, ids=[cause for _, cause in WRONG])
    def test_its_cause_comes_first(self, change: Change, cause: str) -> None:
        assert causes(change(HEALTHY))[0].startswith(cause)

    def test_each_finding_says_what_follows_and_the_way_out(self) -> None:
        for change, _ in WRONG:
            for finding in judge(change(HEALTHY), settings_of("nz-por-1"), NOW):
                assert finding.consequence
                assert finding.way_out

    def test_a_port_without_port_security_needs_neither_pairs_nor_rules(self) -> None:
        bare = HEALTHY
        for role in (Role.MASTER, Role.BACKUP):
            bare = with_port(role, port_security=False, allowed_addresses=(), groups=())(bare)
        assert causes(bare) == []

    @pytest.mark.parametrize("rule", [Rule("112", None, None, "10.0.0.0/24"), Rule(None, None, None, None)])
    def test_another_rule_that_lets_the_peer_in_is_as_good(self, rule: Rule) -> None:
        rules = (*(one for one in RULES if one.protocol != "112"), rule)
        assert causes(dataclasses.replace(HEALTHY, rules={GROUP: rules})) == []

    def test_one_that_lets_somebody_else_in_is_not(self) -> None:
        rules = (*(one for one in RULES if one.protocol != "112"), Rule("112", None, None, "192.0.2.0/24"))
        assert len(causes(dataclasses.replace(HEALTHY, rules={GROUP: rules}))) == 2

    def test_a_group_that_only_the_port_itself_is_in_lets_no_peer_in(self) -> None:
        """Neutron's default group lets in whatever is in it, which the peer is not."""
        from_each_other = Rule(None, None, None, "default")
        moved = with_port(Role.BACKUP, groups=("default",))(HEALTHY)
        moved = dataclasses.replace(moved, rules={GROUP: RULES, "default": (from_each_other,)})
        assert "no rule lets protocol 112 (VRRP) in at vrrp-backup" in causes(moved)

    @pytest.mark.parametrize("status", [200, 500])
    def test_an_answer_is_what_the_settings_expect(self, status: int) -> None:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"vrrp-master\nand more")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name of the method that it replaces
                """Say nothing."""

        with HTTPServer(("127.0.0.1", 0), Page) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            service = Service(port=server.server_port)
            assert ask_the_service("127.0.0.1", service) == (MASTER if status == 200 else None)
            thread.join()

    def test_a_service_that_is_no_web_server_is_only_connected_to(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            service = Service(port=listening.getsockname()[1], check=Check.TCP)
            assert ask_the_service("127.0.0.1", service) == ""
        assert ask_the_service("127.0.0.1", service) is None

    def test_the_tutorials_pair_needs_no_word_of_the_peer(self) -> None:
        members = without_rule("udp")(HEALTHY)
        assert causes(members, settings_of("tutorial")) == []


class TestTwoFamilies:
    """Prevents a pair that is called healthy while one of its two families leads nowhere."""

    DUAL = settings_of("nz-por-1", cidr6="2001:db8::/64", httpCidrs='["0.0.0.0/0", "::/0"]')
    VIP6 = "2001:db8::201"

    def _healthy(self) -> Outside:
        both = HEALTHY
        for role in (Role.MASTER, Role.BACKUP):
            both = with_port(role, allowed_addresses=("10.0.0.201", self.VIP6))(both)
        return dataclasses.replace(
            both,
            vip6_port=PortFacts("vip6", True, (self.VIP6,), (), (), True, ""),
            gateways=("10.0.0.1", "2001:db8::1"),
            rules={GROUP: (*RULES, Rule("tcp", 80, 80, "::/0", 6))},
        )

    def test_a_healthy_one_has_both(self) -> None:
        assert causes(self._healthy(), self.DUAL) == []

    def test_what_is_missing_for_the_second_is_named(self) -> None:
        no_pair = with_port(Role.BACKUP, allowed_addresses=("10.0.0.201",))(self._healthy())
        assert causes(no_pair, self.DUAL) == [f"the port of vrrp-backup has no allowed address pair {self.VIP6}"]
        no_rule = dataclasses.replace(self._healthy(), rules={GROUP: (*RULES, Rule("tcp", 80, 80, "::/0", 4))})
        assert causes(no_rule, self.DUAL)[0] == "no rule lets TCP 80 from ::/0 in at vrrp-master"
        not_kept = dataclasses.replace(self._healthy(), vip6_port=None)
        assert causes(not_kept, self.DUAL) == ["there is no port vrrp-port6"]
        no_way = dataclasses.replace(self._healthy(), gateways=("10.0.0.1",))
        assert causes(no_way, self.DUAL) == ["no router has 2001:db8::1 in the network"]


def said(name: str, what: str, boot: str = "b1", booted_at: int = NOW - 3600) -> str:
    return f"\r\nvrrp-pair: {name} {what} (boot {boot}, booted at {booted_at}, said at {NOW - 60})\r\n"


class _Network:
    """Neutron's answers for a healthy pair, as openstacksdk gives them."""

    def ports(self, **query: str) -> list[SimpleNamespace]:
        def made(name: str, address: str, server: str, owner: str, pairs: list[str]) -> SimpleNamespace:
            return SimpleNamespace(
                id=f"port-{name}",
                name=name,
                is_admin_state_up=True,
                fixed_ips=[{"ip_address": address}],
                allowed_address_pairs=[{"ip_address": pair} for pair in pairs],
                security_group_ids=[GROUP],
                is_port_security_enabled=True,
                device_id=server,
                device_owner=owner,
            )

        if query.get("device_id") == "router":
            return [made("", "10.0.0.1", "router", "network:router_interface", [])]
        return [
            made("vrrp_master_server_port", "10.0.0.4", "s-vrrp-master", "compute:nova", ["10.0.0.201"]),
            made("vrrp_backup_server_port", "10.0.0.5", "s-vrrp-backup", "compute:nova", ["10.0.0.201"]),
            made("vrrp-port", "10.0.0.201", "", "", []),
        ]

    def extensions(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(alias="port-security")]

    def ips(self, **_: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(floating_ip_address="198.51.100.7", port_id="port-vrrp-port")]

    def routers(self, **_: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(id="router")]

    def security_groups(self, name: str, **_: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(id=GROUP)] if name == "vrrp-sec-group" else []

    def security_group_rules(self, **_: str) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                protocol=protocol,
                port_range_min=low,
                port_range_max=low,
                remote_group_id=source if source == GROUP else None,
                remote_ip_prefix=None if source == GROUP else source,
                ether_type="IPv4",
                remote_address_group_id=None,
            )
            for protocol, low, source in (("vrrp", None, GROUP), ("tcp", 80, ANYWHERE), ("udp", 61112, GROUP))
        ]


class _Compute:
    """Nova's: the consoles were kept over a reboot of the backup."""

    def servers(self, name: str) -> list[SimpleNamespace]:
        names = [MASTER, BACKUP, f"{BACKUP}-old"]
        return [SimpleNamespace(id=f"s-{one}", name=one) for one in names if re.match(name.rstrip("$"), one)]

    def get_server(self, _: str) -> SimpleNamespace:
        return SimpleNamespace(status="ACTIVE")

    def server_actions(self, _: str) -> list[SimpleNamespace]:
        began = datetime.fromtimestamp(NOW - 3610, UTC).replace(tzinfo=None).isoformat()
        return [SimpleNamespace(action="reboot", start_time=began)]

    def get_server_console_output(self, server: str) -> dict[str, str]:
        name = server.removeprefix("s-")
        state = {MASTER: "MASTER", BACKUP: "BACKUP"}[name]
        of_the_boot_before = said(name, "speaks of old things", "b0", NOW - 7200) + said(
            name, "is ready as FAULT", "b0", NOW - 7200
        )
        other = said("somebody", "is ready as MASTER")
        return {
            "output": of_the_boot_before
            + said(name, f"speaks {SPEAKS}")
            + said(name, "hears ill")
            + said(name, "hears well")
            + said(name, f"is ready as {state}")
            + other
        }


class TestLooking:
    def _look(self, compute: object) -> tuple[Outside, list[tuple[str, int]]]:
        connection = SimpleNamespace(network=_Network(), compute=compute, current_project_id="p")
        asked: list[tuple[str, int]] = []

        def ask(address: str, service: Service) -> str:
            asked.append((address, service.port))
            return MASTER

        return look(connection, settings_of("nz-por-1"), ask, sleep=lambda _: None), asked

    def test_a_healthy_pair_is_seen_as_one(self) -> None:
        outside, asked = self._look(_Compute())
        assert causes(outside) == []
        assert outside.floating_ip == "198.51.100.7"
        assert asked == [("198.51.100.7", 80)] * 20
        assert [(one.state, one.speaks, one.hears) for one in outside.members.values()] == [
            ("MASTER", SPEAKS, "well"),
            ("BACKUP", SPEAKS, "well"),
        ]

    def test_where_nobody_answers_it_is_not_asked_for_long(self) -> None:
        connection = SimpleNamespace(network=_Network(), compute=_Compute(), current_project_id="p")
        answers: list[str | None] = [MASTER, None, None, None, MASTER, *[None] * 15]
        outside = look(connection, settings_of("nz-por-1"), lambda _, __: answers.pop(0), sleep=lambda _: None)
        assert outside.answers == [MASTER, None, None, None, MASTER, *[None] * 5]

    def test_a_word_of_an_earlier_boot_does_not_count(self) -> None:
        class Rebooted(_Compute):
            def server_actions(self, _: str) -> list[SimpleNamespace]:
                began = datetime.fromtimestamp(NOW - 30, UTC).replace(tzinfo=None).isoformat()
                return [SimpleNamespace(action="reboot", start_time=began)]

        outside, _ = self._look(Rebooted())
        assert [one.report for one in outside.members.values()] == [None, None]
        assert causes(outside)[0] == "vrrp-master has not said on its console that it is ready"
