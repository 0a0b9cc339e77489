"""The order of creation, deletion and replacement, checked on the graph that the program declares.

The checks hold for every order that the engine may choose within the graph. tests/lab measures the gaps of a change.
tests/cloud shows on a real Neutron that it refuses the wrong order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components import ExistingResources, VrrpPair, VrrpPairArgs, gates
from components.gates import FIRST_BOOT, NO_SERVICE_YET
from lab.program import Declared, run_program
from lab.stack_file import read_stack
from settings import PairSettings

from .conftest import Declare, RecordingCloud, Run, identifier, kind_of

#: (kind that Neutron refuses to delete, kind that is still there, name of the 409).
REFUSALS = [
    ("Network", "Port", "NetworkInUse"),
    ("Network", "RouterInterface", "NetworkInUse"),
    ("Subnet", "Port", "SubnetInUse"),
    ("Subnet", "RouterInterface", "SubnetInUse"),
    ("Router", "RouterInterface", "RouterInUse"),
    ("RouterInterface", "FloatingIp", "RouterInterfaceInUseByFloatingIP"),
    ("SecGroup", "Port", "SecurityGroupInUse"),
]

#: Settings that reach the servers through their user-data only: (stack, key, its other value).
USER_DATA_ONLY = [
    ("nz-por-1", "advertInterval", "1"),
    ("nz-por-1", "virtualRouterId", "77"),
    ("tutorial", "masterPriority", "200"),
    ("nz-por-1", "backupPriority", "100"),
    ("nz-por-1", "preempt", "false"),
    ("nz-por-1", "healPartitions", "false"),
    ("nz-por-1", "service", '{"urlPath": "/healthz"}'),
    ("nz-por-1", "preemptDelay", "30"),
    ("nz-por-1", "unicast", "false"),
    ("tutorial", "authPass", "another"),
    ("tutorial", "unicast", "true"),
]

#: Settings that replace, rebuild or resize servers: (key, its other value).
SERVERS_ONLY = [
    ("image", "ubuntu-24.04-x86_64"),
    ("imageId", "0e1b5f0e-3c8a-4f0e-9d3e-0123456789ab"),
    ("flavor", "c3.c2r4"),
    ("keyName", "another-key"),
    ("antiAffinity", "hard"),
]

GATES = ["vrrp-master-stands-in", "vrrp-backup-ready", "vrrp-master-ready"]

#: The gates that the engine deletes before it deletes a server.
HANDOVERS = ["vrrp-master-handover", "vrrp-backup-handover"]


class TestNeutronRefusesNoDeletion:
    """Prevents a `pulumi destroy` that stops half-way with a 409.

    For example, a floating IP still needs a router's interface, and no argument of either names the other.
    """

    @pytest.mark.parametrize(("needed", "user", "refusal"), REFUSALS)
    def test_a_resource_in_use_is_deleted_after_its_users(
        self, pair: Run, needed: str, user: str, refusal: str
    ) -> None:
        unordered = [
            f"{in_use.name} may be deleted before {later.name}: {refusal}"
            for in_use in pair.all(needed)
            for later in pair.all(user)
            if (in_use.name, later.name) != ("vrrp-sec-group", "vrrp-vip-port")  # that port is in no group
            and in_use.urn not in pair.waits_for(later)
        ]
        assert unordered == []

    def test_a_pair_with_two_families_is_deleted_in_order(self, declare: Declare) -> None:
        dual = declare("nz-por-1", cidr6="2001:db8::/64", httpCidrs='["::/0"]')
        subnet6 = dual.one("Subnet", "vrrp-subnet6").urn
        interface6 = dual.one("RouterInterface", "vrrp-router-interface6")
        users = [interface6, *(port for port in dual.all("Port") if port.name != "vrrp-vip-port")]
        assert len(users) == 4
        assert [user.name for user in users if subnet6 not in dual.waits_for(user)] == []
        assert dual.one("Router", "vrrp-router").urn in dual.waits_for(interface6)

    def test_every_kind_in_the_table_of_refusals_is_declared(self, pair: Run) -> None:
        in_the_table = {kind for needed, user, _ in REFUSALS for kind in (needed, user)}
        assert in_the_table <= {kind_of(resource) for resource in pair.cloud.created}


class TestTheRouterIsReadyFirst:
    """Prevents «External network … is not reachable from subnet» for a floating IP before the router's interface.

    Also prevents a server whose first boot can't reach the packages.
    """

    def test_floating_ips_wait_for_the_routers_interface(self, pair: Run) -> None:
        interface = pair.one("RouterInterface", "vrrp-router-interface").urn
        assert [ip.name for ip in pair.all("FloatingIp") if interface not in pair.waits_for(ip)] == []

    def test_servers_wait_for_the_router_and_every_rule(self, pair: Run) -> None:
        """The router may exceed a quota. Its interface comes while the server boots."""
        first = {resource.urn for kind in ("Router", "SecGroupRule") for resource in pair.all(kind)}
        assert len(first) >= 4
        missing = {server.name: sorted(first - pair.waits_for(server)) for server in pair.all("Instance")}
        assert missing == {"vrrp-master": [], "vrrp-backup": []}

    def test_servers_wait_for_an_added_rule(self, declare: Declare) -> None:
        run = declare("nz-por-1", sshCidrs='["198.51.100.0/24"]')
        rule = run.one("SecGroupRule", "vrrp-ingress-ssh-from-198.51.100.0-24").urn
        assert [server.name for server in run.all("Instance") if rule not in run.waits_for(server)] == []

    @pytest.mark.parametrize("role", ["master", "backup"])
    def test_a_server_waits_for_its_own_port(self, pair: Run, role: str) -> None:
        port = pair.one("Port", f"vrrp-{role}-port").urn
        assert port in pair.waits_for(pair.one("Instance", f"vrrp-{role}"))


class TestAFixedAddressExistsOnce:
    """Prevents the 409 «Port is still in use» for a port with a fixed address, or its server, beside its successor."""

    def test_servers_and_ports_are_deleted_before_they_are_replaced(self, pair: Run) -> None:
        exclusive = [*pair.all("Instance"), *pair.all("Port")]
        assert {made.name: made.delete_before_replace for made in exclusive} == {
            "vrrp-master": True,
            "vrrp-backup": True,
            "vrrp-vip-port": True,
            "vrrp-master-port": True,
            "vrrp-backup-port": True,
        }

    def test_rules_are_deleted_before_they_are_replaced_except_those_of_the_service(self, pair: Run) -> None:
        """Neutron answers 409 to a second rule with the same content; `vrrp` and 112 are the same."""
        created_first = {rule.name for rule in pair.all("SecGroupRule") if not rule.delete_before_replace}
        assert created_first == {"vrrp-ingress-http-80-from-anywhere"}


class TestAServerStopsCleanly:
    """Prevents three missed advertisements at every planned change.

    With a clean shutdown the server sends priority 0, and its peer takes over at once.
    """

    def test_every_server_is_stopped_before_it_is_destroyed(self, pair: Run) -> None:
        stopped = {server.name: server.inputs.get("stopBeforeDestroy") for server in pair.all("Instance")}
        assert stopped == {"vrrp-master": True, "vrrp-backup": True}


class TestANewImageIsANewServer:
    """Prevents two wiped disks at once, or two reboots at once after a resize by hand, which the preview calls updates.

    The provider rebuilds and resizes servers in place, and no gate is asked before an update.
    """

    def test_a_change_of_the_image_or_the_flavor_replaces_the_server(self, pair: Run) -> None:
        replacing = {server.name: server.replace_on_changes for server in pair.all("Instance")}
        assert replacing == dict.fromkeys(["vrrp-master", "vrrp-backup"], ("imageId", "flavorName"))


class TestOneServerAtATime:
    """Prevents an outage at every change of the user-data, which replaces both servers.

    Nova calls a server ACTIVE long before keepalived runs. Without a gate the engine deletes the second one at once.
    """

    def test_the_master_waits_for_the_backup_and_for_its_gate(self, pair: Run) -> None:
        backup, gate = pair.one("Instance", "vrrp-backup"), pair.one("Command", "vrrp-backup-ready")
        assert backup.urn in pair.waits_for(gate)
        assert gate.urn in pair.waits_for(pair.one("Instance", "vrrp-master"))

    def test_the_masters_gate_waits_for_the_master(self, pair: Run) -> None:
        assert pair.one("Instance", "vrrp-master").urn in pair.waits_for(pair.one("Command", "vrrp-master-ready"))

    def test_every_update_runs_a_gate(self, pair: Run) -> None:
        for gate in GATES:
            assert "delete" not in pair.one("Command", gate).inputs
            assert "-m gates." in pair.one("Command", gate).inputs["update"]
        for member in ("master", "backup"):
            gate = pair.one("Command", f"vrrp-{member}-ready")
            assert gate.inputs["update"].endswith("-m gates.ready")

    def test_the_backup_waits_for_the_gate_that_checks_the_master(self, pair: Run) -> None:
        first = pair.one("Command", "vrrp-master-stands-in")
        assert first.urn in pair.waits_for(pair.one("Instance", "vrrp-backup"))
        assert first.inputs["environment"]["PEER"] == pair.one("Instance", "vrrp-master").inputs["name"]
        assert first.inputs["update"].endswith("-m gates.peer")
        assert first.inputs["environment"]["PEER_LOGICAL_NAME"] == "vrrp-master"
        assert first.inputs["environment"]["ROLE"] == "backup"
        assert first.inputs["create"] == "date +%s"

    def test_the_first_gate_knows_the_key_pair_of_the_new_servers(self, declare: Declare) -> None:
        def key_pair(**settings: str) -> object:
            return (
                declare("nz-por-1", **settings)
                .one("Command", "vrrp-master-stands-in")
                .inputs["environment"]
                .get("KEY_PAIR")
            )

        assert key_pair(keyName="ops") == "ops"
        assert key_pair(keyName="ops", publicKey=TestARotatedKeyReachesTheServersOneByOne.KEY) is None

    def test_the_first_creation_waits_only_if_there_is_a_master_already(self, pair: Run) -> None:
        """An adopted pair gets its gates in the same `up` that replaces its servers."""
        backup, master = pair.one("Command", "vrrp-backup-ready"), pair.one("Command", "vrrp-master-ready")
        assert backup.inputs["create"] == f"{NO_SERVICE_YET} || {backup.inputs['update']} unless-new-pair"
        assert backup.inputs["environment"]["PEER"] == pair.one("Instance", "vrrp-master").inputs["name"]
        assert master.inputs["create"] == ":"

    @pytest.mark.parametrize(
        ("age", "waits"), [(0, False), (FIRST_BOOT - 10, False), (FIRST_BOOT, True), (86400, True), (-100, True)]
    )
    def test_the_gate_of_a_new_pair_does_not_wait_before_a_member_can_serve(self, age: int, waits: bool) -> None:
        """A negative age is that of a pair made on another machine, whose clock is ahead."""
        environment = {**os.environ, "PAIR_MADE_AT": str(int(time.time()) - age)}
        assert (subprocess.run(["sh", "-c", NO_SERVICE_YET], env=environment, check=False).returncode != 0) is waits

    @pytest.mark.parametrize(("printed", "made_at"), [("1700000000\n", "1700000000"), ("", ""), ("no time", "")])
    def test_the_gate_gets_the_time_that_the_first_gate_has_printed(self, printed: str, made_at: str) -> None:
        cloud = RecordingCloud(printed={"vrrp-master-stands-in": printed})
        run = Run(run_program(read_stack("nz-por-1"), cloud), cloud)
        assert run.one("Command", "vrrp-backup-ready").inputs["environment"]["PAIR_MADE_AT"] == made_at

    def test_the_gate_waits_if_the_first_gate_has_printed_no_time(self) -> None:
        environment = {**os.environ, "PAIR_MADE_AT": ""}
        assert subprocess.run(["sh", "-c", NO_SERVICE_YET], env=environment, check=False).returncode

    @pytest.mark.parametrize("gate", ["vrrp-backup-ready", "vrrp-teardown", "vrrp-complete"])
    def test_no_gate_of_a_pair_with_servers_is_passed_by_the_shell_alone(self, pair: Run, gate: str) -> None:
        """Prevents a second `up` within a minute that exits with 0 while both servers are in ERROR."""
        cloud = RecordingCloud(servers=["vrrp-master", "vrrp-backup"])
        second = Run(run_program(read_stack("nz-por-1"), cloud), cloud).one("Command", gate)
        first = pair.one("Command", gate)
        assert first.inputs["create"] == f"{NO_SERVICE_YET} || {second.inputs['create']}"
        # The engine must not take this for a difference.
        assert "create" in first.ignore_changes
        assert first.ignore_changes == second.ignore_changes

    def test_the_first_roll_of_a_pair_does_not_update_the_teardown(self, pair: Run) -> None:
        """The first gate's output is another one after a roll, and the time that it has printed is gone."""
        teardown = pair.one("Command", "vrrp-teardown")
        assert "PAIR_MADE_AT" in teardown.inputs["environment"]
        assert "environment.PAIR_MADE_AT" in teardown.ignore_changes

    def test_the_first_gate_of_a_pair_with_servers_prints_no_time(self) -> None:
        cloud = RecordingCloud(servers=["vrrp-backup"])
        first = Run(run_program(read_stack("nz-por-1"), cloud), cloud).one("Command", "vrrp-master-stands-in")
        assert first.inputs["create"].endswith(" -m gates.adoption")
        assert first.ignore_changes == ("create",)

    def test_a_pair_beside_servers_that_may_be_strangers_waits_and_is_not_refused(self) -> None:
        """A pair that was taken into the stack may have another ``namePrefix`` since; or another pair was made by hand.

        Prevents that both its servers are replaced at once.
        """

        def program() -> None:
            existing = ExistingResources("net", "image", has_servers=True, has_only_strangers=True)
            VrrpPair("vrrp", VrrpPairArgs(PairSettings(), existing))

        cloud = RecordingCloud()
        run = Run(run_program(read_stack("nz-por-1"), cloud, program), cloud)
        gate = run.one("Command", "vrrp-backup-ready")
        assert gate.inputs["create"] == gate.inputs["update"]
        assert gate.urn in run.waits_for(run.one("Instance", "vrrp-master"))
        assert run.one("Command", "vrrp-master-stands-in").inputs["create"] == ":"

    def test_the_gates_in_the_state_are_the_same_on_every_machine(self, pair: Run) -> None:
        for gate in pair.all("Command"):
            for command in ("create", "update", "delete"):
                assert " /" not in f" {gate.inputs.get(command, '')}".replace("> /dev/null", "")
            assert gate.inputs["dir"] == "."

    @pytest.mark.parametrize("key", ["flavor", "keyName", "image", "advertInterval"])
    def test_every_change_that_restarts_a_server_runs_its_gate_again(self, declare: Declare, key: str) -> None:
        value = {"advertInterval": "1"}.get(key, "another")
        changed = _differences(declare("nz-por-1"), declare("nz-por-1", **{key: value}))
        assert {name: changed.get(name) for name in GATES} == {gate: {"environment"} for gate in GATES}

    @pytest.mark.parametrize(
        ("key", "value"),
        [("sshCidrs", '["192.0.2.0/24"]'), ("dnsServers", '["9.9.9.9"]'), ("memberFloatingIps", "true")],
    )
    def test_a_change_without_new_servers_changes_no_server_and_no_gate(
        self, declare: Declare, key: str, value: str
    ) -> None:
        changed = _differences(declare("nz-por-1"), declare("nz-por-1", **{key: value}))
        assert changed
        servers = {"vrrp-master", "vrrp-backup"}
        assert {name for name in changed if name in GATES} == set()
        # A server waits for its rules; its own inputs stay the same.
        assert set().union(*(changed[name] for name in servers if name in changed)) <= {"option dependencies"}

    def test_a_gate_has_no_secret_of_the_user_data(self, declare: Declare) -> None:
        for gate in declare("tutorial", authPass="s3cret").all("Command"):
            assert "s3cret" not in repr(gate.inputs)


