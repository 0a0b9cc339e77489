"""From the first `up` to the last request before `destroy`: one stack, in the order of an operator's day."""

from __future__ import annotations

import pulumi.automation as automation
import pytest

from .conftest import PREFIX, Deployment


def test_the_first_up_makes_a_pair_that_answers(deployment: Deployment) -> None:
    made = deployment.up()
    assert {str(operation): count for operation, count in (made.summary.resource_changes or {}).items()}["create"] >= 19
    deployment.until_ready()
    with deployment.watched() as seen:
        pass
    assert (seen[0].by, seen[0].unanswered) == ([f"{PREFIX}-master"], 0)


def test_the_outputs_are_the_contract(deployment: Deployment) -> None:
    outputs = deployment.outputs
    assert set(outputs) == {"url", "floatingIp", "vip", "members"}
    assert (outputs["url"], outputs["vip"]) == (f"http://{outputs['floatingIp']}", "10.0.0.201")
    assert [(member["name"], member["fixedAddress"]) for member in outputs["members"]] == [
        (f"{PREFIX}-master", "10.0.0.4"),
        (f"{PREFIX}-backup", "10.0.0.5"),
    ]


def test_a_second_up_and_a_refresh_change_nothing(deployment: Deployment) -> None:
    assert set(deployment.changes()) == {"same"}
    refreshed = deployment.stack.refresh(color="never")
    assert set(refreshed.summary.resource_changes or {}) == {"same"}
    assert set(deployment.changes()) == {"same"}


@pytest.mark.parametrize(
    ("key", "value"), [("virtualRouterId", "2"), ("flavor", "c1.c1r2"), ("image", "debian-12-x86_64-b")]
)
def test_a_change_of_the_servers_goes_from_one_to_the_other_and_the_service_stays(
    deployment: Deployment, key: str, value: str
) -> None:
    """User-data replaces a server, a flavor reboots it in place, an image would wipe its disk in place."""
    before = deployment.outputs
    with deployment.watched() as seen:
        deployment.set(**{key: value})
        deployment.up()
    after = deployment.outputs
    assert after["floatingIp"] == before["floatingIp"]
    assert [member["portId"] for member in after["members"]] == [member["portId"] for member in before["members"]]
    assert seen[0].by[0] == f"{PREFIX}-master"
    assert f"{PREFIX}-backup" in seen[0].by
    # Two planned failovers; without the gate the gap is a server's boot, near a minute here.
    assert seen[0].longest_gap <= 2


def test_what_needs_no_new_server_changes_none(deployment: Deployment) -> None:
    before = deployment.outputs
    deployment.set(memberFloatingIps="true")
    deployment.up()
    assert [m["serverId"] for m in deployment.outputs["members"]] == [m["serverId"] for m in before["members"]]


def test_a_member_that_fails_stops_the_change_and_the_other_one_serves_on(deployment: Deployment) -> None:
    before = deployment.outputs
    install = deployment.folder / "userdata" / "install.sh.j2"
    text = install.read_text(encoding="utf-8")
    broken = text.replace("set -eu\n", "set -eu\necho this user-data is broken > /dev/console\nexit 1\n")
    assert broken != text
    with deployment.watched() as seen:
        install.write_text(broken, encoding="utf-8")
        deployment.set(readyTimeout="240")
        with pytest.raises(automation.CommandError, match="this user-data is broken"):
            deployment.up()
    assert seen[0].by == [f"{PREFIX}-master"]
    assert seen[0].unanswered == 0
    assert deployment.outputs["floatingIp"] == before["floatingIp"]

    install.write_text(text, encoding="utf-8")
    deployment.set(readyTimeout="900")
    deployment.up()
    deployment.until_ready()
    assert set(deployment.changes()) == {"same"}
