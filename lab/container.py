"""Run one server of the lab as a systemd-nspawn container.

A server is a folder with its disk (what it changed on top of the image), a network namespace
that somebody else made, and a systemd-nspawn with what belongs to it.  Nothing else of it exists
on the host:

* its root is mounted in a mount namespace of nspawn's own, so that even ``kill -9`` leaves no
  mount behind;
* it lives in a process namespace whose end is the end of all of it;
* everything it runs is in one control group named after it, which tells whether any of it is
  alive and lets all of it be killed by name.

Nothing here asks the host's systemd (if there is one) for anything.
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

# All servers' control groups are below this one. It has no suffix that systemd would claim.
GROUP = "nspawn-lab"
# Exists only so that a tmpfs can cover it where nspawn runs, see _INSIDE.
NSPAWN_STATE = Path("/run/systemd/nspawn")
SEED = Path("var/lib/cloud/seed/nocloud")

# A known environment, whatever the lab was started with: for the programs started here and,
# being a plain login's, for those run inside a server.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
}
# With a network namespace made by somebody else nspawn shows the host's network devices in
# /sys/class/net and lets nobody write below /proc/sys/net, unless it is told that both belong to
# the server, as they do.
_NSPAWN_ENVIRONMENT = {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}


class ContainerError(Exception):
    """A server cannot be started or reached; the message says why."""


@dataclass(frozen=True)
class Server:
    """Where one server is kept; ``name`` is unique among all servers on this machine."""

    name: str
    folder: Path
    netns: str

    @property
    def console(self) -> Path:
        """The file that everything written to the server's console is appended to."""
        return self.folder / "console.log"

    @property
    def disk(self) -> Path:
        """What the server changed on top of its image."""
        return self.folder / "upper"


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: int  # field 22 of /proc/PID/stat: clock ticks between the machine's boot and it

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """Identify a process by its number; ``None`` when there is none (or only a zombie)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command name may contain anything, a parenthesis too.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    def alive(self) -> bool:
        """Tell whether this very process still runs."""
        return Process.of(self.pid) == self

    @contextlib.contextmanager
    def _handle(self) -> Generator[int | None]:
        """Open a file descriptor that stands for this very process; ``None`` if it has ended."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            # Only now is it certain whose number that was: a handle's process keeps its number.
            yield handle if self.alive() else None
        finally:
            os.close(handle)

    def send(self, number: int) -> None:
        """Send a signal, to this process or to none."""
        with self._handle() as handle, contextlib.suppress(ProcessLookupError):
            if handle is not None:
                signal.pidfd_send_signal(handle, number)

    def wait(self, timeout: float) -> bool:
        """Wait for the end of the process; tell whether it came in time."""
        with self._handle() as handle:
            if handle is not None:
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                if not poll.poll(timeout * 1000):
                    return False
        # Reap it if it is this process's own child; its exit code says nothing of use.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return True


def prepare(server: Server, image: Path, *, instance_id: UUID, hostname: str, user_data: str) -> None:
    """Give a server its disk (once) and its seed, from which cloud-init sets it up.

    A disk that exists already is kept, with the image it was made on: a server that was killed
    boots with its disk as it was, and cloud-init sees by the instance id that it has been here.
    """
    server.folder.mkdir(parents=True, exist_ok=True)
    # A disk contains set-uid programs and keys, which are no business of the host's users.
    server.folder.chmod(0o700)
    lower = _image_of(server)
    if not lower.is_symlink():
        lower.symlink_to(image.resolve())
    seed = server.disk / SEED
    _make_directories(server.disk, seed)
    # JSON is YAML, and quotes whatever needs it.
    meta_data = {"instance-id": str(instance_id), "local-hostname": hostname}
    _write_private(seed / "meta-data", json.dumps(meta_data))
    _write_private(seed / "user-data", user_data)


