"""The verdict about a plan: by resource and operation, by the class of a key, and about recorded previews."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ops.plan_members import Place, pair_in, place_of
from ops.plan_settings import Configured, KeyDifference, configured, differences
from ops.plan_steps import Drift, PlannedStep, PropertyChange, ResourceChange, Steps, steps_of
from ops.plan_verdict import CHANGES, NO_CHANGES, WOULD_INTERRUPT, Verdict, judge_plan, refused_verdict
from ops.type_tokens import (
    COMMAND,
    FLOATING_IP,
    FLOATING_IP_ASSOCIATE,
    KEY_PAIR,
    NETWORK,
    PORT,
    ROUTER,
    ROUTER_INTERFACE,
    RULE,
    SECURITY_GROUP,
    SERVER,
    SERVER_GROUP,
    SUBNET,
)
from settings.change_classes import KEYS, NONE, ChangeClass

from .conftest import PROJECT, config_of
from .recorded_previews import RECORDED, recorded, texts

NOTHING, ROLL, INTERRUPTION, REFUSED = ChangeClass
VIP = KeyDifference("vip", "10.0.0.201", "10.0.0.202")
PORT_KEY = KeyDifference("service.port", "80", "8080")


def change(
    type_: str, name: str, operation: str, *properties: str, drifted: bool = False, pair: str = ""
) -> ResourceChange:
    by_hand = tuple(PropertyChange(path, "new", "old") for path in properties)
    return ResourceChange(
        urn=f"urn:pulumi:nz-por-1::vrrp-pair::vrrp:index:VrrpPair${type_}::{name}",
        type=type_,
        operation=operation,
        properties=tuple(PropertyChange(path, "old", "new") for path in properties),
        drift=Drift(name, type_, "update", by_hand) if drifted else None,
        pair=pair,
    )


def steps(*changes: ResourceChange, new: bool = False) -> Steps:
    """Return steps in which each replacement deletes and creates before the next change begins."""
    order = list[PlannedStep]()
    for one in changes:
        parts = ("delete", "create") if one.operation == "replace" else (one.operation,)
        order += [PlannedStep(part, one.type, one.name, one.operation == "replace", one.pair) for part in parts]
    return Steps(changes, tuple(order), new=new)


def judged(*changes: ResourceChange) -> Verdict:
    return judge_plan(steps(*changes), [])


class TestEachOperationOnEachResourceHasAClass:
    """Prevents an outage that is announced as harmless, and a harmless change that is announced as an outage."""

    @pytest.mark.parametrize(
        ("type_", "name", "operation", "properties", "expected"),
        [
            (NETWORK, "vrrp-net", "replace", (), INTERRUPTION),
            (NETWORK, "vrrp-net", "update", ("name",), NOTHING),
            (SUBNET, "vrrp-subnet", "replace", (), INTERRUPTION),
            (SUBNET, "vrrp-subnet", "update", ("gatewayIp",), INTERRUPTION),
            (SUBNET, "vrrp-subnet", "update", ("dnsNameservers[0]", "allocationPools[0].end"), NOTHING),
            (SUBNET, "vrrp-subnet", "update", ("enableDhcp",), INTERRUPTION),
            (ROUTER, "vrrp-router", "replace", (), INTERRUPTION),
            (ROUTER, "vrrp-router", "update", ("externalNetworkId",), INTERRUPTION),
            (ROUTER, "vrrp-router", "update", ("name",), NOTHING),
            (ROUTER_INTERFACE, "vrrp-router-interface", "replace", (), INTERRUPTION),
            (ROUTER_INTERFACE, "vrrp-router-interface", "delete", (), INTERRUPTION),
            (PORT, "vrrp-vip-port", "replace", (), INTERRUPTION),
            (PORT, "vrrp-vip-port", "update", ("fixedIps[0].ipAddress",), INTERRUPTION),
            (PORT, "vrrp-vip-port", "update", ("name", "tags[0]"), NOTHING),
            (PORT, "vrrp-master-port", "update", ("fixedIps[0].ipAddress",), INTERRUPTION),
            (PORT, "vrrp-backup-port", "update", ("allowedAddressPairs[0].ipAddress",), INTERRUPTION),
            (PORT, "vrrp-master-port", "replace", (), INTERRUPTION),
            (PORT, "vrrp-master-port", "update", ("tags[1]",), NOTHING),
            (FLOATING_IP, "vrrp-floating-ip", "replace", (), INTERRUPTION),
            (FLOATING_IP, "vrrp-floating-ip", "delete", (), INTERRUPTION),
            (FLOATING_IP, "vrrp-floating-ip", "update", ("portId",), INTERRUPTION),
            (FLOATING_IP, "vrrp-floating-ip", "update", ("fixedIp",), INTERRUPTION),
            (FLOATING_IP, "vrrp-floating-ip", "update", ("description",), NOTHING),
            (FLOATING_IP_ASSOCIATE, "vrrp-floating-ip-association", "update", ("portId",), INTERRUPTION),
            (FLOATING_IP_ASSOCIATE, "vrrp-floating-ip-association", "replace", (), INTERRUPTION),
            (FLOATING_IP_ASSOCIATE, "vrrp-floating-ip-association", "delete", (), INTERRUPTION),
            (FLOATING_IP_ASSOCIATE, "vrrp-floating-ip-association", "create", (), NOTHING),
            (FLOATING_IP, "vrrp-master-floating-ip", "delete", (), NOTHING),
            (FLOATING_IP, "vrrp-master-floating-ip", "create", (), NOTHING),
            (RULE, "vrrp-ingress-http-from-anywhere", "replace", (), INTERRUPTION),
            (RULE, "vrrp-ingress-http-from-anywhere", "delete", (), NOTHING),
            (RULE, "vrrp-ingress-http-80-from-anywhere", "create", (), NOTHING),
            (RULE, "vrrp-ingress-vrrp", "delete", (), INTERRUPTION),
            (RULE, "vrrp-ingress-health", "delete", (), NOTHING),
            (RULE, "vrrp-ingress-ssh-from-anywhere", "replace", (), NOTHING),
            (SECURITY_GROUP, "vrrp-sec-group", "replace", (), INTERRUPTION),
            (SECURITY_GROUP, "vrrp-sec-group", "update", ("name",), NOTHING),
            (SERVER, "vrrp-master", "replace", ("userData",), ROLL),
            (SERVER, "vrrp-master", "update", ("flavorName",), ROLL),
            (SERVER, "vrrp-master", "update", ("name",), NOTHING),
            (SERVER, "vrrp-master", "update", ("powerState",), ROLL),
            (SERVER, "vrrp-backup", "update", ("powerState",), NOTHING),
            (SERVER, "vrrp-master", "create", (), ROLL),
            (SERVER, "vrrp-backup", "create", (), NOTHING),
            (SERVER_GROUP, "vrrp-server-group", "replace", (), NOTHING),
            (KEY_PAIR, "vrrp-key", "delete", (), NOTHING),
            (COMMAND, "vrrp-backup-ready", "update", ("environment.RESTARTED_BY",), NOTHING),
            (COMMAND, "vrrp-something-new", "replace", (), NOTHING),
        ],
    )
    def test_the_class_is(
        self, type_: str, name: str, operation: str, properties: tuple[str, ...], expected: ChangeClass
    ) -> None:
        # With a change of something else, so that a deletion is not the deletion of the whole pair.
        verdict = judged(change(type_, name, operation, *properties), change(COMMAND, "vrrp-gate", "update"))
        assert verdict.change_class is expected
        assert verdict.exit_status == (WOULD_INTERRUPT if expected is INTERRUPTION else CHANGES)

    def test_a_rule_whose_successor_exists_first_leaves_no_gap(self) -> None:
        rule = change(RULE, "vrrp-ingress-http-80-from-anywhere", "replace", "portRangeMax")
        order = [PlannedStep(operation, RULE, rule.name, True) for operation in ("create", "delete")]
        assert judge_plan(Steps((rule,), tuple(order)), []).change_class is NOTHING

    def test_an_existing_floating_ip_that_is_taken_away_is_not_lost(self) -> None:
        verdict = judged(change(FLOATING_IP_ASSOCIATE, "vrrp-floating-ip-association", "replace"))
        assert verdict.sentence == "An interruption: the floating IP is taken away from the VIP."

    def test_a_changed_resource_of_an_unknown_type_is_not_called_harmless(self) -> None:
        verdict = judged(change("openstack:dns/zone:Zone", "zone", "update", "ttl"))
        assert verdict.exit_status == WOULD_INTERRUPT
        assert "zone (openstack:dns/zone:Zone) is changed, and the effect of this is not known" in verdict.sentence
        assert judged(change("openstack:dns/zone:Zone", "zone", "update", "description")).change_class is NOTHING

    def test_a_replaced_resource_of_an_unknown_type_is_not_called_harmless(self) -> None:
        verdict = judged(change("openstack:dns/zone:Zone", "zone", "replace"))
        assert verdict.exit_status == WOULD_INTERRUPT
        assert "zone (openstack:dns/zone:Zone) is replaced, and the effect of this is not known" in verdict.sentence

    @pytest.mark.parametrize("name", ["db-backup", "master-web", "backup"])
    def test_the_public_floating_ip_of_a_pair_with_a_role_in_its_name_is_not_a_members(self, name: str) -> None:
        server = change(SERVER, f"{name}-master", "update", "name", pair=name)
        deleted = change(FLOATING_IP, f"{name}-floating-ip", "delete", pair=name)
        assert judged(server, deleted).change_class is INTERRUPTION
        own = change(FLOATING_IP, f"{name}-master-floating-ip", "delete", pair=name)
        assert judged(server, own).change_class is NOTHING

    def test_an_address_beside_the_old_ones_takes_nothing_away(self) -> None:
        added = PropertyChange("fixedIps[1].ipAddress", None, "2001:db8:1::4")
        port = change(PORT, "vrrp-master-port", "update", "tags[0]")
        assert judged(replace(port, properties=(*port.properties, added))).change_class is NOTHING
        moved = PropertyChange("fixedIps[0].ipAddress", "10.0.0.4", "10.0.0.6")
        assert judged(replace(port, properties=(added, moved))).change_class is INTERRUPTION

    def test_a_members_port_may_be_replaced_together_with_its_server(self) -> None:
        verdict = judged(
            change(PORT, "vrrp-backup-port", "replace", "fixedIps[0].ipAddress"),
            change(SERVER, "vrrp-backup", "replace", "networks[0].port"),
        )
        assert verdict.change_class is ROLL

    @pytest.mark.parametrize(
        ("type_", "name", "cause"),
        [(FLOATING_IP, "vrrp-floating-ip", "portId"), (PORT, "vrrp-vip-port", "fixedIps[0].ipAddress")],
    )
    def test_the_repair_of_a_change_by_hand_is_no_interruption(self, type_: str, name: str, cause: str) -> None:
        assert judged(change(type_, name, "update", cause, drifted=True)).change_class is NOTHING

    def test_the_repair_of_one_property_does_not_hide_the_change_of_another(self) -> None:
        repaired = change(FLOATING_IP, "vrrp-floating-ip", "update", "description", drifted=True)
        moved = PropertyChange("portId", "p-1", "p-2")
        assert judged(replace(repaired, properties=(*repaired.properties, moved))).change_class is INTERRUPTION

    def test_another_value_for_a_property_that_was_changed_by_hand_is_no_repair(self) -> None:
        repair = change(PORT, "vrrp-vip-port", "update", "fixedIps[0].ipAddress", drifted=True)
        to_another = replace(repair, properties=(PropertyChange("fixedIps[0].ipAddress", "by hand", "another"),))
        assert judged(to_another).change_class is INTERRUPTION

    def test_a_flavor_that_was_changed_by_hand_is_still_a_roll(self) -> None:
        changes = [
            change(SERVER, f"vrrp-{role}", "update", "flavorName", drifted=True) for role in ("backup", "master")
        ]
        assert judged(*changes).change_class is ROLL

    def test_both_servers_away_at_the_same_time_is_an_interruption(self) -> None:
        replaced = [change(SERVER, f"vrrp-{role}", "replace", "userData") for role in ("backup", "master")]
        together = [
            PlannedStep(operation, SERVER, one.name, True) for operation in ("delete", "create") for one in replaced
        ]
        verdict = judge_plan(Steps(tuple(replaced), tuple(together)), [])
        assert verdict.sentence == "An interruption: both servers are taken away at the same time."

    def test_the_deletion_of_everything_is_an_interruption(self) -> None:
        verdict = judged(change(SERVER, "vrrp-master", "delete"), change(FLOATING_IP, "vrrp-floating-ip", "delete"))
        assert (verdict.sentence, verdict.exit_status) == ("An interruption: the pair is deleted.", WOULD_INTERRUPT)


class TestTheMemberOfAName:
    """Prevents a master that is taken for the backup because of the pair's name."""

    @pytest.mark.parametrize(
        ("name", "pair", "expected"),
        [
            ("vrrp-master", "", Place("vrrp", "master")),
            ("master-web-backup", "", Place("master-web", "backup")),
            ("backup-master-port", "", Place("backup", "master")),
            ("vrrp-backup-ready", "", Place("", None)),
            ("db-backup-floating-ip", "", Place("db", "backup")),
            ("db-backup-floating-ip", "db-backup", Place("db-backup", None)),
            ("db-backup-backup-floating-ip", "db-backup", Place("db-backup", "backup")),
        ],
    )
    def test_only_the_end_of_the_name_and_the_parent_decide(self, name: str, pair: str, expected: Place) -> None:
        assert place_of(name, pair) == expected

    def test_the_engine_tells_the_pair_by_the_parent(self) -> None:
        assert pair_in("urn:pulumi:s::p::vrrp:index:VrrpPair::db-backup") == "db-backup"
        assert pair_in("urn:pulumi:s::p::my:index:Site$vrrp:index:VrrpPair::web") == "web"
        assert pair_in("urn:pulumi:s::p::pulumi:pulumi:Stack::p-s") == ""
        assert pair_in(None) == ""