class TestNoServerIsTakenAwayPastItsGate:
    """Prevents an outage by a replacement that no setting announces, by `--replace` or drift, or of one member only.

    Before the engine deletes a server in order to replace it, it deletes every resource that has to be replaced too.
    """

    @pytest.mark.parametrize("member", ["master", "backup"])
    def test_a_handover_gate_is_replaced_with_its_server_and_with_nothing_else(self, pair: Run, member: str) -> None:
        gate, server = pair.one("Command", f"vrrp-{member}-handover"), pair.one("Instance", f"vrrp-{member}")
        assert gate.property_dependencies["triggers"] == (server.urn,)
        assert gate.inputs["triggers"] == gate.inputs["environment"]["SERVER_ID"].split()
        assert gate.delete_before_replace

    @pytest.mark.parametrize(("member", "peer"), [("master", "backup"), ("backup", "master")])
    def test_the_gate_asks_about_the_peer_when_it_is_deleted_and_does_nothing_when_it_is_made(
        self, pair: Run, member: str, peer: str
    ) -> None:
        gate = pair.one("Command", f"vrrp-{member}-handover")
        assert gate.inputs["delete"].endswith(" -m gates.handover")
        assert gate.inputs["create"] == ":"
        environment = gate.inputs["environment"]
        assert (environment["ROLE"], environment["PEER_LOGICAL_NAME"]) == (member, f"vrrp-{peer}")
        assert environment["PAIR_TAG"] == pair.one("Port", f"vrrp-{member}-port").inputs["tags"][0]

    @pytest.mark.parametrize("member", ["master", "backup"])
    def test_there_is_no_handover_gate_before_both_servers_exist(self, pair: Run, member: str) -> None:
        """Prevents a `destroy` that a gate stops for good, because the first `up` failed before ``vrrp-teardown``."""
        gate = pair.one("Command", f"vrrp-{member}-handover")
        assert {server.urn for server in pair.all("Instance")} <= set(gate.dependencies)
        # Otherwise the gate would be replaced with the peer's server too.
        peer = "backup" if member == "master" else "master"
        used = {urn for urns in gate.property_dependencies.values() for urn in urns}
        assert pair.one("Instance", f"vrrp-{peer}").urn not in used

    def test_a_change_of_any_setting_leaves_the_gates_command_as_it_is(self, declare: Declare) -> None:
        """The command that runs is the one of the last `up`. A release may not rename it."""
        before, after = declare("nz-por-1"), declare("nz-por-1", virtualRouterId="77", flavor="c3.c2r4")
        for gate in HANDOVERS:
            assert before.one("Command", gate).inputs == after.one("Command", gate).inputs

    def test_the_master_of_an_existing_pair_waits_for_the_backup_whatever_is_replaced(self, pair: Run) -> None:
        """Both handover gates never run at the same time: each would find the other member ready."""
        ready, backup = pair.one("Command", "vrrp-backup-ready"), pair.one("Instance", "vrrp-backup")
        for made in (pair.one("Instance", "vrrp-master"), pair.one("Port", "vrrp-master-port")):
            assert {ready.urn, backup.urn} <= pair.waits_for(made)
        assert pair.one("Command", "vrrp-master-stands-in").urn in pair.waits_for(pair.one("Port", "vrrp-backup-port"))

    def test_a_new_server_updates_the_gate_that_waits_for_it(self, pair: Run) -> None:
        for member in ("master", "backup"):
            gate, server = pair.one("Command", f"vrrp-{member}-ready"), pair.one("Instance", f"vrrp-{member}")
            assert server.urn in gate.property_dependencies["environment"]

    @pytest.mark.parametrize("member", ["master", "backup"])
    def test_another_address_of_a_member_replaces_its_port_and_not_the_peers(
        self, declare: Declare, member: str
    ) -> None:
        """Prevents 8.66 s without an answer: port security drops all packets of a member with another address."""
        changed = _differences(declare("nz-por-1"), declare("nz-por-1", **{f"{member}Address": "10.0.0.9"}))
        ports = {name: keys for name, keys in changed.items() if name.endswith("-port")}
        assert ports == {f"vrrp-{member}-port": {"fixedIps", "option replacement_trigger"}}


