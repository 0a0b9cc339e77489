"""The comparison of speed takes turns, leaves nothing behind, and compares programs with the same resources.

The programs and the cloud are made up here; the measurement itself needs a cloud (tests/cloud/compare_speed.py).
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace as Thing
from typing import Any

import pytest

from lab.program import run_program
from lab.stack_file import PROJECT_FOLDER, StackConfig
from tests.cloud import compare_speed, speed_candidates
from tests.cloud.compare_speed import (
    ANSWER,
    DESTROY,
    PREVIEW_NEW,
    PREVIEW_SAME,
    PREVIEWS,
    UP,
    Comparison,
    Figures,
    LeftBehind,
    compare,
    in_turns,
    targets,
)
from tests.cloud.speed_candidates import Candidate, Command, CommandFailed

from .conftest import Declare, RecordingCloud, Run, config_of, identifier

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"

#: The inputs with the ids of existing resources.
LOOKED_UP = {"imageId", "externalNetworkId"}

#: The tags by which our program finds its pair. The others find nothing.
OURS_ALONE = {"tags"}


class MadeUpProgram:
    """Creates one resource in a made-up cloud, and records what it does."""

    def __init__(self, name: str, done: list[str], *, fails_in: str = "", raises: type[BaseException] = CommandFailed):
        self.name = name
        self.prefix = name
        self.done = done
        self.resources: list[str] = []
        self._fails_in = fails_in
        self._raises = raises

    def _do(self, what: str) -> None:
        self.done.append(f"{self.name} {what}")
        if what == self._fails_in:
            raise self._raises(what)

    def preview(self, *, unchanged: bool = False) -> None:
        self._do("preview without changes" if unchanged else "preview")

    def up(self) -> str:
        self.resources.append(f"Server {self.name}")
        self._do("up")
        return "http://198.51.100.7"

    def destroy(self) -> None:
        self._do("destroy")
        self.resources.clear()


@pytest.fixture
def deleted_by_the_api(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefixes whose resources were deleted by the APIs; the made-up cloud is its program's list."""
    prefixes: list[str] = []

    def resources_left(connection: Any, _: str) -> list[str]:
        return ["FloatingIP 198.51.100.99", *connection.resources]

    def remove_leftovers(connection: Any, prefix: str) -> None:
        prefixes.append(prefix)
        if not connection.name.endswith("undeletable"):
            connection.resources.clear()

    monkeypatch.setattr(compare_speed, "resources_left", resources_left)
    monkeypatch.setattr(speed_candidates, "remove_leftovers", remove_leftovers)
    return prefixes


def comparison_of(program: MadeUpProgram, **options: Any) -> Comparison:
    answers = iter([None, None, "vrrp-master"])
    return Comparison(
        program, Figures(), boot_timeout=60, fetch=lambda _: next(answers), sleep=lambda _: None, **options
    )


