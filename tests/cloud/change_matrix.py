"""Change every key of a live pair, one after the other, and see what its clients see.

    python -m tests.cloud.change_matrix run
    python -m tests.cloud.change_matrix write

``run`` makes a pair on the cloud that OS_CLOUD names, asks `python -m ops plan` before each change of ``change_rows``,
makes the change with a request every 0.1 s, and writes the figures to build/change-matrix.json. It can be interrupted:
the next ``run`` begins with the first row that has no figures. ``delete`` destroys the pair. ``write`` makes
docs/changes.md and docs/changes.json from the figures. All rows take about five hours with emulated guests.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pulumi import automation

from drill.interrupts import interrupts_raised
from gates.connection import connect
from lab.stack_file import PROJECT_FOLDER
from settings.change_classes import ChangeClass

from . import change_rows as places
from .change_rows import OF_ONE_CHECK, ROWS, Expected, Row, Situation
from .deployment import BOOT_TIMEOUT, Deployment, copy_of_the_project, new_deployment
from .seen import POLL_INTERVAL, Seen, watched

#: The pair, its state and its copy of the project, until ``delete``.
FOLDER = PROJECT_FOLDER / "build" / "change-matrix"
RESULTS = PROJECT_FOLDER / "build" / "change-matrix.json"
FIGURES = PROJECT_FOLDER / "docs" / "changes.json"
PAGE = PROJECT_FOLDER / "docs" / "changes.md"
TEMPLATE = Path(__file__).with_name("changes.md.j2")

PREFIX = "changes"

#: The bounds of a roll at an advertisement interval of one second: seconds, and the share of the requests.
LONGEST_GAP, LOST = 1.0, 0.001

#: The exit status of `python -m ops plan` for a change that would interrupt the service.
WOULD_INTERRUPT = 3


@dataclass
class Outcome:
    """What happened in one row."""

    what: str
    key: str
    expected_class: str
    expected: str
    #: The sentence of `ops plan` about the traffic, its class, and its exit status.
    announced: str = ""
    announced_class: str = ""
    plan_status: int = -1
    #: 0 if `up` succeeded, else 1, and the line of its message that says why.
    status: int = -1
    message: str = ""
    took: float = 0
    requests: int = 0
    unanswered: int = 0
    longest_gap: float = 0
    by: list[str] = field(default_factory=list[str])
    #: The operations of the preview afterwards (after the value was set back, if it was refused).
    preview_after: list[str] = field(default_factory=list[str])
    #: Why the row does not keep its promise; empty if it does.
    problems: list[str] = field(default_factory=list[str])

    def saw(self, seen: Seen) -> None:
        """Keep the observations of the client."""
        self.took, self.requests, self.unanswered = round(seen.took, 1), seen.requests, seen.unanswered
        self.longest_gap = round(seen.longest_gap, 3)
        self.by = [member.rpartition("-")[2] for member in seen.by]


def problems_of(row: Row, outcome: Outcome) -> list[str]:
    """Return why the outcome of a row is not as announced, or not within the bounds of its class."""
    found = list[str]()
    if not row.arguments and outcome.announced_class != row.announced.value:
        found.append(f"announced as {outcome.announced_class or 'nothing at all'}, not as {row.announced.value}")
    succeeded = outcome.status == 0
    if succeeded is not (row.expected is Expected.DONE):
        found.append(f"`up` exits with {outcome.status}, although the change should be {row.expected.value}")
    interruption = row.announced is ChangeClass.INTERRUPTION and row.expected is Expected.DONE
    if not interruption and outcome.longest_gap > LONGEST_GAP:
        found.append(f"no answer for {outcome.longest_gap:.2f} s")
    if not interruption and outcome.unanswered > LOST * outcome.requests:
        found.append(f"{outcome.unanswered} of {outcome.requests} requests were not answered")
    if not outcome.by:
        found.append("no request was answered")
    quiet = row.expected is Expected.REFUSED or row.announced is ChangeClass.NOTHING
    if quiet and len(outcome.by) > 1:
        found.append(f"the holder of the VIP changed: {' -> '.join(outcome.by)}")
    if outcome.preview_after != ["same"]:
        found.append(f"the preview afterwards shows {', '.join(outcome.preview_after) or 'nothing'}")
    return found


# -- the stack file -----------------------------------------------------------------------------------------


def config_after(config: Mapping[str, Any], row: Row, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the entries of the stack file (without namespace) after the change of a row.

    :param config: the entries before it.
    :param values: placeholder of ``change_rows`` → the value in this cloud.
    """
    after = {key: value for key, value in config.items() if key not in row.forget}
    for key, value in row.settings.items():
        value = _filled(value, values)
        if key == "service":
            merged: dict[str, Any] = {**after.get("service", {}), **value}
            check = merged.get("check", "http")
            value = {name: own for name, own in merged.items() if OF_ONE_CHECK.get(name, check) == check}
        after[key] = value
    return after


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType] # a list of a row
        return [_filled(item, values) for item in items]
    if isinstance(value, str):
        for placeholder, text in values.items():
            value = value.replace(placeholder, text)
    return value


