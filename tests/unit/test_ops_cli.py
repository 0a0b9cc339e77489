"""The messages and exit statuses of `python -m ops`; the engine and the cloud are made up.

tests/cloud runs the commands with the real ones.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from lab.stack_file import PROJECT_FOLDER
from ops import cli
from ops.adopt import Adoption, Match, PlannedChange
from ops.engine import Engine, EngineError
from ops.observation import ObservedPair
from ops.recover import BegunCreation
from ops.type_tokens import NETWORK, PORT, SERVER
from settings import PairSettings
from settings.pair import Role

from .test_adopt import step
from .test_status import HEALTHY, with_member, with_port

Run = Callable[..., tuple[int, str]]

FOUND = Match(step(NETWORK, "vrrp-net", name="vrrp-net"), ["n-1"])
MISSING = Match(step(PORT, "vrrp-vip-port", name="vrrp-port"), [])
AMBIGUOUS = Match(step(NETWORK, "vrrp-net", name="vrrp-net"), ["n-1", "n-2"])
ROLL = PlannedChange("replace", "vrrp-backup", SERVER, ["userData"])
OUTAGE = PlannedChange("replace", "vrrp-net", NETWORK, ["region"])


def _answering(value: object) -> Callable[..., object]:
    def answer(*_: object) -> object:
        return value

    return answer


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a project's folder; return its exit status and its output."""
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
    """Run `adopt` with given matches, and given changes of an `up` after the import."""

    def adopt(
        matches: list[Match],
        changes: list[PlannedChange],
        *arguments: str,
        resources: list[dict[str, str]] | None = None,
    ) -> tuple[int, str]:
        adoption = Adoption(matches, {"resources": [{"name": "vrrp-net", "id": "n-1"}]})
        monkeypatch.setattr(cli, "plan_adoption", _answering(adoption))
        monkeypatch.setattr(cli, "rehearse", _answering(changes))
        monkeypatch.setattr(cli, "unmanaged", _answering(["vrrp-sec-group lets in tcp 22 from 0.0.0.0/0 (IPv4)"]))
        monkeypatch.setattr(cli.Engine, "state", _answering({"resources": resources or []}))
        return run("adopt", "nz-por-1", *arguments)

    return adopt