class TestNothingIsLeftBehind:
    """Prevents servers that stay paid for, and a next run that meets the resources of the last one."""

    def test_a_whole_life_is_measured_and_destroyed_once(self, deleted_by_the_api: list[str]) -> None:
        program = MadeUpProgram("ours", [])
        comparison = comparison_of(program)
        comparison.life(program)
        assert program.done == ["ours up", *["ours preview without changes"] * PREVIEWS, "ours destroy"]
        assert list(comparison.figures.seconds) == [UP, ANSWER, PREVIEW_SAME, DESTROY]
        assert (program.resources, deleted_by_the_api) == ([], [])

    @pytest.mark.parametrize("raises", [CommandFailed, KeyboardInterrupt])
    @pytest.mark.parametrize("fails_in", ["up", "preview without changes"])
    def test_after_an_error_or_an_interrupt_everything_is_destroyed(
        self, deleted_by_the_api: list[str], fails_in: str, raises: type[BaseException]
    ) -> None:
        program = MadeUpProgram("ours", [], fails_in=fails_in, raises=raises)
        with pytest.raises(raises):
            comparison_of(program).life(program)
        assert program.done[-1] == "ours destroy"
        assert (program.resources, deleted_by_the_api) == ([], [])

    def test_a_failed_destroy_is_followed_by_a_deletion_by_the_apis(self, deleted_by_the_api: list[str]) -> None:
        program = MadeUpProgram("ours", [], fails_in="destroy")
        with pytest.raises(CommandFailed):
            comparison_of(program).life(program)
        assert (program.resources, deleted_by_the_api) == ([], ["ours"])

    def test_resources_that_can_not_be_deleted_are_named(self, deleted_by_the_api: list[str]) -> None:
        program = MadeUpProgram("undeletable", [], fails_in="destroy")
        with pytest.raises(LeftBehind, match="undeletable has left: Server undeletable"):
            comparison_of(program).life(program)
        assert deleted_by_the_api == ["undeletable"]

    def test_an_interrupt_during_the_deletion_comes_after_it(self, deleted_by_the_api: list[str]) -> None:
        class Interrupted(MadeUpProgram):
            def destroy(self) -> None:
                os.kill(os.getpid(), signal.SIGINT)
                super().destroy()

        program = Interrupted("ours", [], fails_in="up")
        with pytest.raises(KeyboardInterrupt):
            comparison_of(program).life(program)
        assert (program.done, program.resources) == (["ours up", "ours destroy"], [])

    def test_a_pair_that_never_answers_ends_the_measurement(self, deleted_by_the_api: list[str]) -> None:
        program = MadeUpProgram("ours", [])
        comparison = Comparison(program, Figures(), boot_timeout=0, fetch=lambda _: None, sleep=lambda _: None)
        with pytest.raises(CommandFailed, match="did not answer within 0 s"):
            comparison.life(program)
        assert program.resources == []

    def test_the_second_member_ends_its_boot_before_the_preview(self, deleted_by_the_api: list[str]) -> None:
        program = MadeUpProgram("ours", [])
        done_before_each_pause = list[list[str]]()
        comparison = Comparison(
            program,
            Figures(),
            boot_timeout=60,
            settle=42,
            fetch=lambda _: "vrrp-master",
            sleep=lambda seconds: done_before_each_pause.append([*program.done, f"pause of {seconds:g} s"]),
        )
        comparison.life(program)
        assert done_before_each_pause == [["ours up", "pause of 42 s"]]

    def test_an_interrupt_ends_the_command_cleanly_before_anything_else_happens(self, tmp_path: Path) -> None:
        ended, started = tmp_path / "ended", tmp_path / "started"
        code = (
            "import pathlib, sys, time\n"
            "try:\n"
            f"    pathlib.Path({str(started)!r}).touch()\n"
            "    time.sleep(60)\n"
            "except KeyboardInterrupt:\n"
            f"    pathlib.Path({str(ended)!r}).touch()\n"
        )
        with _interrupted_when(started), pytest.raises(KeyboardInterrupt):
            Command(tmp_path, timeout=60).run(sys.executable, "-c", code)
        assert ended.exists()

    def test_a_command_that_takes_too_long_is_ended_and_reported(self, tmp_path: Path) -> None:
        with pytest.raises(CommandFailed, match=r"took longer than 0 s"):
            Command(tmp_path, timeout=0.2).run(sys.executable, "-c", "import time; time.sleep(60)")

    def test_python_may_write_byte_code_as_on_an_operators_machine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        code = "import sys; print(sys.dont_write_bytecode)"
        assert Command(tmp_path, timeout=60).run(sys.executable, "-c", code) == "False\n"

    def test_a_failed_command_is_reported_with_its_output(self, tmp_path: Path) -> None:
        with pytest.raises(CommandFailed, match=r"ended with 3:\nno such image"):
            Command(tmp_path, timeout=60).run(sys.executable, "-c", "print('no such image'); exit(3)")


class TestTheDeletionByTheApis:
    """Prevents a clean-up that stops half-way at a 409, and one that deletes the resources of others."""

    def test_everything_with_the_prefix_is_deleted_and_nothing_else(self) -> None:
        cloud = MadeUpCloud()
        speed_candidates.remove_leftovers(cloud.connection, "speed-ours")
        assert cloud.deleted == [
            "server speed-ours-master",
            "ip 198.51.100.7",
            "interface port-of-the-router",
            "router speed-ours-router",
            "port speed-ours-port",
            "network speed-ours-net",
            "security_group speed-ours-sec-group",
            "server_group speed-ours-server-group",
        ]