def start(server: Server) -> Process:
    """Start a prepared server, which boots in the background; return its main process on the host.

    That one lives as long as the server does, through every reboot from inside.
    """
    if running(server):
        raise ContainerError(f"{server.name} is already running")
    meta_data = json.loads((server.disk / SEED / "meta-data").read_text())
    lower, upper, work = _image_of(server).resolve(), server.disk, server.folder / "work"
    for path in (lower, upper, work):
        if set(str(path)) & set(",:\\"):
            raise ContainerError(f"an overlay cannot be made of {path}: rename the folder")
    # Without syncs ("volatile") a server starts faster and cannot slow the others down. Its disk
    # outlives it all the same, in the page cache of a host that goes on. The kernel leaves a mark
    # that the disk may be incomplete, and would not mount it again; as that is true only when the
    # host itself has crashed, it goes, with the rest of the scratch space that it is kept in.
    if work.exists():
        shutil.rmtree(work)
    work.mkdir()
    NSPAWN_STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    _remove_groups(server)
    groups = _groups(server)
    for group in groups:
        _make_group(group)
    options = f"lowerdir={lower},upperdir={upper},workdir={work},volatile"
    root = NSPAWN_STATE / "root"
    argv = [
        *("sh", "-c", _JOIN_GROUPS, "sh", *map(str, groups), "--"),
        # Not "private": a namespace that somebody unmounts on the host (another server's network,
        # say) would live on in here. From here to the host nothing propagates either way.
        *("unshare", "--mount", "--propagation", "slave"),
        # nspawn's payload survives it when nspawn is killed. Not so in here: with the first of
        # these processes the kernel ends all of them, and the first one ends with its parent.
        *("--pid", "--mount-proc", "--fork", "--kill-child", "--"),
        *("sh", "-c", _INSIDE, "sh", str(NSPAWN_STATE), options, str(root)),
        *_nspawn(server, root, meta_data["instance-id"], meta_data["local-hostname"]),
    ]
    log = str(server.console)
    pid = os.posix_spawn(
        "/bin/sh",
        argv,
        _ENVIRONMENT | _NSPAWN_ENVIRONMENT,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            # Nothing else is handed on: a pipe of whoever called would never see its end.
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in _open_files() if fd > 2),
        ],
        # A server outlives the command, the terminal and the login that started it.
        setsid=True,
        # Python ignores these; a server must not inherit that.
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        setsigmask=(),
    )
    # Not before it has joined its groups is it certain to be found, and killed, by name.
    while (process := Process.of(pid)) is not None and not running(server):
        time.sleep(0.002)
    if process is None:
        raise ContainerError(f"{server.name} ended at once: see {server.console}")
    return process


def _open_files() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def running(server: Server) -> bool:
    """Tell whether anything of a server is alive, be it without its nspawn process."""
    return any(True for _ in _members(server))


def leader(main: Process) -> Process | None:
    """Find the server's own process 1 (another one after each reboot of the server).

    There is none for a moment after ``start``, and between two boots.
    """
    # unshare (main), the shell, nspawn: its children are number 1 and, for moments, helpers.
    pids = [main.pid]
    for _ in range(3):
        pids = [child for pid in pids for child in _children(pid)]
    for pid in pids:
        found = Process.of(pid)
        if found is not None and _is_first(pid) and main.alive():
            return found
    return None


def power_off(server: Server, main: Process, timeout: float = 30) -> bool:
    """Shut a server down as its power button does; pull the plug if that takes too long.

    Tells whether the server went down by itself.  Nothing of it is left in either case.
    """
    deadline = time.monotonic() + timeout
    clean = False
    while not clean and (left := deadline - time.monotonic()) > 0:
        # Repeated, because a server that has only just been started does not listen yet.
        first = leader(main)
        if first is not None:
            first.send(signal.SIGRTMIN + 4)
        clean = main.wait(min(1, left))
    kill(server, main)
    return clean


def kill(server: Server, main: Process | None = None) -> None:
    """Pull the plug: when this returns, nothing of the server is alive and its disk is free."""
    deadline = time.monotonic() + 30
    while members := list(_members(server)):
        switch = _groups(server)[0] / "cgroup.kill"
        if switch.exists():
            switch.write_text("1")
        else:
            for member in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise ContainerError(f"{server.name} does not die: {members}")
        time.sleep(0.01)
    if main is not None:
        main.wait(5)
    _remove_groups(server)


def freeze(server: Server) -> None:
    """Stop everything that a server runs, where it stands."""
    _signal_all(server, signal.SIGSTOP)


def thaw(server: Server) -> None:
    """Let a server go on; one that is not frozen goes on as it does."""
    _signal_all(server, signal.SIGCONT)


