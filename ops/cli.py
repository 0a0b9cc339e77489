"""The commands of an operator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from drill.command import EventOption, LimitOption, ReportOption, chosen_events, exit_status, run_drill
from drill.events import possible_events
from drill.interrupts import interrupts_raised
from drill.measurement import Observation
from drill.procedure import NotHealthy
from drill.timing import CLOUD_POLL_INTERVAL, CLOUD_RECOVERY_TIMEOUT, LIMIT
from gates.connection import NO_ANSWER, connect
from gates.credentials import credentials_from
from settings.pair import NO_FLOATING_IP, PairSettings
from settings.parsing import SettingsError, parse_settings
from settings.service import Check

from .adopt import IMPORT_OPTIONS, Adoption, PlannedChange, import_all, plan_adoption, rehearse, unmanaged
from .cloud_pair import CloudPair, NotRestored, WayIn
from .engine import Engine, EngineError
from .in_place import Move, moves_in_place
from .inventory import Inventory
from .local_state import remove_half_written
from .observation import ObservedPair, observe
from .offline_plan import OfflineError
from .plan import PlanError, plan_offline
from .plan import plan as plan_now
from .plan_report import Format, failure, report
from .plan_verdict import FAILED
from .probe import probe
from .recover import find_begun, record, until_settled
from .status import judge

#: A drill requests the page that begins with the member's name, whatever check the settings have.
NAMED_PAGE = {"check": Check.HTTP, "url_path": "/", "expected_codes": "200"}


class Commands(TyperGroup):
    """The commands. A wrong argument or option exits with 1, as every other failure.

    Typer's own status for it is 2, which means changes for `plan`, and findings for `status`.
    """

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the options before the command's name."""
        with _failing_with_1():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Read the command's own arguments, and run it."""
        with _failing_with_1():
            return super().invoke(ctx)


@contextmanager
def _failing_with_1() -> Generator[None]:
    try:
        yield
    except typer.TyperException as error:
        error.exit_code = FAILED
        raise


