"""A member is taken out of service with Nova, and put back, as the README's runbook describes."""

from __future__ import annotations

from .deployment import BOOT_TIMEOUT, Deployment, served_by
from .seen import LONGEST_PLANNED_GAP, Table, watched


def test_a_stopped_master_hands_over_and_takes_over_again(pair: Deployment, table: Table) -> None:
    master, backup = pair.members
    server = pair.server(master)
    with watched(pair.url) as seen:
        pair.cloud.compute.stop_server(server)
        pair.cloud.compute.wait_for_server(server, status="SHUTOFF", wait=120)
        try:
            assert served_by(pair.url) == backup
            # An `up` in between would start the server, and a preview shows that.
            assert pair.steps() == [("update", "vrrp-master")]
        finally:
            pair.cloud.compute.start_server(server)
        pair.until_the_master_serves(BOOT_TIMEOUT)
    table.add("master drained by `openstack server stop`, and started again", seen)
    assert seen.by == [master, backup, master]
    assert seen.longest_gap <= LONGEST_PLANNED_GAP