class TestADestroyIsNotStopped:
    """Prevents a `destroy` that stops at the second server, because its peer is gone and no member can serve."""

    def test_the_pair_is_marked_before_the_gates_are_deleted(self, pair: Run) -> None:
        teardown = pair.one("Command", "vrrp-teardown")
        assert {pair.one("Command", gate).urn for gate in HANDOVERS} <= pair.waits_for(teardown)
        assert teardown.inputs["delete"].endswith(" -m gates.teardown mark")
        assert teardown.urn not in {urn for made in pair.cloud.created for urn in pair.waits_for(made)}

    def test_the_replacement_of_a_server_does_not_mark_the_pair(self, pair: Run) -> None:
        """The engine deletes a dependent that uses a value of the gates, or of a server."""
        teardown = pair.one("Command", "vrrp-teardown")
        used = {urn for urns in teardown.property_dependencies.values() for urn in urns}
        assert used <= {pair.one("Command", "vrrp-master-stands-in").urn}

    def test_the_mark_is_withdrawn_when_the_resource_is_made_or_changed(self, pair: Run) -> None:
        teardown = pair.one("Command", "vrrp-teardown")
        assert teardown.inputs["update"].endswith(" -m gates.teardown withdraw")
        assert teardown.inputs["create"] == f"{NO_SERVICE_YET} || {teardown.inputs['update']}"
        # Replaced, the old one is deleted first: otherwise the mark would be set after it was withdrawn.
        assert teardown.delete_before_replace


