"""The members during a change: a member that can't serve, the return of the master, and several pairs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ops.plan_steps import Drift, PlannedStep, PropertyChange, ResourceChange, Steps
from ops.plan_verdict import CHANGES, judge_plan
from ops.type_tokens import NETWORK, PORT, SERVER
from settings.change_classes import ChangeClass

from .test_plan_verdict import change, steps

BACKUP = change(SERVER, "vrrp-backup", "replace", "userData")
MASTER = change(SERVER, "vrrp-master", "replace", "userData")
MASTER_WAS_STOPPED = change(SERVER, "vrrp-master", "replace", "userData", "powerState")
BACKUP_WAS_STOPPED = change(SERVER, "vrrp-backup", "replace", "userData", "powerState")


def started(role: str) -> ResourceChange:
    return change(SERVER, f"vrrp-{role}", "update", "powerState", drifted=True)


def made_again(role: str) -> ResourceChange:
    return change(SERVER, f"vrrp-{role}", "create")


def enabled(role: str) -> ResourceChange:
    return change(PORT, f"vrrp-{role}-port", "update", "adminStateUp", drifted=True)


def opened(role: str) -> ResourceChange:
    """Return the repair of a port whose allowed address pairs were removed by hand."""
    path = "allowedAddressPairs[0].ipAddress"
    by_hand = Drift(f"vrrp-{role}-port", PORT, "update", (PropertyChange(path, "10.0.0.201", None),))
    port = change(PORT, f"vrrp-{role}-port", "update")
    return replace(port, properties=(PropertyChange(path, None, "10.0.0.201"),), drift=by_hand)


class TestAMemberThatCannotServe:
    """Prevents a roll that is announced while the only serving member would go first, or a gate would stay closed."""

    @pytest.mark.parametrize(
        ("changes", "why"),
        [((BACKUP, MASTER_WAS_STOPPED), "stopped"), ((BACKUP, started("master")), "stopped")],
    )
    def test_a_stopped_master_stops_the_change_of_the_backup(
        self, changes: tuple[ResourceChange, ...], why: str
    ) -> None:
        verdict = judge_plan(steps(*changes), [])
        assert (
            verdict.sentence == f"A roll: the master is {why}, so `up` stops at the gate and does not touch the backup."
        )
        assert (verdict.change_class, verdict.exit_status) == (ChangeClass.ROLL, CHANGES)

    def test_a_missing_master_stops_the_change_of_the_backup(self) -> None:
        assert judge_plan(steps(BACKUP, made_again("master")), []).sentence == (
            "A roll: the master is missing, so `up` stops at the gate and does not touch the backup."
        )

    @pytest.mark.parametrize("first", [started("backup"), made_again("backup")])
    def test_a_backup_that_returns_before_the_master_goes_can_take_over(self, first: ResourceChange) -> None:
        """The gate before the master waits for it."""
        assert judge_plan(steps(first, MASTER), []).sentence == "A roll: only the master; two planned failovers."

    def test_a_stopped_backup_may_be_replaced(self) -> None:
        assert judge_plan(steps(BACKUP_WAS_STOPPED, MASTER), []).sentence == (
            "A roll: the backup, then the master; two planned failovers."
        )

    def test_a_master_that_goes_before_the_stopped_backup_returns_stays(self) -> None:
        assert judge_plan(steps(MASTER, started("backup")), []).sentence == (
            "A roll: the backup is stopped, so `up` stops at the gate and does not touch the master."
        )

    @pytest.mark.parametrize(
        ("port", "why"),
        [(enabled("master"), "has a disabled port"), (opened("master"), "has a port without allowed address pairs")],
    )
    def test_a_master_that_no_client_reaches_stops_the_change_of_the_backup(
        self, port: ResourceChange, why: str
    ) -> None:
        assert judge_plan(steps(BACKUP, port, MASTER), []).sentence == (
            f"A roll: the master {why}, so `up` stops at the gate and does not touch the backup."
        )

    def test_a_second_allowed_address_pair_hides_no_member(self) -> None:
        port = change(PORT, "vrrp-master-port", "update", "allowedAddressPairs[1].ipAddress", drifted=True)
        assert judge_plan(steps(BACKUP, port, MASTER), []).sentence == (
            "A roll: the backup, then the master; two planned failovers."
        )

    def test_without_a_serving_member_there_is_nothing_to_interrupt(self) -> None:
        verdict = judge_plan(steps(made_again("backup"), made_again("master")), [])
        assert verdict.sentence == "Neither member serves now, and the service answers when one of them is ready."
        assert verdict.change_class is ChangeClass.NOTHING


class TestTheMasterReturns:
    """Prevents a failover that the sentence does not announce."""

    @pytest.mark.parametrize(
        "returning", [started("master"), made_again("master"), enabled("master"), opened("master")]
    )
    def test_a_returning_master_takes_the_vip_back(self, returning: ResourceChange) -> None:
        assert judge_plan(steps(returning), []).sentence == "A roll: the master returns; one planned failover."
        assert judge_plan(steps(returning), [], preempt=False).sentence == "No effect on traffic."

    @pytest.mark.parametrize("returning", [started("backup"), made_again("backup"), enabled("backup")])
    def test_a_returning_backup_takes_nothing(self, returning: ResourceChange) -> None:
        assert judge_plan(steps(returning), []).sentence == "No effect on traffic."

    def test_a_stopped_master_that_is_replaced_only_returns(self) -> None:
        assert judge_plan(steps(MASTER_WAS_STOPPED), []).sentence == "A roll: only the master; one planned failover."


class TestSeveralPairs:
    """Prevents two pairs that count as one: an interruption where there is none, and a roll that is left out."""

    A, B = (
        [change(SERVER, f"{pair}-{role}", "replace", "userData", pair=pair) for role in ("backup", "master")]
        for pair in ("a", "b")
    )

    def test_servers_of_two_pairs_may_be_away_at_the_same_time(self) -> None:
        replaced = [self.A[0], self.B[0]]
        together = [
            PlannedStep(operation, SERVER, one.name, True, one.pair)
            for operation in ("delete", "create")
            for one in replaced
        ]
        assert judge_plan(Steps(tuple(replaced), tuple(together)), []).sentence == (
            "A roll: a: only the backup; no failover, and no standby meanwhile; "
            "b: only the backup; no failover, and no standby meanwhile."
        )

    def test_each_pair_has_its_own_clause(self) -> None:
        assert judge_plan(steps(*self.A, self.B[0]), []).sentence == (
            "A roll: a: the backup, then the master; two planned failovers; "
            "b: only the backup; no failover, and no standby meanwhile."
        )

    def test_the_setting_preempt_of_another_pair_is_not_known(self) -> None:
        assert judge_plan(steps(*self.B), [], own=["a"]).sentence == (
            "A roll: the backup, then the master; one or two planned failovers."
        )

    def test_a_second_pair_that_is_made_is_no_roll(self) -> None:
        new = [change(SERVER, f"b-{role}", "create", pair="b") for role in ("backup", "master")]
        verdict = judge_plan(steps(change(NETWORK, "b-net", "create", pair="b"), *new), [])
        assert verdict.sentence == "No effect on traffic."
