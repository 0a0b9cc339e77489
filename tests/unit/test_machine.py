"""Before the lab makes anything, one message names everything that the machine lacks.

tests/lab/test_machine.py runs the checks themselves on a kernel.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab import guest_image, kernel, machine, overlay
from lab.kernel import Namespace
from lab.machine import MachineNotReady, check_commands, check_ipv6, check_machine
from lab.neutron import EXTERNAL_NETWORK_ID, Neutron
from lab.place import Place
from lab.record import Made, Record
from lab.resources import RouterInputs
from lab.up import LabFailed, bring_up

from .conftest import config_of


def which_but(*missing: str) -> object:
    def which(command: str, path: str | None = None) -> str | None:
        return None if command in missing else f"/usr/bin/{command}"

    return which


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with root, every command, and no problem."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", which_but())
    monkeypatch.setattr(machine, "CHECKS", ())


@pytest.mark.usefixtures("complete")
class TestEverythingThatIsMissingIsInOneMessage:
    """Prevents a lab that fails half-way, and an operator who learns of one missing thing at a time."""

    def test_without_root_it_says_sudo(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(MachineNotReady, match="run it with sudo"):
            check_commands()

    def test_a_missing_command_is_named_by_its_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", which_but("systemd-nspawn", "nft"))
        with pytest.raises(MachineNotReady, match=r"apt-get install --yes nftables systemd-container$"):
            check_commands()

    def test_a_missing_command_and_missing_root_are_one_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(shutil, "which", which_but("mmdebstrap"))
        with pytest.raises(MachineNotReady, match="run it with sudo; Debian packages are missing"):
            check_machine()

    def test_every_problem_of_the_kernel_is_in_the_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "CHECKS", (lambda: "no overlays", lambda: "", lambda: "no networks"))
        with pytest.raises(MachineNotReady, match=r"^the lab can't run here\. no overlays; no networks$"):
            check_machine()

    def test_a_machine_with_everything_is_accepted(self) -> None:
        check_commands()
        check_machine()

    def test_a_command_that_makes_nothing_does_not_try_the_kernel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full disk must not stop `down`."""
        monkeypatch.setattr(machine, "CHECKS", (lambda: "no space",))
        check_commands()


class TestOverlays:
    """Prevents a lab that can't start its first server, and a message that does not say why."""

    @pytest.mark.parametrize("name", ["a,b", "a:b", "a\\b"])
    def test_a_path_that_mount_options_can_not_have_is_refused(self, name: str) -> None:
        assert "choose a folder without a comma, colon or backslash" in overlay.path_problem(Path("/srv") / name)

    def test_a_blank_in_a_path_is_accepted(self) -> None:
        assert overlay.path_problem(Path("/srv/a blank")) == ""

    @pytest.mark.parametrize(
        ("works", "words"),
        [
            ({"disk on image", "tmpfs on image", "tmpfs on tmpfs"}, ""),
            ({"tmpfs on image", "tmpfs on tmpfs"}, ""),
            ({"tmpfs on tmpfs"}, "set VRRP_LAB_IMAGES to a folder on ext4"),
            (set[str](), r"overlays can't be mounted \(mount's words\): in a container, start that with --privileged"),
        ],
    )
    def test_the_message_names_the_layer_that_is_at_fault(
        self, monkeypatch: pytest.MonkeyPatch, works: set[str], words: str
    ) -> None:
        def why_not(lower: Path | None, upper: Path | None) -> str:
            asked = f"{'disk' if upper else 'tmpfs'} on {'image' if lower else 'tmpfs'}"
            return "" if asked in works else "mount's words"

        monkeypatch.setattr(overlay, "why_not", why_not)
        problem = machine._overlays()  # pyright: ignore[reportPrivateUsage]  # the check by itself
        assert bool(problem) == bool(words)
        assert re.search(words, problem)