class TestTheEndOfAChange:
    """Prevents an `up` that exits with 0 while the floating IP leads to an address that no member has."""

    def test_the_final_check_waits_for_everything_and_knows_it(self, declare: Declare) -> None:
        run = declare("nz-por-1", cidr6="2001:db8:7::/64", httpCidrs='["0.0.0.0/0", "::/0"]')
        check = run.one("Command", "vrrp-complete")
        assert check.inputs["update"].endswith(" -m gates.complete")
        assert check.inputs["create"] == f"{NO_SERVICE_YET} || {check.inputs['update']} unless-new-pair"
        for kind in ("Instance", "Port", "FloatingIp", "SecGroupRule"):
            assert {made.urn for made in run.all(kind)} <= run.waits_for(check)
        expected = json.loads(check.inputs["environment"]["EXPECTED"])
        assert expected == {
            "vip_ports": {
                "10.0.0.201": identifier(run.one("Port", "vrrp-vip-port").urn),
                "2001:db8:7::201": identifier(run.one("Port", "vrrp-vip-port6").urn),
            },
            "floating_ip": run.cloud.address_of(run.one("FloatingIp", "vrrp-floating-ip")),
            "group": identifier(run.one("SecGroup", "vrrp-sec-group").urn),
            "rules": {rule.name: identifier(rule.urn) for rule in run.all("SecGroupRule")},
            "members": {
                f"vrrp-{member}": {
                    "server": identifier(run.one("Instance", f"vrrp-{member}").urn),
                    "port": identifier(run.one("Port", f"vrrp-{member}-port").urn),
                    "addresses": [f"10.0.0.{host}", f"2001:db8:7::{host}"],
                }
                for member, host in (("master", 4), ("backup", 5))
            },
        }

    @pytest.mark.parametrize(("key", "value"), [("vip", "10.0.0.202"), ("httpCidrs", '["192.0.2.0/24"]')])
    def test_a_change_of_addresses_or_rules_runs_the_check(self, declare: Declare, key: str, value: str) -> None:
        changed = _differences(declare("nz-por-1"), declare("nz-por-1", **{key: value}))
        assert "environment" in changed["vrrp-complete"]


