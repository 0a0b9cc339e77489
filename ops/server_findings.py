"""Problems of a member's server: Nova's status of it, and what the member reports on its console."""

from __future__ import annotations

from userdata.console_protocol import Condition, Report

from .findings import PULUMI_REPAIRS_IT, Finding
from .observation import ObservedMember

#: Seconds that the clock of the operator's machine and the member's may differ.
CLOCKS_DIFFER = 300

NO_STANDBY = "the other member has no standby"

_CONDITIONS = {Condition.FAILED: "has failed", Condition.NOT_READY: "is not ready"}

_WAIT = "wait until Nova has finished, and run this again (`openstack server show {server}`)"

#: Nova's status → the way out. The API permits each of these actions only in its own status. The provider reads and
#: repairs some of them (power_state of openstack_compute_instance_v2); with any other `pulumi up` fails.
WAYS_OUT = {
    "SHUTOFF": "`openstack server start {server}`, or `pulumi up`",
    "PAUSED": "`openstack server unpause {server}`, or `pulumi up`",
    "SHELVED": "`openstack server unshelve {server}`, or `pulumi up`",
    "SHELVED_OFFLOADED": "`openstack server unshelve {server}`, or `pulumi up`",
    "SUSPENDED": "`openstack server resume {server}`",
    "RESCUE": "`openstack server unrescue {server}`",
    "VERIFY_RESIZE": "`openstack server resize confirm {server}`, or `openstack server resize revert {server}`",
    "ERROR": "`openstack server show {server}` names the fault; `pulumi up --replace '**::*-{role}'` replaces it",
    "BUILD": _WAIT,
    "REBUILD": _WAIT,
    "REBOOT": _WAIT,
    "HARD_REBOOT": _WAIT,
    "RESIZE": _WAIT,
    "REVERT_RESIZE": _WAIT,
    "MIGRATING": _WAIT,
    "PASSWORD": _WAIT,
}

#: The way out of any other status, such as UNKNOWN (Nova does not reach the hypervisor).
_ANY_OTHER = "`openstack server show {server}`, or ask the operator of the cloud"


def server_finding(member: ObservedMember, role: str, now: float) -> Finding | None:
    """Return the first problem of a member's server; None for one that is ready.

    :param role: master or backup; the logical name of the server ends with it.
    :param now: seconds since 1970.
    """
    if member.server_status is None:
        return Finding(f"there is no server {member.name}", NO_STANDBY, PULUMI_REPAIRS_IT)
    if member.server_status != "ACTIVE":
        return _not_active(member.name, role, member.server_status)
    if member.report is None:
        return _no_report(member.name)
    if member.report.condition is not Condition.READY:
        return _not_ready(member.name, member.report)
    return _stale_report(member.name, member.report, now)


def _not_active(name: str, role: str, status: str) -> Finding:
    way_out = WAYS_OUT.get(status, _ANY_OTHER).format(server=name, role=role)
    return Finding(f"{name} is {status}", NO_STANDBY, way_out)


def _no_report(name: str) -> Finding:
    return Finding(
        f"{name} has not reported on its console that it is ready",
        "it may still be booting, or its first boot has failed",
        f"`openstack console log show {name}`",
    )


def _not_ready(name: str, report: Report) -> Finding:
    return Finding(
        f"{name} {_CONDITIONS[report.condition]}: {report.what}",
        "it can't take over",
        f"`vrrp-health status` on it (drained: `vrrp-health undrain`), or `openstack console log show {name}`",
    )


def _stale_report(name: str, report: Report, now: float) -> Finding | None:
    if report.said_at is None or now - report.said_at <= report.counts_for + CLOCKS_DIFFER:
        return None
    return Finding(
        f"{name} has not reported for {(now - report.said_at) / 60:.0f} minutes",
        f"it should report every {report.again_in} s, so it may hang",
        f"`openstack console log show {name}`",
    )
