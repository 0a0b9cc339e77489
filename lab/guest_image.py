"""Build, once, the Debian 12 root that every server of the lab boots from.

The image is a plain directory, made with mmdebstrap from the Debian sources that this machine
itself uses.  Servers never write to it: each one has its own overlay on top (see ``container``).

Everything that makes a server boot fast and quietly inside a container is decided here and not
in user-data, so that the user-data under test is exactly what a real cloud would be given.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
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
    # What the "apt" variant leaves out and user-data takes for granted: accounts (users:,
    # chpasswd:), sudo for them, mounts:, and names for ports and protocols.
    "login",
    "passwd",
    "sudo",
    "mount",
    "netbase",
    # Containers share this machine's clock, which no test turns: a library that turns it for a few processes.
    "libfaketime",
)

# Read by no service.  The same patterns are dpkg's configuration inside the image, so that a
# package which user-data installs is trimmed too.
DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    # An interrupted build is thrown away and a server's disk is disposable: syncing every
    # unpacked file would buy nothing.
    "force-unsafe-io",
)

# mmdebstrap unpacks the essential packages a first time without dpkg's filters (with them it
# pipes every package through a slow Python filter: 27 s instead of 6 s), so that what that left
# is swept afterwards.
SWEPT = ("usr/share/info", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/log/apt")

CLOUD_CONFIG = """\
# The lab's own settings. User-data may override each of them.
# The seed is always a directory on the server's disk: no other source is ever asked, and no
# block device is searched for a labelled file system.
datasource_list: [NoCloud]
datasource: {NoCloud: {fs_label: null}}
# Ports carry their addresses before the server starts; inside there is nothing to configure.
network: {config: disabled}
# Generating a locale costs seconds; C.UTF-8 is already set in /etc/default/locale.
locale: false
# The own name resolves through /etc/hosts, so that apache2 and sudo never wait for a resolver.
# ("localhost" keeps the other lines, "true" would rewrite what user-data put into the file.)
manage_etc_hosts: localhost
# The disk is a directory: there is no partition and no file system to grow, no boot loader.
growpart: {mode: "off"}
resize_rootfs: false
grub_dpkg: {enabled: false}
# Making an RSA key takes up to a second of CPU. Any client of today accepts these two.
ssh_genkeytypes: [ed25519, ecdsa]
# The keys are of no use on a console that nobody but the lab's user reads.
ssh_quiet_keygen: true
ssh: {emit_keys_to_console: false}
no_ssh_fingerprints: true
"""

FILES: Mapping[str, str] = {
    "etc/cloud/cloud.cfg.d/99-lab.cfg": CLOUD_CONFIG,
    # "enabled": cloud-init runs and ds-identify looks for no hint of a cloud (DMI, blkid, ...).
    "etc/cloud/ds-identify.cfg": "policy: enabled\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    # mmdebstrap leaves this machine's own: a server must know neither its name nor its resolver.
    # An empty resolv.conf makes a lookup fail at once (port 53 of the loopback refuses).
    "etc/resolv.conf": "",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    # Empty and present: systemd fills in an id per server, and does not take the start for a
    # "first boot" (which would apply every preset again).
    "etc/machine-id": "",
}

REMOVED = (
    # mmdebstrap's copy of this machine's.
    "etc/hostname",
    # cloud-init makes a server's own.
    "etc/ssh/ssh_host_*_key",
    "etc/ssh/ssh_host_*_key.pub",
    # Every service has a unit. With a script of the same name, each "systemctl enable" of
    # user-data also runs update-rc.d, which takes longer than starting the service.
    "etc/init.d/*",
    "etc/rc[0-6S].d/*",
)

MASKED = (
    # Background work of a machine that lives for months: noise in a lab, and load.
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "logrotate.timer",
    "man-db.timer",
    "systemd-tmpfiles-clean.timer",
    # Devices belong to the host.
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service",
    "systemd-udev-settle.service",
    # Ports are configured from outside; a package that user-data pulls in must not undo that.
    "networking.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    # Nobody logs in on a console that is a log file.
    "getty.target",
    "console-getty.service",
    "container-getty@.service",
    "getty@.service",
    "serial-getty@.service",
)

# They look for encrypted disks, boot parameters and the like, all absent; each of them would
# otherwise run at boot and again for every "systemctl enable" or "daemon-reload" of user-data.
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
    """The image cannot be built; the message says what to do about it."""


@dataclass(frozen=True)
class Source:
    """One Debian archive this machine installs from."""

    uri: str
    suite: str

    def line(self) -> str:
        """Give the apt line, bound to Debian's keyring whatever the host trusts besides."""
        return f"deb [signed-by={KEYRING}] {self.uri} {self.suite} main"


def build(cache: Path, say: Callable[[str], None]) -> Path:
    """Return the image's root directory below ``cache``, building it when it is not there yet.

    Safe to call from several processes at once: one builds, the others wait for it.
    """
    image = cache / f"{SUITE}-{recipe_key()}"
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
            _bootstrap(work, root, debian_sources(), say)
            _tune(root)
            # The name promises a whole image, also after a power cut.
            subprocess.run(["sync", "--file-system", str(root)], check=True)
            root.rename(image)
        finally:
            shutil.rmtree(work)
    return image


def recipe_key() -> str:
    """Name the recipe, so that any change of it builds another image."""
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


