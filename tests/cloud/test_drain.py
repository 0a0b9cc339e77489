"""Taking a member out of service by Nova, and back, as the README's runbook has it."""

from __future__ import annotations

from .deployment import BOOT_PATIENCE, Deployment, served_by
from .seen import LONGEST_PLANNED_GAP, Table, watched


def test_a_stopped_master_hands_over_and_takes_over_again(pair: Deployment, table: Table) -> None:
    master, backup = pair.members
    server = pair.server(master)
    with watched(pair.url) as seen:
        pair.cloud.compute.stop_server(server)
        pair.cloud.compute.wait_for_server(server, status="SHUTOFF", wait=120)
        try:
            assert served_by(pair.url) == backup
            # A run meanwhile would start it: the preview tells so.
            assert pair.steps() == [("update", "vrrp-master")]
        finally:
            pair.cloud.compute.start_server(server)
        pair.until_the_master_serves(BOOT_PATIENCE)
    table.add("master drained by `openstack server stop`, and started again", seen)
    assert seen.by == [master, backup, master]
    assert seen.longest_gap <= LONGEST_PLANNED_GAP