class StackFile:
    """The entries of a deployment's stack file that belong to the project."""

    def __init__(self, pair: Deployment) -> None:
        """Read nothing yet."""
        self._path = pair.stack_file
        self._project = str(yaml.safe_load((pair.folder / "Pulumi.yaml").read_text(encoding="utf-8"))["name"])

    def read(self) -> dict[str, Any]:
        """Return key → value, without the project's namespace."""
        prefix = f"{self._project}:"
        return {key.removeprefix(prefix): value for key, value in self._all().items() if key.startswith(prefix)}

    def write(self, entries: Mapping[str, Any]) -> None:
        """Replace the project's entries."""
        content: dict[str, Any] = yaml.safe_load(self._path.read_text(encoding="utf-8")) or {}
        others = {key: value for key, value in self._all().items() if not key.startswith(f"{self._project}:")}
        content["config"] = {**others, **{f"{self._project}:{key}": value for key, value in entries.items()}}
        self._path.write_text(yaml.safe_dump(content), encoding="utf-8")

    def _all(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self._path.read_text(encoding="utf-8")) or {}
        return content.get("config", {})


# -- the pair -----------------------------------------------------------------------------------------------


def open_pair(cloud: Any) -> Deployment:
    """Return the pair of the matrix, with the program as it is now. Make its stack if there is none yet."""
    project, key = FOLDER / "project", FOLDER / "key"
    if not key.exists():
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        pair = new_deployment(FOLDER, PREFIX, cloud, copy_of_the_project)
        pair.set(advertInterval=1)
        return pair
    stack_file = (project / f"Pulumi.{PREFIX}.yaml").read_text(encoding="utf-8")
    shutil.rmtree(project)
    project.mkdir()
    copy_of_the_project(project)
    (project / f"Pulumi.{PREFIX}.yaml").write_text(stack_file, encoding="utf-8")
    stack = automation.select_stack(
        PREFIX,
        work_dir=str(project),
        opts=automation.LocalWorkspaceOptions(
            env_vars={
                "PULUMI_BACKEND_URL": (FOLDER / "state").as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": "acceptance",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            }
        ),
    )
    pair = Deployment(stack, cloud, PREFIX)
    return Deployment(stack, cloud, str(StackFile(pair).read()["namePrefix"]))


def prefix_of(pair: Deployment, file: StackFile) -> Deployment:
    """Return the same deployment with the name prefix that its stack file has now."""
    return Deployment(pair.stack, pair.cloud, str(file.read()["namePrefix"]))


def make_healthy(pair: Deployment) -> None:
    """Carry out what an earlier run has left undone, and wait until the master serves."""
    if set(pair.preview()) != {"same"}:
        pair.up()
    pair.until_ready()
    if StackFile(pair).read().get("preempt", True):
        pair.until_the_master_serves(BOOT_TIMEOUT)


@contextmanager
def situation_of(row: Row, pair: Deployment, values: Mapping[str, str]) -> Generator[None]:
    """Bring the pair into the situation in which the change begins, and put it right afterwards."""
    master, backup = pair.members
    stopped = {Situation.BACKUP_STOPPED: backup, Situation.MASTER_STOPPED: master}.get(row.situation)
    compute = pair.cloud.compute
    if stopped:
        compute.stop_server(pair.server(stopped))
        _until_status(pair, stopped, "SHUTOFF")
    disabled = row.situation is Situation.MASTER_PORT_DISABLED
    if disabled:
        pair.cloud.network.update_port(pair.port(master), is_admin_state_up=False)
        pair.until_served_by(backup)
    if row.situation is Situation.BOTH_RESIZED:
        for member in (backup, master):
            _resize(pair, member, values["<present flavor>"])
    try:
        yield
    finally:
        if disabled:
            pair.cloud.network.update_port(pair.port(master), is_admin_state_up=True)
        if stopped and pair.server(stopped).status == "SHUTOFF":
            compute.start_server(pair.server(stopped))
            _until_status(pair, stopped, "ACTIVE")


def _resize(pair: Deployment, member: str, flavor: str) -> None:
    compute = pair.cloud.compute
    compute.resize_server(pair.server(member), compute.find_flavor(flavor, ignore_missing=False).id)
    _until_status(pair, member, "VERIFY_RESIZE")
    compute.confirm_server_resize(pair.server(member))
    _until_status(pair, member, "ACTIVE")
    pair.until_member_ready(member)


def _until_status(pair: Deployment, member: str, status: str) -> None:
    end = time.monotonic() + BOOT_TIMEOUT
    while (now := pair.server(member).status) != status:
        if time.monotonic() >= end:
            raise RuntimeError(f"{member} has Nova's status {now}, not {status}")
        time.sleep(2)


# -- one row ------------------------------------------------------------------------------------------------


def carry_out(row: Row, pair: Deployment, values: Mapping[str, str]) -> Outcome:
    """Make the change of one row, and return what was announced and what was seen."""
    outcome = Outcome(row.what, row.key, row.announced.value, row.expected.value)
    file = StackFile(pair)
    before = file.read()
    urls = [pair.url, *([f"{pair.url.rpartition(':')[0]}:{row.second_port}"] if row.second_port else [])]
    with situation_of(row, pair, values):
        if row.install:
            _add_to_install_script(pair, row.install)
        file.write(config_after(before, row, values))
        _announce(row, pair, outcome)
        with watched(*urls) as seen:
            outcome.status, outcome.message = _up(pair, *row.arguments)
            if outcome.status == 0:
                prefix_of(pair, file).until_ready()
                time.sleep(5)
        outcome.saw(seen)
        if row.expected is Expected.REFUSED:
            file.write(before)
    pair = prefix_of(pair, file)
    if row.expected is Expected.STOPPED:
        pair.until_ready()
        _up(pair)
    outcome.preview_after = sorted(set(pair.preview()))
    outcome.problems = problems_of(row, outcome)
    return outcome


def _add_to_install_script(pair: Deployment, line: str) -> None:
    path = pair.template("install.sh.j2")
    text = path.read_text(encoding="utf-8")
    if line not in text:
        path.write_text(text.replace("systemctl daemon-reload\n", f"{line}\nsystemctl daemon-reload\n"), "utf-8")


def _announce(row: Row, pair: Deployment, outcome: Outcome) -> None:
    """Ask `python -m ops plan` about the change. It cannot know the arguments of the `up` that follows."""
    if row.arguments:
        return
    done = pair.ops("plan", pair.stack.name, "--format", "json")
    outcome.plan_status = done.returncode
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        outcome.announced = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return
    outcome.announced, outcome.announced_class = (
        str(said.get("verdict", said.get("error", ""))),
        str(said.get("class", "")),
    )


def _up(pair: Deployment, *arguments: str) -> tuple[int, str]:
    """Run `pulumi up`; return its exit status, and the last line of a message that is one of ours."""
    done = pair.run(
        "pulumi",
        "up",
        "--yes",
        "--skip-preview",
        "--non-interactive",
        "--color=never",
        *arguments,
        "--stack",
        pair.stack.name,
    )
    print(done.stdout, done.stderr, sep="\n", flush=True)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    # The preflight numbers its reasons; a gate's reason is the last line of its output.
    reasons = [line for line in lines if line.startswith("1. ")] or [line for line in lines if "not touched" in line]
    return (0, "") if done.returncode == 0 else (1, (reasons or lines or [""])[0])


# -- the command --------------------------------------------------------------------------------------------


def values_of(cloud: Any, *, image: str, flavor: str, network: str) -> dict[str, str]:
    """Return placeholder → value in this cloud, and make the second key pair."""
    key = FOLDER / "other-key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    name = f"{PREFIX}-other-key"
    if cloud.compute.find_keypair(name) is None:
        cloud.compute.create_keypair(name=name, public_key=public)
    return {
        places.OTHER_KEY: name,
        places.PUBLIC_KEY: public,
        places.OTHER_IMAGE: image,
        places.IMAGE_ID: str(cloud.image.find_image("debian-12-x86_64", ignore_missing=False).id),
        places.OTHER_FLAVOR: flavor,
        places.OTHER_NETWORK: network,
        places.PRESENT_VIP: "10.0.0.201",
        "<present flavor>": "c1.c1r1",
    }


def read_results(path: Path = RESULTS) -> dict[str, Any]:
    """Return the figures that there are so far."""
    if not path.exists():
        return {"rows": {}}
    return json.loads(path.read_text(encoding="utf-8"))


def render(results: Mapping[str, Any]) -> str:
    """Return the text of docs/changes.md."""
    environment = Environment(  # Markdown
        loader=FileSystemLoader(TEMPLATE.parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    rows = [results["rows"][row.what] for row in ROWS if row.what in results["rows"]]
    return environment.get_template(TEMPLATE.name).render(
        rows=rows, measured=results["measured"], longest_gap=LONGEST_GAP, lost=LOST, interval=POLL_INTERVAL
    )


app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def run(
    only: Annotated[list[str] | None, typer.Option(help="Only the rows whose text contains this; again.")] = None,
    image: Annotated[str, typer.Option(help="A second image of the cloud.")] = "debian-12-x86_64-b",
    flavor: Annotated[str, typer.Option(help="A second flavor of the cloud.")] = "c1.c1r2",
    network: Annotated[str, typer.Option(help="A second external network of the cloud.")] = "other-net",
    minutes: Annotated[float, typer.Option(help="Begin no row after so many minutes.")] = 600,
) -> None:
    """Make the changes that have no figures yet."""
    end = time.monotonic() + 60 * minutes
    cloud = connect()
    results = read_results()
    chosen = [
        row for row in ROWS if (any(text in row.what for text in only) if only else row.what not in results["rows"])
    ]
    with interrupts_raised():
        pair = open_pair(cloud)
        values = values_of(cloud, image=image, flavor=flavor, network=network)
        if not pair.outputs:
            pair.up()
        for row in chosen:
            if time.monotonic() >= end:
                break
            pair = prefix_of(pair, StackFile(pair))
            make_healthy(pair)
            print(f"== {row.what}", flush=True)
            outcome = carry_out(row, pair, values)
            print(outcome, flush=True)
            results["rows"][row.what] = asdict(outcome)
            results["measured"] = f"{datetime.now(UTC):%Y-%m-%d}"
            RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    bad = [what for what, row in results["rows"].items() if row["problems"]]
    print("\n".join(f"{what}: {'; '.join(results['rows'][what]['problems'])}" for what in bad))
    raise typer.Exit(1 if bad else 0)


@app.command()
def delete() -> None:
    """Destroy the pair and delete its folder. The figures stay."""
    cloud = connect()
    open_pair(cloud).destroy()
    if cloud.compute.find_keypair(f"{PREFIX}-other-key"):
        cloud.compute.delete_keypair(f"{PREFIX}-other-key")
    shutil.rmtree(FOLDER)


@app.command()
def write() -> None:
    """Write docs/changes.md and docs/changes.json from the figures."""
    results = read_results()
    FIGURES.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(render(results), encoding="utf-8")


if __name__ == "__main__":
    app()