def _signal_all(server: Server, number: signal.Signals) -> None:
    """By its own group where the kernel can do it in one move, else process by process until none is new."""
    switch = _groups(server)[0] / "cgroup.freeze"
    if switch.exists():
        switch.write_text("1" if number == signal.SIGSTOP else "0")
        return
    reached: set[int] = set()
    while new := set(_members(server)) - reached:
        for member in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, number)
        reached |= new


def exec_in(
    first: Process, argv: Sequence[str], *, stdin: str = "", timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as root inside a server, given its process 1.

    Raises ``subprocess.TimeoutExpired`` as ``subprocess.run`` does.
    """
    if timeout is not None:
        # What is killed here is nsenter; the command itself has to be ended in there.
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
    """Run an interactive command inside a server on this terminal; return its exit code."""
    # The host's terminal does not exist inside. ``script`` makes one there that does.
    command = ("script", "--quiet", "--return", "--command", _quoted(argv), "/dev/null")
    environment = {**_ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb")}
    return subprocess.run(_enter(first, command), check=False, env=environment).returncode


# In the server's groups before anything else, so that no process of it is ever outside.
_JOIN_GROUPS = """\
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done
shift
exec "$@"
"""

# Runs in the mount namespace that nspawn will stay in.  What nspawn keeps on the host (locks,
# a directory per machine) goes into the tmpfs, and with it when the last process ends.
# 133 is how nspawn says, under --keep-unit, that the server wants to be started again.
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


def _nspawn(server: Server, root: Path, instance_id: str, hostname: str) -> list[str]:
    return [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        # No files in /etc/systemd/nspawn have a say.
        "--settings=no",
        # Neither machined nor systemd is asked for anything; the groups are made here.
        "--register=no",
        "--keep-unit",
        f"--machine={server.name}",
        f"--hostname={hostname}",
        # The machine id follows from the instance id, as on a real instance (by way of DMI).
        f"--uuid={instance_id}",
        f"--directory={root}",
        f"--network-namespace-path=/run/netns/{server.netns}",
        # nspawn grants neither by itself when it is handed a network namespace.
        "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
        # /dev/console is a terminal whose output ends up in the log; nobody can type.
        "--console=read-only",
        # Nothing of the host shows inside, nothing of the server is linked on the host.
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
    ]


def _image_of(server: Server) -> Path:
    return server.folder / "image"


def _make_directories(top: Path, directory: Path) -> None:
    """Make a directory and those above it; in an overlay their mode covers the image's."""
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
    """Tell whether a process is number 1 where it lives."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return len(numbers) > 1 and numbers[-1] == "1"


def _enter(first: Process, argv: Sequence[str]) -> list[str]:
    """Give the command that runs ``argv`` in a server's namespaces and control groups."""
    if not first.alive():
        raise ContainerError("the server is not running")
    # systemctl and the journal tell a caller by its group; in one of the host's it would be a
    # stranger, and it would also escape from kill().
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
    """Find the control group trees that systemd keeps track of processes in, the main one first.

    On today's hosts it is the only one there is.  Where version 1 is mounted (containers of
    containers, this project's own test machines) it can be one of version 2 beside the others,
    one of version 1 named "systemd", or both.
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
        raise ContainerError("no control groups are mounted that systemd-nspawn could use")
    return unified + named


def _memberships(pid: int) -> Iterator[tuple[str, str]]:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, name, path = line.split(":", 2)
        yield name, path


def _groups(server: Server) -> list[Path]:
    return [mount / GROUP / server.name for _, mount in _hierarchies()]


def _members(server: Server) -> Iterator[int]:
    """List a server's processes, in its group and in those that its systemd made below."""
    for directory, _, _ in os.walk(_groups(server)[0]):
        try:
            yield from map(int, (Path(directory) / "cgroup.procs").read_text().split())
        except OSError:  # gone meanwhile, or made by the server for threads only
            continue


def _make_group(group: Path) -> None:
    while not group.exists():
        # The common one may go in between, with what was the last other server.
        with contextlib.suppress(FileNotFoundError):
            group.mkdir(parents=True)


def _remove_groups(server: Server) -> None:
    """Remove the groups that a server left; without a process they mean nothing."""
    for group in _groups(server):
        for directory, _, _ in os.walk(group, topdown=False):
            _remove_group(Path(directory))
        # The last server takes the common one with it.
        with contextlib.suppress(OSError):
            group.parent.rmdir()


def _remove_group(directory: Path) -> None:
    """Remove one group; the kernel holds it for a moment after its last process is gone."""
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
