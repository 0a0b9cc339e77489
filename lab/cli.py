"""The commands of the lab."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pulumi import RunError
from rich.console import Console
from rich.table import Table

from drill.command import EventOption, LimitOption, ReportOption, chosen_events, exit_status, run_drill
from drill.events import DEMONSTRATION, Event, possible_events
from drill.interrupts import interrupts_raised
from drill.measurement import Observation
from drill.procedure import NotHealthy
from drill.timing import DEMONSTRATION_LIMIT, LIMIT

from . import container
from .bench import ENOUGH_ROUNDS, EVENTS, contestants
from .bench import run as run_bench
from .bench_report import REPORT
from .bench_report import redraw as redraw_report
from .cloud import Cloud
from .container import ContainerError
from .guest_image import ImageError
from .kernel import KernelError
from .machine import MachineNotReady, check_commands, check_machine
from .neutron import Conflict
from .nova import Server
from .pair import LabPair, url_of
from .place import NAME, NoSuchLab, Place, the_only_place, the_place
from .resources import UnknownToTheLab
from .stack_file import StackFileError, read_stack
from .up import LabFailed, ask, bring_up, is_ready

HELP = """Run the pair's program on this machine, with the kernel in OpenStack's place.

A network is a bridge, and a port is a veth pair with port security. Security groups are stateful rules for each port.
A router does NAT, for floating IPs too. A server is a Debian 12 container, in which cloud-init runs the declared
user-data.

