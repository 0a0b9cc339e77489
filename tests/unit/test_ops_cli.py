"""What an operator is told by `python -m ops`, and with what exit status; the engine and the cloud are made up.

The real ones answer in tests/cloud.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from drill.events import EVERYTHING, choose, on_a_cloud
from ops import cli
from ops.adopt import Adoption, Change, Match
from ops.engine import EngineError
from ops.recover import Begun
from ops.type_tokens import NETWORK, PORT, SERVER

from .conftest import settings_of
from .test_adopt import step

Run = Callable[..., tuple[int, str]]

FOUND = Match(step(NETWORK, "vrrp-net", name="vrrp-net"), ["n-1"])
MISSING = Match(step(PORT, "vrrp-vip-port", name="vrrp-port"), [])
AMBIGUOUS = Match(step(NETWORK, "vrrp-net", name="vrrp-net"), ["n-1", "n-2"])
ROLL = Change("replace", "vrrp-backup", SERVER, ["userData"])
OUTAGE = Change("replace", "vrrp-net", NETWORK, ["region"])


def _answering(value: object) -> Callable[..., object]:
    def answer(*_: object) -> object:
        return value

    return answer


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a project's folder; gives its exit status and all that it said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: vrrp-pair\n", encoding="utf-8")
    cloud = SimpleNamespace(
        network=None, compute=None, current_project_id="p", config=SimpleNamespace(get_region_name=lambda: "nz-por-1")
    )
    monkeypatch.setattr(cli, "_connect", _answering(cloud))

    def run_it(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli.app, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(result.output.split())

    return run_it


@pytest.fixture
def adopting(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `adopt` with these matches, and these changes of an `up` after the import."""

    def adopt(
        matches: list[Match], changes: list[Change], *arguments: str, resources: list[dict[str, str]] | None = None
    ) -> tuple[int, str]:
        adoption = Adoption(matches, {"resources": [{"name": "vrrp-net", "id": "n-1"}]})
        monkeypatch.setattr(cli, "plan_adoption", _answering(adoption))
        monkeypatch.setattr(cli, "rehearse", _answering(changes))
        monkeypatch.setattr(cli, "besides", _answering(["vrrp-sec-group lets in tcp 22 from 0.0.0.0/0 (IPv4)"]))
        monkeypatch.setattr(cli.Engine, "state", _answering({"resources": resources or []}))
        return run("adopt", "nz-por-1", *arguments)

    return adopt


class TestAdopt:
    """Prevents an import of the wrong thing, and an outage that was announced in the tone of a success."""

    def test_what_was_found_is_written_and_the_next_commands_are_told(self, adopting: Run, tmp_path: Path) -> None:
        status, said = adopting([FOUND, MISSING], [ROLL])
        assert status == 0
        assert "missing: `up` makes it" in said
        assert "these do it: python -m ops adopt nz-por-1 --import pulumi preview" in said
        assert "pulumi import --stack nz-por-1 --file adopt-nz-por-1.json --protect=false" in said
        assert json.loads((tmp_path / "adopt-nz-por-1.json").read_text(encoding="utf-8"))["resources"][0]["id"] == "n-1"

    def test_a_replaced_network_is_an_error_that_names_it(self, adopting: Run) -> None:
        status, said = adopting([FOUND], [ROLL, OUTAGE])
        assert status == 1
        assert "would replace vrrp-net" in said
        assert "pulumi import" not in said

    def test_only_when_it_is_told_to_it_imports_and_never_what_would_be_an_outage(
        self, adopting: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        imported: list[Path] = []

        def import_all(_: object, __: object, import_file: Path) -> None:
            imported.append(import_file)

        monkeypatch.setattr(cli, "import_all", import_all)
        adopting([FOUND], [ROLL])
        adopting([FOUND], [ROLL, OUTAGE], "--import")
        assert imported == []
        status, said = adopting([FOUND], [ROLL], "--import")
        assert (status, [file.name for file in imported]) == (0, ["adopt-nz-por-1.json"])
        assert "The stack nz-por-1 has them" in said

    def test_two_of_the_same_name_are_an_error_and_no_file_is_written(self, adopting: Run, tmp_path: Path) -> None:
        status, said = adopting([AMBIGUOUS], [])
        assert status == 1
        assert "the project has 2 of them (n-1, n-2)" in said
        assert not list(tmp_path.glob("adopt-*"))

    def test_where_nothing_is_found_the_likely_reasons_are_named(self, adopting: Run) -> None:
        status, said = adopting([MISSING], [])
        assert status == 1
        assert "is namePrefix right" in said
        assert "nz-por-1" in said

    def test_where_the_rest_is_made_by_up_that_is_no_error(self, adopting: Run) -> None:
        """After the import: the tutorial has no server group."""
        status, said = adopting([MISSING], [ROLL], resources=[{"type": NETWORK}])
        assert (status, "is namePrefix right" in said) == (0, False)

    def test_what_stays_besides_is_told(self, adopting: Run) -> None:
        assert "Besides, vrrp-sec-group lets in tcp 22" in adopting([FOUND], [ROLL])[1]

    def test_a_stack_that_has_everything_has_nothing_to_adopt(self, adopting: Run) -> None:
        status, said = adopting([], [])
        assert (status, "there is nothing to adopt" in said) == (0, True)


class TestRecover:
    """Prevents a resource that is taken in because it happens to bear the name."""

    @pytest.fixture
    def recovering(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, bool]]:
        def recover(*begun: Begun, resized: Sequence[str] = ()) -> tuple[int, str, bool]:
            written: list[object] = []

            def write_down(*given: object) -> None:
                written.append(given)

            monkeypatch.setattr(cli.Engine, "project", _answering("vrrp-pair"))
            monkeypatch.setattr(cli.Engine, "backend", _answering("https://app.pulumi.com/somebody"))
            monkeypatch.setattr(cli.Engine, "state", _answering({}))
            monkeypatch.setattr(cli, "look_for_begun", _answering(list(begun)))
            monkeypatch.setattr(cli, "write_down", write_down)
            monkeypatch.setattr(cli, "until_settled", _answering(list(resized)))
            monkeypatch.setattr(cli.Engine, "run", _answering(""))
            status, said = run("recover", "nz-por-1")
            return status, said, bool(written)

        return recover

    def test_each_is_told(self, recovering: Callable[..., tuple[int, str, bool]]) -> None:
        status, said, written = recovering(Begun({"urn": "u::net"}, ["n-1"]), Begun({"urn": "u::port"}, []))
        assert (status, written) == (0, True)
        assert "net: taken into the stack (n-1) port: was not made yet" in said

    def test_a_resize_that_nobody_confirmed_is_told(self, recovering: Callable[..., tuple[int, str, bool]]) -> None:
        status, said, _ = recovering(resized=["vrrp-backup"])
        assert status == 1
        assert "openstack server resize confirm vrrp-backup" in said

    @pytest.mark.parametrize(
        ("begun", "why"),
        [
            (Begun({"urn": "u::net"}, ["n-1", "n-2"]), "the stack was making one only"),
            (Begun({"urn": "u::net"}, ["n-1"], made_again=True), "the stack has made another one since"),
        ],
    )
    def test_what_can_not_be_told_is_left_to_the_operator(
        self, recovering: Callable[..., tuple[int, str, bool]], begun: Begun, why: str
    ) -> None:
        status, said, written = recovering(begun)
        assert (status, written) == (1, False)
        assert why in said


