#!/usr/bin/python3
"""Whether this member may hold the VIP: `vrrp-health watch` finds out, and writes it for keepalived's track_file.

It asks the service of this member every now and then. Out is quick and back is slow: one bad answer is enough, several
good ones in a row end it, and more of them each time that it happens again. But the VIP is given away only to somebody:
a member that is ill keeps it until the peer says that it can serve, for a slow answer is better than none; and one that
gave it away takes it again when nobody advertises it. The members tell each other one word, ten times a second, by UDP:
`well` (fit to take over) or `ill`. Who holds the VIP is heard from VRRP itself.

`vrrp-health drain` makes a member give the VIP away and stay away, over reboots too, until `vrrp-health undrain`.
`vrrp-health status` shows what is known.

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
from typing import Any

Config = dict[str, Any]

WELL, ILL, SILENT = "well", "ill", "silent"

TICK = 0.1  # seconds between two words to the peer
# A word counts for so many seconds as what the peer can do now: whoever is late is busy, and busy is no help.
FRESH = 1.0
# A master is given up after three intervals and the skew (RFC 9568 section 6.1): after four and a bit, there is none.
INTERVALS, MARGIN = 4, 0.3

# Who said that it was well and did not take the VIP is not given it again for so many seconds.
DISTRUST = 60.0

SAID_AGAIN = 5.0  # seconds

# So many seconds after a drain the other member must still be well: it may have been drained at the same moment.
SECOND_LOOK = 1.0

# Who falls ill again within so many seconds has to answer well for twice as long, up to so many times.
RELAPSE, LONGEST = 60.0, 32

VRRP = 112
VRRP_GROUP = "224.0.0.18"


class Judgement:
    """What the answers of the service mean: None until there are enough of them, then whether it is ill."""

    def __init__(self, good_answers: int, bad_answers: int) -> None:
        self.ill: bool | None = None
        self.ill_since = 0.0
        self._good, self._bad = good_answers, bad_answers
        self._last, self._in_a_row = True, 0
        self._fell_ill: list[float] = []

    def hear(self, answer: bool, now: float) -> None:
        self._in_a_row = self._in_a_row + 1 if answer == self._last else 1
        self._last = answer
        if answer and self._in_a_row >= self._good * min(LONGEST, 2 ** max(0, len(self._fell_ill) - 1)):
            self.ill = False
        if not answer and self._in_a_row >= self._bad and not self.ill:
            if self.ill is not None:  # a service that is not up yet has not fallen ill
                self._fell_ill = [at for at in self._fell_ill if now - at < RELAPSE] + [now]
            self.ill, self.ill_since = True, now


class Verdict:
    """Whether keepalived is to be told of a fault, which gives the VIP away: only to somebody who takes it.

    All times are seconds of one clock.
    """

    def __init__(self, fault: bool, patience: float, now: float) -> None:
        """:param patience: after so many seconds without an advertisement there is no master."""
        self.fault: bool = fault
        self._patience = patience
        self._since = now
        #: Taken again because nobody advertised it, before the service has answered at all.
        self._unproven = False
        #: Taken again although the peer had said that it was well: until then its word counts for nothing.
        self._distrusted_until = -math.inf

    def decide(
        self,
        now: float,
        ill: bool | None,
        ill_since: float,
        drained: bool,
        peer: str,
        heard_at: float,
        advert_at: float,
    ) -> bool:
        """The verdict of this moment.

        :param ill: None while that is not known yet; :param ill_since: since when it is ill.
        :param peer: its last word; :param heard_at: when that came.
        :param advert_at: when the peer advertised the VIP last.
        """
        fresh = now - heard_at < FRESH
        if peer != WELL or advert_at > self._since:
            self._distrusted_until = -math.inf
        if drained:
            self._set(True, now)
        elif ill is False:
            self._unproven = False
            self._set(False, now)
        elif self.fault:
            # A peer that is to take it needs a moment: what counts is the silence since it was given away.
            silent = now - max(advert_at, self._since) >= self._patience
            refused = bool(ill) and peer == ILL and fresh and advert_at < self._since
            if silent or refused:
                self._unproven = ill is None
                if silent and peer == WELL:
                    self._distrusted_until = now + DISTRUST
                self._set(False, now)
        elif ill or self._unproven:
            # A word from before that may be out of date: what ails this service may ail the other one, too.
            since = ill_since if ill else self._since
            if peer == WELL and fresh and heard_at > since and now >= self._distrusted_until:
                self._set(True, now)
        return self.fault

    def _set(self, fault: bool, now: float) -> None:
        if fault != self.fault:
            self.fault, self._since = fault, now


def advertises(packet: bytes, peer: str, virtual_router_id: int) -> bool | None:
    """Whether an IP packet says that the peer is master, or gives up (False, priority 0); None if it is another's."""
    header = 4 * (packet[0] & 0x0F) if packet else 0
    vrrp = packet[header:]
    if len(vrrp) < 8 or socket.inet_ntoa(packet[12:16]) != peer or vrrp[0] & 0x0F != 1 or vrrp[1] != virtual_router_id:
        return None
    return vrrp[2] > 0