app = typer.Typer(
    cls=Commands,
    help="An operator's commands. Run them in the project's folder, with the cloud's credentials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
#: Without a terminal (a pipe, CI) rich's default is 80 columns, and the tables need more.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
problems = Console(stderr=True, highlight=False, soft_wrap=True)

Stack = Annotated[str, typer.Argument(help="The stack, as `pulumi stack ls` names it.")]

#: Errors of the environment or the input: the message is enough, without a traceback.
EXPECTED = (
    EngineError,
    SettingsError,
    NotHealthy,
    NotRestored,
    subprocess.SubprocessError,
    *NO_ANSWER,
)


@app.command()
def adopt(
    stack: Stack,
    out: Annotated[Path | None, typer.Option(help="The import file to write; adopt-STACK.json when left out.")] = None,
    do_it: Annotated[bool, typer.Option("--import", help="Also import the resources into the stack.")] = False,
) -> None:
    """Find a pair that was made by hand, write its import file, and show what an `up` after the import would do.

    This never changes the cloud. It changes the stack only with --import. The exit status is 1 if the command
    fails, if a resource exists more than once, if no resource was found, or if an `up` would replace or delete a
    network, a subnet, a router, a router's interface, a port or a floating IP.
    """
    engine = _engine(stack)
    connection = _connect(engine)
    import_file = (out or Path(f"adopt-{stack.rpartition('/')[2]}.json")).resolve()
    inventory = Inventory(connection)
    with tempfile.TemporaryDirectory() as folder:
        adoption = plan_adoption(engine, inventory, Path(folder))
    if not adoption.matches:
        console.print(f"The stack {stack} has every resource of the program: there is nothing to adopt.")
        return
    console.print(_found_table(adoption))
    if adoption.ambiguous:
        for match in adoption.ambiguous:
            problems.print(
                f"{match.name}: the project has {len(match.ids)} such resources ({', '.join(match.ids)}). "
                "Rename or delete those that do not belong to the pair, then run this again."
            )
        raise typer.Exit(1)
    if not adoption.found and not _has_something(engine):
        problems.print(
            "No resource of the pair was found by the names that the program would give. Check namePrefix, and whether "
            f"the credentials are those of the right project (region {_region(connection)})."
        )
        raise typer.Exit(1)

    import_file.write_text(json.dumps(adoption.import_file, indent=2) + "\n", encoding="utf-8")
    changes = rehearse(engine, adoption, import_file)
    console.print(_changes_table(changes))
    for other in unmanaged(adoption, inventory):
        console.print(f"Not managed by the program: {other}. `pulumi up` leaves this alone.")
    for move in moves_in_place(adoption.matches, connection):
        _explain(move)
    outages = [change.name for change in changes if change.is_an_outage]
    if outages:
        problems.print(
            f"An `up` would replace {', '.join(outages)}, which is an outage: "
            f"first set the differing keys in Pulumi.{stack}.yaml to the present values."
        )
        raise typer.Exit(1)
    if do_it:
        import_all(engine, adoption, import_file)
        console.print(f"The stack {stack} has the resources now. Continue with:\n")
    else:
        console.print(f"{import_file.name} is written. Nothing else has changed yet. Continue with:\n")
        console.print(f"  python -m ops adopt {stack} --import")
    console.print(f"  pulumi preview --stack {stack}\n  pulumi up --stack {stack}\n")
    if not do_it:
        console.print(
            f"`pulumi import --stack {stack} --file {import_file.name} {' '.join(IMPORT_OPTIONS)}` imports too, "
            "but then the `up` deletes each running server without shutting it down first.",
            soft_wrap=True,
        )


@app.command()
def recover(stack: Stack) -> None:
    """After a killed run, take the resources that it was creating into the stack, or forget those that do not exist.

    First make sure that the run has ended, and release the stack with `pulumi cancel`. (If `cancel` fails with `failed
    to load checkpoint: EOF`, run `recover`, then `cancel`, then `recover` again.) Afterwards `pulumi up` continues the
    change, and `pulumi destroy` finds every resource.
    """
    engine = _engine(stack)
    for left in remove_half_written(engine.backend(), engine.project(), stack):
        console.print(f"{left} was half written and is removed: the engine works without it")
    connection = _connect(engine)
    begun = find_begun(engine.state(), Inventory(connection))
    for one in begun:
        if len(one.ids) > 1 or (one.ids and one.made_again):
            problems.print(
                f"{one.name}: the project has {', '.join(one.ids)}, and the stack "
                f"{'has made another resource since' if one.made_again else 'was creating only one'}. "
                "Delete those that do not belong to the stack, then run this again."
            )
            raise typer.Exit(1)
    record(engine, begun)
    for one in begun:
        console.print(f"{one.name}: {f'taken into the stack ({one.ids[0]})' if one.ids else 'was not created yet'}")
    if unconfirmed := until_settled(engine.state(), connection.compute, console.print):
        for server in unconfirmed:
            problems.print(
                f"{server} was being resized, and Nova waits for a confirmation: `openstack server resize confirm "
                f"{server}` (or revert). Then run this again; until then the engine can't read the server."
            )
        raise typer.Exit(1)
    engine.run("refresh", "--yes", "--skip-preview")
    console.print(f"{stack} matches the cloud. Continue with `pulumi up`, or with `pulumi destroy`.")


@app.command()
def plan(
    stack: Stack,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no cloud: compare with the pair as another revision declares it.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(help="With --offline: this revision of git; the merge base with the main branch when left out."),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="The format of the report.")] = Format.TEXT,
) -> None:
    """Show what `pulumi up` would change, in which order, and what the clients would notice. It changes nothing.

    The plan is the engine's own preview. With --offline it needs no credentials and no network, only the Pulumi CLI,
    its plugins and git. The exit status is 0 without changes, 2 with changes, 3 if the service would be interrupted or
    the change is refused, and 1 if the plan could not be made.
    """
    if against is not None and not offline:
        problems.print("--against needs --offline: without it, the plan is against the pair in the cloud")
        raise typer.Exit(FAILED)
    engine = _engine(stack)
    try:
        with interrupts_raised():
            made = plan_offline(engine, against) if offline else plan_now(engine)
    except (PlanError, OfflineError, *EXPECTED) as error:
        if format_ is not Format.TEXT:
            print(failure(stack, str(error), format_))
        problems.print(str(error), markup=False)
        raise typer.Exit(FAILED) from None
    print(report(made, format_))
    raise typer.Exit(made.verdict.exit_status)


