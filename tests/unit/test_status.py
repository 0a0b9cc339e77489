"""`ops status` finds each way in which a pair can be misconfigured while keepalived looks healthy.

The pair is made up here. tests/lab and tests/cloud show that a real pair looks like that.
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

from ops.observation import IngressRule, ObservedMember, ObservedPair, ObservedPort, observe
from ops.probe import probe
from ops.server_findings import WAYS_OUT
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
    IngressRule("icmp", None, None, ANYWHERE),
    IngressRule("vrrp", None, None, GROUP),
    IngressRule("tcp", 80, 80, ANYWHERE),
    IngressRule("udp", 61112, 61112, GROUP),
)


def port(server: str, address: str) -> ObservedPort:
    return ObservedPort(f"port-of-{server}", True, (address,), ("10.0.0.201",), (GROUP,), True, server)


NOW = 1_795_391_838


def ready(state: str) -> Report:
    return Report(Condition.READY, state, "b1", NOW - 3600, NOW - 60)


def not_ready(why: str) -> Report:
    return Report(Condition.NOT_READY, why, "b1", NOW - 3600, NOW - 60)


def member(name: str, address: str, state: str) -> ObservedMember:
    return ObservedMember(name, "ACTIVE", f"id-of-{name}", port(f"id-of-{name}", address), ready(state), SPEAKS)


HEALTHY = ObservedPair(
    members={
        Role.MASTER: member(MASTER, "10.0.0.4", "MASTER"),
        Role.BACKUP: member(BACKUP, "10.0.0.5", "BACKUP"),
    },
    vip_port=ObservedPort("vip", True, ("10.0.0.201",), (), (), True, ""),
    floating_ip="198.51.100.7",
    members_floating_ips={},
    pair_group=GROUP,
    rules={GROUP: RULES},
    vip6_port=None,
    gateways=("10.0.0.1",),
    answers=[MASTER] * 20,
)

Change = Callable[[ObservedPair], ObservedPair]


def with_member(role: Role, **changed: Any) -> Change:
    def change(pair: ObservedPair) -> ObservedPair:
        members = {**pair.members, role: dataclasses.replace(pair.members[role], **changed)}
        return dataclasses.replace(pair, members=members)

    return change


def with_port(role: Role, **changed: Any) -> Change:
    def change(pair: ObservedPair) -> ObservedPair:
        facts = pair.members[role].port
        assert facts
        return with_member(role, port=dataclasses.replace(facts, **changed))(pair)

    return change


def without_rule(protocol: str) -> Change:
    left = tuple(rule for rule in RULES if rule.protocol != protocol)
    return lambda pair: dataclasses.replace(pair, rules={GROUP: left})


def with_(**changed: Any) -> Change:
    return lambda pair: dataclasses.replace(pair, **changed)


def causes(pair: ObservedPair, settings: PairSettings | None = None) -> list[str]:
    return [finding.cause for finding in judge(pair, settings or settings_of("nz-por-1"), NOW)]


#: A change of the healthy pair, and the first cause in the findings.
WRONG: list[tuple[Change, str]] = [
    (with_port(Role.MASTER, allowed_addresses=()), "the port of vrrp-master has no allowed address pair 10.0.0.201"),
    (
        with_port(Role.BACKUP, allowed_addresses=("10.0.0.0/24",)),
        "the allowed address pair of vrrp-backup is a network (10.0.0.0/24)",
    ),
    (without_rule("vrrp"), "no rule lets protocol 112 (VRRP) of the peer in at vrrp-master"),
    (without_rule("tcp"), "no rule lets TCP 80 from 0.0.0.0/0 in at vrrp-master"),
    (without_rule("udp"), "no rule lets the peer's reports (UDP 61112) in at vrrp-master"),
    (
        with_member(Role.BACKUP, speaks=SPEAKS.replace("_id 1", "_id 2"), report=ready("MASTER")),
        "vrrp-master and vrrp-backup do not agree: virtual_router_id 1 and virtual_router_id 2",
    ),
    (
        with_member(Role.BACKUP, speaks=SPEAKS.replace("0.25", "1")),
        "vrrp-master and vrrp-backup do not agree: advert_int 0.25 and advert_int 1",
    ),
    (with_member(Role.BACKUP, hears="silent"), "vrrp-backup receives no reports from vrrp-master (UDP 61112)"),
    (with_member(Role.BACKUP, report=ready("MASTER")), "vrrp-master and vrrp-backup both report that they are master"),
    (with_member(Role.MASTER, report=ready("BACKUP")), "neither member reports that it is master"),
    (with_member(Role.BACKUP, report=not_ready("drained")), "vrrp-backup is not ready: drained"),
    (with_member(Role.BACKUP, report=None), "vrrp-backup has not reported on its console that it is ready"),
    (with_member(Role.BACKUP, server_status="SHUTOFF"), "vrrp-backup is SHUTOFF"),
    (with_member(Role.BACKUP, server_status=None), "there is no server vrrp-backup"),
    (with_member(Role.BACKUP, port=None), "there is no port vrrp_backup_server_port"),
    (with_port(Role.MASTER, enabled=False), "the port of vrrp-master is disabled"),
    (with_port(Role.MASTER, server=""), "the port of vrrp-master is not attached to its server"),
    (
        with_port(Role.BACKUP, groups=("default",)),
        "the port of vrrp-backup is not in the security group vrrp-sec-group",
    ),
    (with_(pair_group=None), "the port of vrrp-master is not in the security group vrrp-sec-group"),
    (with_(vip_port=None), "there is no port vrrp-port"),
    (
        with_(vip_port=ObservedPort("vip", True, ("10.0.0.9",), (), (), True, "")),
        "the VIP's port has 10.0.0.9 instead of 10.0.0.201",
    ),
    (
        with_(vip_port=ObservedPort("vip", True, ("10.0.0.201",), (), (), True, "s-1")),
        "the VIP's port is attached to the server s-1",
    ),
    (with_(floating_ip=None, answers=[]), "the VIP's port has no floating IP"),
    (
        with_(floating_ip_leads_to="10.0.0.200", answers=[None] * 20),
        "the floating IP 198.51.100.7 leads to 10.0.0.200 instead of 10.0.0.201",
    ),
    (
        with_(floating_ip=None, answers=[], members_floating_ips={"198.51.100.7": "port-of-id-of-vrrp-master"}),
        "the VIP's port has no floating IP (198.51.100.7 leads to the port of vrrp-master)",
    ),
    (with_(gateways=()), "no router has 10.0.0.1 in the network"),
    (with_(answers=[None] * 5), "no request through the floating IP was answered"),
    (with_(answers=[BACKUP] * 20), "vrrp-backup answers, and vrrp-master is the master"),
    (
        with_member(Role.BACKUP, report=dataclasses.replace(ready("BACKUP"), said_at=NOW - 3600)),
        "vrrp-backup has not reported for 60 minutes",
    ),
    (
        with_member(Role.MASTER, report=Report(Condition.FAILED, "install ended with 7", "b1", NOW, None)),
        "vrrp-master has failed: install ended with 7",
    ),
    (with_(answers=[MASTER] * 19 + [None]), "1 of 20 requests were lost"),
    (with_(answers=[MASTER, BACKUP] * 10), "vrrp-backup and vrrp-master answered in turns"),
]


class TestEachProblemIsReportedByItsCause:
    """Prevents monitoring that shows green while every request is lost."""

    def test_a_healthy_pair_has_no_findings(self) -> None:
        assert causes(HEALTHY) == []

    def test_a_pair_whose_backup_is_master_has_no_findings(self) -> None:
        swapped = with_member(Role.MASTER, report=ready("BACKUP"))(
            with_member(Role.BACKUP, report=ready("MASTER"))(HEALTHY)
        )
        assert causes(dataclasses.replace(swapped, answers=[BACKUP] * 20)) == []

    @pytest.mark.parametrize(("change", "cause"), WRONG, ids=[cause for _, cause in WRONG])
    def test_the_cause_comes_first(self, change: Change, cause: str) -> None:
        assert causes(change(HEALTHY))[0].startswith(cause)

    @pytest.mark.parametrize(("version", "both_are_master"), [("3", False), ("2", True)])
    def test_another_interval_alone_makes_two_masters_only_with_version_2(
        self, version: str, both_are_master: bool
    ) -> None:
        """With version 3 a backup uses the interval of the advertisements that it receives."""
        speaks = SPEAKS.replace("version 3", f"version {version}")
        pair = with_member(Role.BACKUP, speaks=speaks.replace("0.25", "1"))(
            with_member(Role.MASTER, speaks=speaks)(HEALTHY)
        )
        (finding,) = judge(pair, settings_of("nz-por-1"), NOW)
        assert ("both are master" in finding.consequence) == both_are_master

    def test_each_finding_has_a_consequence_and_a_way_out(self) -> None:
        for change, _ in WRONG:
            for finding in judge(change(HEALTHY), settings_of("nz-por-1"), NOW):
                assert finding.consequence
                assert finding.way_out

    @pytest.mark.parametrize(
        ("status", "way_out"),
        [
            ("SHUTOFF", "`openstack server start vrrp-backup`, or `pulumi up`"),
            ("PAUSED", "`openstack server unpause vrrp-backup`, or `pulumi up`"),
            ("SUSPENDED", "`openstack server resume vrrp-backup`"),
            ("RESCUE", "`openstack server unrescue vrrp-backup`"),
            ("SHELVED", "`openstack server unshelve vrrp-backup`, or `pulumi up`"),
            ("SHELVED_OFFLOADED", "`openstack server unshelve vrrp-backup`, or `pulumi up`"),
            (
                "VERIFY_RESIZE",
                "`openstack server resize confirm vrrp-backup`, or `openstack server resize revert vrrp-backup`",
            ),
            (
                "ERROR",
                "`openstack server show vrrp-backup` names the fault; `pulumi up --replace '**::*-backup'` replaces it",
            ),
            (
                "REBUILD",
                "wait until Nova has finished, and run this again (`openstack server show vrrp-backup`)",
            ),
            ("UNKNOWN", "`openstack server show vrrp-backup`, or ask the operator of the cloud"),
        ],
    )
    def test_the_way_out_fits_novas_status(self, status: str, way_out: str) -> None:
        (finding,) = judge(with_member(Role.BACKUP, server_status=status)(HEALTHY), settings_of("nz-por-1"), NOW)
        assert (finding.cause, finding.way_out) == (f"vrrp-backup is {status}", way_out)

    def test_only_a_server_that_is_off_is_to_be_started(self) -> None:
        """Nova refuses to start a server in any other status (409)."""
        assert [status for status, way_out in WAYS_OUT.items() if "server start" in way_out] == ["SHUTOFF"]

    def test_pulumi_up_is_advised_only_in_a_status_that_the_provider_can_read(self) -> None:
        """The provider ends with "Invalid power_state" otherwise (openstack_compute_instance_v2)."""
        readable = {"SHUTOFF", "ERROR", "MIGRATING", "SHELVED_OFFLOADED", "SHELVED", "BUILD", "PAUSED"}
        assert {status for status, way_out in WAYS_OUT.items() if "pulumi up" in way_out} <= readable

    def test_a_rule_for_a_range_covers_the_ports_in_it(self) -> None:
        for low, high, covered in ((1, 100, True), (1, 79, False), (81, 100, False)):
            rules = (*(one for one in RULES if one.protocol != "tcp"), IngressRule("tcp", low, high, ANYWHERE))
            assert (causes(dataclasses.replace(HEALTHY, rules={GROUP: rules})) == []) is covered

    @pytest.mark.parametrize(
        ("source", "enough"),
        [(None, True), ("0.0.0.0/0", True), ("192.0.0.0/16", True), ("192.0.2.0/25", False), (GROUP, False)],
    )
    def test_a_rule_must_cover_all_clients_of_a_network(self, source: str | None, enough: bool) -> None:
        rules = (*(one for one in RULES if one.protocol != "tcp"), IngressRule("tcp", 80, 80, source))
        settings = settings_of("nz-por-1", httpCidrs='["192.0.2.0/24"]')
        assert (causes(dataclasses.replace(HEALTHY, rules={GROUP: rules}), settings) == []) is enough

    def test_a_rule_for_reports_must_cover_their_port(self) -> None:
        rules = (*(one for one in RULES if one.protocol != "udp"), IngressRule("udp", 53, 53, GROUP))
        found = causes(dataclasses.replace(HEALTHY, rules={GROUP: rules}))
        assert found[0] == "no rule lets the peer's reports (UDP 61112) in at vrrp-master"

    def test_a_member_without_a_server_has_no_unattached_port(self) -> None:
        gone = with_member(Role.BACKUP, server_status=None, server_id=None)(with_port(Role.BACKUP, server="")(HEALTHY))
        assert causes(gone) == ["there is no server vrrp-backup"]

    def test_a_peer_without_a_port_needs_no_rules(self) -> None:
        gone = with_member(Role.BACKUP, port=None)(without_rule("vrrp")(HEALTHY))
        assert causes(gone) == ["there is no port vrrp_backup_server_port"]

    def test_members_floating_ips_are_no_reason_if_the_settings_want_them(self) -> None:
        moved = with_(floating_ip=None, answers=[], members_floating_ips={"198.51.100.7": "port-of-id-of-vrrp-master"})
        wanted = settings_of("nz-por-1", memberFloatingIps="true")
        assert causes(moved(HEALTHY), wanted) == ["the VIP's port has no floating IP"]

    def test_an_internal_pair_has_no_floating_ip(self) -> None:
        internal = with_(floating_ip=None, answers=[])
        assert causes(internal(HEALTHY), settings_of("nz-por-1", floatingIp="none")) == []

    def test_missing_reports_are_a_finding_only_between_members_that_are_ready(self) -> None:
        silent = with_member(Role.MASTER, hears="silent", report=not_ready("drained"))(HEALTHY)
        assert causes(silent) == ["vrrp-master is not ready: drained"]

    @pytest.mark.parametrize(("again_in", "longest"), [(60, 7), (600, 25)])
    def test_a_report_is_stale_after_two_repetitions_and_the_difference_of_the_clocks(
        self, again_in: int, longest: int
    ) -> None:
        """A member of an older release repeats its report every 600 s."""
        stale = f"vrrp-backup has not reported for {longest + 1} minutes"
        for minutes, found in ((longest, []), (longest + 1, [stale])):
            report = dataclasses.replace(ready("BACKUP"), said_at=NOW - 60 * minutes, again_in=again_in)
            assert causes(with_member(Role.BACKUP, report=report)(HEALTHY)) == found

    def test_lost_requests_are_explained_by_an_earlier_finding(self) -> None:
        lost = with_(answers=[None] * 5)(HEALTHY)
        (alone,) = judge(lost, settings_of("nz-por-1"), NOW)
        assert alone.way_out == "`openstack console log show` of both; `pulumi preview`"
        *_, explained = judge(with_port(Role.MASTER, enabled=False)(lost), settings_of("nz-por-1"), NOW)
        assert explained.way_out == "see the causes above"

    def test_a_page_without_a_members_name_says_nothing_about_the_vip(self) -> None:
        assert causes(with_(answers=["Welcome", "Hello"] * 10)(HEALTHY)) == []
        assert causes(with_(answers=["Welcome"] * 20)(HEALTHY)) == []

    def test_with_two_masters_it_is_no_finding_which_of_them_answers(self) -> None:
        both = with_member(Role.BACKUP, report=ready("MASTER"))(HEALTHY)
        assert causes(both) == ["vrrp-master and vrrp-backup both report that they are master"]

    def test_a_port_without_port_security_needs_neither_pairs_nor_rules(self) -> None:
        bare = HEALTHY
        for role in (Role.MASTER, Role.BACKUP):
            bare = with_port(role, port_security=False, allowed_addresses=(), groups=())(bare)
        assert causes(bare) == []

    @pytest.mark.parametrize(
        "rule", [IngressRule("vrrp", None, None, "10.0.0.0/24"), IngressRule(None, None, None, None)]
    )
    def test_any_rule_that_lets_the_peer_in_is_enough(self, rule: IngressRule) -> None:
        rules = (*(one for one in RULES if one.protocol != "vrrp"), rule)
        assert causes(dataclasses.replace(HEALTHY, rules={GROUP: rules})) == []

    def test_a_rule_for_other_hosts_is_not_enough(self) -> None:
        rules = (*(one for one in RULES if one.protocol != "vrrp"), IngressRule("vrrp", None, None, "192.0.2.0/24"))
        assert len(causes(dataclasses.replace(HEALTHY, rules={GROUP: rules}))) == 2

    def test_a_rule_for_a_group_without_the_peers_port_is_not_enough(self) -> None:
        """Neutron's default group lets in the ports of the group itself, and the peer's port is in another one."""
        from_the_group_itself = IngressRule(None, None, None, "default")
        moved = with_port(Role.BACKUP, groups=("default",))(HEALTHY)
        moved = dataclasses.replace(moved, rules={GROUP: RULES, "default": (from_the_group_itself,)})
        assert "no rule lets protocol 112 (VRRP) of the peer in at vrrp-backup" in causes(moved)

    @pytest.mark.parametrize("status", [200, 500])
    def test_only_an_expected_status_code_of_the_path_is_an_answer(self, status: int) -> None:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/healthz" else 404)
                self.end_headers()
                self.wfile.write(b"vrrp-master\nand more")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name of the method that it replaces
                """Say nothing."""

        with HTTPServer(("127.0.0.1", 0), Page) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            service = Service(port=server.server_port, url_path="/healthz")
            assert probe("127.0.0.1", service) == (MASTER if status == 200 else None)
            thread.join()

    def test_for_a_service_without_http_a_connection_is_an_answer(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            service = Service(port=listening.getsockname()[1], check=Check.TCP)
            assert probe("127.0.0.1", service) == ""
        assert probe("127.0.0.1", service) is None

    def test_the_tutorials_pair_needs_no_rule_for_reports(self) -> None:
        members = without_rule("udp")(HEALTHY)
        assert causes(members, settings_of("tutorial")) == []


class TestIpv4AndIpv6:
    """Prevents a pair that counts as healthy although one of its two IP versions does not work."""

    DUAL = settings_of("nz-por-1", cidr6="2001:db8::/64", httpCidrs='["0.0.0.0/0", "::/0"]')
    VIP6 = "2001:db8::201"

    def _healthy(self) -> ObservedPair:
        both = HEALTHY
        for role in (Role.MASTER, Role.BACKUP):
            both = with_port(role, allowed_addresses=("10.0.0.201", self.VIP6))(both)
        return dataclasses.replace(
            both,
            vip6_port=ObservedPort("vip6", True, (self.VIP6,), (), (), True, ""),
            gateways=("10.0.0.1", "2001:db8::1"),
            rules={GROUP: (*RULES, IngressRule("tcp", 80, 80, "::/0", 6))},
        )

    def test_a_healthy_pair_has_both(self) -> None:
        assert causes(self._healthy(), self.DUAL) == []

    def test_an_ipv6_address_pair_may_be_a_network(self) -> None:
        """The IPv6 VIP has no floating IP, which OVN would forward only to an exact address."""
        wide = self._healthy()
        for role in (Role.MASTER, Role.BACKUP):
            wide = with_port(role, allowed_addresses=("10.0.0.201", "2001:db8::/64"))(wide)
        assert causes(wide, self.DUAL) == []

    def test_each_missing_part_of_ipv6_is_reported(self) -> None:
        no_pair = with_port(Role.BACKUP, allowed_addresses=("10.0.0.201",))(self._healthy())
        assert causes(no_pair, self.DUAL) == [f"the port of vrrp-backup has no allowed address pair {self.VIP6}"]
        no_rule = dataclasses.replace(self._healthy(), rules={GROUP: (*RULES, IngressRule("tcp", 80, 80, "::/0", 4))})
        assert causes(no_rule, self.DUAL)[0] == "no rule lets TCP 80 from ::/0 in at vrrp-master"
        no_vip_port = dataclasses.replace(self._healthy(), vip6_port=None)
        assert causes(no_vip_port, self.DUAL) == ["there is no port vrrp-port6"]
        no_gateway = dataclasses.replace(self._healthy(), gateways=("10.0.0.1",))
        assert causes(no_gateway, self.DUAL) == ["no router has 2001:db8::1 in the network"]


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
        return [
            SimpleNamespace(floating_ip_address="198.51.100.7", port_id="port-vrrp-port", fixed_ip_address="10.0.0.201")
        ]

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
            for protocol, low, source in (("112", None, GROUP), ("tcp", 80, ANYWHERE), ("udp", 61112, GROUP))
        ]


class _Compute:
    """Nova's answers for a healthy pair; the consoles still have the lines of an earlier boot."""

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