class TestBeforeAnything:
    """Prevents a traceback where one sentence would do."""

    def test_outside_of_a_project_it_says_so(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "Pulumi.yaml").unlink()
        with pytest.raises(EngineError, match=r"there is no Pulumi\.yaml"):
            run("adopt", "nz-por-1")

    def test_the_engines_words_are_the_message(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fails() -> None:
            raise EngineError("no stack named 'nowhere' found")

        monkeypatch.setattr(cli, "app", fails)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        assert capsys.readouterr().err == "no stack named 'nowhere' found\n"


class TestTheEventsOfADrill:
    """Prevents a drill of another thing than was asked for, and one that is found out about half-way."""

    INSIDE = (
        "keepalived stopped",
        "keepalived killed",
        "keepalived's child killed",
        "drained",
        "web server stopped",
        "web server hangs",
    )
    OUTSIDE = ("port disabled", "server paused", "server shut down")

    @pytest.mark.parametrize(
        ("stack", "names", "inside", "chosen"),
        [
            ("nz-por-1", None, False, OUTSIDE),
            ("nz-por-1", None, True, OUTSIDE + INSIDE),
            ("tutorial", None, True, tuple(name for name in OUTSIDE + INSIDE if name != "drained")),
            ("nz-por-1", ["drained", "port disabled"], True, ("drained", "port disabled")),
        ],
    )
    def test_are_what_can_be_done_or_what_was_asked_for(
        self, stack: str, names: list[str] | None, inside: bool, chosen: tuple[str, ...]
    ) -> None:
        possible = on_a_cloud(inside=inside, drains=settings_of(stack).service_check)
        events = choose(names, possible, possible)
        assert tuple(event.name for event in events) == chosen

    def test_one_that_there_is_not_is_refused_before_anything_is_asked_of_the_cloud(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cli, "_settings", _answering(settings_of("nz-por-1")))
        status, said = run("drill", "nz-por-1", "--event", "drained")
        assert status == 2
        assert "there are 'port disabled', 'server paused', 'server shut down'" in said.replace("│ ", "")
        assert "with --key" in said

    def test_those_of_a_lab_are_all_that_there_are(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli, "check_machine", lambda: None)
        status, said = run("drill", "nz-por-1", "--lab", "--event", "earthquake")
        assert status == 2
        told = " ".join(said.replace("│", " ").split())
        assert all(repr(event.name) in told for event in EVERYTHING)

    def test_a_lab_needs_no_key(self, run: Run, tmp_path: Path) -> None:
        status, said = run("drill", "nz-por-1", "--lab", "--key", str(tmp_path / "key"))
        assert status == 2
        assert "entered without one" in said
