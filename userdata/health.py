#!/usr/bin/python3
"""Decide whether this member may hold the VIP, and tell keepalived through its track_file.

One failed check makes a member unhealthy; several good answers in a row make it healthy again. An unhealthy member
keeps the VIP until its peer reports that it can take over, because a slow answer is better than none. It takes the VIP
back when no member advertises it. The members report to each other by UDP: `well` (able to take over) or `ill`. If one
of two masters stops, the other one announces the VIP, because its keepalived does not.

keepalived's own vrrp_script runs at most once a second, and its track_process does not see a server that hangs.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import http.client
import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

Config = dict[str, Any]

# The reports, and SILENT for none. Two releases exchange them during a roll: do not change them.
WELL, ILL, SILENT = "well", "ill", "silent"

TICK = 0.1  # seconds between two reports
FRESH = 1.0  # seconds; ignore stale reports: a late peer is overloaded
# A backup takes over after three intervals and a skew of less than one (RFC 9568 section 6.1).
INTERVALS, MARGIN = 4, 0.3
DISTRUST = 60.0  # seconds to distrust a peer that reported `well` but did not take the VIP
REWRITE = 5.0  # seconds between two writes of an unchanged track file
SECOND_LOOK = 1.0  # seconds from a drain to a second look at the peer: both may have been drained at once
# Each relapse within RELAPSE seconds doubles the number of good answers required, up to LONGEST times.
RELAPSE, LONGEST = 60.0, 32

# Seconds without a report until the peer may have stopped, and from then on to each announcement of the VIP.
STOPPED, ANNOUNCEMENTS = 0.3, (0.0, 0.2, 0.5, 1.0)
LONGEST_CLAIM = 1.1  # seconds from one announcement of a silent peer to its next, at most

ARP = 0x0806
VRRP = 112
VRRP_GROUP = "224.0.0.18"

USER_AGENT = "vrrp-health"  # left out of the access log


class ServiceStatus:
    """Whether the service is healthy, by the number of good or bad answers in a row."""

    def __init__(self, good_answers: int, bad_answers: int) -> None:
        """Start with an unknown status."""
        self.healthy: bool | None = None  # unknown
        self.unhealthy_since = 0.0
        self._good, self._bad = good_answers, bad_answers
        self._last, self._in_a_row = True, 0
        self._failures: list[float] = []

    def record(self, answered: bool, now: float) -> None:
        """Count one result of a check."""
        self._in_a_row = self._in_a_row + 1 if answered == self._last else 1
        self._last = answered
        if answered and self._in_a_row >= self._good * min(LONGEST, 2 ** max(0, len(self._failures) - 1)):
            self.healthy = True
        if not answered and self._in_a_row >= self._bad and self.healthy is not False:
            if self.healthy:  # a service that has not come up yet does not relapse
                self._failures = [at for at in self._failures if now - at < RELAPSE] + [now]
            self.healthy, self.unhealthy_since = False, now


@dataclass
class Peer:
    """The last report and the last advertisement of the peer."""

    reported_at: float
    advertised_at: float
    report: str = SILENT


@dataclass(frozen=True)
class Facts:
    """The inputs of a verdict at one moment."""

    fault: bool  # the verdict so far
    drained: bool
    healthy: bool | None  # None while the status of the service is unknown
    unproven: bool  # took the VIP back while the status of the service was unknown
    no_master: bool  # no advertisement for the time of a takeover
    peer_well: bool  # by its last report, which may be stale
    peer_refuses: bool  # a fresh `ill`, and no advertisement since the VIP was given away
    peer_can: bool  # a fresh `well`, newer than the fault here, and no distrust


class Decision(NamedTuple):
    """What a rule changes."""

    fault: bool
    distrust: bool = False


# The first rule that applies decides. If none applies, the verdict stays.
RULES: tuple[tuple[Callable[[Facts], bool], Decision], ...] = (
    # An operator has drained this member.
    (lambda at: at.drained, Decision(fault=True)),
    # A healthy member may always hold the VIP.
    (lambda at: at.healthy is True, Decision(fault=False)),
    # The peer reported `well` but did not take the VIP.
    (lambda at: at.fault and at.no_master and at.peer_well, Decision(fault=False, distrust=True)),
    # No member holds the VIP, and a slow answer is better than none.
    (lambda at: at.fault and at.no_master, Decision(fault=False)),
    # The peer will not take the VIP, so do not wait for the takeover.
    (lambda at: at.fault and at.healthy is False and at.peer_refuses, Decision(fault=False)),
    # The peer can serve, and this member can't.
    (lambda at: not at.fault and at.healthy is False and at.peer_can, Decision(fault=True)),
    # The peer can serve, and this member took the VIP without knowing its own status.
    (lambda at: not at.fault and at.unproven and at.peer_can, Decision(fault=True)),
)


class Verdict:
    """Whether keepalived is told of a fault, which gives the VIP away. All times are seconds of one clock."""

    def __init__(self, fault: bool, takeover: float, now: float) -> None:
        """Start with the last verdict; a takeover lasts ``takeover`` seconds at most."""
        self.fault: bool = fault
        self._takeover = takeover
        self._since = now
        self._unproven = False
        self._distrusted_until = -math.inf

    def decide(self, now: float, service: ServiceStatus, peer: Peer, drained: bool) -> bool:
        """Return the verdict of this moment: True is a fault."""
        if peer.report != WELL or peer.advertised_at > self._since:
            self._distrusted_until = -math.inf
        facts = self._facts(now, service, peer, drained)
        decision = next((decision for applies, decision in RULES if applies(facts)), None)
        if decision is None:
            return self.fault
        if decision.distrust:
            self._distrusted_until = now + DISTRUST
        if not decision.fault:
            self._unproven = service.healthy is None
        if decision.fault != self.fault:
            self.fault, self._since = decision.fault, now
        return self.fault

    def _facts(self, now: float, service: ServiceStatus, peer: Peer, drained: bool) -> Facts:
        fresh = now - peer.reported_at < FRESH
        # An older report may be out of date: a database that both members need may have failed.
        newer = peer.reported_at > (service.unhealthy_since if service.healthy is False else self._since)
        return Facts(
            fault=self.fault,
            drained=drained,
            healthy=service.healthy,
            unproven=self._unproven,
            no_master=now - max(peer.advertised_at, self._since) >= self._takeover,
            peer_well=peer.report == WELL,
            peer_refuses=peer.report == ILL and fresh and peer.advertised_at < self._since,
            peer_can=peer.report == WELL and fresh and newer and now >= self._distrusted_until,
        )


class Announcer:
    """When to announce the VIP, because the peer may have stopped and the router may still send to it."""

    def __init__(self) -> None:
        """Start without a report of the peer."""
        self.report = SILENT
        self._due: list[float] = []

    def is_due(self, now: float, peer: Peer) -> bool:
        """Return whether a member with the VIP has to announce it now."""
        before, self.report = self.report, peer.report if now - peer.reported_at < STOPPED else SILENT
        # `ill` after a silence is a boot of the peer.
        if (before, self.report) in ((WELL, ILL), (WELL, SILENT), (ILL, SILENT)):
            self.plan(now)
        elif self.report == WELL and before != WELL:
            self._due = []  # the peer announces the VIP itself when it takes it
        passed = [at for at in self._due if at <= now]
        self._due = self._due[len(passed) :]
        return bool(passed)

    def plan(self, start: float) -> None:
        """Plan announcements from a moment on."""
        self._due = [start + after for after in ANNOUNCEMENTS]


def advertisement(packet: bytes, peer: str) -> tuple[int, int] | None:
    """Return the virtual router id and the priority in an advertisement of the peer; None for any other IP packet."""
    header = 4 * (packet[0] & 0x0F) if packet else 0
    vrrp = packet[header:]
    if len(vrrp) < 8 or socket.inet_ntoa(packet[12:16]) != peer or vrrp[0] & 0x0F != 1:
        return None
    return vrrp[1], vrrp[2]


# -- checking the service


def answers(check: Config) -> bool:
    """Check the service once, and return whether it answered well and in time."""
    try:
        return CHECKS[check["check"]](check)
    except (OSError, http.client.HTTPException):
        return False


def _http(check: Config) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", check["port"], timeout=check["timeout"])
    try:
        connection.request("GET", check["urlPath"], headers={"User-Agent": USER_AGENT})
        status = connection.getresponse().status
        return any(low <= status <= high for low, high in check["expectedCodes"])
    finally:
        connection.close()


def _tcp(check: Config) -> bool:
    socket.create_connection(("127.0.0.1", check["port"]), timeout=check["timeout"]).close()
    return True


def _command(check: Config) -> bool:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        ["/bin/sh", "-c", check["command"]], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    ) as running:
        try:
            return running.wait(check["timeout"]) == 0
        except subprocess.TimeoutExpired:
            # Kill the children too, so that hanging commands do not pile up.
            os.killpg(running.pid, signal.SIGKILL)
            return False


CHECKS = {"http": _http, "tcp": _tcp, "command": _command}


# -- files and addresses


def read(path: str) -> str | None:
    """Return the text of a file, or None if it can't be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def write(path: str, text: str) -> None:
    """Write in place, because keepalived follows the file and not its name. Never leave the file empty."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(handle, text.encode("ascii"), 0)
        os.ftruncate(handle, len(text))
    finally:
        os.close(handle)


def replace(path: str, text: str) -> None:
    """Replace a file, so that a reader sees the old text or the new one."""
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def keepalived_runs(pid_file: str) -> bool:
    """Return whether the process of keepalived's pid file exists."""
    return os.path.exists(f"/proc/{(read(pid_file) or 'none').strip()}")


