"""Run one server of the lab as a systemd-nspawn container.

A container has a folder with its disk (everything that it changed on top of the image), a network namespace that the
caller made, and a systemd-nspawn with its processes. It leaves nothing else on the host:

* Its root is mounted in a mount namespace of nspawn's own, so that even ``kill -9`` leaves no mount.
* Its processes are in a process namespace, and all end when its first process ends.
* Its processes are in one control group with its name, which shows whether any is alive and kills all of them.

The host's systemd, if there is one, takes no part.
"""

import contextlib
import errno
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from . import overlay

# All containers' control groups are below this one. systemd claims only names with a suffix.
GROUP = "nspawn-lab"
# An empty folder; where nspawn runs, a tmpfs covers it (see _INSIDE).
NSPAWN_STATE = Path("/run/systemd/nspawn")
SEED = Path("var/lib/cloud/seed/nocloud")

# The environment of a plain login, for the programs that the lab starts here and inside a container.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
}
# If the caller made the network namespace, nspawn shows the host's devices in /sys/class/net and protects
# /proc/sys/net. This setting says that both belong to the container.
_NSPAWN_ENVIRONMENT = {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}


class ContainerError(Exception):
    """A container can't be started or reached; the message says why."""


@dataclass(frozen=True)
class Container:
    """One container, whether or not it runs: its name, unique on this machine, its folder and its network namespace."""

    name: str
    folder: Path
    netns: str

    @property
    def console(self) -> Path:
        """The log file of the console, with the text of every boot."""
        return self.folder / "console.log"

    @property
    def disk(self) -> Path:
        """The upper layer of the disk: everything that the container changed on top of its image."""
        return self.folder / "upper"


@dataclass(frozen=True)
class Process:
    """A process, told apart from a later process with the same number."""

    pid: int
    #: Clock ticks from the machine's boot to the start of the process (field 22 of /proc/PID/stat).
    started: int

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """Return the process with this number; ``None`` if there is none, or only a zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command's name may contain a parenthesis, too.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    def alive(self) -> bool:
        """Whether the process still runs."""
        return Process.of(self.pid) == self

    @contextlib.contextmanager
    def _handle(self) -> Generator[int | None]:
        """Open a file descriptor for the process; ``None`` if it has ended."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            # An open handle keeps the number from another process, so that the answer stays true.
            yield handle if self.alive() else None
        finally:
            os.close(handle)

    def send(self, number: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        with self._handle() as handle, contextlib.suppress(ProcessLookupError):
            if handle is not None:
                signal.pidfd_send_signal(handle, number)

    def wait(self, timeout: float) -> bool:
        """Wait until the process ends; return whether it ended within ``timeout`` seconds."""
        with self._handle() as handle:
            if handle is not None:
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                if not poll.poll(timeout * 1000):
                    return False
        # If it is a child of this process, collect it. Its exit code does not matter.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return True


def prepare(container: Container, image: Path, *, instance_id: UUID, hostname: str, user_data: str) -> None:
    """Make a container's disk, and the seed from which cloud-init sets the server up.

    An existing disk stays, with its image: a server that was killed boots from its disk as it was, and cloud-init
    knows by the instance id that it has run before.
    """
    container.folder.mkdir(parents=True, exist_ok=True)
    # A disk contains set-uid programs and keys, which the host's users must not reach.
    container.folder.chmod(0o700)
    lower = _image_of(container)
    if not lower.is_symlink():
        lower.symlink_to(image.resolve())
    seed = container.disk / SEED
    _make_directories(container.disk, seed)
    # JSON is YAML with correct quotes.
    meta_data = {"instance-id": str(instance_id), "local-hostname": hostname}
    _write_private(seed / "meta-data", json.dumps(meta_data))
    _write_private(seed / "user-data", user_data)


def start(container: Container) -> Process:
    """Start a prepared container, which boots in the background; return its main process on the host.

    The main process lives as long as the container, also through a reboot from inside.

    :raises ContainerError: if the container runs already, has a path that an overlay can't have, or ends at once.
    """
    if running(container):
        raise ContainerError(f"{container.name} is already running")
    meta_data = json.loads((container.disk / SEED / "meta-data").read_text())
    lower, upper, work = _image_of(container).resolve(), container.disk, container.folder / "work"
    for path in (lower, upper, work):
        if problem := overlay.path_problem(path):
            raise ContainerError(problem)
    # "volatile": without syncs a server starts faster and does not slow the others down. The host's page cache keeps
    # its disk. The kernel marks the work folder, because after a crash of the host the disk may be incomplete, and
    # refuses to mount it again. A new work folder has no mark.
    if work.exists():
        shutil.rmtree(work)
    work.mkdir()
    NSPAWN_STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    _remove_groups(container)
    groups = _groups(container)
    for group in groups:
        _make_group(group)
    options = f"lowerdir={lower},upperdir={upper},workdir={work},volatile"
    root = NSPAWN_STATE / "root"
    argv = [
        *("sh", "-c", _JOIN_GROUPS, "sh", *map(str, groups), "--"),
        # Not "private": a network namespace that is deleted on the host would live on in here. In neither mode does a
        # mount propagate to the host.
        *("unshare", "--mount", "--propagation", "slave"),
        # The container's processes would survive a kill of nspawn. In a process namespace the kernel ends all of them
        # with the first one, and the first one ends with its parent.
        *("--pid", "--mount-proc", "--fork", "--kill-child", "--"),
        *("sh", "-c", _INSIDE, "sh", str(NSPAWN_STATE), options, str(root)),
        *_nspawn(container, root, meta_data["instance-id"], meta_data["local-hostname"]),
    ]
    log = str(container.console)
    pid = os.posix_spawn(
        "/bin/sh",
        argv,
        _ENVIRONMENT | _NSPAWN_ENVIRONMENT,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            # Close all other files. If the container inherited a pipe, the pipe's reader would never see its end.
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in _open_files() if fd > 2),
        ],
        # A container outlives the command, the terminal and the login that started it.
        setsid=True,
        # Python ignores these signals; a container must not.
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        setsigmask=(),
    )
    # Wait until it has joined its groups, because only then can it be killed by name.
    while (process := Process.of(pid)) is not None and not running(container):
        time.sleep(0.002)
    if process is None:
        raise ContainerError(f"{container.name} ended at once: see {container.console}")
    return process


