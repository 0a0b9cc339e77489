"""What a lab says on a machine that can't run it: one message, before anything is made."""

from __future__ import annotations

import os
import shutil

import pytest

from lab.machine import MachineNotReady, check_machine


def which_but(*missing: str) -> object:
    def which(command: str, path: str | None = None) -> str | None:
        return None if command in missing else f"/usr/bin/{command}"

    return which


def test_without_root_it_says_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", which_but())
    with pytest.raises(MachineNotReady, match="run it with sudo"):
        check_machine()


def test_a_missing_command_is_told_by_the_package_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", which_but("systemd-nspawn", "nft"))
    with pytest.raises(MachineNotReady, match=r"apt-get install --yes nftables systemd-container$"):
        check_machine()


def test_both_are_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", which_but("mmdebstrap"))
    with pytest.raises(MachineNotReady, match="run it with sudo; Debian packages are missing"):
        check_machine()


def test_a_machine_with_everything_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", which_but())
    check_machine()
