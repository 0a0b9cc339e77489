"""`ops plan --offline` with the real engine and the real provider. It needs the Pulumi CLI and its plugins, no cloud.

As root each plan runs in an empty network namespace, in which only the loopback interface is up.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from lab.stack_file import PROJECT_FOLDER
from ops.plan_steps import Steps, steps_of
from tests.unit.recorded_previews import RECORDED, recorded

from .repository import ISOLATED, STACKS, Repository, new_repository

pytestmark = pytest.mark.skipif(shutil.which("pulumi") is None, reason="needs the Pulumi CLI on PATH")

PASSWORD, NEW_PASSWORD = "planted1", "planted2"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return new_repository(tmp_path)


def operations(shown: dict[str, Any], kinds: Iterable[str]) -> set[tuple[str, str]]:
    """Return name and operation of each planned change of some kinds of resources."""
    wanted = set(kinds)
    return {(one["name"], one["done"]) for one in shown["resources"] if one["type"] in wanted}


class TestBaseAgainstBaseIsEmpty:
    """Prevents a plan that shows differences which only the invented state has."""

    @pytest.mark.parametrize("stack", STACKS)
    def test_a_stack_file_of_the_repository(self, repository: Repository, stack: str) -> None:
        shown = repository.planned(stack)
        assert (shown["verdict"], shown["exitStatus"], shown["resources"]) == ("No changes.", 0, [])

    def test_a_pair_with_everything(self, repository: Repository) -> None:
        repository.set(
            "nz-por-1",
            cidr6="2001:db8:1::/64",
            httpCidrs=["0.0.0.0/0", "::/0"],
            sshCidrs=["192.0.2.0/24"],
            memberFloatingIps=True,
            antiAffinity="hard",
            publicKey="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here",
        )
        repository.commit()
        assert repository.planned("nz-por-1")["verdict"] == "No changes."

    def test_a_password_that_only_the_passphrase_could_decrypt(self, repository: Repository) -> None:
        repository.set("tutorial", authPass={"secure": "v1:AAAA:BBBB"})
        repository.commit()
        assert repository.planned("tutorial")["verdict"] == "No changes."


class TestAChangeOfEachClass:
    """Prevents a plan whose operations are not those that the engine would perform."""

    def test_nothing(self, repository: Repository) -> None:
        repository.set("nz-por-1", sshCidrs=["192.0.2.0/24"])
        shown = repository.planned("nz-por-1")
        assert (shown["verdict"], shown["exitStatus"]) == ("No effect on traffic.", 2)
        assert operations(shown, ["SecGroupRule", "Instance"]) == {("vrrp-ingress-ssh-from-192.0.2.0-24", "created")}

    def test_roll(self, repository: Repository) -> None:
        repository.set("nz-por-1", virtualRouterId=7)
        shown = repository.planned("nz-por-1")
        assert (shown["verdict"], shown["exitStatus"]) == (
            "A roll: the backup, then the master; two planned failovers.",
            2,
        )
        servers = {("vrrp-backup", "replaced"), ("vrrp-master", "replaced")}
        assert operations(shown, ["Instance", "Port", "FloatingIp", "Subnet", "Network"]) == servers
        assert any("+    virtual_router_id 7" in one["diff"] for one in shown["files"])

    def test_roll_to_another_image(self, repository: Repository) -> None:
        repository.set("nz-por-1", image="debian-13-x86_64")
        shown = repository.planned("nz-por-1")
        assert shown["class"] == "roll"
        assert shown["image"]["old_id"] != shown["image"]["new_id"]

    def test_interruption(self, repository: Repository) -> None:
        repository.set("nz-por-1", vip="10.0.0.202")
        shown = repository.planned("nz-por-1")
        assert (shown["class"], shown["exitStatus"]) == ("interruption", 3)
        assert shown["verdict"].startswith("An interruption; refused: vip: 10.0.0.201 -> 10.0.0.202: this ")
        # The preflight refuses it before anything is declared.
        assert (shown["refused"], shown["resources"]) == (True, [])

    def test_an_allowed_interruption(self, repository: Repository) -> None:
        repository.set("nz-por-1", vip="10.0.0.202", allowInterruption=["vip: 10.0.0.201 -> 10.0.0.202"])
        shown = repository.planned("nz-por-1")
        assert (shown["class"], shown["exitStatus"], shown["refused"]) == ("interruption", 3, False)
        assert {name for name, _ in operations(shown, ["Port"])} >= {"vrrp-vip-port"}

    def test_an_allowed_interruption_of_a_floating_ip_whose_address_only_the_cloud_knows(
        self, repository: Repository
    ) -> None:
        allowed = "floatingIp: 198.51.100.1 -> 198.51.100.7"
        repository.set("nz-por-1", floatingIp="198.51.100.7", allowInterruption=[allowed])
        shown = repository.planned("nz-por-1")
        assert (shown["class"], shown["exitStatus"], shown["refused"]) == ("interruption", 3, False)
        assert allowed in shown["verdict"]
        assert ("vrrp-floating-ip", "deleted") in operations(shown, ["FloatingIp"])

    def test_a_floating_ip_whose_address_is_unknown_is_refused_with_a_note(self, repository: Repository) -> None:
        repository.set("nz-por-1", floatingIp="198.51.100.7")
        shown = repository.planned("nz-por-1")
        assert (shown["exitStatus"], shown["refused"]) == (3, True)
        assert any("must name the real address" in note for note in shown["notes"])

    def test_refused(self, repository: Repository) -> None:
        repository.set("nz-por-1", cidr="10.0.0.0/16")
        shown = repository.planned("nz-por-1")
        assert (shown["class"], shown["exitStatus"], shown["refused"]) == ("refused", 3, True)
        assert shown["verdict"].startswith("An interruption; refused: cidr: 10.0.0.0/24 -> 10.0.0.0/16: this ")
        assert shown["resources"] == []

    def test_a_wrong_setting_is_an_error_with_the_programs_message(self, repository: Repository) -> None:
        repository.set("nz-por-1", vpi="10.0.0.202")
        shown = repository.planned("nz-por-1")
        assert (shown["exitStatus"], "did you mean vip?" in shown["error"]) == (1, True)


class TestWhatStays:
    """Prevents a password in a report, and a plan that changes the repository or leaves files behind."""

    @pytest.mark.parametrize("format_", ["text", "markdown", "json"])
    def test_no_format_contains_a_password(self, repository: Repository, format_: str) -> None:
        repository.set("tutorial", authPass=PASSWORD)
        repository.commit()
        repository.set("tutorial", authPass=NEW_PASSWORD)
        status, text = repository.plan("tutorial", format_)
        assert status == 2
        assert "(secret, another one)" in text.replace("\\", "")
        assert PASSWORD not in text
        assert NEW_PASSWORD not in text

    def test_the_repository_stays_as_it_is(self, repository: Repository, tmp_path_factory: Any) -> None:
        temporary = tmp_path_factory.mktemp("temporary")
        before = sorted(path for path in repository.folder.rglob("*") if "__pycache__" not in path.parts)
        os.environ["TMPDIR"] = str(temporary)
        try:
            repository.plan("nz-por-1")
        finally:
            del os.environ["TMPDIR"]
        after = sorted(path for path in repository.folder.rglob("*") if "__pycache__" not in path.parts)
        assert after == before
        assert [path for path in temporary.iterdir() if path.name.startswith("vrrp-pair-")] == []


class TestTheRecordedPreviewsAreOfToday:
    """Prevents unit tests of `ops plan` that pass with previews of an older program, engine or provider."""

    @pytest.mark.parametrize("name", RECORDED)
    def test_the_engine_still_plans_the_same(self, name: str, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "tests.cloud.record_previews", name, "--folder", str(tmp_path)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        subprocess.run([*ISOLATED, *command], cwd=PROJECT_FOLDER, env=environment, check=True)
        assert planned(steps_of(recorded(name, tmp_path))) == planned(steps_of(recorded(name)))


def planned(steps: Steps) -> dict[str, object]:
    """Return logical name → the change, without what differs between runs: invented values, and the engine's order.

    The engine takes independent steps in any order.
    """
    return {one.name: (one.type, one.operation, one.touched, one.pair) for one in steps.changes}