class TestAdopt:
    """Prevents an import of the wrong resource, and an outage that is announced like a success."""

    def test_the_import_file_is_written_and_the_next_commands_are_shown(self, adopting: Run, tmp_path: Path) -> None:
        status, said = adopting([FOUND, MISSING], [ROLL])
        assert status == 0
        assert "missing: `up` creates it" in said
        assert "Continue with: python -m ops adopt nz-por-1 --import pulumi preview" in said
        assert "pulumi import --stack nz-por-1 --file adopt-nz-por-1.json --protect=false" in said
        assert json.loads((tmp_path / "adopt-nz-por-1.json").read_text(encoding="utf-8"))["resources"][0]["id"] == "n-1"

    def test_a_replaced_network_is_an_error_that_names_the_network(self, adopting: Run) -> None:
        status, said = adopting([FOUND], [ROLL, OUTAGE])
        assert status == 1
        assert "would replace vrrp-net" in said
        assert "pulumi import" not in said

    def test_only_the_option_imports_and_never_an_outage(self, adopting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        imported: list[Path] = []

        def import_all(_: object, __: object, import_file: Path) -> None:
            imported.append(import_file)

        monkeypatch.setattr(cli, "import_all", import_all)
        adopting([FOUND], [ROLL])
        adopting([FOUND], [ROLL, OUTAGE], "--import")
        assert imported == []
        status, said = adopting([FOUND], [ROLL], "--import")
        assert (status, [file.name for file in imported]) == (0, ["adopt-nz-por-1.json"])
        assert "The stack nz-por-1 has the resources now" in said

    def test_two_resources_of_one_name_are_an_error_and_no_file_is_written(self, adopting: Run, tmp_path: Path) -> None:
        status, said = adopting([AMBIGUOUS], [])
        assert status == 1
        assert "the project has 2 such resources (n-1, n-2)" in said
        assert not list(tmp_path.glob("adopt-*"))

    def test_if_nothing_is_found_the_message_names_the_likely_reasons(self, adopting: Run) -> None:
        status, said = adopting([MISSING], [])
        assert status == 1
        assert "Check namePrefix" in said
        assert "nz-por-1" in said

    def test_a_missing_resource_is_no_error_if_the_stack_has_others(self, adopting: Run) -> None:
        """After the import of a tutorial's pair, which has no server group."""
        status, said = adopting([MISSING], [ROLL], resources=[{"type": NETWORK}])
        assert (status, "Check namePrefix" in said) == (0, False)

    def test_unmanaged_rules_are_reported(self, adopting: Run) -> None:
        assert "Not managed by the program: vrrp-sec-group lets in tcp 22" in adopting([FOUND], [ROLL])[1]

    def test_a_stack_with_every_resource_has_nothing_to_adopt(self, adopting: Run) -> None:
        status, said = adopting([], [])
        assert (status, "there is nothing to adopt" in said) == (0, True)


class TestRecover:
    """Prevents a resource that is taken in only because it has the right name."""

    @pytest.fixture
    def recovering(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, engine_commands: list[tuple[str, ...]]
    ) -> Callable[..., tuple[int, str, bool]]:
        def engine_run(_: object, *arguments: str) -> str:
            engine_commands.append(arguments)
            return ""

        def recover(
            *begun: BegunCreation, resized: Sequence[str] = (), backend: str = "https://app.pulumi.com/acme"
        ) -> tuple[int, str, bool]:
            written: list[object] = []

            def record(*given: object) -> None:
                written.append(given)

            monkeypatch.setattr(cli.Engine, "project", _answering("vrrp-pair"))
            monkeypatch.setattr(cli.Engine, "backend", _answering(backend))
            monkeypatch.setattr(cli.Engine, "state", _answering({}))
            monkeypatch.setattr(cli, "find_begun", _answering(list(begun)))
            monkeypatch.setattr(cli, "record", record)
            monkeypatch.setattr(cli, "until_settled", _answering(list(resized)))
            monkeypatch.setattr(cli.Engine, "run", engine_run)
            status, said = run("recover", "nz-por-1")
            return status, said, bool(written)

        return recover

    @pytest.fixture
    def engine_commands(self) -> list[tuple[str, ...]]:
        """The arguments of the engine's commands."""
        return []

    def test_each_pending_creation_is_reported(self, recovering: Callable[..., tuple[int, str, bool]]) -> None:
        status, said, written = recovering(
            BegunCreation({"urn": "u::net"}, ["n-1"]), BegunCreation({"urn": "u::port"}, [])
        )
        assert (status, written) == (0, True)
        assert "net: taken into the stack (n-1) port: was not created yet" in said

    def test_a_refresh_reads_the_recovered_resources(
        self, recovering: Callable[..., tuple[int, str, bool]], engine_commands: list[tuple[str, ...]]
    ) -> None:
        assert recovering(BegunCreation({"urn": "u::net"}, ["n-1"]))[0] == 0
        assert engine_commands == [("refresh", "--yes", "--skip-preview")]

    def test_a_half_written_file_beside_the_state_is_removed_first(
        self, recovering: Callable[..., tuple[int, str, bool]], tmp_path: Path
    ) -> None:
        attributes = tmp_path / ".pulumi" / "stacks" / "vrrp-pair" / "nz-por-1.json.attrs"
        attributes.parent.mkdir(parents=True)
        attributes.touch()
        status, said, _ = recovering(backend=f"file://{tmp_path}")
        assert (status, attributes.exists()) == (0, False)
        assert "nz-por-1.json.attrs was half written and is removed" in said

    def test_no_refresh_reads_a_server_with_an_unconfirmed_resize(
        self, recovering: Callable[..., tuple[int, str, bool]], engine_commands: list[tuple[str, ...]]
    ) -> None:
        recovering(resized=["vrrp-backup"])
        assert engine_commands == []

    def test_an_unconfirmed_resize_is_reported_with_its_way_out(
        self, recovering: Callable[..., tuple[int, str, bool]]
    ) -> None:
        status, said, _ = recovering(resized=["vrrp-backup"])
        assert status == 1
        assert "openstack server resize confirm vrrp-backup" in said

    @pytest.mark.parametrize(
        ("begun", "why"),
        [
            (BegunCreation({"urn": "u::net"}, ["n-1", "n-2"]), "the stack was creating only one"),
            (BegunCreation({"urn": "u::net"}, ["n-1"], made_again=True), "the stack has made another resource since"),
        ],
    )
    def test_an_ambiguous_creation_is_left_to_the_operator(
        self, recovering: Callable[..., tuple[int, str, bool]], begun: BegunCreation, why: str
    ) -> None:
        status, said, written = recovering(begun)
        assert (status, written) == (1, False)
        assert why in said


class TestDrill:
    """Prevents a drill of a pair that its client can't reach."""

    def test_a_pair_without_a_floating_ip_is_not_drilled(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli.Engine, "project", _answering("vrrp-pair"))
        monkeypatch.setattr(
            cli.Engine, "config", _answering({"vrrp-pair:floatingIp": {"value": "none", "secret": False}})
        )
        status, said = run("drill", "nz-por-1")
        assert status == 1
        assert said == "The drill sends its requests to the floating IP, and floatingIp is none. Nothing was done."


class TestStatus:
    """Prevents monitoring that gets the wrong exit status, and a judgement by other settings than the stack's."""

    @pytest.fixture
    def checking(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
        """Run `status` on a given pair."""

        def check(pair: ObservedPair, *arguments: str) -> tuple[int, str]:
            monkeypatch.setattr(cli.Engine, "project", _answering("vrrp-pair"))
            monkeypatch.setattr(cli.Engine, "config", _answering({}))
            monkeypatch.setattr(cli, "observe", _answering(pair))
            return run("status", "nz-por-1", *arguments)

        return check

    @staticmethod
    def _healthy() -> ObservedPair:
        pair = HEALTHY
        for role, member in HEALTHY.members.items():
            assert member.report
            # Without a time a report is never stale.
            pair = with_member(role, report=dataclasses.replace(member.report, said_at=None))(pair)
        return pair

    def test_a_healthy_pair_exits_with_0(self, checking: Run) -> None:
        status, said = checking(self._healthy())
        assert (status, said.endswith("nothing is wrong")) == (0, True)
        assert "20 requests to 198.51.100.7:80; answers: vrrp-master 20" in said
        assert "vrrp-backup │ ACTIVE │ BACKUP │ enabled │ 10.0.0.5 │ 10.0.0.201" in said

    def test_each_finding_is_one_sentence_and_the_exit_status_is_2(self, checking: Run) -> None:
        status, said = checking(with_port(Role.BACKUP, enabled=False)(self._healthy()))
        assert status == 2
        assert said.endswith(
            "wrong: the port of vrrp-backup is disabled: no packet passes, and the member may consider itself the "
            "master. `openstack port set --enable port-of-id-of-vrrp-backup`, or `pulumi up`."
        )

    def test_json_has_the_findings_and_what_was_seen(self, checking: Run) -> None:
        status, said = checking(with_port(Role.BACKUP, enabled=False)(self._healthy()), "--json")
        told = json.loads(said)
        assert (status, [finding["cause"] for finding in told["findings"]]) == (
            2,
            ["the port of vrrp-backup is disabled"],
        )
        assert told["seen"]["members"]["backup"]["port"]["enabled"] is False

    def test_a_pair_without_members_and_floating_ip_is_shown(self, checking: Run) -> None:
        gone = self._healthy()
        for role in (Role.MASTER, Role.BACKUP):
            gone = with_member(role, port=None, server_status=None, server_id=None, report=None)(gone)
        status, said = checking(dataclasses.replace(gone, floating_ip=None, answers=[]))
        assert status == 2
        assert "vrrp-master │ none │ – │ none │ – │ –" in said
        assert "there is no floating IP to send requests to" in said

    def test_the_settings_are_those_of_the_stack(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lists and objects included, and no key of another project."""
        config = {
            "vrrp-pair:service": {"value": "not the object", "objectValue": {"port": 8080}, "secret": False},
            "vrrp-pair:httpCidrs": {"value": "…", "objectValue": ["192.0.2.0/24"], "secret": False},
            "vrrp-pair:keyName": {"value": "shop-key", "secret": False},
            "other:flavor": {"value": "c9", "secret": False},
        }
        used: list[PairSettings] = []

        def observe(_: object, settings: PairSettings) -> ObservedPair:
            used.append(settings)
            return self._healthy()

        monkeypatch.setattr(cli.Engine, "project", _answering("vrrp-pair"))
        monkeypatch.setattr(cli.Engine, "config", _answering(config))
        monkeypatch.setattr(cli, "observe", observe)
        run("status", "nz-por-1")
        (settings,) = used
        assert (settings.service.port, settings.key_name, settings.flavor) == (8080, "shop-key", "c1.c1r1")
        assert [str(network) for network in settings.http_cidrs] == ["192.0.2.0/24"]

    def test_the_credentials_of_the_stack_are_used(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        # Set before, so that the end of the test restores it.
        monkeypatch.setenv("OPENSTACK_PROVIDER", "")
        monkeypatch.setattr(cli.Engine, "config", _answering({"openstack:region": {"value": "nz-hlz-1"}}))
        monkeypatch.setattr(cli, "connect", lambda: dict(os.environ))
        # Every command connects by it, and the other tests replace it.
        seen = cli._connect(Engine(tmp_path, "nz-hlz-1"))  # pyright: ignore[reportPrivateUsage]
        assert json.loads(seen["OPENSTACK_PROVIDER"]) == {"region": "nz-hlz-1"}


class TestExpectedErrors:
    """Prevents a traceback where one sentence is enough."""

    def test_a_folder_without_a_project_is_an_error(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "Pulumi.yaml").unlink()
        with pytest.raises(EngineError, match=r"there is no Pulumi\.yaml"):
            run("adopt", "nz-por-1")

    def test_the_engines_message_is_printed_without_a_traceback(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fails() -> None:
            raise EngineError("no stack named 'nowhere' found")

        monkeypatch.setattr(cli, "app", fails)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        assert capsys.readouterr().err == "no stack named 'nowhere' found\n"


class TestWrongArguments:
    """Prevents a script that takes a misspelt option for a plan with changes, or for a finding of `status`."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["plan"],
            ["plan", "nz-por-1", "--fromat", "json"],
            ["plan", "nz-por-1", "--format", "xml"],
            ["status", "nz-por-1", "nz-hlz-1"],
            ["paln", "nz-por-1"],
            ["--verbose", "plan", "nz-por-1"],
            [],
        ],
        ids=lambda arguments: " ".join(arguments) or "none",
    )
    def test_a_wrong_argument_exits_with_1(self, arguments: list[str]) -> None:
        assert CliRunner().invoke(cli.app, arguments).exit_code == 1

    def test_the_message_says_what_is_wrong(self) -> None:
        result = CliRunner().invoke(cli.app, ["plan", "nz-por-1", "--fromat", "json"])
        assert "--fromat" in result.output

    def test_a_request_for_help_is_no_failure(self) -> None:
        assert CliRunner().invoke(cli.app, ["plan", "--help"]).exit_code == 0


def test_an_operators_command_loads_neither_pulumi_nor_the_lab() -> None:
    """Prevents a monitoring check that waits for the SDK, and an `ops` that needs the lab's packages."""
    code = "import sys, ops.cli; print([name for name in ('pulumi', 'lab') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
