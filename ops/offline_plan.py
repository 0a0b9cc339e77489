"""Make a stack that never existed, so that a plan needs neither credentials nor a network.

The base (another revision of the repository) and the head (the project's folder as it is) are copied into a temporary
folder. The engine previews the base, the result becomes a state with invented ids (``ops.invented_state``), and the
engine can then preview the head against it. Everything is the real program, engine and provider, except the one process
of the preflight that would ask the cloud (``ops.invented_cloud``).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from settings.allowed_interruptions import SettingChange, parse_allowed
from settings.pair import NEW

from . import invented_cloud
from .engine import Engine, EngineError
from .engine_json import mapping_in
from .invented_networking import is_ipv4, networking_of, with_existing
from .invented_state import corrected, invented_state

#: Credentials that no cloud has. The provider needs some, and uses them only at its first request: never here.
#: 127.0.0.1:9 is the discard service (RFC 863), so even a request would leave no trace elsewhere.
DUMMY_CREDENTIALS = {
    "OS_AUTH_URL": "http://127.0.0.1:9/v3",
    "OS_USERNAME": "offline",
    "OS_PASSWORD": "offline",
    "OS_PROJECT_NAME": "offline",
    "OS_USER_DOMAIN_NAME": "offline",
}

#: The branch whose merge base is the default of --against.
MAIN_BRANCHES = ("origin/main", "main")

#: The most previews that correct the invented state. One is needed if a property has several sources, and a second one
#: only if a wrong guess hid another value from the first.
ROUNDS = 3

#: A public key of the right form for a stack file that encrypts its own. No private key belongs to it.
INVENTED_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} invented"

#: What a plan says that gives the pair's floating IP up. The preflight advises an entry with the present address.
UNKNOWN_FLOATING_IP = (
    "The address of the present floating IP is not known offline, and an invented one takes its place. An entry of "
    "allowInterruption must name the real address."
)

PREVIEW = ("preview", "--json", "--refresh=false", "--skip-plugin-pre-install")


class OfflineError(Exception):
    """The plan can't be made offline; the message has the reason and the way out."""


@dataclass(frozen=True)
class OfflineStack:
    """The head, ready for a preview against the state of the base."""

    engine: Engine
    #: The base, to read its configuration and its state. None if the base has no such stack.
    base: Engine | None
    #: Whole sentences about the limits of the result.
    notes: list[str]
    #: The deployment that was invented; empty without a base.
    state: dict[str, Any]
    #: The revision of the base.
    revision: str


