"""Build the Debian 12 root directory that every server of the lab boots from, once.

mmdebstrap makes the image, a plain directory, from this machine's own Debian sources. Servers never write to the
image: each has its own overlay on top (see ``container``).

All settings that make a server boot fast inside a container belong here and not into the user-data. The lab then
tests exactly the user-data that a cloud gets.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SUITE = "bookworm"
SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "cloud-init",
    "keepalived",
    "apache2",
    "openssh-server",
    "tcpdump",
    "iproute2",
    "iputils-ping",
    "python3",
    "curl",
    "procps",
    # mmdebstrap's "apt" variant leaves these out, and user-data may need them: accounts (users:, chpasswd:), sudo,
    # mounts:, and the names of ports and protocols.
    "login",
    "passwd",
    "sudo",
    "mount",
    "netbase",
    # Containers share this machine's clock, and no test may change that. This library changes it for one process.
    "libfaketime",
)

# No service reads these files. The patterns are also dpkg's configuration inside the image, for the packages that
# user-data installs.
DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    # No sync after each file: an interrupted build is thrown away, and so is a server's disk.
    "force-unsafe-io",
)

# mmdebstrap unpacks the essential packages once without dpkg's filters, which would take 27 s instead of 6 s. These
# folders are emptied afterwards.
SWEPT = ("usr/share/info", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/log/apt")

CLOUD_CONFIG = """\
# The lab's own settings. User-data may override each of them.
# The seed is a directory on the server's disk. cloud-init asks no other source and searches no block device.
datasource_list: [NoCloud]
datasource: {NoCloud: {fs_label: null}}
# The lab configures a server's ports before the server starts.
network: {config: disabled}
# Generating a locale takes seconds. C.UTF-8 is set in /etc/default/locale.
locale: false
# The server's own name resolves through /etc/hosts, so that apache2 and sudo never wait for a resolver.
# "localhost" keeps the other lines; "true" would overwrite the lines of user-data.
manage_etc_hosts: localhost
# The disk is a directory, without a partition, a file system to grow or a boot loader.
growpart: {mode: "off"}
resize_rootfs: false
grub_dpkg: {enabled: false}
# An RSA key takes up to a second of CPU. Every current client accepts these two types.
ssh_genkeytypes: [ed25519, ecdsa]
# No program reads the keys from the console.
ssh_quiet_keygen: true
ssh: {emit_keys_to_console: false}
no_ssh_fingerprints: true
"""

FILES: Mapping[str, str] = {
    "etc/cloud/cloud.cfg.d/99-lab.cfg": CLOUD_CONFIG,
    # "enabled": cloud-init runs, and ds-identify does not look for a cloud (DMI, blkid, ...).
    "etc/cloud/ds-identify.cfg": "policy: enabled\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    # mmdebstrap copies this machine's file, and a server must not know this machine's resolver. With an empty
    # resolv.conf a lookup fails at once, because port 53 of the loopback refuses.
    "etc/resolv.conf": "",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    # An empty file: systemd fills in an id per server. Without the file it would apply every preset again, as on a
    # "first boot".
    "etc/machine-id": "",
}

REMOVED = (
    # mmdebstrap copies this machine's.
    "etc/hostname",
    # cloud-init makes these for each server.
    "etc/ssh/ssh_host_*_key",
    "etc/ssh/ssh_host_*_key.pub",
    # Every service has a unit. With a script of the same name, each "systemctl enable" of user-data would also run
    # update-rc.d, which takes longer than the start of the service.
    "etc/init.d/*",
    "etc/rc[0-6S].d/*",
)

MASKED = (
    # Maintenance of a machine that runs for months. In a lab it is only load.
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "logrotate.timer",
    "man-db.timer",
    "systemd-tmpfiles-clean.timer",
    # The host manages the devices.
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service",
    "systemd-udev-settle.service",
    # The lab configures the ports from outside. A package that user-data installs must not change them.
    "networking.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    # The console is a log file; no login is possible there.
    "getty.target",
    "console-getty.service",
    "container-getty@.service",
    "getty@.service",
    "serial-getty@.service",
)

# These generators look for encrypted disks, boot parameters and the like, which a server of the lab does not have.
# Each would run at boot, and again at every "systemctl enable" or "daemon-reload" of user-data.
MASKED_GENERATORS = (
    "systemd-cryptsetup-generator",
    "systemd-debug-generator",
    "systemd-getty-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-run-generator",
    "systemd-system-update-generator",
    "systemd-veritysetup-generator",
)


class ImageError(Exception):
    """The image can't be built; the message says what to do."""