class TestTheSentence:
    """Prevents a sentence that promises fewer failovers than there are, or that leaves the way out to the reader."""

    BACKUP = change(SERVER, "vrrp-backup", "replace", "userData")
    MASTER = change(SERVER, "vrrp-master", "replace", "userData")

    def test_without_changes_there_is_nothing_to_do(self) -> None:
        verdict = judge_plan(Steps(), [VIP])
        assert (verdict.sentence, verdict.exit_status) == ("No changes.", NO_CHANGES)

    def test_a_new_pair_interrupts_nothing(self) -> None:
        verdict = judge_plan(steps(change(SERVER, "vrrp-master", "create"), new=True), [])
        assert (verdict.sentence, verdict.exit_status) == ("A new pair: nothing serves yet.", CHANGES)

    def test_a_roll_names_the_engines_order(self) -> None:
        assert judged(self.BACKUP, self.MASTER).sentence == (
            "A roll: the backup, then the master; two planned failovers."
        )
        assert judged(self.MASTER, self.BACKUP).sentence == (
            "A roll: the master, then the backup; two planned failovers."
        )

    def test_a_roll_of_one_member_says_which(self) -> None:
        assert judged(self.BACKUP).sentence == "A roll: only the backup; no failover, and no standby meanwhile."
        assert judged(self.MASTER).sentence == "A roll: only the master; two planned failovers."

    def test_without_preempt_the_master_does_not_take_the_vip_back(self) -> None:
        """Either member may hold the VIP: the master does not take it back after a fault."""

        def sentence(*changes: ResourceChange) -> str:
            return judge_plan(steps(*changes), [], preempt=False).sentence

        assert sentence(self.BACKUP, self.MASTER) == (
            "A roll: the backup, then the master; one or two planned failovers, depending on which member holds the "
            "VIP."
        )
        assert sentence(self.BACKUP) == (
            "A roll: only the backup; at most one planned failover, and no standby meanwhile."
        )
        assert sentence(self.MASTER) == "A roll: only the master; at most one planned failover."

    def test_the_roll_that_sets_preempt_begins_with_either_holder(self) -> None:
        key = KeyDifference("preempt", "false", "true")
        assert judge_plan(steps(self.BACKUP, self.MASTER), [key], preempt=True).sentence == (
            "A roll: the backup, then the master; two or three planned failovers, depending on which member holds the "
            "VIP."
        )

    @pytest.mark.parametrize("key", [key for key, one in KEYS.items() if one.change_class in {INTERRUPTION, REFUSED}])
    def test_a_key_that_interrupts_is_explained_with_its_way_out(self, key: str) -> None:
        difference = KeyDifference(key, "this", "that")
        verdict = judge_plan(steps(self.BACKUP, self.MASTER), [difference], allowed=())
        assert verdict.sentence.startswith(f"An interruption; refused: {key}: this -> that: this {KEYS[key].effect}")
        way_out = KEYS[key].way_out or f'allowInterruption: ["{key}: this -> that"]'
        assert way_out.rstrip(".").lower() in verdict.sentence.lower()
        assert (verdict.change_class, verdict.refused) == (KEYS[key].change_class, True)

    def test_an_interruption_that_the_stack_file_allows_is_not_refused(self) -> None:
        found = steps(change(PORT, "vrrp-vip-port", "replace"))
        verdict = judge_plan(found, [VIP], allowed=["vip: 10.0.0.201 -> 10.0.0.202"])
        assert verdict.sentence.startswith("An interruption: vip: 10.0.0.201 -> 10.0.0.202: this leads the floating IP")
        assert (verdict.refused, verdict.exit_status) == (False, WOULD_INTERRUPT)

    def test_an_allowance_for_another_value_does_not_count(self) -> None:
        found = steps(change(PORT, "vrrp-vip-port", "replace"))
        assert judge_plan(found, [VIP], allowed=["vip: 10.0.0.201 -> 10.0.0.203"]).refused

    def test_what_the_preflight_has_let_pass_is_not_called_refused(self) -> None:
        assert not judge_plan(steps(change(PORT, "vrrp-vip-port", "replace")), [VIP], allowed=None).refused

    def test_an_allowed_interruption_that_is_made_already_is_not_announced_again(self) -> None:
        """The last successful `up` was before it, because the run stopped at the master."""
        verdict = judge_plan(steps(self.MASTER), [VIP], allowed=None)
        assert verdict.sentence == "A roll: only the master; two planned failovers."
        assert judge_plan(steps(self.MASTER), [VIP], allowed=()).refused

    def test_a_value_where_there_was_none_takes_nothing_away(self) -> None:
        six = KeyDifference("cidr6", NONE, "2001:db8:1::/64")
        assert judge_plan(steps(self.BACKUP, self.MASTER), [six], allowed=()).change_class is ROLL

    def test_the_address_in_a_network_needs_no_permission_of_its_own(self) -> None:
        """Without ``cidr6`` there is no IPv6 VIP either, and the preflight asks only about the network."""
        keys = [KeyDifference("cidr6", "2001:db8:1::/64", "none"), KeyDifference("vip6", "2001:db8:1::201", "none")]
        subnet = steps(change(SUBNET, "vrrp-subnet6", "delete"), self.BACKUP, self.MASTER)
        assert not judge_plan(subnet, keys, allowed=["cidr6: 2001:db8:1::/64 -> none"]).refused
        assert judge_plan(subnet, keys, allowed=()).refused
        assert judge_plan(subnet, keys[1:], allowed=()).refused

    def test_without_a_key_the_resources_are_the_reason(self) -> None:
        verdict = judge_plan(steps(change(NETWORK, "vrrp-net", "replace")), [PORT_KEY], allowed=())
        assert verdict.sentence == "An interruption: vrrp-net is replaced."

    def test_the_preflights_refusal_is_quoted_in_one_sentence(self) -> None:
        verdict = refused_verdict(
            "the change is refused, so nothing was declared:\n"
            "  1. vip: 10.0.0.1 -> 10.0.0.2: this moves it. Run `this`; or that.\n"
            "  2. cidr: a -> b: this replaces the subnet. Set cidr back to a. Make a second pair."
        )
        assert verdict.sentence == (
            "An interruption; refused: vip: 10.0.0.1 -> 10.0.0.2: this moves it; "
            "cidr: a -> b: this replaces the subnet."
        )
        assert verdict.reasons[0] == "vip: 10.0.0.1 -> 10.0.0.2: this moves it. Run `this`; or that."
        assert (verdict.exit_status, verdict.refused) == (WOULD_INTERRUPT, True)

    @pytest.mark.parametrize(
        ("reason", "change_class"),
        [
            ("vip: 10.0.0.1 -> 10.0.0.2: this moves it.", ChangeClass.INTERRUPTION),
            ("cidr: a -> b: this replaces the subnet.", ChangeClass.REFUSED),
            ("masterAddress = 10.0.0.4 belongs to another port.", ChangeClass.REFUSED),
        ],
    )
    def test_a_refusal_has_the_class_of_its_key(self, reason: str, change_class: ChangeClass) -> None:
        """A taken address is not a change of a key, and no permission helps."""
        verdict = refused_verdict(f"the change is refused, so nothing was declared:\n  1. {reason}")
        assert verdict.change_class is change_class