def _open_files() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def running(container: Container) -> bool:
    """Whether any process of a container is alive, with or without nspawn."""
    return any(True for _ in _members(container))


def leader(main: Process) -> Process | None:
    """Return the container's process 1, which is another process after each reboot.

    ``None`` for a moment after ``start``, and between two boots.
    """
    # unshare (main), the shell, nspawn. nspawn's children are process 1 and a few short-lived others.
    pids = [main.pid]
    for _ in range(3):
        pids = [child for pid in pids for child in _children(pid)]
    for pid in pids:
        found = Process.of(pid)
        if found is not None and _is_first(pid) and main.alive():
            return found
    return None


def power_off(container: Container, main: Process, timeout: float = 30) -> bool:
    """Shut a container down cleanly, and kill it after ``timeout`` seconds; no process is left in either case.

    Returns whether it shut down by itself.
    """
    deadline = time.monotonic() + timeout
    clean = False
    while not clean and (left := deadline - time.monotonic()) > 0:
        # Repeat the signal, because a container that was just started does not listen yet.
        first = leader(main)
        if first is not None:
            first.send(signal.SIGRTMIN + 4)
        clean = main.wait(min(1, left))
    kill(container, main)
    return clean


def kill(container: Container, main: Process | None = None) -> None:
    """Kill every process of a container; when this returns, none is alive and the disk is free.

    :raises ContainerError: if a process is still alive after 30 s.
    """
    deadline = time.monotonic() + 30
    while members := list(_members(container)):
        switch = _groups(container)[0] / "cgroup.kill"
        if switch.exists():
            switch.write_text("1")
        else:
            for member in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise ContainerError(f"{container.name} does not die: {members}")
        time.sleep(0.01)
    if main is not None:
        main.wait(5)
    _remove_groups(container)


def freeze(container: Container) -> None:
    """Suspend every process of a container."""
    _signal_all(container, signal.SIGSTOP)


def thaw(container: Container) -> None:
    """Resume every process of a container; a running container is left alone."""
    _signal_all(container, signal.SIGCONT)


def _signal_all(container: Container, number: signal.Signals) -> None:
    """Suspend or resume by the control group if the kernel can, else process by process until none is new."""
    switch = _groups(container)[0] / "cgroup.freeze"
    if switch.exists():
        switch.write_text("1" if number == signal.SIGSTOP else "0")
        return
    reached: set[int] = set()
    while new := set(_members(container)) - reached:
        for member in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, number)
        reached |= new


