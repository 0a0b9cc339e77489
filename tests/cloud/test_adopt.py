"""Adoption of a pair made by hand with the tutorial's commands: its addresses stay, its servers are replaced."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.stack_file import PROJECT_FOLDER, read_stack

from .conftest import MakeStack
from .deployment import BOOT_TIMEOUT, Deployment, served_by
from .seen import Table, watched

BY_HAND = Path(__file__).parent / "by_hand"

#: Resource types whose replacement is an outage.
LASTING = {"Network", "Subnet", "Router", "RouterInterface", "Port", "FloatingIp"}


@pytest.fixture
def by_hand(make_stack: MakeStack) -> Generator[tuple[Deployment, str]]:
    """The tutorial's pair without a stack, a stack with the tutorial's settings without a pair, and the pair's URL."""
    deployment = make_stack("vrrp")
    deployment.set(**_settings_of_the_tutorial())
    settings = read_stack("tutorial").values
    deployment.cloud.compute.create_keypair(name="vrrp-key", public_key=deployment.public_key)
    try:
        built = subprocess.run(
            ["sh", str(BY_HAND / "build.sh"), settings["vrrp-pair:image"], settings["vrrp-pair:flavor"], "vrrp-key"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert built.returncode == 0, built.stderr
        (ip,) = deployment.cloud.network.ips(port_id=deployment.port("vrrp").id)
        url = f"http://{ip.floating_ip_address}"
        end = time.monotonic() + BOOT_TIMEOUT
        while served_by(url) != "vrrp-master":
            assert time.monotonic() < end, deployment.console("vrrp-master")
            time.sleep(3)
        yield deployment, url
    finally:
        deployment.destroy()
        # Delete the resources that were not adopted.
        subprocess.run(["sh", str(BY_HAND / "clean_up.sh")], check=False)


def _settings_of_the_tutorial() -> dict[str, Any]:
    """Return the entries of the tutorial's stack file, without its region: the test's own cloud has another."""
    text = (PROJECT_FOLDER / "Pulumi.tutorial.yaml").read_text(encoding="utf-8")
    entries: dict[str, Any] = yaml.safe_load(text)["config"]
    return {key: value for key, value in entries.items() if key != "openstack:region"}


def test_a_pair_made_by_hand_is_adopted(by_hand: tuple[Deployment, str], table: Table) -> None:
    deployment, url = by_hand
    before = {port: deployment.port(port).id for port in ("vrrp", *deployment.members)}

    adopted = deployment.ops("adopt", deployment.stack.name)
    print(adopted.stdout, adopted.stderr)
    assert adopted.returncode == 0
    assert "is replaced" in adopted.stdout
    assert deployment.state() == [], "adopt changes nothing"

    adopted = deployment.ops("adopt", deployment.stack.name, "--import")
    assert adopted.returncode == 0, adopted.stdout + adopted.stderr
    preview: Any = json.loads(deployment.pulumi("preview", "--json").stdout)
    changed = {step["urn"]: step["op"] for step in preview["steps"] if step["op"] not in {"same", "refresh", "update"}}
    assert {urn for urn in changed if urn.split("::")[2].rpartition(":")[2] in LASTING} == set()

    # Both members exist before, so the gate of the backup waits although it is created.
    with watched(url) as seen:
        deployment.up()
    table.add("adoption: both servers replaced by ours", seen)
    assert {port: deployment.port(port).id for port in ("vrrp", *deployment.members)} == before
    assert deployment.url == url
    deployment.until_ready()
    assert seen.by[0] == "vrrp-master"
    # The skew of the tutorial's backup, 0.8 s. Without a clean shutdown it would be 3.8 s.
    assert seen.longest_gap <= 2
    assert set(deployment.preview()) == {"same"}