def rules(what: str, *operations: tuple[str, str]) -> Steps:
    return steps(*(change(RULE, f"vrrp-ingress-{what}-from-{source}", operation) for operation, source in operations))


class TestTheEffectsOfKeys:
    """Prevents a sentence that calls a change harmless although a client notices it."""

    LOST = "No failover; httpCidrs changes rules only; clients of a removed network lose access."

    def test_clients_of_a_removed_network_lose_access(self) -> None:
        key = KeyDifference("httpCidrs", '["0.0.0.0/0"]', '["10.0.0.0/8"]')
        found = rules("http-80", ("create", "10.0.0.0-8"), ("delete", "anywhere"))
        verdict = judge_plan(found, [key])
        assert (verdict.sentence, verdict.change_class, verdict.exit_status) == (self.LOST, NOTHING, CHANGES)
        assert judge_plan(found, []).sentence == self.LOST

    @pytest.mark.parametrize(
        ("old", "new", "operations"),
        [
            ('["0.0.0.0/0"]', '["0.0.0.0/0", "192.0.2.0/24"]', [("create", "192.0.2.0-24")]),
            ('["10.0.0.0/8"]', '["0.0.0.0/0"]', [("create", "anywhere"), ("delete", "10.0.0.0-8")]),
            ('["0.0.0.0/0", "10.0.0.0/8"]', '["0.0.0.0/0"]', [("delete", "10.0.0.0-8")]),
        ],
    )
    def test_no_client_loses_access_if_another_network_contains_the_old_one(
        self, old: str, new: str, operations: list[tuple[str, str]]
    ) -> None:
        verdict = judge_plan(rules("http-80", *operations), [KeyDifference("httpCidrs", old, new)])
        assert verdict.sentence == "No effect on traffic."

    def test_a_value_that_is_no_list_of_networks_proves_nothing(self) -> None:
        key = KeyDifference("httpCidrs", "anything", '["10.0.0.0/8"]')
        assert judge_plan(rules("http-80", ("delete", "anywhere")), [key]).sentence == self.LOST

    def test_the_same_network_at_another_port_loses_nothing(self) -> None:
        found = steps(
            change(RULE, "vrrp-ingress-http-8080-from-anywhere", "create"),
            change(SERVER, "vrrp-master", "replace", "userData"),
            change(RULE, "vrrp-ingress-http-80-from-anywhere", "delete"),
        )
        assert judge_plan(found, [PORT_KEY]).sentence == (
            f"A roll: only the master; two planned failovers; service.port {KEYS['service.port'].effect}."
        )

    def test_logins_from_a_removed_network_end(self) -> None:
        key = KeyDifference("sshCidrs", '["192.0.2.0/24"]', NONE)
        assert judge_plan(rules("ssh", ("delete", "192.0.2.0-24")), [key]).sentence == (
            "No effect on traffic; sshCidrs changes rules only; logins from a removed network end."
        )

    def test_a_new_network_for_logins_has_no_effect(self) -> None:
        key = KeyDifference("sshCidrs", NONE, '["192.0.2.0/24"]')
        assert judge_plan(rules("ssh", ("create", "192.0.2.0-24")), [key]).sentence == "No effect on traffic."

    def test_the_effect_of_another_harmless_key_is_said(self) -> None:
        key = KeyDifference("memberFloatingIps", "true", "false")
        verdict = judge_plan(steps(change(FLOATING_IP, "vrrp-master-floating-ip", "delete")), [key])
        assert verdict.sentence == f"No effect on traffic; memberFloatingIps {KEYS[key.key].effect}."

    def test_the_effect_of_a_removal_is_not_said_about_a_new_value(self) -> None:
        found = steps(change(FLOATING_IP, "vrrp-floating-ip", "create"))
        assert judge_plan(found, [KeyDifference("floatingIp", NONE, "new")]).sentence == "No effect on traffic."