# -- asking the service ------------------------------------------------------------------------------------


def answers(check: Config) -> bool:
    try:
        return ASK[check["check"]](check)
    except (OSError, http.client.HTTPException):
        return False


def _http(check: Config) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", check["port"], timeout=check["timeout"])
    try:
        connection.request("GET", check["urlPath"], headers={"User-Agent": "vrrp-health"})
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
            # With whatever it has started: what hangs must not pile up.
            os.killpg(running.pid, signal.SIGKILL)
            return False


ASK = {"http": _http, "tcp": _tcp, "command": _command}


# -- the files ---------------------------------------------------------------------------------------------


def read(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return None


def write(path: str, text: str) -> None:
    """In place, for keepalived follows the file and not its name; and never empty in between, which it would read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(handle, text.encode("ascii"), 0)
        os.ftruncate(handle, len(text))
    finally:
        os.close(handle)


def replace(path: str, text: str) -> None:
    """For readers who must never see half of it."""
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def keepalived_runs(pid_file: str) -> bool:
    return os.path.exists(f"/proc/{(read(pid_file) or 'none').strip()}")


def has_address(address: str) -> bool:
    """Whether this server has an address, of either family: only then can a socket be bound to it."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True


def let_go_of(vips: list[str], interface_file: str) -> None:
    """Take the VIP off the interface, in both families."""
    interface = (read(interface_file) or "").strip().partition("=")[2]
    quiet = subprocess.DEVNULL
    for vip in vips:
        subprocess.run(["ip", "address", "del", vip, "dev", interface], stdout=quiet, stderr=quiet, check=False)


# -- watching ----------------------------------------------------------------------------------------------


class Watch:
    """Three threads: one asks the service, one hears VRRP, one talks with the peer. If any of them ends, all do."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.judgement = Judgement(config["maxRetries"], config["maxRetriesDown"])
        # What stands in the file stays until more is known: a restart of this program changes nothing.
        patience = INTERVALS * config["advertInterval"] + MARGIN
        self.verdict = Verdict(read(config["trackFile"]) != "0\n", patience, time.monotonic())
        self.peer, self.heard_at = SILENT, time.monotonic()
        self.asked_at: float | None = None
        self.advertised_at = time.monotonic()
        # A timeout is for the whole answer, and not for each of its parts; and a check may hang in the kernel.
        self._longest_question = config["timeout"] + TICK
        self._overdue = False
        self._written_at = 0.0
        self._lock = threading.Lock()
        self._told = ""

    def run(self) -> None:
        words = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        words.bind(("", self.config["healthPort"]))
        vrrp = socket.socket(socket.AF_INET, socket.SOCK_RAW, VRRP)
        for work, tool in ((self.talk, words), (self.hear_vrrp, vrrp), (self.ask, None)):
            threading.Thread(target=self._for_ever, args=(work, tool), daemon=True).start()
        with open(self.config["lockFile"], "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            while True:
                time.sleep(3600)

    def _for_ever(self, work: Callable[[Any], None], tool: Any) -> None:
        try:
            while True:
                work(tool)
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # without one of them the others would go on, half deaf: systemd starts all anew

    def ask(self, _: None) -> None:
        self._overdue, self.asked_at = False, time.monotonic()
        began = time.monotonic()
        answer = answers(self.config)
        took = time.monotonic() - began
        with self._lock:
            self.asked_at = None
            # Nor does anybody know it where the end of the question came late: this program was stopped meanwhile.
            if not self._overdue and (answer or took <= self._longest_question):
                self.judgement.hear(answer, time.monotonic())
            self.decide()
        time.sleep(self.config["delay"])

    def hear_vrrp(self, vrrp: socket.socket) -> None:
        if not self.config["unicast"]:
            # keepalived leaves the group when it stops, and we want to hear the peer all the same.
            mine = struct.pack("4s4s", socket.inet_aton(VRRP_GROUP), socket.inet_aton(self.config["address"]))
            with contextlib.suppress(OSError):  # there is no such address yet, or we are a member already
                vrrp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, mine)
        vrrp.settimeout(1.0)
        try:
            packet = vrrp.recv(256)
        except TimeoutError:
            return
        said = advertises(packet, self.config["peerAddress"], self.config["virtualRouterId"])
        if said is not None:
            self.hear_peer(said)

    def hear_peer(self, advertises: bool) -> None:
        """What a keepalived that was killed has left on the interface stays, for it still serves, until somebody else
        has it: from then on there would be two. (One that starts again takes it away itself.)
        """
        with self._lock:
            self.advertised_at = time.monotonic() if advertises else -math.inf
        killed = not keepalived_runs(self.config["keepalivedPidFile"])
        # Any of them: keepalived may have been killed while it was taking them away.
        if advertises and killed and any(has_address(vip.partition("/")[0]) for vip in self.config["vips"]):
            let_go_of(self.config["vips"], self.config["interfaceFile"])

    def talk(self, words: socket.socket) -> None:
        end = time.monotonic() + TICK
        self.listen(words, end)
        with self._lock:
            self.look_at_the_question(time.monotonic(), late=time.monotonic() - end > TICK)
            self.decide()
            well = not self.verdict.fault and self.judgement.ill is False
        word = WELL if well and keepalived_runs(self.config["keepalivedPidFile"]) else ILL
        # Without a network, or a way to the peer, that notices the silence.
        with contextlib.suppress(OSError):
            words.sendto(word.encode(), (self.config["peerAddress"], self.config["healthPort"]))

    def look_at_the_question(self, now: float, *, late: bool) -> None:
        """A question that takes too long is a bad answer, and one more each time that it might have been asked again;
        but where this program itself was stopped for a moment (late), nobody knows who is slow.
        """
        if self.asked_at is None:
            return
        if late:
            self.asked_at = now
        elif now - self.asked_at > self._longest_question:
            self.judgement.hear(False, now)
            self._overdue, self.asked_at = True, now

    def listen(self, words: socket.socket, end: float) -> None:
        while (left := end - time.monotonic()) > 0:
            words.settimeout(left)
            try:
                data, (address, _) = words.recvfrom(64)
            except OSError:
                time.sleep(max(0.0, min(left, 0.01)))  # a refusal that came back is an error of the next call
                continue
            word = data.decode("ascii", errors="replace")
            if address == self.config["peerAddress"] and word in (WELL, ILL):
                with self._lock:
                    changed, self.peer, self.heard_at = word != self.peer, word, time.monotonic()
                    if changed:
                        self.decide()

    def decide(self) -> None:
        now = time.monotonic()
        drained = os.path.exists(self.config["drainedFile"])
        ill = self.judgement.ill
        fault = self.verdict.decide(
            now, ill, self.judgement.ill_since, drained, self.peer, self.heard_at, self.advertised_at
        )
        # Compared with the file and not with the last verdict: somebody else may have written or removed it. And said
        # again now and then: keepalived looks at the file before it begins to follow it.
        verdict = f"{int(fault)}\n"
        if read(self.config["trackFile"]) != verdict or now - self._written_at > SAID_AGAIN:
            write(self.config["trackFile"], verdict)
            self._written_at = now
        status = {
            "service": "not known" if ill is None else ILL if ill else WELL,
            "drained": drained,
            "mayHoldTheVip": not fault,
            "peer": self.peer if now - self.heard_at < FRESH else SILENT,
        }
        if (text := json.dumps(status)) != self._told:
            self._told = text
            replace(self.config["statusFile"], text + "\n")
            print(text, flush=True)


# -- what a person asks for --------------------------------------------------------------------------------


def what_is_known(config: Config) -> Config:
    """What the watch has written down; empty while it does not run, for nothing of it is true then."""
    try:
        with open(config["lockFile"], encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return json.loads(read(config["statusFile"]) or "{}")
    except OSError:
        pass
    return {}


def drain(config: Config, anyway: bool) -> int:
    status = what_is_known(config)
    if not status:
        print("vrrp-health.service does not run, so nobody would tell keepalived.", file=sys.stderr)
        return 1
    if status.get("peer") != WELL and not anyway:
        print(
            f"{config['peer']} does not say that it can take over ({status.get('peer', 'nothing is known')}): "
            "nobody would serve. `vrrp-health drain --anyway` does it all the same.",
            file=sys.stderr,
        )
        return 1
    os.makedirs(os.path.dirname(config["drainedFile"]), exist_ok=True)
    write(config["drainedFile"], "")
    if not anyway:
        time.sleep(SECOND_LOOK)
        if what_is_known(config).get("peer") != WELL:
            os.remove(config["drainedFile"])
            print(
                f"{config['peer']} does not say any more that it can take over: perhaps both were drained at once. "
                f"{config['member']} stays what it was; drain one after the other.",
                file=sys.stderr,
            )
            return 1
    print(f"{config['member']} gives the VIP away, and stays away until `vrrp-health undrain`")
    return 0


def undrain(config: Config) -> int:
    if os.path.exists(config["drainedFile"]):
        os.remove(config["drainedFile"])
    print(f"{config['member']} may hold the VIP again as soon as its service answers")
    return 0


def ask(config: Config) -> int:
    return 0 if answers(config) else 1


def show(config: Config) -> int:
    status = what_is_known(config)
    print(json.dumps({"member": config["member"], **status}))
    return 0 if status.get("mayHoldTheVip") else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="/etc/vrrp-pair/health.json")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("watch", help="ask the service for ever (the unit's command)")
    commands.add_parser("ask", help="ask the service once; exits with 0 when it answers")
    commands.add_parser("status", help="what is known; exits with 1 while this member may not hold the VIP")
    draining = commands.add_parser("drain", help="give the VIP away, and stay away")
    draining.add_argument("--anyway", action="store_true", help="also when nobody can take over")
    commands.add_parser("undrain", help="be part of the pair again")
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