def has_address(address: str) -> bool:
    """Return whether this server has an address: a socket can't be bound to any other."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True


def interface_of(interface_file: str) -> str:
    """Return the name of the interface, or an empty text before keepalived's first start."""
    return (read(interface_file) or "").strip().partition("=")[2]


def remove_addresses(vips: list[str], interface_file: str) -> None:
    """Remove the VIPs from the interface; ignore missing ones."""
    interface = interface_of(interface_file)
    quiet = subprocess.DEVNULL
    for vip in vips:
        subprocess.run(["ip", "address", "del", vip, "dev", interface], stdout=quiet, stderr=quiet, check=False)


# -- announcing the VIP


def gratuitous_arps(mac: bytes, vip: str) -> list[bytes]:
    """Return a request and a reply (RFC 5227 section 3). Linux heeds a reply only if its target is its sender."""
    ethernet, address = b"\xff" * 6 + mac + struct.pack("!H", ARP), socket.inet_aton(vip)
    return [
        ethernet + struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + address + target + address
        for operation, target in ((1, bytes(6)), (2, mac))
    ]


def neighbour_advertisement(mac: bytes, vip: str) -> bytes:
    """Return the ICMPv6 message of RFC 4861 section 7.2.6, with override. The kernel sets the checksum."""
    return struct.pack("!BBHI", 136, 0, 0, 0x20000000) + socket.inet_pton(socket.AF_INET6, vip) + b"\x02\x01" + mac