@contextmanager
def offline_stack(engine: Engine, against: str | None) -> Generator[OfflineStack]:
    """Give a stack with the state of the base for as long as the context lasts; every file of it is temporary.

    :param engine: the head: the project's folder, and the name of the stack.
    :param against: a revision of git; the merge base with the main branch when left out.
    :raises OfflineError, EngineError: with the reason.
    """
    _require_loopback()
    name = engine.stack.rpartition("/")[2]
    revision = against or default_revision(engine.folder)
    with tempfile.TemporaryDirectory(prefix="vrrp-pair-offline-") as temporary:
        folder = Path(temporary)
        head, base = folder / "head", folder / "base"
        for made in (head, base, folder / "state"):
            made.mkdir()
        _copy_head(engine.folder, head)
        _copy_base(engine.folder, revision, base)
        if not (head / f"Pulumi.{name}.yaml").is_file():
            raise OfflineError(f"there is no Pulumi.{name}.yaml in {engine.folder}: a plan offline is made from it")
        notes = [*_prepared(head, engine.folder, name), *_prepared(base, engine.folder, name)]
        notes = list(dict.fromkeys(notes))
        declared = _declared(base, name), _declared(head, name)
        cloud = _InventedCloud(folder / "cloud.json", *declared)
        cloud.write({})
        environment = {
            **DUMMY_CREDENTIALS,
            invented_cloud.CLOUD_VARIABLE: str(cloud.file),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(),
            # A file would take precedence over the passphrase.
            "PULUMI_CONFIG_PASSPHRASE_FILE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        of_head = Engine(head, name, environment, hidden=("OS_", "PULUMI_STACK"))
        of_base = Engine(base, name, environment, hidden=("OS_", "PULUMI_STACK"))
        if not (base / f"Pulumi.{name}.yaml").is_file():
            of_head.run("stack", "init")
            notes.append(f"{revision} has no Pulumi.{name}.yaml, so every resource is new.")
            yield OfflineStack(of_head, None, notes, {}, revision)
            return
        of_base.run("stack", "init")
        _share_salt(_salt(of_base), head, name)
        address = _allowed_floating_ip(*declared)
        state = _state_of(of_base, folder / "plan.json", address)
        cloud.write(networking_of(state["resources"]))
        if address:
            # So the difference of the key is the change that the entry names.
            _set(base, name, "floatingIp", address)
        elif _leaves_its_floating_ip(*declared):
            notes.append(UNKNOWN_FLOATING_IP)
        yield OfflineStack(of_head, of_base, notes, state, revision)


def _state_of(base: Engine, plan_file: Path, floating_ip: str | None) -> dict[str, Any]:
    """Import the invented state of the base into its stack, and return it.

    :param floating_ip: the address of a floating IP that the pair makes; None for any.
    :raises EngineError: with the engine's message, such as the program's about a wrong setting of the base.
    """
    steps, plan = _planned(base, plan_file)
    state, guessed = invented_state(steps, plan, floating_ip)
    # Otherwise the engine would have no key for the secrets of the state.
    state["secrets_providers"] = {"type": "passphrase", "state": {"salt": _salt(base)}}
    _import(base, state)
    for _ in range(ROUNDS if guessed else 0):
        _, plan = _planned(base, plan_file)
        correct, agrees = corrected(state, plan)
        if correct != state:
            state = correct
            _import(base, state)
        if agrees:
            break
    return state


def _planned(base: Engine, plan_file: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    try:
        printed = base.run(*PREVIEW, "--save-plan", str(plan_file), "--show-secrets")
    except EngineError as error:
        raise EngineError(f"The preview of the base failed, so there is nothing to compare with. {error}") from None
    plan = json.loads(plan_file.read_text(encoding="utf-8"))
    # It has the secrets in the clear.
    plan_file.unlink()
    return json.loads(printed)["steps"], plan


def _import(engine: Engine, state: dict[str, Any]) -> None:
    engine.run("stack", "import", given=json.dumps({"version": 3, "deployment": state}))


def default_revision(folder: Path) -> str:
    """Return the merge base of the present commit and the main branch; the present commit if there is no such branch.

    :raises OfflineError: when the folder is in no repository.
    """
    _git(folder, "rev-parse", "HEAD")
    for branch in MAIN_BRANCHES:
        done = subprocess.run(
            ["git", "merge-base", "HEAD", branch], cwd=folder, check=False, capture_output=True, text=True
        )
        if done.returncode == 0:
            return done.stdout.strip()
    return "HEAD"


def _git(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=folder, check=False, capture_output=True)
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip()
        raise OfflineError(
            f"`git {' '.join(arguments)}` failed: {message}. A plan offline compares two revisions of the repository; "
            "--against names the base, and a shallow clone may have to fetch it first."
        )
    return done.stdout


def _copy_head(folder: Path, target: Path) -> None:
    """Copy the files that git knows or would add, as they are now."""
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard").decode()
    for name in filter(None, listed.split("\0")):
        source = folder / name
        if source.is_file() or source.is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)


def _copy_base(folder: Path, revision: str, target: Path) -> None:
    # In a folder of the repository, `git archive` takes only this folder.
    archive = _git(folder, "archive", "--format=tar", revision)
    subprocess.run(["tar", "-x", "-C", str(target)], input=archive, check=True)


def _prepared(copy: Path, folder: Path, stack: str) -> list[str]:
    """Make a copy of the program work without a cloud, without a passphrase and beside the real project.

    :return: what is different from the real run, as whole sentences.
    """
    project = yaml.safe_load((copy / "Pulumi.yaml").read_text(encoding="utf-8"))
    options = mapping_in(mapping_in(project, "runtime"), "options")
    # An absolute path means the same in every copy, and belongs to the operator.
    if (environment := options.get("virtualenv")) and not Path(environment).is_absolute():
        # Both copies run with the installed packages.
        # git may know the folder's own, if it is a link.
        (copy / environment).unlink(missing_ok=True)
        (copy / environment).symlink_to((folder / environment).resolve())
    questions = copy / "gates" / "cloud_questions.py"
    if not questions.is_file():
        raise OfflineError("the base has no gates/cloud_questions.py: a plan offline needs 0.1.0 or newer as its base")
    shutil.copyfile(invented_cloud.__file__, questions)
    stack_file = copy / f"Pulumi.{stack}.yaml"
    if not stack_file.is_file():
        return []
    content: dict[str, Any] = yaml.safe_load(stack_file.read_text(encoding="utf-8")) or {}
    plain, notes = without_secrets(content)
    if plain != content:
        stack_file.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    return notes


def without_secrets(content: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a stack file that needs neither a passphrase nor a cloud, and what differs, as whole sentences.

    An invented value takes the place of each encrypted one, always the same for the same ciphertext. Credentials are
    left out, and so are imported environments.
    """
    notes = list[str]()
    plain = dict[str, Any]()
    for key, value in mapping_in(content, "config").items():
        if str(key).startswith("openstack:") and key != "openstack:region":
            continue
        invented = _with_invented_secrets(str(key), value)
        if invented != value:
            notes.append(
                f"{str(key).rpartition(':')[2]} is encrypted, and an invented value takes its place. The same secret "
                "that was encrypted again counts as a change."
            )
        plain[str(key)] = invented
    if content.get("environment"):
        notes.append("The values of the environments that the stack file imports are not known offline.")
    return ({"config": plain} if plain else {}), notes


def _with_invented_secrets(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        entries = cast(dict[str, Any], value)
        if list(entries) == ["secure"]:
            digest = hashlib.sha256(str(entries["secure"]).encode()).hexdigest()
            # Eight characters suffice for authPass, and it takes no more.
            return INVENTED_KEY.format(digest[:43]) if key.endswith("publicKey") else digest[:8]
        return {inner: _with_invented_secrets(inner, one) for inner, one in entries.items()}
    if isinstance(value, list):
        return [_with_invented_secrets(key, one) for one in cast(list[Any], value)]
    return value


def config_in_the_clear(engine: Engine) -> dict[str, dict[str, Any]]:
    """Return the configuration of an offline stack as ``Engine.config`` does, without half a second of the CLI.

    The stack file of an offline stack has no encrypted values (``without_secrets``).
    """
    stack_file = engine.folder / f"Pulumi.{engine.stack}.yaml"
    content: dict[str, Any] = yaml.safe_load(stack_file.read_text(encoding="utf-8")) or {}
    project = yaml.safe_load((engine.folder / "Pulumi.yaml").read_text(encoding="utf-8"))
    secret = {f"{project['name']}:{key}" for key, one in mapping_in(project, "config").items() if one.get("secret")}
    return {
        str(key): {"value": value if isinstance(value, str) else json.dumps(value), "secret": key in secret}
        for key, value in mapping_in(content, "config").items()
    }


@dataclass(frozen=True)
class _Declared:
    """What a revision declares about things that exist before the pair, or that the preflight looks up by name."""

    name_prefix: str
    external_network: str
    floating_ip: str
    #: The entries of ``allowInterruption`` that have the right form.
    allowed: tuple[SettingChange, ...]


def _leaves_its_floating_ip(base: _Declared | None, head: _Declared | None) -> bool:
    """Whether the pair has a floating IP of its own, and another one or none from then on."""
    return base is not None and head is not None and base.floating_ip == NEW != head.floating_ip


def _allowed_floating_ip(base: _Declared | None, head: _Declared | None) -> str | None:
    """Return the address of the floating IP that the pair has made, if an entry of ``allowInterruption`` tells it.

    Only the cloud knows the address otherwise. With an invented one, no entry could fit.
    """
    if head is None or not _leaves_its_floating_ip(base, head):
        return None
    fitting = (one.old for one in head.allowed if (one.key, one.new) == ("floatingIp", head.floating_ip))
    return next((address for address in fitting if is_ipv4(address)), None)


@dataclass(frozen=True)
class _InventedCloud:
    """The file from which the preflight's questions are answered (``ops.invented_cloud``)."""

    file: Path
    #: None if the base has no such stack.
    base: _Declared | None
    head: _Declared | None

    def write(self, networking: dict[str, list[dict[str, Any]]]) -> None:
        """Write the cloud as the base declares it, with the things that both revisions use."""
        both = [one for one in (self.base, self.head) if one]
        servers = [f"{self.base.name_prefix}-{role}" for role in ("master", "backup")] if self.base else []
        lists = with_existing(
            networking,
            [one.external_network for one in both],
            # An address of both is one of the base's network: the pair exists there.
            {one.floating_ip: one.external_network for one in reversed(both)},
        )
        self.file.write_text(json.dumps({"servers": servers, "networking": lists}), encoding="utf-8")


def _declared(copy: Path, stack: str) -> _Declared | None:
    project = yaml.safe_load((copy / "Pulumi.yaml").read_text(encoding="utf-8"))
    stack_file = copy / f"Pulumi.{stack}.yaml"
    if not stack_file.is_file():
        return None
    config = mapping_in(yaml.safe_load(stack_file.read_text(encoding="utf-8")) or {}, "config")

    def value(key: str) -> Any:
        default = mapping_in(mapping_in(project, "config"), key).get("default", "")
        return config.get(f"{project['name']}:{key}", default)

    return _Declared(
        str(value("namePrefix")),
        str(value("externalNetwork")),
        str(value("floatingIp")),
        tuple(_allowed(value("allowInterruption"))),
    )


def _allowed(entries: Any) -> Iterator[SettingChange]:
    """Yield each entry of ``allowInterruption`` that has the right form. The program has a message for any other."""
    try:
        listed: Any = json.loads(entries) if isinstance(entries, str) else entries
    except json.JSONDecodeError:
        return
    for entry in cast(list[Any], listed) if isinstance(listed, list) else []:
        with suppress(ValueError):
            yield parse_allowed(str(entry))


def _set(copy: Path, stack: str, key: str, value: str) -> None:
    """Set a key in the stack file of a copy."""
    project = yaml.safe_load((copy / "Pulumi.yaml").read_text(encoding="utf-8"))
    stack_file = copy / f"Pulumi.{stack}.yaml"
    content: dict[str, Any] = yaml.safe_load(stack_file.read_text(encoding="utf-8"))
    content["config"] = {**mapping_in(content, "config"), f"{project['name']}:{key}": value}
    stack_file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _share_salt(salt: str, head: Path, stack: str) -> None:
    """Let the head decrypt what the base encrypts: both have the same passphrase, and now the same salt."""
    stack_file = head / f"Pulumi.{stack}.yaml"
    content: dict[str, Any] = yaml.safe_load(stack_file.read_text(encoding="utf-8")) or {}
    with_salt = {**content, "encryptionsalt": salt}
    stack_file.write_text(yaml.safe_dump(with_salt, sort_keys=False), encoding="utf-8")


def _salt(engine: Engine) -> str:
    stack_file = engine.folder / f"Pulumi.{engine.stack}.yaml"
    return str(yaml.safe_load(stack_file.read_text(encoding="utf-8"))["encryptionsalt"])


def _require_loopback() -> None:
    """:raises OfflineError: when the engine's processes could not talk to each other."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 1):
            return
    except OSError as error:
        raise OfflineError(
            f"the engine's processes talk to each other over 127.0.0.1, which does not work here ({error}): "
            "`ip link set lo up`"
        ) from None