def exec_in(
    first: Process, argv: Sequence[str], *, stdin: str = "", timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as root inside a container, and return its output.

    :param first: the container's process 1.
    :param timeout: seconds.
    :raises ContainerError: if the container does not run.
    :raises subprocess.TimeoutExpired: after ``timeout``.
    """
    if timeout is not None:
        # subprocess.run kills only nsenter; this ends the command itself.
        argv = ("timeout", "--signal=KILL", f"{timeout + 1}", *argv)
    return subprocess.run(
        _enter(first, argv),
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        env=_ENVIRONMENT,
    )


def shell(first: Process, argv: Sequence[str] = ("bash", "--login")) -> int:
    """Run an interactive command inside a container on this terminal; return its exit code.

    :raises ContainerError: if the container does not run.
    """
    # The host's terminal does not exist inside; ``script`` makes one there.
    command = ("script", "--quiet", "--return", "--command", _quoted(argv), "/dev/null")
    environment = {**_ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb")}
    return subprocess.run(_enter(first, command), check=False, env=environment).returncode


# Joins the container's groups first, so that no process of it is ever outside.
_JOIN_GROUPS = """\
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done
shift
exec "$@"
"""

# Runs in nspawn's mount namespace. nspawn's files on the host (locks, a folder per machine) go into the tmpfs, which
# ends with the last process. Under --keep-unit nspawn exits with 133 for a reboot.
_INSIDE = """\
set -e
state=$1 options=$2 root=$3
shift 3
mount -t tmpfs -o mode=0755 nspawn-lab "$state"
mkdir "$root"
mount -t overlay -o "$options" overlay "$root"
code=133
while [ $code = 133 ]; do code=0; "$@" || code=$?; done
exit $code
"""


def _nspawn(container: Container, root: Path, instance_id: str, hostname: str) -> list[str]:
    return [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        # Ignore the files in /etc/systemd/nspawn.
        "--settings=no",
        # Without machined and the host's systemd; the lab makes the control groups.
        "--register=no",
        "--keep-unit",
        f"--machine={container.name}",
        f"--hostname={hostname}",
        # The machine id comes from the instance id, as on a real instance (from DMI).
        f"--uuid={instance_id}",
        f"--directory={root}",
        f"--network-namespace-path=/run/netns/{container.netns}",
        # nspawn grants these only for a network namespace of its own.
        "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
        # The output of /dev/console goes to the log; input is not possible.
        "--console=read-only",
        # No files of the host inside, and no journal of the container on the host.
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
    ]


def _image_of(container: Container) -> Path:
    return container.folder / "image"


def _make_directories(top: Path, directory: Path) -> None:
    """Make a directory and those above it, with the image's modes, because an overlay shows the upper layer's."""
    for path in (*reversed(directory.relative_to(top).parents), directory.relative_to(top)):
        (top / path).mkdir(exist_ok=True)
        (top / path).chmod(0o755)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _children(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except (FileNotFoundError, ProcessLookupError):
        return []


def _is_first(pid: int) -> bool:
    """Whether a process has the number 1 in its process namespace."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return len(numbers) > 1 and numbers[-1] == "1"


def _enter(first: Process, argv: Sequence[str]) -> list[str]:
    """Return the command that runs ``argv`` in a container's namespaces and control groups."""
    if not first.alive():
        raise ContainerError("the server is not running")
    # systemctl and the journal identify a caller by its control group, and kill() ends only the processes in there.
    paths = dict(_memberships(first.pid))
    groups = [mount / paths[name].lstrip("/") for name, mount in _hierarchies() if name in paths]
    namespaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
    return [
        *("sh", "-c", _JOIN_GROUPS, "sh", *map(str, groups), "--"),
        *("nsenter", f"--target={first.pid}", *namespaces, "--", *argv),
    ]


def _quoted(argv: Sequence[str]) -> str:
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in argv)


def _hierarchies() -> list[tuple[str, Path]]:
    """Return the control group trees that systemd uses, as (name, mount point), the main one first.

    Most hosts have one tree, of version 2. A host with version 1 has a tree of version 2 beside the others, or one of
    version 1 named "systemd", or both.

    :raises ContainerError: if there is none.
    """
    unified: list[tuple[str, Path]] = []
    named: list[tuple[str, Path]] = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, options, *_ = line.split()
        if kind == "cgroup2" and not unified:
            unified.append(("", Path(mount)))
        elif kind == "cgroup" and "name=systemd" in options.split(",") and not named:
            named.append(("name=systemd", Path(mount)))
    if not unified + named:
        raise ContainerError("neither cgroup2 nor the tree name=systemd is mounted")
    return unified + named


def _memberships(pid: int) -> Iterator[tuple[str, str]]:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, name, path = line.split(":", 2)
        yield name, path


def _groups(container: Container) -> list[Path]:
    return [mount / GROUP / container.name for _, mount in _hierarchies()]


def check_groups() -> None:
    """Make the control groups of a container and remove them again.

    :raises ContainerError: if no control groups are mounted.
    :raises OSError: if they can't be made.
    """
    trial = Container(f"check-{os.getpid()}", Path("/"), "")
    for group in _groups(trial):
        _make_group(group)
    _remove_groups(trial)


def _members(container: Container) -> Iterator[int]:
    """List a container's processes, in its group and in the groups below, which its systemd made."""
    for directory, _, _ in os.walk(_groups(container)[0]):
        try:
            yield from map(int, (Path(directory) / "cgroup.procs").read_text().split())
        except OSError:  # the group is gone, or is one for threads only
            continue


def _make_group(group: Path) -> None:
    while not group.exists():
        # Another command may remove the common group at the same moment, with its last container.
        with contextlib.suppress(FileNotFoundError):
            group.mkdir(parents=True)


def _remove_groups(container: Container) -> None:
    """Remove the groups of a container without processes."""
    for group in _groups(container):
        for directory, _, _ in os.walk(group, topdown=False):
            _remove_group(Path(directory))
        # The common group goes with the last container.
        with contextlib.suppress(OSError):
            group.parent.rmdir()


def _remove_group(directory: Path) -> None:
    """Remove one group; the kernel may keep it for a moment after its last process has ended."""
    deadline = time.monotonic() + 5
    while True:
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