@dataclass(frozen=True)
class Source:
    """One Debian archive that this machine installs from: its URI and its suite (``bookworm-updates``)."""

    uri: str
    suite: str

    def line(self) -> str:
        """Return the line for apt's sources, bound to Debian's keyring whatever else this machine trusts."""
        return f"deb [signed-by={KEYRING}] {self.uri} {self.suite} main"


def build(cache: Path, say: Callable[[str], None]) -> Path:
    """Return the image's root directory below ``cache``, and build it if it is not there yet.

    Several processes may call this at once: one builds, the others wait.

    :param say: is called with each step, in a few words.
    :raises ImageError: if the image can't be built.
    """
    image = path_of(cache)
    if image.is_dir():
        return image
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock", say):
        if image.is_dir():
            return image
        for leftover in cache.glob(".building-*"):
            say(f"removing an unfinished image ({leftover.name})")
            shutil.rmtree(leftover)
        work = cache / f".building-{image.name}"
        work.mkdir()
        try:
            root = work / "root"
            say(f"building the Debian image {image.name}")
            _bootstrap(work, root, debian_sources(work), say)
            _tune(root)
            # The name stands for a complete image, also after a power cut.
            subprocess.run(["sync", "--file-system", str(root)], check=True)
            root.rename(image)
        finally:
            shutil.rmtree(work)
    return image


def path_of(cache: Path) -> Path:
    """Return the image's root directory below ``cache``, whether or not it is there."""
    return cache / f"{SUITE}-{recipe_key()}"


def recipe_key() -> str:
    """Return a hash of everything that decides how the image is made: another recipe is another image."""
    recipe = (
        SUITE,
        PACKAGES,
        DPKG_OPTIONS,
        SWEPT,
        sorted(FILES.items()),
        REMOVED,
        MASKED,
        MASKED_GENERATORS,
        _BOOTSTRAP,
        _SETUP_HOOK,
        _ESSENTIAL_HOOK,
        _CUSTOMIZE_HOOK,
    )
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]


