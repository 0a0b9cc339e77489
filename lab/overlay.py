"""Find a file system that can carry the servers' disks.

A server's disk is an overlay: the image is its lower layer, and a folder of the server's own is its upper layer. Not
every file system can be an upper layer. An overlay can't, and the root of a Docker container is one. There the lab
mounts a tmpfs for the upper layers of all its servers.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from . import kernel

#: Runs in a private mount namespace, so that no mount outlives it. An empty argument stands for the tmpfs.
_TRY = """\
set -e
scratch=$1 lower=${2:-$1/lower} upper=${3:-$1/upper}
mount -t tmpfs -o mode=0700 lab-check "$scratch"
mkdir -p "$lower" "$upper/disk" "$upper/work" "$scratch/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$upper/disk,workdir=$upper/work,volatile" overlay "$scratch/root"
touch "$scratch/root/written"
"""


def path_problem(path: Path) -> str:
    """Return an empty text for a path that an overlay's mount options can have, and else what is wrong."""
    if set(str(path)) & set(",:\\"):
        return f"an overlay can't be made in {path}: choose a folder without a comma, colon or backslash"
    return ""


def why_not(lower: Path | None, upper: Path | None) -> str:
    """Mount an overlay for a moment; return an empty text if that works, and else what mount says.

    :param lower: a folder on the file system of the lower layer; None stands for a tmpfs. The folder, or one above
        it, must exist.
    :param upper: the same for the upper layer.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(_temporary(Path(tempfile.gettempdir())))
        layers = [stack.enter_context(_temporary(existing(layer))) if layer else "" for layer in (lower, upper)]
        command = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _TRY, "sh"]
        command += [scratch, *layers]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip().partition("\n")[0] or f"exit code {done.returncode}")


def needs_tmpfs(folder: Path) -> bool:
    """Whether the upper layers can't be in this folder, and need a tmpfs."""
    return bool(why_not(None, folder))


def mount_tmpfs(folder: Path) -> None:
    """Mount a tmpfs on an existing folder. It uses memory only as far as the servers write, at most half of it."""
    kernel.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "vrrp-pair-lab", str(folder)])


def unmount_tmpfs(folder: Path) -> None:
    """Take the tmpfs away; a folder without one is left alone."""
    if os.path.ismount(folder):
        # Lazily: a shell of the user's may stand in there.
        kernel.run(["umount", "--lazy", str(folder)])


def existing(folder: Path) -> Path:
    """Return the folder if it exists, and else the nearest one above it: both are on the same file system."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _temporary(parent: Path) -> tempfile.TemporaryDirectory[str]:
    # The dot keeps it apart from a lab's folder.
    return tempfile.TemporaryDirectory(prefix=".check-", dir=parent)
