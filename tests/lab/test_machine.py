"""check_machine finds everything that the machine lacks. The lab also runs on a disk that can't carry an overlay.

Private namespaces imitate each machine. They end with the test, also if the test is interrupted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from lab import container, guest_image
from lab.machine import check_machine
from lab.neutron import NFT_NAMES
from lab.overlay import existing
from lab.place import IMAGE_FOLDER, STATE_FOLDER, Place
from lab.stack_file import PROJECT_FOLDER

from .conftest import traces_of

CHECK = """\
import sys
from lab.machine import MachineNotReady, check_machine
try:
    check_machine()
except MachineNotReady as error:
    sys.exit(str(error))
"""

#: Like the root of a Docker container: $base/root is an overlay, and has the folders that the lab uses.
ON_AN_OVERLAY = """\
mount -t tmpfs base "$base"
mkdir "$base/lower" "$base/upper" "$base/work" "$base/root"
mount -t overlay -o "lowerdir=$base/lower,upperdir=$base/upper,workdir=$base/work" overlay "$base/root"
mkdir "$base/root/state" "$base/root/images"
export VRRP_LAB_STATE="$base/root/state" VRRP_LAB_IMAGES="$base/root/images"
"""

#: A copy of the images, because the kernel allows only one overlay below another one.
WITH_THE_IMAGE = f"""\
{ON_AN_OVERLAY}
cp -a "$images/." "$VRRP_LAB_IMAGES"
mount -t tmpfs netns /run/netns
"""


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    """Build the servers' image on this machine's disk, so that no test waits for it."""
    guest_image.build(IMAGE_FOLDER, print)


def on_a_machine(base: Path, script: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a script in its own mount and process namespaces, with ``$base``, ``$images``, ``$python`` and ``$check``.

    :param base: an empty folder that the script may mount on.
    """
    private = ["unshare", "--mount", "--propagation", "private", "--pid", "--mount-proc", "--fork", "--kill-child"]
    variables = {"base": str(base), "images": str(IMAGE_FOLDER), "python": sys.executable, "check": CHECK}
    return subprocess.run(
        [*private, "--", "sh", "-ec", script],
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env={**os.environ, **variables, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def refusal(base: Path, script: str) -> str:
    """Return the message with which check_machine refuses a machine that a script has prepared."""
    done = on_a_machine(base, f'{script}\nexec $wrapper "$python" -c "$check"')
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def test_this_machine_has_everything_and_the_check_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    check_machine()
    assert [*tmp_path.iterdir()] == []
    assert [*existing(IMAGE_FOLDER).glob(".check-*"), *existing(STATE_FOLDER).glob(".check-*")] == []
    assert list(Path("/sys/fs/cgroup").glob("**/nspawn-lab/check-*")) == []


class TestWhatIsMissingIsNamed:
    """Prevents a lab that fails at its first server, with only an error message of `mount`."""

    def test_a_container_without_privileges_is_told_how_to_get_them(self, tmp_path: Path) -> None:
        said = refusal(tmp_path, 'wrapper="setpriv --bounding-set=-sys_admin,-net_admin"')
        assert "overlays can't be mounted" in said
        assert "network namespaces with bridges, veth and nftables can't be made" in said
        assert "start that with --privileged" in said

    def test_missing_control_groups_are_named(self, tmp_path: Path) -> None:
        said = refusal(tmp_path, "umount --recursive /sys/fs/cgroup")
        assert "control groups can't be made (neither cgroup2 nor the tree name=systemd is mounted)" in said

    def test_read_only_control_groups_are_named(self, tmp_path: Path) -> None:
        said = refusal(tmp_path, "umount --recursive /sys/fs/cgroup; mount -t cgroup2 -o ro cgroup /sys/fs/cgroup")
        assert "control groups can't be made" in said
        assert "Read-only file system" in said

    def test_images_on_an_overlay_on_an_overlay_are_refused(self, tmp_path: Path) -> None:
        deeper = """\
mkdir "$base/root/lower2" "$base/two" "$base/upper2" "$base/work2"
mount -t overlay -o "lowerdir=$base/root/lower2,upperdir=$base/upper2,workdir=$base/work2" overlay "$base/two"
export VRRP_LAB_IMAGES="$base/two"
"""
        assert "can't be the lower layer of an overlay: set VRRP_LAB_IMAGES" in refusal(
            tmp_path, ON_AN_OVERLAY + deeper
        )

    def test_a_full_disk_is_reported_with_its_folder(self, tmp_path: Path) -> None:
        full = 'mount -t tmpfs -o size=50m full "$base"; export VRRP_LAB_STATE="$base"'
        assert f"{tmp_path} has 52 MB free and needs 200 MB" in refusal(tmp_path, full)


class TestOnAnOverlay:
    """Prevents a lab that fails where the root is an overlay, as in a Docker container."""

    @pytest.fixture
    def place(self) -> Generator[Place]:
        place = Place("test-overlay")
        yield place
        # The script's namespaces have ended with it; its control groups stay if it was interrupted.
        for name in ("vrrp-master", "vrrp-backup"):
            container.kill(place.container(name))

    def test_a_pair_comes_up_boots_again_and_leaves_nothing(self, tmp_path: Path, place: Place) -> None:
        script = f"""\
{WITH_THE_IMAGE}
"$python" -m lab up nz-por-1 --name {place.name}
grep -c "^vrrp-pair-lab $base/root/state/{place.name}/servers tmpfs" /proc/self/mounts
"$python" -m lab drill --name {place.name} --event "server killed" --report "$base/drill"
"$python" -m lab down --name {place.name}
! grep "^vrrp-pair-lab" /proc/self/mounts
ls -A "$VRRP_LAB_STATE"
test -z "$(ls -A "$VRRP_LAB_STATE")"
test -z "$(ls -A /run/netns)"
"""
        done = on_a_machine(tmp_path, script, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "the servers' disks are in memory" in done.stdout
        assert "service came back every time" in done.stdout
        assert not any(traces_of(place).values()), traces_of(place)

    def test_down_removes_everything_that_a_killed_up_has_made(self, tmp_path: Path, place: Place) -> None:
        script = f"""\
{WITH_THE_IMAGE}
"$python" -m lab up nz-por-1 --name {place.name} & up=$!
until [ -d "$VRRP_LAB_STATE/{place.name}/servers/vrrp-backup" ]; do sleep 0.05; done
kill -9 $up
"$python" -m lab down --name {place.name}
! grep "^vrrp-pair-lab" /proc/self/mounts
test -z "$(ls -A "$VRRP_LAB_STATE")"
test -z "$(ls -A /run/netns)"
"""
        done = on_a_machine(tmp_path, script, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not any(traces_of(place).values()), traces_of(place)


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp", "112", "ipv6-icmp"])
def test_nft_accepts_the_rule_for_each_protocol_without_etc_protocols(tmp_path: Path, protocol: str) -> None:
    """Prevents a lab that fails in a minimal container, where the package netbase is missing."""
    name = NFT_NAMES.get(protocol, protocol)
    rules = f"table inet check {{\nchain forward {{\nmeta l4proto {name} accept\n}}\n}}\n"
    script = f"! [ -e /etc/protocols ] || mount --bind /dev/null /etc/protocols\nnft --check -f - <<'END'\n{rules}END"
    done = on_a_machine(tmp_path, script)
    assert done.returncode == 0, done.stderr