def announce(vip: str, interface: str) -> None:
    """Tell the network that this server has an address.

    :raises OSError: without the interface or the address.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind((interface, 0))
        mac = link.getsockname()[4]
        if ":" not in vip:
            for frame in gratuitous_arps(mac, vip):
                link.send(frame)
            return
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp:
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(interface))
        icmp.bind((vip, 0))
        icmp.sendto(neighbour_advertisement(mac, vip), ("ff02::1", 0))


# -- watching


class Watch:
    """The daemon. Its threads check the service, hear VRRP and ARP, and exchange reports with the peer."""

    def __init__(self, config: Config) -> None:
        """Start with the verdict of the track file, so that a restart of this program changes nothing."""
        self.config = config
        self.service = ServiceStatus(config["maxRetries"], config["maxRetriesDown"])
        takeover = INTERVALS * config["advertInterval"] + MARGIN
        self.verdict = Verdict(read(config["trackFile"]) != "0\n", takeover, time.monotonic())
        self.peer = Peer(time.monotonic(), time.monotonic())
        self.announcer = Announcer()
        #: The start of the running check; None between two checks.
        self.checking_since: float | None = None
        # The timeout is for the whole answer: http.client applies it to each part, and a check may hang in the kernel.
        self._longest_check = config["timeout"] + TICK
        self._overdue = False
        self._written_at = 0.0
        self._lock = threading.Lock()
        self._status = ""

    def run(self) -> None:
        """Start the threads, and hold the lock that shows that the daemon runs."""
        reports = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        reports.bind(("", self.config["healthPort"]))
        vrrp = socket.socket(socket.AF_INET, socket.SOCK_RAW, VRRP)
        arp = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ARP))
        threads = (self.exchange_reports, reports), (self.hear_vrrp, vrrp), (self.hear_arp, arp), (self.check, None)
        for work, tool in threads:
            threading.Thread(target=self._repeat, args=(work, tool), daemon=True).start()
        with open(self.config["lockFile"], "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            while True:
                time.sleep(3600)

    def _repeat(self, work: Callable[[Any], None], tool: Any) -> None:
        try:
            while True:
                work(tool)
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # the other threads need this one: let systemd restart them all

    def check(self, _: None) -> None:
        """Check the service once, and wait for the delay."""
        self._overdue, self.checking_since = False, time.monotonic()
        began = time.monotonic()
        answered = answers(self.config)
        took = time.monotonic() - began
        with self._lock:
            self.checking_since = None
            # Discard late results: this process was suspended, or the timeout is recorded already.
            if not self._overdue and (answered or took <= self._longest_check):
                self.service.record(answered, time.monotonic())
            self.decide()
        time.sleep(self.config["delay"])

    def hear_vrrp(self, vrrp: socket.socket) -> None:
        """Wait up to a second for an advertisement of the peer."""
        # Join the group ourselves: keepalived leaves it when it stops, and in a roll only the peer may use it.
        mine = struct.pack("4s4s", socket.inet_aton(VRRP_GROUP), socket.inet_aton(self.config["address"]))
        with contextlib.suppress(OSError):  # the address is not there yet, or we are a member already
            vrrp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, mine)
        vrrp.settimeout(1.0)
        try:
            packet = vrrp.recv(256)
        except TimeoutError:
            return
        if (found := advertisement(packet, self.config["peerAddress"])) is None:
            return
        virtual_router_id, priority = found
        if priority == 0:  # keepalived removes the VIP now, and runs for a second more
            with self._lock:
                self.announcer.plan(time.monotonic())
            self.announce_vips()
        if virtual_router_id == self.config["virtualRouterId"]:
            self.hear_peer(priority > 0)

    def hear_peer(self, is_master: bool) -> None:
        """Record an advertisement. If the peer is the master, remove the VIP that a killed keepalived has left here."""
        with self._lock:
            self.peer.advertised_at = time.monotonic() if is_master else -math.inf
        killed = not keepalived_runs(self.config["keepalivedPidFile"])
        # One VIP is enough: keepalived may have been killed while it removed them.
        if is_master and killed and any(has_address(vip.partition("/")[0]) for vip in self.config["vips"]):
            remove_addresses(self.config["vips"], self.config["interfaceFile"])

    def hear_arp(self, arp: socket.socket) -> None:
        """Wait for an ARP packet. Announce the VIP after the last announcement of a silent peer.

        A peer with older settings reports to an address that this member had before. Its keepalived announces the VIP
        at each advertisement of this one. Only the backup answers, so that two members do not alternate.
        """
        vip = self.config["vips"][0].partition("/")[0]
        if arp.recv(64)[14:18] == socket.inet_aton(vip) and self.config["role"] == "backup":
            with self._lock:
                if self.announcer.report == SILENT:
                    self.announcer.plan(time.monotonic() + min(LONGEST_CLAIM, 1.1 * self.config["advertInterval"]))

    def exchange_reports(self, reports: socket.socket) -> None:
        """Listen for a TICK, decide, and report to the peer."""
        end = time.monotonic() + TICK
        self.listen(reports, end)
        late = time.monotonic() - end > TICK
        with self._lock:
            self.record_timeout(time.monotonic(), late=late)
            self.decide()
            well = not self.verdict.fault and self.service.healthy is True
        report = WELL if well and keepalived_runs(self.config["keepalivedPidFile"]) else ILL
        with contextlib.suppress(OSError):  # ignore send errors; the peer notices the missing reports
            reports.sendto(report.encode(), (self.config["peerAddress"], self.config["healthPort"]))
        if not late:  # after a suspension of this process, first receive the reports that have come meanwhile
            self.announce_vips()

    def record_timeout(self, now: float, *, late: bool) -> None:
        """Record a bad answer each time that the running check exceeds the timeout.

        :param late: this process was suspended, so the delay says nothing about the service.
        """
        if self.checking_since is None:
            return
        if late:
            self.checking_since = now
        elif now - self.checking_since > self._longest_check:
            self.service.record(False, now)
            self._overdue, self.checking_since = True, now

    def announce_vips(self) -> None:
        """Announce the VIPs that this member holds, if that is due."""
        with self._lock:
            due = self.announcer.is_due(time.monotonic(), self.peer)
        for vip in self.config["vips"] if due else ():
            address = vip.partition("/")[0]
            if has_address(address):
                with contextlib.suppress(OSError):  # keepalived has just removed it, or the interface is down
                    announce(address, interface_of(self.config["interfaceFile"]))
                    print(f"announced {address}", flush=True)

    def listen(self, reports: socket.socket, end: float) -> None:
        """Receive reports of the peer until ``end``, and decide when one differs from the last."""
        while (left := end - time.monotonic()) > 0:
            reports.settimeout(left)
            try:
                data, (address, _) = reports.recvfrom(64)
            except OSError:
                time.sleep(max(0.0, min(left, 0.01)))  # an ICMP refusal of the last report is an error here
                continue
            report = data.decode("ascii", errors="replace")
            if address == self.config["peerAddress"] and report in (WELL, ILL):
                with self._lock:
                    changed, self.peer.report = report != self.peer.report, report
                    self.peer.reported_at = time.monotonic()
                    if changed:
                        self.decide()
                if changed:
                    self.announce_vips()

    def decide(self) -> None:
        """Update the verdict, the track file and the status."""
        now = time.monotonic()
        drained = os.path.exists(self.config["drainedFile"])
        fault = self.verdict.decide(now, self.service, self.peer, drained)
        self._write_verdict(f"{int(fault)}\n", now)
        self._write_status(
            {
                "service": {None: "not known", True: WELL, False: ILL}[self.service.healthy],
                "drained": drained,
                "mayHoldTheVip": not fault,
                "peer": self.peer.report if now - self.peer.reported_at < FRESH else SILENT,
            }
        )

    def _write_verdict(self, verdict: str, now: float) -> None:
        # Compare with the file, which keepalived or an operator may have changed. Rewrite it now and then: keepalived
        # misses a change between its first look at the file and the moment when it begins to follow it.
        if read(self.config["trackFile"]) != verdict or now - self._written_at > REWRITE:
            write(self.config["trackFile"], verdict)
            self._written_at = now

    def _write_status(self, status: Config) -> None:
        if (text := json.dumps(status)) != self._status:
            self._status = text
            replace(self.config["statusFile"], text + "\n")
            print(text, flush=True)


# -- the operator's commands


def last_status(config: Config) -> Config | None:
    """Return the watcher's last status; None if it is not running."""
    try:
        with open(config["lockFile"], encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return json.loads(read(config["statusFile"]) or "{}")
    except OSError:
        pass
    return None


def drain(config: Config, anyway: bool) -> int:
    """Drain this member, and return the exit status: 1 if it is not drained."""
    status = last_status(config)
    if not status:
        print("vrrp-health.service does not run, so a drain would have no effect: start it", file=sys.stderr)
        return 1
    if status.get("peer") != WELL and not anyway:
        print(
            f"{config['peer']} does not say that it can take over ({status.get('peer', 'no status yet')}), so a drain "
            "would be an outage. `vrrp-health drain --anyway` accepts this outage.",
            file=sys.stderr,
        )
        return 1
    os.makedirs(os.path.dirname(config["drainedFile"]), exist_ok=True)
    write(config["drainedFile"], "")
    if not anyway:
        time.sleep(SECOND_LOOK)
        if (last_status(config) or {}).get("peer") != WELL:
            os.remove(config["drainedFile"])
            print(
                f"{config['peer']} no longer says that it can take over: perhaps both were drained at once. "
                f"{config['member']} is not drained; drain one member after the other.",
                file=sys.stderr,
            )
            return 1
    print(f"{config['member']} gives the VIP away, and stays away until `vrrp-health undrain`")
    return 0


def undrain(config: Config) -> int:
    """Undo a drain, and return the exit status."""
    if os.path.exists(config["drainedFile"]):
        os.remove(config["drainedFile"])
    print(f"{config['member']} may hold the VIP again as soon as its service answers")
    return 0


def ask(config: Config) -> int:
    """Check the service once, and return the exit status."""
    return 0 if answers(config) else 1


def show(config: Config) -> int:
    """Print the last status, and return the exit status."""
    status = last_status(config) or {}
    print(json.dumps({"member": config["member"], **status}))
    return 0 if status.get("mayHoldTheVip") else 1


def main() -> int:
    """Run a command, and return its exit status."""
    parser = argparse.ArgumentParser(
        "vrrp-health", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="/etc/vrrp-pair/member.json")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("watch", help="check the service until stopped (the command of the unit)")
    commands.add_parser("ask", help="check the service once; exits with 0 if it answers")
    commands.add_parser("status", help="print the last status; exits with 1 unless this member may hold the VIP")
    draining = commands.add_parser("drain", help="give the VIP away, and stay away")
    draining.add_argument("--anyway", action="store_true", help="also if the peer can't take over")
    commands.add_parser("undrain", help="take part in the pair again")
    arguments = parser.parse_args()
    with open(arguments.config, encoding="utf-8") as file:
        config = json.load(file)
    if arguments.command == "watch":
        Watch(config).run()
    if arguments.command == "drain":
        return drain(config, arguments.anyway)
    return {"ask": ask, "status": show, "undrain": undrain}[arguments.command](config)


if __name__ == "__main__":
    sys.exit(main())