def debian_sources(folder: Path, etc_apt: Path = Path("/etc/apt")) -> list[Source]:
    """Ask apt which Debian 12 archives this machine installs from.

    apt reads its source files itself, and ``apt-get indextargets`` prints them parsed. It knows an archive's origin
    only from the archive's signed release file, and prints nothing before a first ``apt-get update``. Therefore apt
    fetches the release files again (250 kB, no package lists), and keeps them apart from this machine's own.

    :param folder: an existing folder for apt's files. The caller removes it.
    :param etc_apt: apt's configuration folder.
    :raises ImageError: if no source is a Debian archive of ``SUITE`` that Debian's keyring verifies.
    """
    if not KEYRING.is_file():
        raise ImageError(f"{KEYRING} is missing: sudo apt-get install --yes debian-archive-keyring")
    lists = folder / "apt-lists"
    (lists / "partial").mkdir(parents=True)
    settings = folder / "apt.conf"
    settings.write_text(_APT_SETTINGS.format(lists=lists, etc_apt=etc_apt, keyring=KEYRING))
    # apt-get fails if any source fails. A broken source of a third party must not stop the lab: only what was
    # fetched and verified is listed below.
    update = subprocess.run(
        ["apt-get", "--quiet=2", f"--config-file={settings}", "update"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    listed = subprocess.run(
        [
            *("apt-get", f"--config-file={settings}", "indextargets", "--format", "$(REPO_URI) $(CODENAME)"),
            # Only records with these lines are listed.
            *("Origin: Debian", "Trusted: yes", "Component: main"),
        ],
        capture_output=True,
        text=True,
        # It fails for a source file with a syntax error, and then lists nothing. The update's error says where.
        check=False,
    )
    found: dict[Source, None] = {}
    for line in listed.stdout.splitlines():
        uri, _, suite = line.rpartition(" ")
        if suite in SUITES:
            found[Source(_first_mirror(uri), suite)] = None
    if not any(source.suite == SUITE for source in found):
        said = update.stderr.strip() or "apt reported no error"
        raise ImageError(
            f"none of the apt sources in {etc_apt} is a Debian archive of {SUITE} that {KEYRING} verifies ({said}). "
            f"Add one: deb [signed-by={KEYRING}] http://MIRROR/debian {SUITE} main, with a mirror of Debian"
        )
    return list(found)


def _first_mirror(uri: str) -> str:
    """Return the first mirror of a mirror list (Debian's cloud images have one), or the URI itself without its slash.

    The list is a file of this machine; inside the image there is none.
    """
    uri = uri.rstrip("/")
    scheme = "mirror+file:"
    if not uri.startswith(scheme):
        return uri
    path = Path("/" + uri.removeprefix(scheme).lstrip("/"))
    for line in path.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words:
            return words[0].rstrip("/")
    raise ImageError(f"the mirror list {path} names no mirror: add the URL of a mirror of Debian")


#: apt's settings while it reads the sources. They count after this machine's own.
_APT_SETTINGS = """\
Dir::Etc::sourcelist "{etc_apt}/sources.list";
Dir::Etc::sourceparts "{etc_apt}/sources.list.d";
# A source without a Signed-By of its own is verified with Debian's keyring and with no other.
Dir::Etc::trusted "{keyring}";
Dir::Etc::trustedparts "/dev/null";
# This machine's lists and caches stay as they are, and its hooks do not run.
Dir::State::Lists "{lists}";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
#clear APT::Update;
# Root may write to the folder; apt's own user may not.
APT::Sandbox::User "root";
# The smallest index of an archive (120 bytes), because apt lists only what it has fetched.
#clear Acquire::IndexTargets;
Acquire::IndexTargets::deb::Release {{
  MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Release";
  ShortDescription "Release";
  Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Release";
}};
"""


def _acquire_options() -> list[str]:
    """Return this machine's apt settings for its mirrors (proxy, clock, retries).

    mmdebstrap's apt does not read this machine's configuration.
    """
    wanted = (
        "Acquire::Check-",
        "Acquire::ForceIPv",
        "Acquire::Retries",
        "Acquire::http::",
        "Acquire::https::",
    )
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [line.rstrip(";") for line in dump.splitlines() if line.startswith(wanted)]


# A private tmpfs saves a third of the time, because dpkg syncs often. The build's own namespaces for mounts and
# processes end with an interrupted build, and everything in them.
_BOOTSTRAP = """\
set -e
scratch=$1 root=$2
shift 2
mount -t tmpfs -o mode=0755 lab-image "$scratch"
"$@"
rm -rf "$scratch/root/.mmdebstrap"
exec cp -a -- "$scratch/root" "$root"
"""

# Filters for dpkg, before its first run.
_SETUP_HOOK = 'mkdir -p "$1/etc/dpkg/dpkg.cfg.d" && cp "$LAB_DPKG" "$1/etc/dpkg/dpkg.cfg.d/lab"'

# Every Python package byte-compiles itself in its own interpreter, 8 s of CPU in all. These hooks replace the compiler
# and then compile everything at once. Without byte code in the image every start of cloud-init would compile again.
_ESSENTIAL_HOOK = """\
chroot "$1" dpkg-divert --quiet --local --rename --add /usr/bin/py3compile &&
ln -s true "$1/usr/bin/py3compile"
"""
_CUSTOMIZE_HOOK = """\
rm "$1/usr/bin/py3compile" &&
chroot "$1" dpkg-divert --quiet --local --rename --remove /usr/bin/py3compile &&
chroot "$1" python3 -m compileall -q -j 0 /usr/lib/python3/dist-packages
"""


def _bootstrap(work: Path, root: Path, sources: Sequence[Source], say: Callable[[str], None]) -> None:
    """Install the packages into ``root``; ``work`` is a folder for temporary files."""
    mmdebstrap = shutil.which("mmdebstrap")
    if mmdebstrap is None:
        raise ImageError("mmdebstrap is missing: sudo apt-get install --yes mmdebstrap")
    scratch = work / "scratch"
    scratch.mkdir()
    dpkg_options = work / "dpkg.cfg"
    dpkg_options.write_text("".join(f"{option}\n" for option in DPKG_OPTIONS))
    acquire = [*_acquire_options(), 'Acquire::Languages "none"']
    command = [
        # The build ends with this process, however this process ends.
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *("unshare", "--mount", "--propagation", "private"),
        *("--pid", "--fork", "--kill-child", "--mount-proc", "--"),
        *("sh", "-c", _BOOTSTRAP, "sh", str(scratch), str(root)),
        *(mmdebstrap, "--mode=root", "--variant=apt", "--format=directory"),
        *(f"--aptopt={option}" for option in acquire),
        f"--include={','.join(PACKAGES)}",
        f"--setup-hook={_SETUP_HOOK}",
        f"--essential-hook={_ESSENTIAL_HOOK}",
        f"--customize-hook={_CUSTOMIZE_HOOK}",
        SUITE,
        str(scratch / "root"),
        *(source.line() for source in sources),
    ]
    output: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Temporary files go with the folder, also after an interrupted build.
        env={**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(work), "LAB_DPKG": str(dpkg_options)},
        # Ctrl-C reaches this process only. It then ends the whole build below.
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                output.append(line)
                if line.startswith("I: ") and "hook" not in line:
                    say(line.removeprefix("I: ").rstrip())
        except BaseException:
            process.kill()
            # The output ends when no process is left that could write to the folder.
            process.stdout.read()
            raise
    if process.returncode != 0:
        raise ImageError("mmdebstrap failed:\n" + "".join(output[-20:]).rstrip())
    # The image must not contain this machine's proxy, which may have a password.
    kept = [option for option in acquire if not option.startswith("Acquire::http")]
    (root / "etc/apt/apt.conf.d/99mmdebstrap").write_text("".join(f"{o};\n" for o in kept))


def _tune(root: Path) -> None:
    """Apply the lab's settings to a root directory that mmdebstrap has made."""
    for swept in SWEPT:
        directory = root / swept
        for entry in directory.iterdir() if directory.is_dir() else ():
            if entry.name != "locale.alias":
                _remove(entry)
    for pattern in REMOVED:
        for path in root.glob(pattern):
            _remove(path)
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    for directory, names in (("system", MASKED), ("system-generators", MASKED_GENERATORS)):
        masks = root / "etc/systemd" / directory
        masks.mkdir(exist_ok=True)
        for name in names:
            (masks / name).unlink(missing_ok=True)
            (masks / name).symlink_to("/dev/null")
    # Without these stamps systemd rebuilds its caches (users, linker, journal catalogue) on a server's first boot.
    for stamp in ("etc/.updated", "var/.updated"):
        (root / stamp).touch()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextlib.contextmanager
def _locked(path: Path, say: Callable[[str], None]) -> Generator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build of the image")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
