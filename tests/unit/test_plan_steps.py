"""What the engine's events say: changes from what to what, order, drift. The real engine made the recorded previews."""

from __future__ import annotations

from typing import Any

import pytest

from ops.engine_json import SECRET_MARK, UNKNOWN
from ops.plan_steps import AFTERWARDS, SECRET, PropertyChange, Steps, steps_of
from ops.plan_words import GATES, order_in_words
from ops.type_tokens import COMMAND, FLOATING_IP, SERVER

from .recorded_previews import RECORDED, recorded
from .test_plan_verdict import change, steps

SECRET_VALUE = {SECRET_MARK[0]: SECRET_MARK[1], "ciphertext": "[secret]"}


def event(kind: str, operation: str, type_: str, name: str, **more: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:nz-por-1::vrrp-pair::vrrp:index:VrrpPair${type_}::{name}"
    state: dict[str, Any] = {"custom": True, "inputs": {}, "outputs": {}}
    return {kind: {"metadata": {"op": operation, "urn": urn, "type": type_, "old": state, "new": state, **more}}}


def properties(steps: Steps, name: str) -> dict[str, tuple[str | None, str | None]]:
    (found,) = [one for one in steps.changes if one.name == name]
    return {one.path: (one.old, one.new) for one in found.properties}


class TestChanges:
    """Prevents a change without its values, a secret among them, and a replacement that counts three times."""

    def test_a_preview_without_changes_has_none(self) -> None:
        assert steps_of(recorded("same")) == Steps()

    def test_a_replacement_is_one_change_with_its_cause(self) -> None:
        found = steps_of(recorded("roll"))
        servers = [one for one in found.changes if one.type == SERVER]
        assert [(one.name, one.operation) for one in servers] == [
            ("vrrp-backup", "replace"),
            ("vrrp-master", "replace"),
        ]
        assert [one.causes for one in servers] == [("userData",), ("userData",)]

    def test_a_property_has_both_values(self) -> None:
        assert properties(steps_of(recorded("flavor")), "vrrp-backup") == {"flavorName": ("c1.c1r1", "c1.c2r2")}

    def test_a_replacement_without_a_cause_of_the_engine_still_has_both_values(self) -> None:
        (port,) = [one for one in steps_of(recorded("member-address")).changes if one.name == "vrrp-master-port"]
        assert (port.operation, port.causes) == ("replace", ())
        assert port.properties == (PropertyChange("fixedIps[0].ipAddress", "10.0.0.4", "10.0.0.6"),)

    @pytest.mark.parametrize("name", RECORDED)
    def test_each_recorded_change_and_step_knows_its_pair(self, name: str) -> None:
        found = steps_of(recorded(name))
        assert {one.pair for one in (*found.changes, *found.order)} <= {"vrrp"}

    def test_a_secret_property_is_masked_on_both_sides(self) -> None:
        gate = properties(steps_of(recorded("roll")), "vrrp-backup-ready")
        assert gate["environment.RESTARTED_BY"] == (SECRET, SECRET)

    def test_a_value_that_is_not_known_yet_says_so(self) -> None:
        gate = properties(steps_of(recorded("roll")), "vrrp-backup-ready")
        assert gate["environment.SERVER_ID"][1] == AFTERWARDS

    def test_a_secret_that_does_not_change_is_not_listed(self) -> None:
        inputs = {"name": "a", "userData": SECRET_VALUE}
        old, new = {"custom": True, "inputs": inputs}, {"custom": True, "inputs": {**inputs, "name": "b"}}
        one = event("resourcePreEvent", "update", SERVER, "vrrp-master", old=old, new=new, detailedDiff={"name": {}})
        assert properties(steps_of([one]), "vrrp-master") == {"name": ("a", "b")}

    def test_the_providers_own_notes_are_no_property(self) -> None:
        new = {"custom": True, "inputs": {"__defaults": ["x"]}, "outputs": {"__meta": "a secret in the clear"}}
        one = event("resourcePreEvent", "update", SERVER, "vrrp-master", new=new, detailedDiff={"__meta": {}})
        assert "secret" not in str(properties(steps_of([one]), "vrrp-master"))

    def test_a_difference_that_only_the_cloud_has_shows_the_outputs(self) -> None:
        old = {"custom": True, "inputs": {}, "outputs": {"powerState": "shutoff"}}
        new = {"custom": True, "inputs": {}, "outputs": {"powerState": "active"}}
        one = event(
            "resourcePreEvent", "update", SERVER, "vrrp-master", old=old, new=new, detailedDiff={"powerState": {}}
        )
        assert properties(steps_of([one]), "vrrp-master") == {"powerState": ("shutoff", "active")}

    def test_stack_component_and_providers_are_no_changes(self) -> None:
        component = {"custom": False}
        events = [
            event("resourcePreEvent", "update", "vrrp:index:VrrpPair", "vrrp", old=component, new=component),
            event("resourcePreEvent", "update", "pulumi:providers:openstack", "default_5_5_3"),
        ]
        assert steps_of(events) == Steps()

    def test_a_change_and_its_step_know_the_pair_of_their_parent(self) -> None:
        state = {"custom": True, "parent": "urn:pulumi:s::p::vrrp:index:VrrpPair::db-backup"}
        found = steps_of(
            [event("resourcePreEvent", "delete", FLOATING_IP, "db-backup-floating-ip", old=state, new=None)]
        )
        assert [(one.pair, one.role) for one in (*found.changes, *found.order)] == [("db-backup", None)] * 2

    def test_a_stack_without_resources_is_a_new_pair(self) -> None:
        assert steps_of([event("resourcePreEvent", "create", SERVER, "vrrp-master", old=None)]).new
        assert not steps_of(recorded("members")).new


class TestDrift:
    """Prevents a change by hand that looks like the operator's own, and a refresh that counts as a change."""

    REFRESH = event("resourcePreEvent", "refresh", FLOATING_IP, "vrrp-floating-ip")
    FOUND = event(
        "resOutputsEvent",
        "update",
        FLOATING_IP,
        "vrrp-floating-ip",
        old={"custom": True, "outputs": {"portId": "p-1"}},
        new={"custom": True, "outputs": {"portId": "p-2"}},
        detailedDiff={"portId": {"diffKind": "update"}},
    )
    REPAIR = event(
        "resourcePreEvent",
        "update",
        FLOATING_IP,
        "vrrp-floating-ip",
        old={"custom": True, "inputs": {"portId": "p-2"}},
        new={"custom": True, "inputs": {"portId": "p-1"}},
        detailedDiff={"portId": {"diffKind": "update"}},
    )

    def test_what_a_refresh_finds_is_drift_and_no_change(self) -> None:
        found = steps_of([self.REFRESH, self.FOUND])
        assert found.changes == ()
        assert [(one.name, one.properties) for one in found.drift] == [
            ("vrrp-floating-ip", (PropertyChange("portId", "p-1", "p-2"),))
        ]

    def test_the_repair_of_drift_is_a_change_that_says_so(self) -> None:
        (repair,) = steps_of([self.REFRESH, self.FOUND, self.REPAIR]).changes
        assert repair.drifted
        assert repair.properties == (PropertyChange("portId", "p-2", "p-1"),)

    def test_a_resource_that_was_deleted_by_hand_is_drift(self) -> None:
        gone = event("resOutputsEvent", "delete", FLOATING_IP, "vrrp-floating-ip", new=None)
        (drift,) = steps_of([self.REFRESH, gone]).drift
        assert (drift.name, drift.operation) == ("vrrp-floating-ip", "delete")

    def test_a_refresh_that_finds_nothing_is_nothing(self) -> None:
        unchanged = event("resOutputsEvent", "same", FLOATING_IP, "vrrp-floating-ip")
        assert steps_of([self.REFRESH, unchanged]) == Steps()


class TestOrder:
    """Prevents an order in which a gate is missing, or called by a name that says nothing."""

    def test_a_roll_goes_through_the_gates_in_the_engines_order(self) -> None:
        found = steps_of(recorded("roll"))
        assert order_in_words(found.order, found.changes) == [
            "gate: check that the master can serve alone (vrrp-master-stands-in)",
            "gate: check that the master can serve, before the backup is taken away (vrrp-backup-handover)",
            "shut the backup down, and delete it (vrrp-backup)",
            "create the backup (vrrp-backup)",
            "gate: wait until the backup is ready (vrrp-backup-ready)",
            "gate: check that the backup can serve, before the master is taken away (vrrp-master-handover)",
            "shut the master down, and delete it (vrrp-master)",
            "create the master (vrrp-master)",
            "gate: wait until the master is ready (vrrp-master-ready)",
            "final check: compare the floating IP, the ports, the rules and both members' reports (vrrp-complete)",
        ]

    def test_the_port_of_a_new_address_is_replaced_while_its_server_is_away(self) -> None:
        order = [(one.operation, one.name) for one in steps_of(recorded("member-address")).order]
        servers_and_port = [one for one in order if one[1] in {"vrrp-master", "vrrp-master-port"}]
        assert servers_and_port == [
            ("delete", "vrrp-master"),
            ("delete", "vrrp-master-port"),
            ("create", "vrrp-master-port"),
            ("create", "vrrp-master"),
        ]

    def test_a_new_port_is_opened_before_the_roll_and_the_old_one_is_closed_after_it(self) -> None:
        order = [(one.operation, one.name) for one in steps_of(recorded("service-port")).order]
        opened, closed = (
            order.index(("create", "vrrp-ingress-http-8080-from-anywhere")),
            order.index(("delete", "vrrp-ingress-http-80-from-anywhere")),
        )
        assert opened < order.index(("delete", "vrrp-backup"))
        assert closed > order.index(("create", "vrrp-master"))

    def test_a_flavor_that_changes_in_place_is_a_resize(self) -> None:
        found = steps(change(SERVER, "vrrp-backup", "update", "flavorName"))
        assert "resize the backup, which restarts it (vrrp-backup)" in order_in_words(found.order, found.changes)

    @pytest.mark.parametrize(("end", "words"), GATES.items())
    def test_each_gate_has_words_or_nothing_for_each_operation(self, end: str, words: dict[str, str]) -> None:
        assert set(words) == {"create", "update", "delete"}
        for operation, text in words.items():
            found = steps(change(COMMAND, f"vrrp{end}", operation))
            assert order_in_words(found.order, found.changes) == ([f"{text} (vrrp{end})"] if text else [])

    def test_an_unknown_command_is_shown_by_its_name(self) -> None:
        found = steps(change(COMMAND, "vrrp-something-new", "update"))
        assert order_in_words(found.order, found.changes) == ["run the command vrrp-something-new (update)"]

    def test_a_value_that_is_unknown_has_no_placeholder(self) -> None:
        old = {"custom": True, "inputs": {"port": "p-1"}}
        new = {"custom": True, "inputs": {"port": UNKNOWN}}
        one = event("resourcePreEvent", "update", SERVER, "vrrp-master", old=old, new=new)
        assert properties(steps_of([one]), "vrrp-master") == {"port": ("p-1", AFTERWARDS)}