class MadeUpCloud:
    """Has each kind of resource twice: with our prefix, and of others. Records the deletions in their order."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        ports = [
            Thing(id="port-of-the-router", name="", network_id="n-1", device_owner="network:router_interface"),
            Thing(id="p-1", name="speed-ours-port", network_id="n-1", device_owner=""),
            Thing(id="p-2", name="other-port", network_id="n-2", device_owner=""),
        ]
        ips = [
            Thing(name="198.51.100.7", port_id="p-1"),
            Thing(name="198.51.100.8", port_id="p-2"),
            Thing(name="198.51.100.9", port_id=None),
        ]

        def list_ports(**query: str) -> list[Thing]:
            return [port for port in ports if "device_id" not in query or port.id == "port-of-the-router"]

        def list_ips(**_: str) -> list[Thing]:
            return ips

        def remove_interface(_: Thing, port_id: str) -> None:
            self.deleted.append(f"interface {port_id}")

        def wait_for_delete(*_: Thing, wait: float) -> None:
            assert wait

        network = Thing(
            networks=self._list("net", ids=("n-1", "n-2")),
            routers=self._list("router"),
            security_groups=self._list("sec-group"),
            ports=list_ports,
            ips=list_ips,
            remove_interface_from_router=remove_interface,
        )
        compute = Thing(
            servers=self._list("master"),
            server_groups=self._list("server-group"),
            wait_for_delete=wait_for_delete,
        )
        for proxy, kinds in (
            (network, ("network", "router", "security_group", "port", "ip")),
            (compute, ("server", "server_group")),
        ):
            for kind in kinds:
                setattr(proxy, f"delete_{kind}", self._deleting(kind))
        self.connection = Thing(network=network, compute=compute, current_project_id="ours")

    def _list(self, name: str, ids: tuple[str, str] = ("1", "2")) -> Callable[..., list[Thing]]:
        things = [Thing(id=ids[0], name=f"speed-ours-{name}"), Thing(id=ids[1], name=f"other-{name}")]

        def listed(**_: str) -> list[Thing]:
            return things

        return listed

    def _deleting(self, kind: str) -> Callable[[Thing], None]:
        return lambda one: self.deleted.append(f"{kind} {one.name}")


@contextmanager
def _interrupted_when(there: Path) -> Generator[None]:
    """Raise KeyboardInterrupt in this process as soon as a file exists."""

    def interrupt(*_: object) -> None:
        if there.exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class TestTheRuns:
    """Prevents a comparison in which a busy quarter of an hour hits one program only, and one without an end."""

    @staticmethod
    def _programs(done: list[str]) -> list[Candidate]:
        return [MadeUpProgram(name, done) for name in ("ours", "plain", "terraform")]

    def test_each_run_begins_with_another_program(self) -> None:
        programs = self._programs([])
        orders = [[program.name for program in in_turns(programs, run)] for run in range(3)]
        assert orders == [
            ["ours", "plain", "terraform"],
            ["plain", "terraform", "ours"],
            ["terraform", "ours", "plain"],
        ]

    def test_only_the_chosen_parts_are_measured_in_each_run(self) -> None:
        done: list[str] = []
        comparison = Comparison(None, Figures(), boot_timeout=60)
        compare(comparison, self._programs(done)[:1], MadeUpProgram("many", done), {"preview", "many"}, runs=2)
        assert done == ["ours preview", "many preview"] * 2

    def test_no_measurement_begins_after_the_end(self) -> None:
        done: list[str] = []
        comparison = Comparison(None, Figures(), boot_timeout=60, end=0)
        compare(comparison, self._programs(done), MadeUpProgram("many", done), {"preview", "many", "life"}, runs=3)
        assert done == []


class TestTheReport:
    """Prevents a target that counts as met by the wrong figure."""

    @staticmethod
    def _figures(path: Path | None = None) -> Figures:
        figures = Figures(path=path, about={"pulumi": "3"})
        for program, runs in {"ours": [4.0, 3.9, 9.0], "plain": [2.5, 2.6, 2.4]}.items():
            for seconds in runs:
                figures.add(PREVIEW_NEW, program, seconds)
        return figures

    def test_the_table_has_minimum_median_and_maximum(self) -> None:
        figures = self._figures()
        figures.add(UP, "plain", 32)
        assert figures.table().splitlines() == [
            "| seconds: min / median / max | ours | plain |",
            "|---|---|---|",
            "| preview of a new pair | 3.9 / 4.0 / 9.0 (N=3) | 2.4 / 2.5 / 2.6 (N=3) |",
            "| first up | – | 32.0 / 32.0 / 32.0 (N=1) |",
        ]

    @pytest.mark.parametrize(("ours", "verdict"), [(4.0, "met"), (4.01, "MISSED")])
    def test_a_preview_may_be_a_second_and_a_half_slower_than_the_plain_program(
        self, ours: float, verdict: str
    ) -> None:
        figures = Figures()
        figures.add(PREVIEW_NEW, "ours", ours)
        figures.add(PREVIEW_NEW, "plain", 2.5)
        assert targets(figures)[0].startswith(f"{verdict}: preview of a new pair")

    def test_only_measured_targets_are_reported(self) -> None:
        assert [line.partition(":")[0] for line in targets(self._figures())] == ["met"]
        assert targets(Figures()) == []

    def test_every_figure_is_written_at_once(self, tmp_path: Path) -> None:
        self._figures(tmp_path / "build" / "figures.json")
        written = json.loads((tmp_path / "build" / "figures.json").read_text(encoding="utf-8"))
        assert written == {
            "pulumi": "3",
            "seconds": {PREVIEW_NEW: {"ours": [4.0, 3.9, 9.0], "plain": [2.5, 2.6, 2.4]}},
        }


class TestTheProgramsHaveTheSameResources:
    """Prevents a comparison with a program that creates less."""

    @staticmethod
    def _resources(run: Run) -> list[tuple[str, str]]:
        """Each cloud resource as its type and its inputs, with names instead of the ids of other resources."""
        cloud = [made for made in run.cloud.created if made.type.startswith("openstack:")]
        ids = {identifier(made.urn): f"{made.type} {made.inputs.get('name', '')}" for made in cloud}
        found: list[tuple[str, str]] = []
        for made in cloud:
            # An empty list is the provider's default. The ids of existing resources are those of the made-up cloud.
            left_out = LOOKED_UP | OURS_ALONE
            inputs = {key: value for key, value in made.inputs.items() if value != [] and key not in left_out}
            text = json.dumps(inputs, sort_keys=True)
            for id_, name in ids.items():
                text = text.replace(id_, name)
            found.append((made.type, text))
        return sorted(found)

    def test_the_plain_program_declares_what_ours_declares(self, declare: Declare, tmp_path: Path) -> None:
        ours = declare("nz-por-1", dnsServers="[]", publicKey=KEY, advertInterval="1")
        speed_candidates.write_user_data(tmp_path, "vrrp", KEY)
        values = config_of("nz-por-1").values
        keys = {key: values[f"vrrp-pair:{key}"] for key in ("externalNetwork", "image", "flavor")}
        config = {"namePrefix": "vrrp", "userData": str(tmp_path), **keys}
        stack = StackConfig("plain-pair", "acceptance", {f"plain-pair:{key}": value for key, value in config.items()})
        cloud = RecordingCloud()
        program = PROJECT_FOLDER / "tests" / "cloud" / "plain_pair" / "__main__.py"
        plain = Run(run_program(stack, cloud, program), cloud)
        assert self._resources(plain) == self._resources(ours)

    def test_terraform_has_the_same_kinds_of_resources(self, declare: Declare) -> None:
        text = (PROJECT_FOLDER / "tests" / "cloud" / "terraform" / "main.tf").read_text(encoding="utf-8")
        kinds = re.findall(r'^resource "openstack_[a-z]+_([a-z_]+)_v2" "(\w+)"', text, re.MULTILINE)
        # The two members are one resource each with `for_each`.
        count = len(kinds) + sum(name == "member" for _, name in kinds)
        ours = declare("nz-por-1", publicKey=KEY)
        made = [one.type for one in ours.cloud.created if one.type.startswith("openstack:")]
        assert count == len(made)
        found = {kind.replace("_", "") for kind, _ in kinds}
        names = {"SecGroup": "secgroup", "SecGroupRule": "secgrouprule"}
        kinds_of_ours = (type_.rpartition(":")[2] for type_ in made)
        assert found == {names.get(kind, kind.lower()) for kind in kinds_of_ours}
