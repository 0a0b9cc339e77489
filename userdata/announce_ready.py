#!/usr/bin/python3
"""Report on the console whether this member can serve.

A member is ready when cloud-init has ended, keepalived is MASTER or BACKUP, and the service answers. Every report comes
with the settings that both members must share and with the last report of the peer, so that both consoles together show
two masters, or a member that can't take over.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time

from userdata.console_line import DRAINED, Condition, Note, format_line
from userdata.health import ILL, Config, answers, keepalived_runs, last_status, read

CONSOLE = "/dev/console"
REPEAT = 60  # seconds; a gate trusts only a recent condition
REPEAT_NOTES = 600  # seconds; consoles keep only the newest lines
PAUSE = 0.5
PAUSE_AFTER_A_BAD_ANSWER = 5.0

NO_ANSWER = "its service does not answer"


class Journal:
    """keepalived's messages of this boot, followed by one process."""

    def __init__(self) -> None:
        """Start to follow the journal."""
        command = ["journalctl", "--boot", "--identifier=Keepalived_vrrp", "--output=cat", "--lines=all", "--follow"]
        self.process = subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout
        self._handle = self.process.stdout.fileno()
        os.set_blocking(self._handle, False)
        self._rest, self._state = b"", ""

    def state(self) -> str:
        """Return keepalived's last state, or an empty text before the first one."""
        while True:
            try:
                chunk = os.read(self._handle, 65536)
            except BlockingIOError:
                return self._state
            if not chunk:
                sys.exit("journalctl has ended")  # systemd restarts this program
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                # keepalived logs a start in FAULT as "entering FAULT state", everything else as "Entering … STATE".
                for state in re.findall(rb"entering (\w+) state", line, re.IGNORECASE):
                    self._state = state.decode()


def condition_of(config: Config, state: str, status: Config | None) -> tuple[Condition, str]:
    """Return the condition of this member, and keepalived's state or the reason.

    :param status: of the health daemon; None if it does not run, empty without a service check.
    """
    if status is None:
        return Condition.NOT_READY, "its health check does not run"
    if status.get("drained"):
        return Condition.NOT_READY, DRAINED
    if not keepalived_runs(config["keepalivedPidFile"]):
        return Condition.NOT_READY, "keepalived does not run"
    if status.get("service") == ILL:
        return Condition.NOT_READY, NO_ANSWER
    if state in ("MASTER", "BACKUP"):
        return Condition.READY, state
    return Condition.NOT_READY, state or "keepalived has no state yet"


def shared_settings(keepalived_conf: str) -> str:
    """Return the settings that both members must share, without the password."""
    conf = read(keepalived_conf) or ""
    settings = [
        f"{word} {found[1]}"
        for word in ("virtual_router_id", "version", "advert_int")
        if (found := re.search(rf"^\s*{word}\s+(\S+)", conf, re.MULTILINE))
    ]
    settings.append("unicast" if "unicast_peer" in conf else "multicast")
    settings.append("auth" if "auth_pass" in conf else "no auth")
    return ", ".join(settings)


def announce(member: str, kind: Condition | Note, what: str, again_in: int | None = None) -> None:
    """Write one line on the console.

    :param again_in: seconds until the line is repeated.
    """
    boot = (read("/proc/sys/kernel/random/boot_id") or "").strip()
    booted_at = re.findall(r"^btime (\d+)$", read("/proc/stat") or "", re.MULTILINE)[0]
    with open(CONSOLE, "w", encoding="ascii") as console:
        console.write(f"\n{format_line(member, kind, what, boot, int(booted_at), round(time.time()), again_in)}\n")


def watch(config: Config) -> None:
    """Report the condition of this member after each change, and again every REPEAT seconds.

    A note is reported before the condition, after each change, and again every REPEAT_NOTES seconds.
    """
    subprocess.run(
        ["cloud-init", "status", "--wait"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    journal = Journal()
    reported, reported_at = None, 0.0
    noted: dict[Note, str] = {}
    noted_at = 0.0
    while True:
        status, pause = last_status(config) if config["serviceCheck"] else {}, PAUSE
        condition = condition_of(config, journal.state(), status)
        peer = (status or {}).get("peer")
        repeat = time.monotonic() - reported_at >= REPEAT
        if condition[0] is Condition.READY and (repeat or condition != reported) and not answers(config):
            condition, pause = (Condition.NOT_READY, NO_ANSWER), PAUSE_AFTER_A_BAD_ANSWER
        # Do not report a member that is booting. Report a drained one: it will not become ready.
        if reported or condition[0] is Condition.READY or condition[1] == DRAINED:
            notes = {Note.SPEAKS: shared_settings(config["keepalivedConf"])} | ({Note.HEARS: peer} if peer else {})
            if time.monotonic() - noted_at >= REPEAT_NOTES:
                noted, noted_at = {}, time.monotonic()
            for note, what in notes.items():
                if noted.get(note) != what:
                    announce(config["member"], note, what)
            noted = notes
            if repeat or condition != reported:
                announce(config["member"], *condition, again_in=REPEAT)
                reported, reported_at = condition, time.monotonic()
        time.sleep(pause)


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="/etc/vrrp-pair/member.json")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("watch", help="report every change until stopped (the command of the unit)")
    commands.add_parser("failed", help="report that the installation has failed").add_argument("reason")
    arguments = parser.parse_args()
    with open(arguments.config, encoding="utf-8") as file:
        config = json.load(file)
    if arguments.command == "failed":
        announce(config["member"], Condition.FAILED, arguments.reason)
    else:
        watch(config)


if __name__ == "__main__":
    main()
