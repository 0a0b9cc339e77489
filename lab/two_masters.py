"""Events in which both members hold the VIP, do not hear each other, and one of them stops.

This happens in a roll that changes what both members must share. The router sends to the member that has announced the
VIP last. These events stop that member, which is the worst case. The client's figures include the change before.
"""

from __future__ import annotations

import time

from drill.events import Event
from drill.pair import Member, Pair
from userdata.renderer import KEEPALIVED_CONF, MEMBER_CONFIG_FILE

from .pair import LabPair

#: Seconds until both members are master.
BOTH_ARE_MASTER_WITHIN = 15.0
#: Seconds until keepalived has announced the VIP for the last time, and the health daemon as well.
ANNOUNCED_WITHIN = 2.5
#: Seconds for which the member is stopped: longer than the longest permitted gap.
STOPPED_FOR = 3.0

SAME_ROUTER_ID, OTHER_ROUTER_ID = 1, 2
#: The last number of the backup's address, and of an address that no server has.
BACKUP_HOST, OTHER_HOST = 5, 15

#: Change both files, and restart the programs that have read them. Unchanged files leave the member alone.
_CHANGE = f"""
before=$(cat {KEEPALIVED_CONF} {MEMBER_CONFIG_FILE} | cksum)
sed -i -E '%s' {KEEPALIVED_CONF}
sed -i -E '%s' {MEMBER_CONFIG_FILE}
[ "$before" = "$(cat {KEEPALIVED_CONF} {MEMBER_CONFIG_FILE} | cksum)" ] || systemctl restart %s
"""


def _change(pair: Pair, member: Member, in_keepalived_conf: str, in_member_config: str) -> None:
    units = "vrrp-health keepalived" if isinstance(pair, LabPair) and pair.service_check else "keepalived"
    member.run("sh", "-euc", _CHANGE % (in_keepalived_conf, in_member_config, units)).check_returncode()


def set_router_id(pair: Pair, member: Member, router_id: int) -> None:
    """Give a member a virtual router id, as a roll does that changes the id."""
    _change(
        pair,
        member,
        f"s/virtual_router_id [0-9]+/virtual_router_id {router_id}/",
        f's/"virtualRouterId": [0-9]+/"virtualRouterId": {router_id}/',
    )


def set_backup_host(pair: Pair, master: Member, host: int) -> None:
    """Give the master another address of the backup, as before a roll that changes the address. It needs unicast."""
    _change(
        pair,
        master,
        rf"/unicast_peer/{{n;s/[0-9]+$/{host}/}}",
        rf's/("peerAddress": "[0-9.]+\.)[0-9]+"/\1{host}"/',
    )


def _start(member: Member) -> None:
    member.run("systemctl", "start", "keepalived").check_returncode()


def _wait_for_two_holders(pair: Pair) -> None:
    end = time.monotonic() + BOTH_ARE_MASTER_WITHIN
    while len(pair.holders()) < 2:
        if time.monotonic() > end:
            raise RuntimeError(f"waited {BOTH_ARE_MASTER_WITHIN:.0f} s for two masters; the VIP is on {pair.holders()}")
        time.sleep(0.05)
    time.sleep(ANNOUNCED_WITHIN)


def _stop_for_a_while(member: Member) -> None:
    member.run("systemctl", "stop", "keepalived").check_returncode()
    time.sleep(STOPPED_FOR)


def _stop_one(pair: Pair, stopped: Member) -> None:
    set_router_id(pair, stopped, OTHER_ROUTER_ID)
    _wait_for_two_holders(pair)
    _stop_for_a_while(stopped)
    _same_router_id(pair, stopped)


def _same_router_id(pair: Pair, _: Member) -> None:
    for member in pair.members():
        set_router_id(pair, member, SAME_ROUTER_ID)
        _start(member)


def _stop_master_of_old_settings(pair: Pair, _: Member) -> None:
    master, _backup = pair.members()
    set_backup_host(pair, master, OTHER_HOST)
    _wait_for_two_holders(pair)
    _stop_for_a_while(master)
    _same_backup_host(pair, master)


def _same_backup_host(pair: Pair, _: Member) -> None:
    master, _backup = pair.members()
    set_backup_host(pair, master, BACKUP_HOST)
    _start(master)


MASTER_OF_TWO_STOPPED = Event(
    "two masters, master stopped",
    perform=lambda pair, _: _stop_one(pair, pair.members()[0]),
    restore=_same_router_id,
    self_healing=True,
)
BACKUP_OF_TWO_STOPPED = Event(
    "two masters, backup stopped",
    perform=lambda pair, _: _stop_one(pair, pair.members()[1]),
    restore=_same_router_id,
    self_healing=True,
)
#: The master neither advertises to the backup nor reports to it.
SILENT_MASTER_OF_TWO_STOPPED = Event(
    "two masters, silent master stopped",
    perform=_stop_master_of_old_settings,
    restore=_same_backup_host,
    self_healing=True,
)
TWO_MASTERS = (MASTER_OF_TWO_STOPPED, BACKUP_OF_TWO_STOPPED, SILENT_MASTER_OF_TWO_STOPPED)