class TestSpace:
    """Prevents an image that ends in the middle because the disk is full."""

    @pytest.fixture(autouse=True)
    def folders(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        monkeypatch.setattr(machine, "STATE_FOLDER", tmp_path / "state")
        monkeypatch.setattr(machine, "IMAGE_FOLDER", tmp_path / "images")
        return tmp_path

    @staticmethod
    def problem(monkeypatch: pytest.MonkeyPatch, free: int) -> str:
        def disk_usage(_: Path) -> SimpleNamespace:
            return SimpleNamespace(free=free * 10**6)

        monkeypatch.setattr(shutil, "disk_usage", disk_usage)
        return machine._space()  # pyright: ignore[reportPrivateUsage]  # the check by itself

    def test_one_disk_has_to_hold_the_image_and_the_servers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "799 MB free and needs 800 MB" in self.problem(monkeypatch, 799)
        assert self.problem(monkeypatch, 800) == ""

    def test_an_image_that_is_there_needs_no_space(self, monkeypatch: pytest.MonkeyPatch, folders: Path) -> None:
        guest_image.path_of(folders / "images").mkdir(parents=True)
        assert "199 MB free and needs 200 MB" in self.problem(monkeypatch, 199)
        assert self.problem(monkeypatch, 200) == ""


class TestAKernelWithoutIpv6:
    """Prevents the error `sysctl: cannot stat /proc/sys/net/ipv6/…` for a pair that needs no IPv6."""

    @pytest.fixture
    def commands(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Every command that the lab would have run."""
        run: list[str] = []

        def record(command: Sequence[str], text: str | None = None) -> str:
            run.append(" ".join(command))
            return ""

        monkeypatch.setattr(kernel, "run", record)
        return run

    @pytest.fixture
    def without_ipv6(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(kernel, "IPV6_SETTINGS", tmp_path / "absent")

    @pytest.fixture
    def with_ipv6(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(kernel, "IPV6_SETTINGS", tmp_path)

    @pytest.mark.usefixtures("without_ipv6")
    def test_no_namespace_sets_a_parameter_that_is_absent(self, commands: list[str]) -> None:
        Namespace("one").create()
        assert commands == ["ip netns add one", "ip -n one link set lo up"]

    @pytest.mark.usefixtures("with_ipv6")
    def test_with_ipv6_no_device_gives_itself_an_address(self, commands: list[str]) -> None:
        Namespace("one").create()
        inside = "ip netns exec one sysctl --quiet --write net.ipv6.conf"
        assert commands[2:] == [f"{inside}.all.disable_ipv6=1", f"{inside}.default.disable_ipv6=1"]

    @pytest.mark.usefixtures("without_ipv6")
    def test_the_external_network_has_ipv4_only(self, commands: list[str], tmp_path: Path) -> None:
        Neutron(Place("one"), Record(tmp_path / "record.json")).start()
        assert any("address add 198.51.100.1/24" in command for command in commands)
        assert [command for command in commands if "ipv6" in command or "2001:db8" in command] == []

    @pytest.mark.usefixtures("without_ipv6")
    def test_a_router_has_ipv4_only(self, commands: list[str], tmp_path: Path) -> None:
        record = Record(tmp_path / "record.json")
        inputs = RouterInputs(name="router", external_network_id=EXTERNAL_NETWORK_ID)
        made = Made("0123456789", "urn", "openstack:networking/router:Router", inputs, ())
        record.add(made)
        Neutron(Place("one"), record).create_router(made, inputs)
        assert any("net.ipv4.ip_forward=1" in command for command in commands)
        assert [command for command in commands if "ipv6" in command or "2001:db8" in command] == []

    @pytest.mark.usefixtures("with_ipv6")
    def test_the_external_network_has_both_families_where_the_kernel_has(
        self, commands: list[str], tmp_path: Path
    ) -> None:
        Neutron(Place("one"), Record(tmp_path / "record.json")).start()
        assert any("address add 2001:db8:ffff:ffff::1/64" in command for command in commands)

    @pytest.mark.usefixtures("without_ipv6")
    def test_a_pair_with_ipv6_is_refused_with_the_ways_out(self) -> None:
        with pytest.raises(
            MachineNotReady, match=r"cidr6 is 2001:db8::/64, and this machine's kernel has no IPv6: take"
        ):
            check_ipv6("2001:db8::/64")

    @pytest.mark.usefixtures("without_ipv6")
    def test_a_pair_with_ipv4_only_is_accepted(self) -> None:
        check_ipv6("")

    @pytest.mark.usefixtures("with_ipv6")
    def test_with_ipv6_both_pairs_are_accepted(self) -> None:
        check_ipv6("")
        check_ipv6("2001:db8::/64")


class TestTheLabNeedsAFloatingIpOfItsOwn:
    """Prevents a lab that waits for the first answer of a pair that its client can't reach."""

    @pytest.mark.parametrize("value", ["none", "203.0.113.77"])
    def test_another_pair_is_refused_before_anything_is_made(self, value: str) -> None:
        with pytest.raises(LabFailed, match=f"floatingIp is {value}: the lab reaches a pair only by"):
            bring_up(Place("never-made"), config_of("nz-por-1", floatingIp=value), lambda _: None)
        assert not Place("never-made").exists()
