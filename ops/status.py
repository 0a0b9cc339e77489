"""Judge a pair by what is observed from outside: every problem, by its cause."""

from __future__ import annotations

import time
from collections.abc import Iterator

from settings.pair import PairSettings, Role
from settings.service import HEALTH_PORT

from .findings import PULUMI_REPAIRS_IT, Finding
from .network_findings import network_findings, port_findings
from .observation import ObservedMember, ObservedPair
from .server_findings import server_finding

_CONSOLES = "`openstack console log show` of both"
_CAUSES_ABOVE = "see the causes above"


def judge(pair: ObservedPair, settings: PairSettings, now: float | None = None) -> list[Finding]:
    """Return every problem, causes before their possible consequences. The list is empty for a healthy pair.

    :param now: seconds since 1970; the present when left out.
    """
    now = time.time() if now is None else now
    findings = [*network_findings(pair, settings)]
    for role, member in pair.members.items():
        findings += _member(pair, settings, role, member, now)
    findings += _both_members(pair)
    findings += _answers(pair, explained=bool(findings))
    return findings


def _member(
    pair: ObservedPair, settings: PairSettings, role: Role, member: ObservedMember, now: float
) -> Iterator[Finding]:
    if finding := server_finding(member, role.value, now):
        yield finding
    if member.port is None:
        name = next(one.port_name for one in settings.members if one.role is role)
        yield Finding(f"there is no port {name}", f"{member.name} is on no network", PULUMI_REPAIRS_IT)
    else:
        yield from port_findings(pair, settings, member, member.port)


# -- what the two members report about each other --------------------------------------------------------


def _both_members(pair: ObservedPair) -> Iterator[Finding]:
    master, backup = pair.members[Role.MASTER], pair.members[Role.BACKUP]
    yield from _different_settings(master, backup)
    yield from _missing_reports(master, backup)
    yield from _missing_reports(backup, master)
    yield from _two_masters(master, backup)
    yield from _no_master(master, backup)


def _different_settings(master: ObservedMember, backup: ObservedMember) -> Iterator[Finding]:
    if not master.speaks or not backup.speaks or master.speaks == backup.speaks:
        return
    settings = list(zip(master.speaks.split(", "), backup.speaks.split(", "), strict=False))
    different = [(one, other) for one, other in settings if one != other]
    # With version 3 a backup uses the interval of the advertisements that it receives (RFC 9568 section 6.1).
    harmless = ("version 3", "version 3") in settings and all(one.startswith("advert_int ") for one, _ in different)
    yield Finding(
        f"{master.name} and {backup.name} do not agree: {'; '.join(f'{one} and {other}' for one, other in different)}",
        "the member that is master sets the interval, so a lost master is noticed sooner or later than the settings say"
        if harmless
        else "neither accepts the other's advertisements, and both are master; keepalived may log nothing about it",
        "a change was made on a member by hand, or a roll has stopped half-way: `pulumi up`, or "
        f"`pulumi up --replace '**::*-{Role.BACKUP.value}'`",
    )


def _missing_reports(member: ObservedMember, peer: ObservedMember) -> Iterator[Finding]:
    if member.hears == "silent" and member.state and peer.state:
        yield Finding(
            f"{member.name} receives no reports from {peer.name} (UDP {HEALTH_PORT})",
            "it keeps the VIP when its service is dead, because it knows no peer that can serve",
            f"{_CAUSES_ABOVE}, or a firewall on the members",
        )


def _two_masters(master: ObservedMember, backup: ObservedMember) -> Iterator[Finding]:
    if master.state == backup.state == "MASTER":
        yield Finding(
            f"{master.name} and {backup.name} both report that they are master",
            "two servers answer for one address, and the router follows the last gratuitous ARP",
            f"neither receives the other's advertisements: {_CAUSES_ABOVE}, or `authPass` and firewalls on the members",
        )


def _no_master(master: ObservedMember, backup: ObservedMember) -> Iterator[Finding]:
    if master.state == backup.state == "BACKUP":
        yield Finding("neither member reports that it is master", "no member holds the VIP", _CONSOLES)


# -- the answers through the floating IP -----------------------------------------------------------------


def _answers(pair: ObservedPair, *, explained: bool) -> Iterator[Finding]:
    """Yield the problems of the answers.

    :param explained: whether a finding before these may be the cause.
    """
    if not pair.answers:
        return
    yield from _lost_requests(pair.answers, explained=explained)
    pages = sorted({answer for answer in pair.answers if answer})
    if {member.name for member in pair.members.values()}.issuperset(pages):
        yield from _both_answer(pages)
        yield from _not_the_master_answers(pages, pair)


def _lost_requests(answers: list[str | None], *, explained: bool) -> Iterator[Finding]:
    lost = answers.count(None)
    if lost == len(answers):
        yield Finding(
            "no request through the floating IP was answered",
            "the service is down, or this machine is in none of httpCidrs",
            _CAUSES_ABOVE if explained else f"{_CONSOLES}; `pulumi preview`",
        )
    elif lost:
        yield Finding(f"{lost} of {len(answers)} requests were lost", "the service is unreliable", "run this again")


def _both_answer(names: list[str]) -> Iterator[Finding]:
    if len(names) > 1:
        yield Finding(
            f"{' and '.join(names)} answered in turns",
            "the VIP moves back and forth",
            f"{_CAUSES_ABOVE}; run this again",
        )


def _not_the_master_answers(names: list[str], pair: ObservedPair) -> Iterator[Finding]:
    masters = [member.name for member in pair.members.values() if member.state == "MASTER"]
    if len(names) == 1 and len(masters) == 1 and names != masters:
        yield Finding(
            f"{names[0]} answers, and {masters[0]} is the master",
            "the VIP is left on a server that gave it up, or the router has a stale MAC address for it",
            f"run this again in a minute; if it is still so, `openstack server reboot {names[0]}`",
        )