def keys_of(name: str) -> list[KeyDifference]:
    """Return the keys that differ in the stack file of a recorded preview."""
    change = RECORDED[name]

    def side(**entries: str) -> Configured:
        values = config_of(change.stack, **entries).values
        return configured({key: {"value": text} for key, text in values.items()}, PROJECT, {})

    return differences(side(**texts(change.before)), side(**texts({**change.before, **change.after})))


class TestTheVerdictAboutRecordedPreviews:
    """Prevents a reader of the engine's events that only understands invented ones."""

    ROLLED = "A roll: the backup, then the master; two planned failovers"

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("same", "No changes."),
            ("http-cidrs", "No failover; httpCidrs changes rules only; clients of a removed network lose access."),
            ("members", f"No effect on traffic; memberFloatingIps {KEYS['memberFloatingIps'].effect}."),
            ("pool-end", f"No effect on traffic; poolEnd {KEYS['poolEnd'].effect}."),
            ("ready-timeout", f"No effect on traffic; readyTimeout {KEYS['readyTimeout'].effect}."),
            ("roll", f"{ROLLED}."),
            ("flavor", f"{ROLLED}."),
            ("image", f"{ROLLED}."),
            ("auth", f"{ROLLED}."),
            ("master-priority", "A roll: only the master; two planned failovers."),
            ("member-address", f"{ROLLED}."),
            ("name-prefix", f"{ROLLED}."),
            ("service-port", f"{ROLLED}; service.port {KEYS['service.port'].effect}."),
            ("ipv6", f"{ROLLED}."),
            ("vip-allowed", f"An interruption: vip: 10.0.0.201 -> 10.0.0.202: this {KEYS['vip'].effect}."),
        ],
    )
    def test_the_sentence_is(self, name: str, expected: str) -> None:
        assert judge_plan(steps_of(recorded(name)), keys_of(name)).sentence == expected

    @pytest.mark.parametrize("name", [name for name, change in RECORDED.items() if change.key])
    def test_the_class_is_that_of_the_key_even_if_only_the_steps_are_known(self, name: str) -> None:
        (about,) = [key for key in keys_of(name) if key.key == RECORDED[name].key]
        for keys in ([], keys_of(name)):
            verdict = judge_plan(steps_of(recorded(name)), keys)
            assert (verdict.change_class, verdict.refused) == (about.change_class, False)

    @pytest.mark.parametrize("name", [name for name in RECORDED if name.endswith("-allowed")])
    def test_an_interruption_has_its_exit_status(self, name: str) -> None:
        assert judge_plan(steps_of(recorded(name)), keys_of(name)).exit_status == WOULD_INTERRUPT