class TestObserving:
    """Prevents findings about another pair, an earlier boot, or a service that was asked too often."""

    def _observe(self, compute: object) -> tuple[ObservedPair, list[tuple[str, int]]]:
        connection = SimpleNamespace(network=_Network(), compute=compute, current_project_id="p")
        asked: list[tuple[str, int]] = []

        def ask(address: str, service: Service) -> str:
            asked.append((address, service.port))
            return MASTER

        return observe(connection, settings_of("nz-por-1"), ask, sleep=lambda _: None), asked

    def test_the_observation_of_a_healthy_pair_has_no_findings(self) -> None:
        pair, asked = self._observe(_Compute())
        assert causes(pair) == []
        assert pair.floating_ip == "198.51.100.7"
        assert pair.floating_ip_leads_to == "10.0.0.201"
        assert asked == [("198.51.100.7", 80)] * 20
        assert [(one.state, one.speaks, one.hears) for one in pair.members.values()] == [
            ("MASTER", SPEAKS, "well"),
            ("BACKUP", SPEAKS, "well"),
        ]

    def test_requests_stop_after_five_lost_in_a_row(self) -> None:
        connection = SimpleNamespace(network=_Network(), compute=_Compute(), current_project_id="p")
        answers: list[str | None] = [MASTER, None, None, None, MASTER, *[None] * 15]
        pair = observe(connection, settings_of("nz-por-1"), lambda _, __: answers.pop(0), sleep=lambda _: None)
        assert pair.answers == [MASTER, None, None, None, MASTER, *[None] * 5]

    def test_only_the_pairs_own_ports_rules_and_addresses_are_observed(self) -> None:
        class Other(_Network):
            """Also has a router of another pair, egress rules, other floating IPs, and a rule for an address group."""

            def routers(self, **query: str) -> list[SimpleNamespace]:
                others = [] if query.get("name") == "vrrp-router" else [SimpleNamespace(id="other")]
                return [SimpleNamespace(id="router"), *others]

            def ports(self, **query: str) -> list[SimpleNamespace]:
                found = super().ports(**query)
                if "device_id" not in query:
                    # A port that a service of the cloud has, and no server.
                    vip = found[-1]
                    vip.device_id, vip.device_owner = "dhcp", "network:dhcp"
                elif query["device_id"] == "other":
                    found[0].fixed_ips = [{"ip_address": "10.9.9.9"}]
                return found

            def ips(self, **_: str) -> list[SimpleNamespace]:
                at = {"198.51.100.7": "port-vrrp-port", "198.51.100.8": "elsewhere", "198.51.100.9": None}
                at["198.51.100.10"] = "port-vrrp_master_server_port"
                return [
                    SimpleNamespace(floating_ip_address=ip, port_id=port, fixed_ip_address="10.0.0.201")
                    for ip, port in at.items()
                ]

            def security_group_rules(self, **query: str) -> list[SimpleNamespace]:
                assert query["direction"] == "ingress"
                rules = super().security_group_rules(**query)
                rules[1].remote_address_group_id = "addresses"
                rules[2].ether_type = "IPv6"
                return rules

        connection = SimpleNamespace(network=Other(), compute=_Compute(), current_project_id="p")
        pair = observe(connection, settings_of("nz-por-1"), lambda _, __: MASTER, sleep=lambda _: None)
        assert pair.gateways == ("10.0.0.1",)
        assert pair.members_floating_ips == {"198.51.100.10": "port-vrrp_master_server_port"}
        assert pair.vip_port
        assert pair.vip_port.server == ""
        assert [(rule.protocol, rule.version) for rule in pair.rules[GROUP]] == [("vrrp", 4), ("udp", 6)]

    def test_without_neutrons_extension_every_port_is_filtered(self) -> None:
        class Without(_Network):
            def extensions(self) -> list[SimpleNamespace]:
                return []

            def ports(self, **query: str) -> list[SimpleNamespace]:
                found = super().ports(**query)
                for one in found:
                    one.is_port_security_enabled = None
                return found

        connection = SimpleNamespace(network=Without(), compute=_Compute(), current_project_id="p")
        pair = observe(connection, settings_of("nz-por-1"), lambda _, __: MASTER, sleep=lambda _: None)
        assert [member.port and member.port.port_security for member in pair.members.values()] == [True, True]

    def test_a_report_of_an_earlier_boot_does_not_count(self) -> None:
        class Rebooted(_Compute):
            def server_actions(self, _: str) -> list[SimpleNamespace]:
                began = datetime.fromtimestamp(NOW - 30, UTC).replace(tzinfo=None).isoformat()
                return [SimpleNamespace(action="reboot", start_time=began)]

        pair, _ = self._observe(Rebooted())
        assert [one.report for one in pair.members.values()] == [None, None]
        assert causes(pair)[0] == "vrrp-master has not reported on its console that it is ready"
