"""The gates that find the pair by its ports: handover, teardown, and the check at the end of a change.

That the engine runs them before it deletes a server is shown in tests/cloud. The graph is in test_order.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from keystoneauth1.exceptions import ConnectFailure
from openstack.exceptions import HttpException, NotFoundException

from gates import complete, handover, peer, teardown
from gates.complete import SETTLE, member_problems, network_problems
from gates.pair_ports import PairPorts, UnclearPair, server_at
from settings.identity import TEARDOWN_TAG, PortRole, pair_tag

from .test_gates import NOW, Clock, MadeUpServer, not_ready, report

TAG = pair_tag("vrrp-pair", "prod", "vrrp")

ENVIRONMENT = {
    "ROLE": "backup",
    "MEMBER": "vrrp-backup",
    "PEER": "vrrp-master",
    "PEER_LOGICAL_NAME": "vrrp-master",
    "ADDRESSES": "10.0.0.4 10.0.0.5",
    "READY_TIMEOUT": "600",
    "SERVER_ID": "i-backup",
    "PAIR_TAG": TAG,
    "MASTER_PORT": "vrrp_master_server_port",
    "BACKUP_PORT": "vrrp_backup_server_port",
}


@dataclass
class Port:
    """A port as openstacksdk shows it."""

    id: str
    name: str
    device_id: str = ""
    device_owner: str = "compute:nova"
    tags: list[str] = field(default_factory=list[str])
    fixed_ips: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    allowed_address_pairs: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    security_group_ids: list[str] = field(default_factory=lambda: ["g"])
    is_admin_state_up: bool = True
    is_port_security_enabled: bool = True

    def add_tag(self, _: object, tag: str) -> None:
        self.tags.append(tag)

    def remove_tag(self, _: object, tag: str) -> None:
        self.tags.remove(tag)


@dataclass
class Cloud:
    """A connection to a cloud with ports and servers, and the proxies of Neutron and Nova in one object."""

    port_list: list[Port] = field(default_factory=list[Port])
    servers: dict[str, MadeUpServer] = field(default_factory=dict[str, MadeUpServer])
    floating_ips: list[Any] = field(default_factory=list[Any])
    rules: list[str] = field(default_factory=lambda: ["r-1", "r-2"])
    current_project_id: str = "p"

    @property
    def network(self) -> Any:
        return self

    compute = network

    # -- Neutron ------------------------------------------------------------------------------------

    def ports(
        self,
        *,
        project_id: str | None = None,
        tags: str = "",
        name: str | None = None,
        fixed_ips: str | None = None,
        device_id: str | None = None,
    ) -> list[Port]:
        # A name or an address may exist in every project, the id of a server in one only.
        assert device_id or project_id == self.current_project_id
        wanted = {tag for tag in tags.split(",") if tag}
        return [
            port
            for port in self.port_list
            if wanted <= set(port.tags)
            and name in {None, port.name}
            and device_id in {None, port.device_id}
            and (fixed_ips is None or fixed_ips in {f"ip_address={one['ip_address']}" for one in port.fixed_ips})
        ]

    def get_port(self, port_id: str) -> Port:
        found = next((port for port in self.port_list if port.id == port_id), None)
        if found is None:
            raise NotFoundException(port_id)
        return found

    def ips(self, *, floating_ip_address: str) -> list[Any]:
        return [ip for ip in self.floating_ips if ip.floating_ip_address == floating_ip_address]

    def security_group_rules(self, *, security_group_id: str) -> list[Any]:
        assert security_group_id == "g"
        return [SimpleNamespace(id=rule) for rule in self.rules]

    # -- Nova ---------------------------------------------------------------------------------------

    def get_server(self, server_id: str) -> Any:
        if server_id not in self.servers:
            raise NotFoundException(server_id)
        return SimpleNamespace(status=self.servers[server_id].status(), created_at="2026-11-23T00:00:00Z")

    def get_server_console_output(self, server_id: str) -> dict[str, str]:
        return {"output": self.servers[server_id].console()}

    def server_actions(self, server_id: str) -> list[Any]:
        return [SimpleNamespace(action="create", start_time="2026-11-23T00:00:00.000000")]

    def get(self, _: str) -> Any:
        return SimpleNamespace(headers={"Date": "Mon, 23 Nov 2026 00:00:00 GMT"})


def member(role: str, *, tagged: bool = True, name: str | None = None) -> Port:
    """Return a member's port with its server."""
    tags = [TAG, f"vrrp-role-{role}"] if tagged else []
    host = {"master": 4, "backup": 5}[role]
    return Port(
        f"p-{role}",
        name or f"vrrp_{role}_server_port",
        f"i-{role}",
        tags=tags,
        fixed_ips=[{"ip_address": f"10.0.0.{host}"}],
        allowed_address_pairs=[{"ip_address": "10.0.0.201"}],
    )