The lab does not imitate: DHCP (it sets a port's addresses itself), the metadata service (user-data comes by NoCloud),
Nova's scheduling (there is one hypervisor), changes of a running pair (it records the gates and does not run them),
images (every name is Debian 12), flavors, router advertisements, and the internet. Everything is in network namespaces
of the lab's own.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
#: Without a terminal (a pipe, CI) rich's default is 80 columns, and the tables need more.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
Name = Annotated[
    str | None,
    typer.Option("--name", help="The lab's name; without it, the lab that was brought up last (`down`: the only lab)."),
]

#: Errors of the machine or the input. They are shown without a traceback.
EXPECTED = (
    MachineNotReady,
    StackFileError,
    UnknownToTheLab,
    NoSuchLab,
    LabFailed,
    ImageError,
    ContainerError,
    KernelError,
    Conflict,
    NotHealthy,
    RunError,
)


@app.command()
def up(
    stack: Annotated[str, typer.Argument(help="A stack (nz-por-1) or the path of a stack file.")],
    name: Annotated[str | None, typer.Option(help="The lab's name; without it, the stack's.")] = None,
) -> None:
    """Bring the stack up and wait for its first answer."""
    check_machine()
    config = read_stack(stack)
    place = Place(name or config.stack)
    if not NAME.fullmatch(place.name):
        raise typer.BadParameter(
            f"{place.name}: use at most 31 lower-case letters, digits and hyphens", param_hint="--name"
        )

    def leave(*_: object) -> None:
        # A normal exit would wait for the SDK's threads, which may never end. The record on disk is complete.
        print(f"interrupted; `python -m lab down --name {place.name}` removes the rest", flush=True)
        os._exit(130)

    signal.signal(signal.SIGINT, leave)
    with _progress(f"lab {place.name}") as say:
        cloud, outcome, first = bring_up(place, config, say)
    console.print(f"{len(list(cloud.record))} resources; first answer after {first:.1f} s: {outcome.outputs['url']}")
    console.print(_members_table(cloud))


@app.command()
def status(name: Name = None) -> None:
    """Show which member holds the VIP and which answers. Exits with 1 unless exactly one holds it and one answers."""
    check_commands()
    cloud = Cloud(the_place(name))
    answer = ask(cloud, url_of(cloud))
    console.print(_members_table(cloud, answer))
    holders = [server.name for server in cloud.nova.servers() if _vip(cloud) in server.addresses()]
    console.print(
        f"{answer or 'no member'} answers at {url_of(cloud)}; the VIP is on {', '.join(holders) or 'no member'}"
    )
    raise typer.Exit(0 if answer and len(holders) == 1 else 1)


@app.command()
def drill(
    name: Name = None,
    event: EventOption = None,
    limit: LimitOption = LIMIT,
    report: ReportOption = None,
) -> None:
    """Perform failures on the pair and restore it after each, and show what a client saw.

    Ctrl-C restores the pair as well. Exits with 1 unless service came back every time.
    """
    check_machine()
    cloud = Cloud(the_place(name))
    allowed = possible_events(login=True, hypervisor=True, drain=LabPair(cloud).service_check)
    raise typer.Exit(exit_status(_drill(cloud, chosen_events(event, allowed), limit, report)))


@app.command()
def demo(stack: Annotated[str, typer.Argument(help="A stack, or the path of a stack file.")] = "nz-por-1") -> None:
    """Run up, drill and down.

    Exits with 1 unless service came back as expected after each event, nothing is left, and Neutron would accept the
    order of the deletions.
    """
    check_machine()
    config = read_stack(stack)
    place = Place(f"demo-{config.stack}")
    if place.exists():
        raise LabFailed(f"there is a lab {place.name} already: `python -m lab down --name {place.name}` removes it")
    began = time.monotonic()
    wrong: list[str] = []
    try:
        with _progress(f"lab {place.name}") as say:
            cloud, outcome, first = bring_up(place, config, say)
        came_up = time.monotonic()
        console.print(
            f"{len(list(cloud.record))} resources declared; {outcome.outputs['url']} answered after {first:.1f} s"
        )
        console.print(_members_table(cloud))
        events = _drill(cloud, DEMONSTRATION, DEMONSTRATION_LIMIT)
    finally:
        # Clean up after an error or a Ctrl-C too. A second Ctrl-C (sudo repeats the signal) must not stop the clean-up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        wrong = _take_down(Cloud(place))
    left = [namespace.name for namespace in place.namespaces()]
    back = [event for event in events if event.passed]
    summary = Table.grid(padding=(0, 2))
    summary.add_row("up", f"{came_up - began:.0f} s, first answer {first:.1f} s after the first resource")
    summary.add_row("drill", f"service back as expected after {len(back)} of {len(events)} events")
    summary.add_row("down", "nothing left" if not left else f"left: {', '.join(left)}")
    summary.add_row("in all", f"{time.monotonic() - began:.0f} s")
    console.print(summary)
    raise typer.Exit(0 if len(back) == len(events) and not left and not wrong else 1)


@app.command()
def bench(
    rounds: Annotated[int, typer.Option(help="How many times to do each event to each pair.", min=1)] = 10,
    report: Annotated[
        Path | None,
        typer.Option(
            help="The report's path; figures and picture go beside it. A short or partial run writes to build/."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Measure only the events whose names contain one of these words.")
    ] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="Measure only the pair with this title in the report; may be repeated.")
    ] = None,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Measure nothing: write text and picture again from the saved figures.")
    ] = False,
) -> None:
    """Do every event many times to the tutorial's pair and to ours, in turns; write docs/failover.md."""
    if redraw:
        redraw_report(report or REPORT)
        return
    chosen = [event for event in EVENTS if not only or any(word in event.name for word in only)]
    asked = [one for one in contestants() if not pair or one.title in pair]
    if not asked:
        titles = ", ".join(f"'{one.title}'" for one in contestants())
        raise typer.BadParameter(f"no such pair; choose from {titles}", param_hint="--pair")
    whole = rounds >= ENOUGH_ROUNDS and not only and not pair
    report = report or (REPORT if whole else Path("build") / REPORT.name)
    try:
        with interrupts_raised(), _progress("bench") as say:
            run_bench(rounds, say, report, chosen, asked)
    except KeyboardInterrupt:
        # A normal exit would wait for the SDK's threads, which may never end. The labs are gone already.
        print(f"interrupted; if anything was measured, it is in {report}", flush=True)
        os._exit(130)
    console.print(f"report: {report}")