def debian_sources(etc_apt: Path = Path("/etc/apt")) -> list[Source]:
    """Find the Debian archives among this machine's apt sources, leaving third parties out."""
    found: dict[Source, None] = {}
    classic = etc_apt / "sources.list"
    parts = etc_apt / "sources.list.d"
    for path in (classic, *sorted(parts.glob("*.list"))):
        if path.is_file():
            found |= dict.fromkeys(_one_line_sources(path, is_classic=path == classic))
    for path in sorted(parts.glob("*.sources")):
        found |= dict.fromkeys(_deb822_sources(path))
    if not any(source.suite == SUITE for source in found):
        raise ImageError(f"no Debian archive for {SUITE} among the sources in {etc_apt}")
    return list(found)


def _one_line_sources(path: Path, *, is_classic: bool) -> Iterator[Source]:
    for line in path.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words[:1] != ["deb"]:
            continue
        options: list[str] = []
        if len(words) > 1 and words[1].startswith("["):
            end = next((i for i, word in enumerate(words) if word.endswith("]")), None)
            if end is None:
                continue
            options = " ".join(words[1 : end + 1])[1:-1].split()
            del words[1 : end + 1]
        signed_by = next((o.partition("=")[2] for o in options if o.startswith("signed-by=")), "")
        if len(words) > 3 and _is_debian(signed_by, default=is_classic):
            yield from _matching([words[1]], [words[2]], words[3:])


def _deb822_sources(path: Path) -> Iterator[Source]:
    for stanza in _stanzas(path.read_text()):
        if "deb" not in stanza.get("types", "").split() or stanza.get("enabled") == "no":
            continue
        if _is_debian(stanza.get("signed-by", ""), default=path.name == "debian.sources"):
            fields = (stanza.get(name, "").split() for name in ("uris", "suites", "components"))
            yield from _matching(*fields)


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    stanza: dict[str, str] = {}
    field = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, field = {}, ""
        elif line[0].isspace():
            stanza[field] = f"{stanza.get(field, '')}\n{line.strip()}"
        else:
            name, _, value = line.partition(":")
            field = name.strip().lower()
            stanza[field] = value.strip()


def _is_debian(signed_by: str, *, default: bool) -> bool:
    """Tell whether Debian signs a source; ``default`` is for one that names no key."""
    if not signed_by:
        return default
    return any(Path(word).name.startswith("debian-archive-") for word in signed_by.split())


def _matching(uris: Sequence[str], suites: Sequence[str], components: Sequence[str]) -> Iterator[Source]:
    if "main" not in components:
        return
    for uri in uris:
        for suite in suites:
            if suite in SUITES:
                yield Source(_without_mirror_list(uri), suite)


def _without_mirror_list(uri: str) -> str:
    """Resolve a mirror list (as Debian's own cloud images use); it is a file only the host has."""
    scheme = "mirror+file:"
    if not uri.startswith(scheme):
        return uri
    path = Path("/" + uri.removeprefix(scheme).lstrip("/"))
    for line in path.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words:
            return words[0]
    raise ImageError(f"the mirror list {path} names no mirror")


def _acquire_options() -> list[str]:
    """Give this machine's own settings for reaching its mirrors (proxy, clock, retries).

    mmdebstrap's apt reads none of the host's configuration, so that they are handed on.
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


# A private tmpfs spares dpkg's many small syncs (a third of the time), and a kernel namespace of
# its own for mounts and processes makes sure that nothing outlives an interrupted build.
_BOOTSTRAP = """\
set -e
scratch=$1 root=$2
shift 2
mount -t tmpfs -o mode=0755 lab-image "$scratch"
"$@"
rm -rf "$scratch/root/.mmdebstrap"
exec cp -a -- "$scratch/root" "$root"
"""

# Filters for dpkg, from its first run on.
_SETUP_HOOK = 'mkdir -p "$1/etc/dpkg/dpkg.cfg.d" && cp "$LAB_DPKG" "$1/etc/dpkg/dpkg.cfg.d/lab"'

# Every Python package byte-compiles itself in an interpreter of its own (8 s of CPU in all): the
# compiler is set aside and everything compiled in one go.  It has to be done here: root without
# byte code would make every start of cloud-init compile again.
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
    """Install the packages into ``root``; ``work`` is a folder to work in."""
    if not KEYRING.is_file():
        raise ImageError(f"{KEYRING} is missing: install debian-archive-keyring")
    mmdebstrap = shutil.which("mmdebstrap")
    if mmdebstrap is None:
        raise ImageError("mmdebstrap is missing: install it")
    scratch = work / "scratch"
    scratch.mkdir()
    dpkg_options = work / "dpkg.cfg"
    dpkg_options.write_text("".join(f"{option}\n" for option in DPKG_OPTIONS))
    acquire = [*_acquire_options(), 'Acquire::Languages "none"']
    command = [
        # A build must not outlive its builder, however that one ends.
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
        # Temporary files stay in the folder that goes, too, when the build is interrupted.
        env={**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(work), "LAB_DPKG": str(dpkg_options)},
        # Ctrl-C reaches this process only, which then ends the whole build below.
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
            # The end of the output is the end of everything that could still write to the folder.
            process.stdout.read()
            raise
    if process.returncode != 0:
        raise ImageError("mmdebstrap failed:\n" + "".join(output[-20:]).rstrip())
    # Where the host reaches its mirrors through (a proxy, perhaps with a password) is its affair.
    kept = [option for option in acquire if not option.startswith("Acquire::http")]
    (root / "etc/apt/apt.conf.d/99mmdebstrap").write_text("".join(f"{o};\n" for o in kept))


def _tune(root: Path) -> None:
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
    # Without these stamps systemd takes /usr for updated and rebuilds its caches (users, linker,
    # journal catalogue) on a server's first boot.
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
