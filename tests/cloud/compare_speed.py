"""Compare the speed of this program with a plain Pulumi program and with Terraform, on the cloud that OS_CLOUD names.

    python -m tests.cloud.compare_speed --terraform-provider PATH

All three have the same resources. The plain program and the Terraform configuration have no preflight and no gates.
The measurements take turns, so that a busy moment of the cloud does not hit only one program. Everything that was
created is deleted again, also after an interrupt. The table goes to standard output, the figures to
build/compare-speed.json.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from drill.interrupts import interrupts_postponed, interrupts_raised
from gates.connection import connect
from lab.stack_file import PROJECT_FOLDER

from . import speed_candidates as candidates
from .deployment import resources_left, served_by
from .speed_candidates import Candidate, Cloud, CommandFailed, seconds_of

RESULTS = PROJECT_FOLDER / "build" / "compare-speed.json"

PREVIEW_NEW = "preview of a new pair"
PREVIEW_SAME = "preview without changes"
MANY = "preview of many new pairs in one program"
UP = "first up"
ANSWER = "first answer after the beginning of that up"
DESTROY = "destroy"

#: The parts of a comparison, by the name of the option's value.
PARTS = {
    "preview": (PREVIEW_NEW,),
    "many": (MANY,),
    "life": (UP, ANSWER, PREVIEW_SAME, DESTROY),
}

#: Seconds between two requests to a pair that has just been created.
POLL_INTERVAL = 0.5

#: Seconds from the first answer to the previews without changes. Meanwhile the members end their boots, which would
#: otherwise take the processor from the preview if the servers are on the same machine. After 60 s, three previews in a
#: row took 8.9, 7.2 and 6.5 s; five minutes later they took 5.5 to 6.6 s.
SETTLE = 150.0

#: How many previews without changes are measured in each life of a pair. A preview takes seconds, and a busy moment of
#: the machine would otherwise decide.
PREVIEWS = 3


@dataclass
class Figures:
    """The measured seconds."""

    #: Measurement → program → the seconds of each run.
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict[str, dict[str, list[float]]])
    #: Where to write each new figure; None to write nothing.
    path: Path | None = None
    about: dict[str, Any] = field(default_factory=dict[str, Any])

    def add(self, measurement: str, program: str, seconds: float) -> None:
        """Add a figure, and write all of them, so that an interrupt loses none."""
        self.seconds.setdefault(measurement, {}).setdefault(program, []).append(round(seconds, 2))
        print(f"{measurement}, {program}: {seconds:.1f} s", file=sys.stderr, flush=True)
        if self.path:
            self.path.parent.mkdir(exist_ok=True)
            text = json.dumps({**self.about, "seconds": self.seconds}, indent=2)
            self.path.write_text(text + "\n", encoding="utf-8")

    def median(self, measurement: str, program: str) -> float | None:
        """Return the median of the runs; None without any."""
        runs = self.seconds.get(measurement, {}).get(program)
        return statistics.median(runs) if runs else None

    def table(self) -> str:
        """Return a Markdown table: minimum, median and maximum of the runs in seconds."""
        programs = list(dict.fromkeys(name for by_program in self.seconds.values() for name in by_program))
        lines = [
            f"| seconds: min / median / max | {' | '.join(programs)} |",
            f"|---|{'---|' * len(programs)}",
        ]
        for measurement, by_program in self.seconds.items():
            cells = [_cell(by_program.get(program, [])) for program in programs]
            lines.append(f"| {measurement} | {' | '.join(cells)} |")
        return "\n".join(lines)


def _cell(runs: Sequence[float]) -> str:
    if not runs:
        return "–"
    return f"{min(runs):.1f} / {statistics.median(runs):.1f} / {max(runs):.1f} (N={len(runs)})"


def targets(figures: Figures) -> list[str]:
    """Return a line for each target of the project that was measured: the medians, the bound, and whether it is met."""
    lines: list[str] = []
    for measurement, slower in ((PREVIEW_NEW, 1.5), (PREVIEW_SAME, 1.5), (UP, 5.0)):
        lines += _target(figures, measurement, "plain", slower)
    lines += _target(figures, ANSWER, "terraform", 0.0)
    for program in figures.seconds.get(MANY, {}):
        median = figures.median(MANY, program)
        assert median is not None
        lines.append(f"{_verdict(median <= 15)}: {MANY}: {median:.1f} s; at most 15 s")
    return lines


def _target(figures: Figures, measurement: str, yardstick: str, slower: float) -> list[str]:
    ours, theirs = figures.median(measurement, "ours"), figures.median(measurement, yardstick)
    if ours is None or theirs is None:
        return []
    bound = f"at most {slower:g} s more than {yardstick}'s {theirs:.1f} s"
    return [f"{_verdict(ours <= theirs + slower)}: {measurement}: {ours:.1f} s; {bound}"]


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


class LeftBehind(Exception):
    """Some resources could not be deleted; the message names them."""


@dataclass(frozen=True)
class Comparison:
    """One comparison on one cloud."""

    #: An ``openstack.connection.Connection``.
    connection: Any
    figures: Figures
    #: Seconds that a pair may take from the end of its `up` to the first answer.
    boot_timeout: float
    #: ``time.monotonic()`` after which no new measurement begins.
    end: float = float("inf")
    settle: float = SETTLE
    fetch: Callable[[str], str | None] = served_by
    sleep: Callable[[float], None] = time.sleep

    def preview(self, measurement: str, candidate: Candidate) -> None:
        """Measure a preview of resources that do not exist."""
        if not self._is_over():
            self.figures.add(measurement, candidate.name, seconds_of(candidate.preview)[0])

    def life(self, candidate: Candidate) -> None:
        """Measure `up`, the first answer, previews without changes and `destroy`. Nothing is left in any case.

        :raises CommandFailed: when a command fails, or the pair does not answer in time.
        :raises LeftBehind: when the resources can't be deleted.
        """
        if self._is_over():
            return
        before = resources_left(self.connection, candidate.prefix)
        with self._removed_afterwards(candidate, before):
            began = time.monotonic()
            url = candidate.up()
            self.figures.add(UP, candidate.name, time.monotonic() - began)
            self._until_it_answers(url)
            self.figures.add(ANSWER, candidate.name, time.monotonic() - began)
            self.sleep(self.settle)
            for _ in range(PREVIEWS):
                self.figures.add(PREVIEW_SAME, candidate.name, seconds_of(candidate.preview, unchanged=True)[0])
            self.figures.add(DESTROY, candidate.name, seconds_of(candidate.destroy)[0])

    def _is_over(self) -> bool:
        return time.monotonic() >= self.end

    def _until_it_answers(self, url: str) -> None:
        end = time.monotonic() + self.boot_timeout
        while self.fetch(url) is None:
            if time.monotonic() >= end:
                raise CommandFailed(f"{url} did not answer within {self.boot_timeout:.0f} s")
            self.sleep(POLL_INTERVAL)

    @contextmanager
    def _removed_afterwards(self, candidate: Candidate, before: list[str]) -> Generator[None]:
        """Delete everything that the block has created, and check that, with every interrupt postponed."""
        try:
            yield
        finally:
            with interrupts_postponed():
                if resources_left(self.connection, candidate.prefix) != before:
                    with suppress(CommandFailed):
                        candidate.destroy()
                if resources_left(self.connection, candidate.prefix) != before:
                    candidates.remove_leftovers(self.connection, candidate.prefix)
                left = sorted(set(resources_left(self.connection, candidate.prefix)) - set(before))
                if left:
                    raise LeftBehind(f"{candidate.name} has left: {', '.join(left)}")


def in_turns(programs: Sequence[Candidate], run: int) -> list[Candidate]:
    """Return the programs in the order of one run: each run begins with another one."""
    first = run % len(programs) if programs else 0
    return [*programs[first:], *programs[:first]]


def compare(
    comparison: Comparison, programs: Sequence[Candidate], many: Candidate | None, parts: set[str], runs: int
) -> None:
    """Measure the chosen parts, in turns.

    :param many: the program with many pairs; None to leave it out.
    :param runs: the number of runs of each measurement.
    """
    for run in range(runs):
        if "preview" in parts:
            for candidate in in_turns(programs, run):
                comparison.preview(PREVIEW_NEW, candidate)
        if "many" in parts and many:
            comparison.preview(MANY, many)
        if "life" in parts:
            for candidate in in_turns(programs, run):
                comparison.life(candidate)


def _version(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    return done.stdout.strip().partition("\n")[0]


def main(
    part: Annotated[
        list[str] | None, typer.Option(help=f"Only this part: {', '.join(PARTS)}; may be repeated.")
    ] = None,
    program: Annotated[list[str] | None, typer.Option(help="Only this program: ours, plain or terraform.")] = None,
    terraform_provider: Annotated[
        Path | None, typer.Option(help="The executable of terraform-provider-openstack; without it no Terraform.")
    ] = None,
    runs: Annotated[int, typer.Option(help="The number of runs of each measurement.")] = 3,
    pairs: Annotated[int, typer.Option(help="The number of pairs in the part `many`.")] = 20,
    minutes: Annotated[float, typer.Option(help="Begin no new measurement after so many minutes.")] = 180,
    timeout: Annotated[float, typer.Option(help="Seconds that one command, or a boot, may take.")] = 1200,
    settle: Annotated[float, typer.Option(help="Seconds from the first answer to the preview.")] = SETTLE,
    external_network: Annotated[str | None, typer.Option(help="The external network; the project's default.")] = None,
    image: Annotated[str | None, typer.Option(help="The image; the project's default.")] = None,
    flavor: Annotated[str | None, typer.Option(help="The flavor; the project's default.")] = None,
) -> None:
    """Measure previews, the first `up`, the first answer and `destroy` of a pair, in turns with other programs."""
    chosen = set(part or PARTS)
    if unknown := chosen - set(PARTS):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(PARTS)}", param_hint="--part")
    connection = connect()
    defaults = Cloud.with_the_defaults_of_the_project(connection, timeout)
    cloud = Cloud(
        connection,
        external_network or defaults.external_network,
        image or defaults.image,
        flavor or defaults.flavor,
        timeout,
    )
    about = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "machine": f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}",
        "pulumi": _version("pulumi", "version"),
        "terraform": _version("terraform", "version"),
    }
    figures = Figures(path=RESULTS, about=about)
    end = time.monotonic() + 60 * minutes
    makers: dict[str, Callable[[Path], Candidate]] = {
        "ours": lambda folder: candidates.ours(folder, cloud),
        "plain": lambda folder: candidates.plain(folder, cloud),
    }
    if terraform_provider:
        provider = terraform_provider
        makers["terraform"] = lambda folder: candidates.terraform(folder, cloud, provider)
    names = program or list(makers)
    if missing := set(names) - set(makers):
        raise typer.BadParameter(f"{', '.join(missing)}: there are {', '.join(makers)}", param_hint="--program")

    with interrupts_raised(), tempfile.TemporaryDirectory(prefix="compare-speed-") as temporary:

        def folder(name: str) -> Path:
            path = Path(temporary) / name
            path.mkdir()
            return path

        programs = [makers[name](folder(name)) for name in names]
        many = candidates.many(folder("many"), cloud, pairs) if "many" in chosen and "ours" in names else None
        try:
            compare(Comparison(connection, figures, timeout, end, settle), programs, many, chosen, runs)
        except (CommandFailed, LeftBehind) as error:
            print(error, file=sys.stderr)
            raise typer.Exit(1) from error
        finally:
            print(figures.table())
            print("\n".join(targets(figures)))


if __name__ == "__main__":
    typer.run(main)
