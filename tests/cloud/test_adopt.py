"""A pair that was made by hand, as the tutorial makes it, becomes a stack: its addresses stay, its servers follow."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from lab.stack_file import read_stack

from .conftest import MakeStack
from .deployment import BOOT_PATIENCE, Deployment, served_by
from .seen import Table, watched

BY_HAND = Path(__file__).parent / "by_hand"

#: What keeps the addresses and the way to them.
LASTING = {"Network", "Subnet", "Router", "RouterInterface", "Port", "FloatingIp"}


@pytest.fixture
def by_hand(make_stack: MakeStack) -> Generator[tuple[Deployment, str]]:
    """The tutorial's pair without a stack, a stack of the tutorial's settings without a pair, and the pair's URL."""
    deployment = make_stack("vrrp")
    settings: dict[str, str] = {
        key.removeprefix("vrrp-pair:"): value
        for key, value in read_stack("tutorial").values.items()
        if key.startswith("vrrp-pair:") and value and not value.startswith("[")
    }
    deployment.set(**{key: value for key, value in settings.items() if key != "keyName"})
    deployment.set_list("sshCidrs", "0.0.0.0/0")
    deployment.set_list("dnsServers", "202.78.247.197", "202.78.247.198", "202.78.247.199")
    deployment.cloud.compute.create_keypair(name="vrrp-key", public_key=deployment.public_key)
    try:
        built = subprocess.run(
            ["sh", str(BY_HAND / "build.sh"), settings["image"], settings["flavor"], "vrrp-key"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert built.returncode == 0, built.stderr
        (ip,) = deployment.cloud.network.ips(port_id=deployment.port("vrrp").id)
        url = f"http://{ip.floating_ip_address}"
        end = time.monotonic() + BOOT_PATIENCE
        while served_by(url) != "vrrp-master":
            assert time.monotonic() < end, deployment.console("vrrp-master")
            time.sleep(3)
        yield deployment, url
    finally:
        deployment.destroy()
        # What was not adopted.
        subprocess.run(["sh", str(BY_HAND / "clean_up.sh")], check=False)


def test_a_pair_made_by_hand_is_adopted(by_hand: tuple[Deployment, str], table: Table) -> None:
    deployment, url = by_hand
    before = {port: deployment.port(port).id for port in ("vrrp", *deployment.members)}

    adopted = deployment.ops("adopt", "acceptance")
    print(adopted.stdout, adopted.stderr)
    assert adopted.returncode == 0
    assert "is replaced" in adopted.stdout
    assert deployment.state() == [], "adopt changes nothing"

    adopted = deployment.ops("adopt", "acceptance", "--import")
    assert adopted.returncode == 0, adopted.stdout + adopted.stderr
    preview: Any = json.loads(deployment.pulumi("preview", "--json").stdout)
    changed = {step["urn"]: step["op"] for step in preview["steps"] if step["op"] not in {"same", "refresh", "update"}}
    assert {urn for urn in changed if urn.split("::")[2].rpartition(":")[2] in LASTING} == set()

    # Both members are there before: the backup is waited for, although its gate is new.
    with watched(url) as seen:
        deployment.up()
    table.add("adoption: both servers replaced by ours", seen)
    assert {port: deployment.port(port).id for port in ("vrrp", *deployment.members)} == before
    assert deployment.url == url
    deployment.until_ready()
    assert seen.by[0] == "vrrp-master"
    # The skew of the tutorial's backup, 0.8 s; a plug that was pulled would cost 3.8 s.
    assert seen.longest_gap <= 2
    assert set(deployment.preview()) == {"same"}
