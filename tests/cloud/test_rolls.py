"""The servers restart one at a time during a change, and the service stays available."""

from __future__ import annotations

import os
import subprocess

import pytest
from pulumi import automation

from .deployment import Deployment
from .seen import LONGEST_PLANNED_GAP, Seen, Table, watched

#: A second flavor and a second image of the cloud.
OTHER_FLAVOR = os.environ.get("ACCEPTANCE_FLAVOR", "c1.c1r2")
OTHER_IMAGE = os.environ.get("ACCEPTANCE_IMAGE", "debian-12-x86_64-b")

#: The options that change the master first, with its gates: the message of a closed gate names them.
TARGETS = [option for gate in ("", "-handover", "-ready") for option in ("--target", f"**::vrrp-master{gate}")]

#: The share of the requests that may be lost.
LOST = 0.005


def _stays_the_same(pair: Deployment) -> dict[str, object]:
    return {
        "floating IP": pair.outputs["floatingIp"],
        "ports": [(port.id, port.fixed_ips) for port in map(pair.port, (pair.prefix, *pair.members))],
    }


def _check(pair: Deployment, seen: Seen) -> None:
    master, backup = pair.members
    assert (seen.by[0], seen.by[-1]) == (master, master)
    assert backup in seen.by
    assert seen.longest_gap <= LONGEST_PLANNED_GAP
    assert seen.lost <= LOST


@pytest.mark.parametrize(
    ("what", "settings"),
    [
        ("user-data, members deaf to each other meanwhile (virtual router id)", {"virtualRouterId": "2"}),
        ("image and server group", {"image": OTHER_IMAGE, "antiAffinity": "none"}),
        ("flavor", {"flavor": OTHER_FLAVOR}),
    ],
)
def test_the_service_stays_available_during_a_change_of_the_servers(
    pair: Deployment, table: Table, what: str, settings: dict[str, str]
) -> None:
    """Each of them replaces both servers: a resize in place would pass no gate."""
    before = _stays_the_same(pair)
    servers = [pair.server(member).id for member in pair.members]
    with watched(pair.url) as seen:
        pair.set(**settings)
        pair.up()
        pair.until_the_master_serves()
    assert _stays_the_same(pair) == before
    now = [pair.server(member).id for member in pair.members]
    assert now[1] != servers[1]
    assert now[0] != servers[0]
    _check(pair, seen)
    table.add(what, seen)


def test_the_service_stays_available_during_a_change_of_the_public_key(
    pair: Deployment, table: Table, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The key is in the user-data. No key pair belongs to the pair, so a second user's preview plans none."""
    before = _stays_the_same(pair)
    key = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    with watched(pair.url) as seen:
        pair.set(publicKey=public)
        pair.up()
        pair.until_the_master_serves()
    assert _stays_the_same(pair) == before
    assert pair.cloud.compute.find_keypair(f"{pair.prefix}-key") is None
    _check(pair, seen)
    table.add("public key", seen)


def test_a_failing_member_stops_the_change_and_the_other_member_serves(pair: Deployment, table: Table) -> None:
    before = _stays_the_same(pair)
    master = pair.server(pair.members[0]).id
    install = pair.template("install.sh.j2")
    text = install.read_text(encoding="utf-8")
    broken = text.replace("systemctl daemon-reload\n", "echo this user-data is broken > /dev/console\nexit 7\n")
    assert broken != text
    try:
        with watched(pair.url) as seen:
            install.write_text(broken, encoding="utf-8")
            with pytest.raises(automation.CommandError) as failed:
                pair.up()
        # The message has the member's reason and its console, before the end of readyTimeout.
        assert f"{pair.members[1]} has failed: /usr/local/lib/vrrp-pair/install ended with 7" in str(failed.value)
        assert "this user-data is broken" in str(failed.value)
        table.add("broken user-data: the change stops", seen)
        assert seen.by == [pair.members[0]]
        assert seen.longest_gap < 1
        assert pair.server(pair.members[0]).id == master
        assert _stays_the_same(pair) == before
    finally:
        install.write_text(text.replace("set -eu\n", "set -eu\n# repaired\n"), encoding="utf-8")
        with watched(pair.url) as seen:
            pair.up()
            pair.until_the_master_serves()
    table.add("repaired user-data", seen)
    assert _stays_the_same(pair) == before
    _check(pair, seen)


def test_after_a_failure_at_the_master_the_next_change_does_not_begin_with_the_backup(
    pair: Deployment, table: Table
) -> None:
    """After that failure only the backup serves, so its replacement would be an outage."""
    before = _stays_the_same(pair)
    install = pair.template("install.sh.j2")
    text = install.read_text(encoding="utf-8")
    line = "systemctl daemon-reload\n"
    broken = text.replace(line, '{% if member.role.value == "master" %}\nexit 7\n{% endif %}\n# once\n' + line)
    with watched(pair.url) as seen:
        install.write_text(broken, encoding="utf-8")
        with pytest.raises(automation.CommandError, match=f"{pair.members[0]} has failed"):
            pair.up()
        backup = pair.server(pair.members[1]).id
        install.write_text(text.replace(line, "# again\n" + line), encoding="utf-8")
        with pytest.raises(automation.CommandError) as refused:
            pair.up()
        assert f"{pair.members[1]} is not touched" in str(refused.value)
        assert pair.server(pair.members[1]).id == backup
        # The message names this way out.
        pair.pulumi("up", "--yes", "--skip-preview", *TARGETS)
        pair.up()
        pair.until_the_master_serves()
    table.add("user-data that fails on the master; the master repaired; then the backup", seen)
    assert _stays_the_same(pair) == before
    _check(pair, seen)