@app.command()
def status(
    stack: Stack,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the pair as it is seen from outside, and each problem with its cause and a way out.

    Use it for monitoring: the exit status is 0 when nothing is wrong, 2 when something is, and 1 when the cloud or the
    stack could not be read. It changes nothing.
    """
    engine = _engine(stack)
    settings = _settings(engine)
    pair = observe(_connect(engine), settings)
    findings = judge(pair, settings)
    if as_json:
        console.print_json(data={"findings": [asdict(finding) for finding in findings], "seen": asdict(pair)})
    else:
        console.print(_members_table(pair))
        console.print(_answers(pair, settings))
        for finding in findings:
            console.print(f"[bold red]wrong:[/bold red] {finding.cause}: {finding.consequence}. {finding.way_out}.")
        if not findings:
            console.print("nothing is wrong")
    raise typer.Exit(2 if findings else 0)


@app.command()
def drill(
    stack: Stack,
    key: Annotated[
        Path | None, typer.Option(help="A private key for a login on the members' public addresses.")
    ] = None,
    login: Annotated[str, typer.Option(help="The user of this login, who needs sudo.")] = "debian",
    ssh_config: Annotated[
        Path | None, typer.Option(help="A configuration file for ssh, which can name a jump host.")
    ] = None,
    event: EventOption = None,
    limit: LimitOption = LIMIT,
    report: ReportOption = None,
) -> None:
    """Perform failures on a pair and restore it after each, and show what a client saw.

    Ctrl-C restores the pair as well. Without --key the events are those of the APIs: the master's port is disabled,
    the master is paused, and it is shut down. With --key (and memberFloatingIps) events on a member are added. Exits
    with 1 unless service came back every time.
    """
    seen = _drill(stack, WayIn(key, login, ssh_config) if key else None, event, limit, report)
    raise typer.Exit(exit_status(seen))


def _drill(
    stack: str, way_in: WayIn | None, names: Sequence[str] | None, limit: float, report: Path | None
) -> list[Observation]:
    engine = _engine(stack)
    settings = _settings(engine)
    allowed = possible_events(login=way_in is not None, hypervisor=False, drain=settings.service_check)
    events = chosen_events(names, allowed, "" if way_in else "; with --key also the events on a member")
    pair = _pair_to_drill(engine, settings, way_in)
    return run_drill(
        pair,
        events,
        name=stack.rpartition("/")[2],
        stack=stack,
        say=console.print,
        show=console.print,
        limit=limit,
        report=report,
        poll_interval=CLOUD_POLL_INTERVAL,
        recovery_timeout=CLOUD_RECOVERY_TIMEOUT,
    )


def _pair_to_drill(engine: Engine, settings: PairSettings, way_in: WayIn | None) -> CloudPair:
    """Return the stack's pair, if it is healthy, and the drill can tell its members apart and log in on them.

    :raises typer.Exit: with status 1, after a message, if a condition does not hold.
    """
    if settings.floating_ip == NO_FLOATING_IP:
        problems.print("The drill sends its requests to the floating IP, and floatingIp is none. Nothing was done.")
        raise typer.Exit(1)
    connection = _connect(engine)
    observed = observe(connection, settings)
    if findings := judge(observed, settings):
        for finding in findings:
            problems.print(f"{finding.cause}: {finding.consequence}. {finding.way_out}.")
        problems.print("The pair is not healthy, so it is not drilled: the peer may be unable to take over.")
        raise typer.Exit(1)
    page = probe(str(observed.floating_ip), settings.service.model_copy(update=NAMED_PAGE))
    if page not in {member.name for member in settings.members}:
        problems.print(
            f"The page at / begins with {page!r}, which is no member's name. The drill needs the name to know which "
            "member answers: let each member's page begin with its host name."
        )
        raise typer.Exit(1)
    pair = CloudPair(connection, settings, engine.outputs(), way_in)
    if way_in and (shut := [member.name for member in pair.members() if not member.lets_in()]):
        problems.print(
            f"No login on {' and '.join(shut)} with {way_in.key}, so nothing was done. A login needs "
            "memberFloatingIps, sshCidrs, the private key of the pair, and --login."
        )
        raise typer.Exit(1)
    return pair


def _settings(engine: Engine) -> PairSettings:
    """Return the settings of the stack.

    :raises SettingsError: with the program's own message about wrong settings.
    """
    project = engine.project()
    entries = {
        key.removeprefix(f"{project}:"): json.dumps(entry["objectValue"]) if "objectValue" in entry else entry["value"]
        for key, entry in engine.config().items()
        if key.startswith(f"{project}:")
    }
    return parse_settings(entries, project)


def _members_table(pair: ObservedPair) -> Table:
    table = Table("member", "server", "last report", "port", "addresses", "allowed address pairs")
    for member in pair.members.values():
        port = member.port
        table.add_row(
            member.name,
            member.server_status or "none",
            str(member.report.what if member.report else "–"),
            ("enabled" if port.enabled else "disabled") if port else "none",
            ", ".join(port.addresses) if port else "–",
            ", ".join(port.allowed_addresses) or "none" if port else "–",
        )
    return table


def _answers(pair: ObservedPair, settings: PairSettings) -> str:
    if pair.floating_ip is None:
        return "there is no floating IP to send requests to"
    pages = [answer or "(no name)" for answer in pair.answers if answer is not None]
    counts = ", ".join(f"{page} {pages.count(page)}" for page in sorted(set(pages))) or "none"
    return f"{len(pair.answers)} requests to {pair.floating_ip}:{settings.service.port}; answers: {counts}"


def _engine(stack: str) -> Engine:
    folder = Path.cwd()
    if not (folder / "Pulumi.yaml").is_file():
        raise EngineError(f"there is no Pulumi.yaml in {folder}: run this in the project's folder")
    return Engine(folder, stack)


def _connect(engine: Engine) -> Any:
    """Connect with the provider's credentials: those of the stack, added to those of the environment."""
    config = engine.config()
    os.environ.update(credentials_from(lambda key: config.get(f"openstack:{key}", {}).get("value")))
    return connect()


def _has_something(engine: Engine) -> bool:
    resources: list[dict[str, Any]] = engine.state().get("resources") or []
    return any(str(resource["type"]).startswith("openstack:") for resource in resources)


def _region(connection: Any) -> str:
    return str(connection.config.get_region_name())


def _found_table(adoption: Adoption) -> Table:
    table = Table("resource", "name", "in the project", title="resources of the program")
    for match in adoption.matches:
        ids = f"ambiguous: {len(match.ids)}" if len(match.ids) > 1 else "".join(match.ids)
        table.add_row(_kind(match.step.type), match.name, ids or "missing: `up` creates it")
    return table


def _changes_table(changes: list[PlannedChange]) -> Table:
    words = {"create": "is created", "update": "is changed in place", "replace": "is replaced", "delete": "is deleted"}
    table = Table("resource", "name", "change", "because of", title="changes of an `up` after the import")
    for change in changes:
        table.add_row(_kind(change.type), change.name, words[change.operation], ", ".join(change.reasons))
    return table


def _kind(type_: str) -> str:
    """Return ``Port`` for ``openstack:networking/port:Port``."""
    return type_.rpartition(":")[2]


def _explain(move: Move) -> None:
    console.print(f"{move.server} is not on {move.port}: {move.what_up_does}\nTo move the running server instead:\n")
    for command in move.commands:
        console.print(f"  {command}", soft_wrap=True)
    console.print(f"\n{move.afterwards}\n")


def main() -> None:
    """Run the command line; print an expected error without a traceback, and exit with 1."""
    try:
        app()
    except EXPECTED as error:
        problems.print(str(error), markup=False)
        sys.exit(1)