@app.command()
def shell(
    member: Annotated[str, typer.Argument(help="A member's name, or master or backup.")], name: Name = None
) -> None:
    """Open a root shell on a member."""
    check_commands()
    raise typer.Exit(container.shell(_member(Cloud(the_place(name)), member).first()))


@app.command()
def logs(
    member: Annotated[str, typer.Argument(help="A member's name, or master or backup.")], name: Name = None
) -> None:
    """Show a member's console, and keepalived's log of the present boot."""
    check_commands()
    found = _member(Cloud(the_place(name)), member)
    console.rule(f"console of {found.name}")
    print(found.console())
    console.rule("keepalived")
    units = ["--unit=keepalived", "--unit=vrrp-health", "--identifier=Keepalived_vrrp"]
    print(found.run("journalctl", "--boot", "--no-pager", *units).stdout)


@app.command()
def down(name: Name = None) -> None:
    """Delete the lab in dependency order. Exits with 1 if Neutron would have refused that order."""
    check_commands()
    raise typer.Exit(1 if _take_down(Cloud(the_only_place(name))) else 0)


def main() -> None:
    """Run a command; an error of the machine or the input is one message on the terminal, and the exit status 2."""
    try:
        app()
    except EXPECTED as error:
        console.print(f"[bold red]error:[/bold red] {error}", soft_wrap=True)
        sys.exit(2)


@contextmanager
def _progress(what: str) -> Generator[Callable[[str], None]]:
    """Show the present step on a terminal; without a terminal, print every step with its time."""
    began = time.monotonic()
    if console.is_terminal:
        with console.status(what) as spinner:

            def show(step: str) -> None:
                spinner.update(f"{what}: {step} ({time.monotonic() - began:.0f} s)")

            yield show
    else:

        def tell(step: str) -> None:
            print(f"{time.monotonic() - began:6.1f} s  {what}: {step}", flush=True)

        yield tell


def _drill(cloud: Cloud, events: Sequence[Event], limit: float, report: Path | None = None) -> list[Observation]:
    stack = str(cloud.record.about["stack"])
    with _progress(f"drill of {cloud.place.name}") as say:
        return run_drill(
            LabPair(cloud),
            events,
            name=cloud.place.name,
            stack=stack,
            say=say,
            show=console.print,
            limit=limit,
            report=report,
        )


def _take_down(cloud: Cloud) -> list[str]:
    """Delete everything; print and return the deletions that Neutron would refuse in this order."""
    with _progress(f"lab {cloud.place.name}") as say:
        wrong = cloud.delete_everything(say)
    for line in wrong:
        console.print(f"[red]Neutron would refuse:[/red] {line}")
    console.print(f"lab {cloud.place.name} is gone")
    return wrong


def _members_table(cloud: Cloud, answering: str | None = None) -> Table:
    table = Table("member", "port's address", "holds", "server", "ready", "answers")
    for server in cloud.nova.servers():
        addresses = server.addresses()
        own = str(cloud.neutron.address_of(server.port_id))
        table.add_row(
            server.name,
            own,
            "the VIP" if _vip(cloud) in addresses else "–",
            "running" if server.is_running() else "off",
            "yes" if is_ready(server) else "no",
            "yes" if server.name == (answering or ask(cloud, url_of(cloud))) else "–",
        )
    return table


def _member(cloud: Cloud, name: str) -> Server:
    """Return the member with this name or role."""
    servers = cloud.nova.servers()
    for server in servers:
        if name in (server.name, server.role.value):
            return server
    names = ", ".join(server.name for server in servers)
    raise NoSuchLab(f"lab {cloud.place.name} has no member {name}; it has {names}")


def _vip(cloud: Cloud) -> str:
    return str(cloud.record.about["vip"])