def pair(**options: Any) -> list[Port]:
    return [member("master", **options), member("backup", **options)]


def server_of(cloud: Cloud, role: PortRole) -> str | None:
    port = PairPorts.of(ENVIRONMENT).find(cloud, role)
    return port.server_id if port else None


class TestAMemberIsFoundByItsPort:
    """Prevents a gate that opens after `namePrefix` has changed, because no server has the new name."""

    @pytest.mark.parametrize("role", [PortRole.MASTER, PortRole.BACKUP])
    def test_a_port_is_found_by_its_tags_whatever_its_name_is(self, role: PortRole) -> None:
        assert server_of(Cloud([member(role.value, name="edge_port")]), role) == f"i-{role.value}"

    def test_a_port_of_an_older_release_has_no_tags_and_is_found_by_its_name(self) -> None:
        assert server_of(Cloud(pair(tagged=False)), PortRole.MASTER) == "i-master"

    def test_the_port_of_another_pair_is_not_found_by_its_name(self) -> None:
        other = member("master", tagged=False)
        other.tags = ["vrrp-pair-0123456789abcdef", "vrrp-role-master"]
        assert server_of(Cloud([other]), PortRole.MASTER) is None

    def test_two_ports_with_the_name_are_unclear(self) -> None:
        twice = Cloud([member("master", tagged=False), member("master", tagged=False)])
        with pytest.raises(UnclearPair, match="2 ports have the name vrrp_master_server_port"):
            server_of(twice, PortRole.MASTER)

    def test_two_ports_with_the_tags_are_unclear(self) -> None:
        """Prevents a gate that asks the pair of another state, whose project and stack have the same names."""
        twice = Cloud([member("master"), replace(member("master"), id="p-other")])
        with pytest.raises(UnclearPair) as refused:
            server_of(twice, PortRole.MASTER)
        assert f"2 ports have the tags {TAG} and vrrp-role-master (p-master, p-other)" in str(refused.value)
        assert "rename one of the two stacks" in str(refused.value)

    def test_a_port_without_a_server_has_no_member(self) -> None:
        unbound = member("master")
        unbound.device_id = unbound.device_owner = ""
        cloud = Cloud([unbound])
        assert server_at(cloud, PairPorts.of(ENVIRONMENT).find(cloud, PortRole.MASTER)) is None

    def test_a_server_that_is_gone_is_deleted(self) -> None:
        cloud = Cloud(pair())
        server = server_at(cloud, PairPorts.of(ENVIRONMENT).find(cloud, PortRole.MASTER))
        assert server is not None
        assert server.status() == "DELETED"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A pair of two members that are ready; the gates connect to it, and their time passes while they sleep."""
    made_up = Cloud(
        pair(),
        {
            "i-master": MadeUpServer([report("vrrp-master", state="MASTER")]),
            "i-backup": MadeUpServer([report("vrrp-backup")]),
        },
        [SimpleNamespace(floating_ip_address="203.0.113.10", fixed_ip_address="10.0.0.201", port_id="p-vip")],
    )
    made_up.port_list.append(Port("p-vip", "vrrp-port", device_owner="", fixed_ips=[{"ip_address": "10.0.0.201"}]))
    for gate in (handover, teardown, peer, complete):
        monkeypatch.setattr(gate, "connect", lambda: made_up)
    clock = Clock()
    monkeypatch.setattr("time.sleep", clock.sleep)
    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr("gates.peer.may_be_taken_away.__defaults__", (clock.sleep, clock))
    monkeypatch.setattr("gates.complete.member_problems.__defaults__", (clock.sleep, clock))

    def server(_: object, server_id: str) -> Any:
        return made_up.servers.get(server_id, MadeUpServer([""], statuses=["DELETED"]))

    for module in ("gates.pair_ports", "gates.peer", "gates.handover", "gates.complete"):
        monkeypatch.setattr(f"{module}.NovaServer", server)
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    return made_up


class TestAServerIsDeletedOnlyIfThePeerCanServe:
    """Prevents 48.9 s without an answer: a change of the master alone, while the backup is stopped."""

    @pytest.mark.parametrize("role", ["master", "backup"])
    def test_the_gate_opens_beside_a_peer_that_is_ready(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, role: str
    ) -> None:
        monkeypatch.setenv("ROLE", role)
        assert handover.main() == 0

    @pytest.mark.parametrize(("role", "other"), [("master", "backup"), ("backup", "master")])
    def test_the_gate_stays_closed_beside_a_peer_that_is_stopped(
        self,
        cloud: Cloud,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        role: str,
        other: str,
    ) -> None:
        names = {"ROLE": role, "MEMBER": f"vrrp-{role}", "PEER": f"vrrp-{other}", "PEER_LOGICAL_NAME": f"vrrp-{other}"}
        for variable, value in names.items():
            monkeypatch.setenv(variable, value)
        cloud.servers[f"i-{other}"].statuses = ["SHUTOFF"]
        assert handover.main() == 1
        said = capsys.readouterr().err
        assert f"vrrp-{other} has Nova's status SHUTOFF" in said
        assert f"vrrp-{role} is not touched" in said
        assert (
            f"`pulumi up --target '**::vrrp-{other}' --target '**::vrrp-{other}-handover' "
            f"--target '**::vrrp-{other}-ready'`" in said
        )

    def test_the_gate_stays_closed_beside_a_peer_that_has_crashed_three_days_ago(self, cloud: Cloud) -> None:
        for server in cloud.servers.values():
            server.time = NOW + 3 * 86400
        assert handover.main() == 1

    @pytest.mark.parametrize("gate", [handover, peer])
    @pytest.mark.parametrize(
        ("attribute", "value", "problem"),
        [
            ("is_admin_state_up", False, "is disabled: `openstack port set --enable p-master`"),
            (
                "allowed_address_pairs",
                [],
                "has no allowed address pairs, so no client reaches it: `openstack port set --allowed-address "
                "ip-address=10.0.0.201 p-master`",
            ),
        ],
    )
    def test_the_gate_stays_closed_beside_a_peer_that_no_client_reaches(
        self, cloud: Cloud, capsys: pytest.CaptureFixture[str], gate: Any, attribute: str, value: Any, problem: str
    ) -> None:
        """A member behind a disabled port hears no master, and reports that it is ready as MASTER."""
        setattr(cloud.port_list[0], attribute, value)
        assert gate.main() == 1
        assert f"the port of vrrp-master {problem}" in capsys.readouterr().err
        cloud.servers["i-backup"].statuses = ["SHUTOFF"]
        assert gate.main() == 0

    def test_a_peer_needs_no_address_pairs_without_port_security_or_if_the_pair_has_none(self, cloud: Cloud) -> None:
        cloud.port_list[0].allowed_address_pairs = []
        cloud.port_list[0].is_port_security_enabled = False
        assert handover.main() == 0
        cloud.port_list[0].is_port_security_enabled = True
        cloud.port_list[1].allowed_address_pairs = []
        assert handover.main() == 0

    def test_the_gate_stays_closed_without_a_peer(self, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
        del cloud.port_list[0]
        assert handover.main() == 1
        assert "there is no server vrrp-master" in capsys.readouterr().err

    @pytest.mark.parametrize("gate", [handover, peer])
    def test_a_new_prefix_opens_no_gate(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, gate: Any) -> None:
        """The environment has the new names, and ports and servers have the old ones."""
        for variable, value in ENVIRONMENT.items():
            monkeypatch.setenv(variable, value.replace("vrrp-b", "edge-b").replace("vrrp_", "edge_"))
        assert gate.main() == 0
        cloud.servers["i-master"].statuses = ["SHUTOFF"]
        assert gate.main() == 1

    @pytest.mark.parametrize("gate", [handover, peer])
    def test_a_new_prefix_of_a_pair_without_tags_opens_no_gate(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gate: Any
    ) -> None:
        """An older release has made no tags, and the names are new."""
        for port in cloud.port_list:
            port.tags = []
        monkeypatch.setenv("MASTER_PORT", "edge_master_server_port")
        monkeypatch.setenv("BACKUP_PORT", "edge_backup_server_port")
        assert gate.main() == 1
        assert "restore namePrefix, run `pulumi up`, and change namePrefix afterwards" in capsys.readouterr().err

    def test_the_first_gate_stays_closed_without_the_key_pair_of_the_new_servers(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A key pair belongs to a user. Nova would refuse the new server after the old one is gone."""
        key_pairs = {"mine"}

        def get_keypair(name: str) -> SimpleNamespace:
            if name not in key_pairs:
                raise NotFoundException(name)
            return SimpleNamespace(name=name)

        monkeypatch.setattr(Cloud, "get_keypair", staticmethod(get_keypair), raising=False)
        for name, status in (("a-colleagues", 1), ("mine", 0)):
            monkeypatch.setenv("KEY_PAIR", name)
            assert peer.main() == status
        said = capsys.readouterr().err
        assert "vrrp-backup is not touched: the user of these credentials has no key pair a-colleagues" in said
        assert "`openstack keypair create --public-key FILE a-colleagues`" in said

    def test_a_pair_without_ports_and_servers_may_be_made_again(self, cloud: Cloud) -> None:
        cloud.port_list.clear()
        cloud.servers.clear()
        assert (handover.main(), peer.main()) == (0, 0)

    def test_a_server_with_an_unknown_port_is_known_by_its_id(self, cloud: Cloud) -> None:
        cloud.port_list[1] = Port("p-by-hand", "by-hand", "i-backup")
        cloud.servers["i-master"].statuses = ["SHUTOFF"]
        assert handover.main() == 1
        del cloud.port_list[0]
        assert handover.main() == 1
        del cloud.servers["i-backup"]
        assert handover.main() == 0

    def test_a_server_without_a_port_serves_no_client(self, cloud: Cloud) -> None:
        """Prevents a `destroy` that fails for good after the backup's port and the master were deleted by hand."""
        del cloud.port_list[1], cloud.servers["i-master"]
        assert handover.main() == 0
        cloud.port_list.clear()
        assert handover.main() == 0

    def test_the_gate_of_a_server_that_is_gone_opens_beside_its_successor(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Prevents an `up` that never succeeds after both servers were lost: the engine makes the backup again first,
        and then replaces the gate of the old backup.
        """
        monkeypatch.setenv("SERVER_ID", "i-old-backup")
        cloud.port_list[0].device_id = cloud.port_list[0].device_owner = ""
        del cloud.servers["i-master"]
        assert handover.main() == 0

    @pytest.mark.parametrize("gate", [handover, peer])
    def test_without_a_cloud_the_gate_stays_closed_and_says_why(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gate: Any
    ) -> None:
        def nowhere() -> None:
            raise ConnectFailure("no route")

        monkeypatch.setattr(gate, "connect", nowhere)
        assert gate.main() == 1
        said = capsys.readouterr().err
        assert "vrrp-backup is not touched" in said
        assert "(no route)" in said


class TestAPairThatIsTornDown:
    """Prevents a `destroy` that stops at the second server, and gates that stay open after an interrupted `destroy`."""

    def test_a_marked_pair_opens_its_gates_whatever_its_members_do(self, cloud: Cloud) -> None:
        cloud.servers["i-master"].statuses = ["SHUTOFF"]
        assert handover.main() == 1
        assert teardown.main(["mark"]) == 0
        assert handover.main() == 0

    def test_the_mark_stays_while_the_first_server_and_its_port_are_gone(self, cloud: Cloud) -> None:
        teardown.main(["mark"])
        del cloud.port_list[0]
        del cloud.servers["i-master"]
        assert handover.main() == 0

    def test_the_mark_of_one_port_is_enough(self, cloud: Cloud) -> None:
        """The other member's port was deleted by hand, or its tags were."""
        cloud.servers["i-master"].statuses = ["SHUTOFF"]
        teardown.main(["mark"])
        cloud.port_list[1] = Port("p-by-hand", "by-hand", "i-backup")
        assert handover.main() == 0

    @pytest.mark.parametrize("own", ["known", "unknown", "unclear"])
    def test_a_closed_gate_names_the_port_to_mark_by_hand_and_then_opens(
        self, cloud: Cloud, capsys: pytest.CaptureFixture[str], own: str
    ) -> None:
        """Prevents a `destroy` that is stuck because an `up` or a `destroy` has stopped before the mark was there."""
        cloud.servers["i-master"].statuses = ["SHUTOFF"]
        if own == "unknown":
            cloud.port_list[1] = Port("p-backup", "by-hand", "i-backup")
        elif own == "unclear":
            cloud.port_list[1].tags = []
            cloud.port_list.append(Port("p-other", "vrrp_backup_server_port"))
        assert handover.main() == 1
        assert "`openstack port set --tag vrrp-teardown p-backup`, then `pulumi destroy`" in capsys.readouterr().err
        cloud.get_port("p-backup").add_tag(cloud, "vrrp-teardown")
        assert handover.main() == 0

    def test_the_withdrawal_closes_the_gates_again(self, cloud: Cloud) -> None:
        cloud.servers["i-master"].statuses = ["SHUTOFF"]
        teardown.main(["mark"])
        assert teardown.main(["withdraw"]) == 0
        assert TEARDOWN_TAG not in {tag for port in cloud.port_list for tag in port.tags}
        assert handover.main() == 1
        assert teardown.main(["withdraw"]) == 0

    def test_the_gate_before_the_backup_ignores_the_mark(self, cloud: Cloud) -> None:
        """A `destroy` does not run it."""
        teardown.main(["mark"])
        cloud.servers["i-master"].statuses = ["SHUTOFF"]
        assert peer.main() == 1

    def test_a_failure_is_told(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(**_: str) -> None:
            raise HttpException("503 Service Unavailable")

        monkeypatch.setattr(cloud, "ports", refuse)
        assert teardown.main(["mark"]) == 1
        assert "503" in capsys.readouterr().err


EXPECTED: dict[str, Any] = {
    "vip_ports": {"10.0.0.201": "p-vip"},
    "floating_ip": "203.0.113.10",
    "group": "g",
    "rules": {"vrrp-ingress-vrrp": "r-1", "vrrp-ingress-health": "r-2"},
    "members": {
        "vrrp-master": {"server": "i-master", "port": "p-master", "addresses": ["10.0.0.4"]},
        "vrrp-backup": {"server": "i-backup", "port": "p-backup", "addresses": ["10.0.0.5"]},
    },
}


class TestWhatNeutronHasAtTheEnd:
    """Prevents an `up` that exits with 0 while no request reaches a member, although each resource is up to date."""

    @staticmethod
    def _problems(cloud: Cloud) -> list[str]:
        return list(network_problems(cloud, EXPECTED))

    def test_a_pair_as_declared_has_no_problem(self, cloud: Cloud) -> None:
        assert self._problems(cloud) == []

    def test_a_floating_ip_keeps_the_old_address_of_the_vips_port(self, cloud: Cloud) -> None:
        """Neutron (Zed) does this after `vip` has changed."""
        cloud.floating_ips[0].fixed_ip_address = "10.0.0.200"
        assert self._problems(cloud) == [
            "the floating IP 203.0.113.10 leads to 10.0.0.200 instead of 10.0.0.201: `openstack floating ip set "
            "--port p-vip --fixed-ip-address 10.0.0.201 203.0.113.10` corrects this."
        ]

    def test_a_floating_ip_leads_to_another_port_or_is_gone(self, cloud: Cloud) -> None:
        cloud.floating_ips[0].port_id = "p-master"
        assert len(self._problems(cloud)) == 1
        cloud.floating_ips.clear()
        assert self._problems(cloud) == ["the floating IP 203.0.113.10 does not exist."]

    def test_a_pair_without_a_floating_ip_needs_none(self, cloud: Cloud) -> None:
        cloud.floating_ips.clear()
        assert list(network_problems(cloud, {**EXPECTED, "floating_ip": None})) == []

    def test_the_vips_port_has_another_address_or_is_gone(self, cloud: Cloud) -> None:
        cloud.port_list[2].fixed_ips = [{"ip_address": "10.0.0.9"}]
        assert self._problems(cloud) == ["the VIP's port p-vip does not have 10.0.0.201."]
        del cloud.port_list[2]
        assert self._problems(cloud) == ["the VIP's port p-vip does not exist."]

    @pytest.mark.parametrize("pairs", [[], ["10.0.0.201/32"], ["10.0.0.0/24"], ["10.0.0.201", "10.0.0.9"]])
    def test_a_members_address_pairs_must_be_exactly_the_vips(self, cloud: Cloud, pairs: list[str]) -> None:
        """OVN makes a port a virtual parent for the bare address only, so `/32` is wrong too."""
        cloud.port_list[0].allowed_address_pairs = [{"ip_address": one} for one in pairs]
        (problem,) = self._problems(cloud)
        assert problem.startswith("the allowed address pairs of vrrp-master are ")

    @pytest.mark.parametrize(
        ("attribute", "value", "problem"),
        [
            ("device_id", "i-other", "the port of vrrp-backup is not attached to its server."),
            (
                "is_admin_state_up",
                False,
                "the port of vrrp-backup is disabled: `openstack port set --enable p-backup`.",
            ),
            ("fixed_ips", [], "the port of vrrp-backup does not have 10.0.0.5."),
            ("security_group_ids", [], "the port of vrrp-backup is not in the pair's security group."),
        ],
    )
    def test_a_members_port_must_be_as_declared(self, cloud: Cloud, attribute: str, value: Any, problem: str) -> None:
        setattr(cloud.port_list[1], attribute, value)
        assert self._problems(cloud) == [problem]

    def test_a_port_or_a_rule_is_gone(self, cloud: Cloud) -> None:
        del cloud.port_list[1]
        cloud.rules.remove("r-2")
        assert self._problems(cloud) == [
            "the port of vrrp-backup does not exist.",
            "the rule vrrp-ingress-health does not exist.",
        ]


class TestWhatTheMembersReportAtTheEnd:
    """Prevents an `up` that exits with 0 while both members are master, or none can take over."""

    @staticmethod
    def _problems(master: MadeUpServer, backup: MadeUpServer) -> tuple[list[str], float]:
        clock = Clock()
        servers = {"vrrp-master": master, "vrrp-backup": backup}
        return list(member_problems(servers, 600, clock.sleep, clock)), clock.now

    MASTER, BACKUP = report("vrrp-master", state="MASTER"), report("vrrp-backup")

    def test_a_master_and_a_backup_fit_together_whoever_is_which(self) -> None:
        assert self._problems(MadeUpServer([self.MASTER]), MadeUpServer([self.BACKUP])) == ([], 0)
        holds, waits = report("vrrp-backup", state="MASTER"), report("vrrp-master", state="BACKUP")
        assert self._problems(MadeUpServer([waits]), MadeUpServer([holds])) == ([], 0)

    def test_a_change_of_the_master_may_take_a_moment(self) -> None:
        waits = report("vrrp-master", state="BACKUP")
        consoles = [waits, waits, waits, waits + self.MASTER]
        assert self._problems(MadeUpServer(consoles), MadeUpServer([self.BACKUP]))[0] == []

    @pytest.mark.parametrize(("state", "problem"), [("MASTER", "are both master"), ("BACKUP", "no member is master")])
    def test_two_masters_or_none_are_a_problem(self, state: str, problem: str) -> None:
        both = [MadeUpServer([report(f"vrrp-{role}", state=state)]) for role in ("master", "backup")]
        (said,), seconds = self._problems(*both)
        assert problem in said
        assert seconds >= SETTLE

    def test_a_member_that_is_not_ready_is_a_problem(self) -> None:
        stopped = MadeUpServer([self.BACKUP], statuses=["SHUTOFF"])
        assert self._problems(MadeUpServer([self.MASTER]), stopped)[0] == ["vrrp-backup has Nova's status SHUTOFF."]

    def test_a_drained_member_is_no_problem_while_its_peer_is_master(self) -> None:
        drained = MadeUpServer([self.BACKUP + not_ready("vrrp-backup", "drained")])
        assert self._problems(MadeUpServer([self.MASTER]), drained) == ([], 0)

    def test_the_command_names_every_problem(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("EXPECTED", json.dumps(EXPECTED))
        assert complete.main([]) == 0
        cloud.floating_ips[0].fixed_ip_address = "10.0.0.200"
        cloud.servers["i-backup"].statuses = ["SHUTOFF"]
        assert complete.main([]) == 1
        said = capsys.readouterr().err
        assert "leads to 10.0.0.200 instead of 10.0.0.201" in said
        assert "vrrp-backup has Nova's status SHUTOFF" in said

    @pytest.mark.parametrize(
        ("made_at", "status"), [(str(int(time.time())), 0), (str(int(time.time()) - 3600), 1), ("", 1)]
    )
    def test_only_a_new_pair_is_not_checked_because_its_members_boot(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, made_at: str, status: int
    ) -> None:
        """A pair that was adopted, or upgraded, gets its check in the `up` that replaces its servers."""
        monkeypatch.setenv("EXPECTED", json.dumps(EXPECTED))
        monkeypatch.setenv("PAIR_MADE_AT", made_at)
        for server in cloud.servers.values():
            server.consoles = ["booting"]
        assert complete.main(["unless-new-pair"]) == status

    @pytest.mark.parametrize("arguments", [["unless-new-pair"], []])
    def test_a_server_in_error_is_a_problem_of_a_new_pair_too(
        self,
        cloud: Cloud,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
    ) -> None:
        """Prevents a second `up` that exits with 0: Nova made no server in the first one, and nothing differs since."""
        monkeypatch.setenv("EXPECTED", json.dumps(EXPECTED))
        monkeypatch.setenv("PAIR_MADE_AT", str(int(time.time())))
        cloud.servers["i-master"] = MadeUpServer([""], statuses=["ERROR"], why="No valid host was found.")
        assert complete.main(arguments) == 1
        said = capsys.readouterr().err
        assert "  vrrp-master has Nova's status ERROR (No valid host was found).\n" in said
        assert "`pulumi up --replace URN`" in said