class TestAStoppedMemberIsStarted:
    """Prevents an `up` that starts both servers and exits with 0 before one of them serves.

    The engine sets the power state in place, and no gate sees a new value.
    """

    @staticmethod
    def _run(cloud: RecordingCloud, *, stopped: bool = True) -> Run:
        def program() -> None:
            existing = ExistingResources("net", "image", has_stopped_member=stopped)
            VrrpPair("vrrp", VrrpPairArgs(PairSettings(), existing))

        return Run(run_program(read_stack("nz-por-1"), cloud, program), cloud)

    def test_the_final_check_runs_after_everything_with_the_values_of_the_resource(self) -> None:
        order: list[str] = []

        class Ordered(RecordingCloud):
            def look_up(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
                order.append(token)
                return super().look_up(token, arguments)

            def create(self, declared: Declared) -> tuple[str, dict[str, Any]]:
                order.append(declared.name)
                return super().create(declared)

        run = self._run(Ordered())
        assert order.index("command:local:run") > order.index("vrrp-complete")
        ((_, asked),) = run.cloud.lookups
        assert asked["command"].startswith(f"{sys.executable} -m gates.complete ||")
        assert asked["environment"] == run.one("Command", "vrrp-complete").inputs["environment"]

    def test_a_pair_that_is_not_complete_fails_the_run(self) -> None:
        with pytest.raises(pulumi.RunError, match="the pair is not complete at its end"):
            self._run(RecordingCloud(gates_print="INCOMPLETE\n"))

    def test_a_preview_does_not_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
        assert self._run(RecordingCloud()).cloud.lookups == []

    def test_a_run_without_a_stopped_member_does_not_check(self) -> None:
        assert self._run(RecordingCloud(), stopped=False).cloud.lookups == []


class TestTheFirstUp:
    """Prevents a first `up` that makes one server after the other although no service depends on them yet.

    Also prevents that a running pair counts as new, because both its servers would be replaced at once.
    """

    #: A time after the start of the run, as the command prints it.
    LATER = f"{int(time.time()) + 3600}\n"

    @staticmethod
    def _master_waits_for_the_gate(cloud: RecordingCloud) -> bool:
        run = Run(run_program(read_stack("nz-por-1"), cloud), cloud)
        return run.one("Command", "vrrp-backup-ready").urn in run.waits_for(run.one("Instance", "vrrp-master"))

    def test_both_servers_of_a_new_pair_are_made_at_once(self) -> None:
        now = RecordingCloud(printed={"vrrp-master-stands-in": self.LATER})
        assert not self._master_waits_for_the_gate(now)

    def test_no_process_of_a_gate_runs_for_a_new_pair(self) -> None:
        """Each would cost a second or more of every first `up`. The shell ends before it begins one."""
        cloud = RecordingCloud(printed={"vrrp-master-stands-in": f"{int(time.time())}\n"})
        run = Run(run_program(read_stack("nz-por-1"), cloud), cloud)
        for gate in run.all("Command"):
            environment = {**os.environ, "PAIR_MADE_AT": gate.inputs["environment"].get("PAIR_MADE_AT", "")}
            create = gate.inputs["create"].replace(".venv/bin/python", "exit 9 #")
            done = subprocess.run(["sh", "-c", create], env=environment, check=False, stdout=subprocess.DEVNULL)
            assert done.returncode == 0, gate.name

    def test_both_ports_of_a_new_pair_are_made_at_once(self) -> None:
        cloud = RecordingCloud(printed={"vrrp-master-stands-in": self.LATER})
        run = Run(run_program(read_stack("nz-por-1"), cloud), cloud)
        servers = {server.urn for server in run.all("Instance")}
        assert not servers & run.waits_for(run.one("Port", "vrrp-master-port"))

    def test_a_new_servers_own_dependencies_stay(self) -> None:
        cloud = RecordingCloud(printed={"vrrp-master-stands-in": self.LATER})
        run = Run(run_program(read_stack("nz-por-1"), cloud), cloud)
        waits_for = run.waits_for(run.one("Instance", "vrrp-master"))
        assert {rule.urn for rule in run.all("SecGroupRule")} <= waits_for
        assert run.one("Router", "vrrp-router").urn in waits_for

    def test_an_adopted_pair_has_servers_and_no_gates(self) -> None:
        cloud = RecordingCloud(servers=["vrrp-backup"], printed={"vrrp-master-stands-in": self.LATER})
        assert self._master_waits_for_the_gate(cloud)

    @pytest.mark.parametrize("printed", ["1700000000", "", "the master can serve"])
    def test_a_pair_with_a_new_name_has_gates_and_no_server_of_that_name(self, printed: str) -> None:
        """The gate was made by an earlier run, or has run its other command since."""
        assert self._master_waits_for_the_gate(RecordingCloud(printed={"vrrp-master-stands-in": printed}))

    def test_a_second_run_of_one_process_is_no_first_up(self) -> None:
        """As with the automation API: the gate's time is later than the start of the process."""
        made_at = int(time.time()) - 1
        assert self._master_waits_for_the_gate(RecordingCloud(printed={"vrrp-master-stands-in": str(made_at)}))


class TestTheCommandsOfTheGates:
    """Prevents a password in a state, a log, or the arguments of a process."""

    @pytest.fixture
    def commands(self, cloud: RecordingCloud) -> list[Declared]:
        config = read_stack("nz-por-1")
        config.values["openstack:password"] = "hunter2"
        return Run(run_program(config, cloud), cloud).all("Command")

    def test_credentials_and_fingerprint_are_secrets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each by itself: the SDK's monitor for tests calls the whole environment secret as soon as one value is."""
        secret: dict[str, bool] = {}
        real = gates.command.local.Command

        def spy(name: str, *, environment: dict[str, pulumi.Input[str]], **others: Any) -> pulumi.Resource:
            async def look() -> None:
                for variable, value in environment.items():
                    secret[variable] = isinstance(value, pulumi.Output) and await value.is_secret()

            command = real(name, environment=environment, **others)
            pulumi.Output.from_input(look())
            return command

        monkeypatch.setattr(gates.command.local, "Command", spy)
        config = read_stack("nz-por-1")
        config.values["openstack:password"] = "hunter2"
        run_program(config, RecordingCloud())
        assert {variable for variable, is_secret in secret.items() if is_secret} == {
            "OPENSTACK_PROVIDER",
            "RESTARTED_BY",
        }
        assert not secret["MEMBER"]

    def test_no_command_line_has_a_credential(self, commands: list[Declared]) -> None:
        assert len(commands) == 7
        for gate in commands:
            assert json.loads(gate.inputs["environment"]["OPENSTACK_PROVIDER"])["password"] == "hunter2"
            assert not [key for key in ("create", "update", "delete") if "hunter2" in gate.inputs.get(key, "")]

    def test_the_output_of_an_earlier_run_is_not_handed_to_the_next(self, commands: list[Declared]) -> None:
        """It may be long: the end of a console."""
        assert [gate.inputs["addPreviousOutputInEnv"] for gate in commands] == [False] * 7

    def test_only_standard_error_is_shown(self, commands: list[Declared]) -> None:
        assert [gate.inputs["logging"] for gate in commands] == ["stderr"] * 7


class TestARotatedKeyReachesTheServersOneByOne:
    """Prevents a server with the old key: a server gets its key at its first boot only."""

    KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPZmmVhJAsbeSk1nHWtuH8PQNKLWHqROwSIBhQ2nGGaD one"
    OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPZmmVhJAsbeSk1nHWtuH8PQNKLWHqROwSIBhQ2nGGaE other"

    def test_another_public_key_changes_the_user_data_and_the_gates_and_nothing_else(self, declare: Declare) -> None:
        changed = _differences(declare("nz-por-1", publicKey=self.KEY), declare("nz-por-1", publicKey=self.OTHER))
        assert changed == {
            "vrrp-master": {"userData"},
            "vrrp-backup": {"userData"},
            **{gate: {"environment"} for gate in GATES},
        }

    def test_the_name_of_a_key_pair_that_is_not_used_changes_nothing(self, declare: Declare) -> None:
        one, other = (declare("nz-por-1", publicKey=self.KEY, keyName=name) for name in ("one", "other"))
        assert _differences(one, other) == {}


class TestThePublicAddressIsNeverLost:
    """Prevents a floating IP that is replaced, and so becomes another address than the one in DNS and firewalls."""

    @pytest.mark.parametrize(("stack", "key", "value"), USER_DATA_ONLY)
    def test_a_change_of_the_user_data_changes_nothing_else(
        self, declare: Declare, stack: str, key: str, value: str
    ) -> None:
        changed = _differences(declare(stack), declare(stack, **{key: value}))
        assert changed
        # Only the gate after a changed server waits for it, and the gate before the backup checks the master.
        gates = {name: changed.pop(name) for name in GATES if name in changed}
        before = {"vrrp-master-stands-in"} if "vrrp-backup" in changed else set[str]()
        assert set(gates) == {f"{server}-ready" for server in changed} | before
        assert all(differing == {"environment"} for differing in gates.values())
        assert set(changed) <= {"vrrp-master", "vrrp-backup"}
        assert set().union(*changed.values()) == {"userData"}

    @pytest.mark.parametrize(("key", "value"), SERVERS_ONLY)
    def test_a_change_of_the_servers_changes_no_network_port_or_address(
        self, declare: Declare, key: str, value: str
    ) -> None:
        changed = _differences(declare("nz-por-1"), declare("nz-por-1", **{key: value}))
        assert changed
        assert set(changed) <= {"vrrp-master", "vrrp-backup", "vrrp-server-group", *GATES}

    def test_the_way_to_the_vip_depends_on_no_server_and_on_no_members_port(self, declare: Declare) -> None:
        tutorial = declare("tutorial")
        replaced = {made.urn for made in tutorial.all("Instance")}
        replaced |= {tutorial.one("Port", f"vrrp-{member}-port").urn for member in ("master", "backup")}
        for way in (tutorial.one("FloatingIp", "vrrp-floating-ip"), tutorial.one("Port", "vrrp-vip-port")):
            assert not replaced & tutorial.waits_for(way)

    def test_no_option_replaces_a_floating_ip_or_deletes_it_early(self, declare: Declare) -> None:
        options = {
            ip.name: (ip.delete_before_replace, ip.replace_on_changes) for ip in declare("tutorial").all("FloatingIp")
        }
        assert options == dict.fromkeys(
            ["vrrp-floating-ip", "vrrp-master-floating-ip", "vrrp-backup-floating-ip"], (False, ())
        )


def _differences(before: Run, after: Run) -> dict[str, set[str]]:
    """Return logical name → the inputs and options that differ; ``existence`` if only one side has the resource."""
    one, other = _by_name(before), _by_name(after)
    found = {name: {"existence"} for name in one.keys() ^ other.keys()}
    for name in one.keys() & other.keys():
        keys = one[name].keys() | other[name].keys()
        if differing := {key for key in keys if one[name].get(key) != other[name].get(key)}:
            found[name] = differing
    return found


def _by_name(run: Run) -> dict[str, dict[str, object]]:
    return {
        made.name: {
            **made.inputs,
            "option dependencies": made.dependencies,
            "option delete_before_replace": made.delete_before_replace,
            "option replace_on_changes": made.replace_on_changes,
            "option replacement_trigger": made.replacement_trigger,
        }
        for made in run.cloud.created
    }
