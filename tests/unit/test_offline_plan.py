"""A plan offline, without the engine: invented answers, the invented state, the copies of the program.

tests/cloud/test_offline_plan.py runs it with the engine, which needs no cloud for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gates.present_pair import Networking
from lab.stack_file import PROJECT_FOLDER
from ops import invented_cloud, offline_plan
from ops.engine import Engine, EngineError
from ops.engine_json import SECRET_MARK, UNKNOWN
from ops.invented_cloud import CLOUD_VARIABLE, invented_id
from ops.invented_networking import networking_of, with_existing
from ops.invented_state import computed_collections, corrected, invented_state
from ops.offline_plan import OfflineError, config_in_the_clear, default_revision, offline_stack, without_secrets
from ops.type_tokens import COMMAND, FLOATING_IP, NETWORK, PORT, ROUTER, ROUTER_INTERFACE, SERVER, SUBNET
from settings.pair import PUBLIC_KEY

from .conftest import EXTENSION, EXTERNAL_NETWORK, FLAVOR, IMAGE, KEY_PAIR, SERVERS


class TestTheInventedCloud:
    """Prevents a base and a head that see different clouds, and a changed image that the plan does not show."""

    def test_the_same_name_has_the_same_id_and_another_name_another_one(self, tmp_path: Path) -> None:
        (first, again, other) = self._answers(
            tmp_path,
            {"kind": IMAGE, "name": "debian-12"},
            {"kind": IMAGE, "name": "debian-12"},
            {"kind": IMAGE, "name": "new"},
        )
        assert first == again
        assert first["id"] != other["id"]

    @pytest.mark.parametrize("kind", [EXTENSION, EXTERNAL_NETWORK, IMAGE, FLAVOR, KEY_PAIR])
    def test_it_has_everything_that_the_preflight_asks_for(self, kind: str, tmp_path: Path) -> None:
        (answer,) = self._answers(tmp_path, {"kind": kind, "name": "any"})
        assert set(answer) == {"id"}

    def test_it_has_the_servers_and_the_networking_of_the_base(self, tmp_path: Path) -> None:
        names, networking = self._answers(
            tmp_path,
            {"kind": SERVERS, "name": ""},
            {"kind": "networking", "name": ""},
            servers=["vrrp-master", "vrrp-backup"],
        )
        assert names == {"names": ["vrrp-master", "vrrp-backup"]}
        assert networking == {"networking": {"ports": []}}

    def test_it_needs_only_the_standard_library(self) -> None:
        """It runs in the place of a module of another revision, where this project's modules may differ."""
        code = f"import runpy, sys; sys.path = sys.path[1:]; runpy.run_path({invented_cloud.__file__!r})"
        subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)

    def _answers(
        self, folder: Path, *questions: dict[str, str], servers: list[str] | None = None
    ) -> list[dict[str, Any]]:
        cloud = folder / "cloud.json"
        cloud.write_text(json.dumps({"servers": servers or [], "networking": {"ports": []}}), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, invented_cloud.__file__],
            input=json.dumps(questions),
            env={**os.environ, CLOUD_VARIABLE: str(cloud)},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)


def _urn(type_: str, name: str) -> str:
    return f"urn:pulumi:test::vrrp-pair::{type_}::{name}"


def _planned(
    type_: str, name: str, inputs: dict[str, Any], outputs: dict[str, Any], **sources: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a step of a preview's JSON, and the resource's entry of its plan file."""
    urn = _urn(type_, name)
    step = {
        "newState": {
            "urn": urn,
            "custom": True,
            "type": type_,
            "inputs": {},
            "propertyDependencies": sources,
            "provider": f"urn:pulumi:test::vrrp-pair::pulumi:providers:openstack::default::{UNKNOWN}",
        }
    }
    return step, {"goal": {"type": type_, "inputDiff": {"adds": inputs}}, "state": outputs}


class TestTheInventedState:
    """Prevents differences that only the invention has: base against base must be empty."""

    NET = _planned(NETWORK, "net", {"name": "net"}, {"id": UNKNOWN, "name": "net", "allTags": UNKNOWN, "mtu": UNKNOWN})
    SUBNETS = tuple(
        _planned(SUBNET, name, {"networkId": UNKNOWN}, {"id": UNKNOWN}, networkId=[_urn(NETWORK, "net")])
        for name in ("subnet", "subnet6")
    )

    def _state(
        self, *planned: tuple[dict[str, Any], dict[str, Any]], floating_ip: str | None = None
    ) -> tuple[dict[str, dict[str, Any]], bool]:
        steps = [step for step, _ in planned]
        plans = {step["newState"]["urn"]: plan for step, plan in planned}
        state, guessed = invented_state(steps, {"manifest": {}, "resourcePlans": plans}, floating_ip)
        return {one["urn"].rpartition("::")[2]: one for one in state["resources"]}, guessed

    def test_an_id_is_the_same_in_every_run(self) -> None:
        resources, guessed = self._state(self.NET)
        assert resources["net"]["id"] == invented_id(_urn(NETWORK, "net"))
        assert resources["net"]["outputs"]["id"] == resources["net"]["id"]
        assert not guessed

    def test_a_computed_list_is_empty_and_another_unknown_output_is_left_out(self) -> None:
        resources, _ = self._state(self.NET)
        assert resources["net"]["outputs"]["allTags"] == []
        assert "mtu" not in resources["net"]["outputs"]

    def test_an_input_refers_to_the_invented_id(self) -> None:
        resources, guessed = self._state(self.NET, self.SUBNETS[0])
        assert resources["subnet"]["inputs"]["networkId"] == resources["net"]["id"]
        assert not guessed

    def test_two_sources_of_one_type_are_used_in_turn_and_count_as_a_guess(self) -> None:
        fixed = [{"subnetId": UNKNOWN, "ipAddress": "10.0.0.4"}, {"subnetId": UNKNOWN, "ipAddress": "2001:db8::4"}]
        port = _planned(
            PORT,
            "port",
            {"fixedIps": fixed},
            {"fixedIps": fixed, "allFixedIps": UNKNOWN},
            fixedIps=[_urn(SUBNET, "subnet"), _urn(SUBNET, "subnet6")],
        )
        resources, guessed = self._state(self.NET, *self.SUBNETS, port)
        ids = [one["subnetId"] for one in resources["port"]["inputs"]["fixedIps"]]
        assert ids == [resources["subnet"]["id"], resources["subnet6"]["id"]]
        assert resources["port"]["outputs"]["fixedIps"] == resources["port"]["inputs"]["fixedIps"]
        assert resources["port"]["outputs"]["allFixedIps"] == ["10.0.0.4", "2001:db8::4"]
        assert guessed

    def test_a_key_chooses_the_source_that_it_names(self) -> None:
        server = _planned(SERVER, "server", {}, {})
        address = _planned(FLOATING_IP, "ip", {}, {})
        gate = _planned(
            COMMAND,
            "gate",
            {"environment": {"FLOATING_IP": UNKNOWN, "SERVER_ID": UNKNOWN}},
            {"stdout": UNKNOWN},
            environment=[_urn(SERVER, "server"), _urn(FLOATING_IP, "ip")],
        )
        resources, _ = self._state(server, address, gate)
        environment = resources["gate"]["inputs"]["environment"]
        assert environment["SERVER_ID"] == resources["server"]["id"]
        assert environment["FLOATING_IP"] == resources["ip"]["outputs"]["address"]

    def test_the_address_of_the_pair_can_be_given_and_a_members_is_invented(self) -> None:
        """Also if the pair's own name ends like that of a member."""
        pair = _planned(
            FLOATING_IP, "db-backup-floating-ip", {}, {}, portId=[_urn(PORT, "db-backup-vip-port"), _urn(SUBNET, "s")]
        )
        member = _planned(
            FLOATING_IP, "db-backup-backup-floating-ip", {}, {}, portId=[_urn(PORT, "db-backup-backup-port")]
        )
        resources, _ = self._state(pair, member, floating_ip="198.51.100.9")
        assert resources["db-backup-floating-ip"]["outputs"]["address"] == "198.51.100.9"
        assert resources["db-backup-backup-floating-ip"]["outputs"]["address"].startswith("203.0.113.")

    def test_one_address_is_not_given_to_two_pairs(self) -> None:
        pairs = [
            _planned(FLOATING_IP, f"{name}-floating-ip", {}, {}, portId=[_urn(PORT, f"{name}-vip-port")])
            for name in ("web", "db")
        ]
        resources, _ = self._state(*pairs, floating_ip="198.51.100.9")
        assert "198.51.100.9" not in {one["outputs"]["address"] for one in resources.values()}

    def test_a_key_that_names_no_type_is_the_output_of_a_command(self) -> None:
        server, first = _planned(SERVER, "server", {}, {}), _planned(COMMAND, "first", {"create": "date +%s"}, {})
        gate = _planned(
            COMMAND,
            "gate",
            {"environment": {"PAIR_MADE_AT": UNKNOWN, "SERVER_ID": UNKNOWN}},
            {},
            environment=[_urn(SERVER, "server"), _urn(COMMAND, "first")],
        )
        resources, guessed = self._state(server, first, gate)
        assert resources["gate"]["inputs"]["environment"] == {
            "PAIR_MADE_AT": resources["first"]["outputs"]["stdout"],
            "SERVER_ID": resources["server"]["id"],
        }
        assert guessed

    def test_a_secret_stays_a_secret(self) -> None:
        secret = {SECRET_MARK[0]: SECRET_MARK[1], "plaintext": json.dumps(f"{UNKNOWN}")}
        server = _planned(SERVER, "server", {"userData": secret}, {"userData": secret}, userData=[_urn(NETWORK, "net")])
        resources, _ = self._state(self.NET, server)
        assert resources["server"]["inputs"]["userData"] == {
            **secret,
            "plaintext": json.dumps(invented_id(_urn(NETWORK, "net"))),
        }

    def test_the_providers_notes_of_a_preview_are_left_out(self) -> None:
        meta = json.dumps({"schema_version": "1", "_new_extra_shim": {"user_data": "auth_pass in the clear"}})
        resources, _ = self._state(_planned(SERVER, "server", {}, {"__meta": meta}))
        assert resources["server"]["outputs"]["__meta"] == '{"schema_version": "1"}'

    def test_a_gate_was_made_long_ago(self) -> None:
        resources, _ = self._state(_planned(COMMAND, "gate", {"create": "date +%s"}, {"stdout": UNKNOWN}))
        assert int(resources["gate"]["outputs"]["stdout"]) < 1_100_000_000

    def test_the_engine_corrects_a_guess(self) -> None:
        state = {"resources": [{"urn": "u", "type": PORT, "inputs": {"a": 1, "b": 2}, "outputs": {"a": 1}}]}
        diff = {"updates": {"a": 3}, "deletes": ["b"]}
        made, agrees = corrected(state, {"resourcePlans": {"u": {"goal": {"inputDiff": diff}}}})
        assert (made["resources"][0]["inputs"], made["resources"][0]["outputs"], agrees) == ({"a": 3}, {"a": 3}, True)
        assert corrected(made, {"resourcePlans": {}}) == (made, True)

    @pytest.mark.parametrize(
        "unknown", [UNKNOWN, {"ID": UNKNOWN}, {SECRET_MARK[0]: SECRET_MARK[1], "plaintext": f'"{UNKNOWN}"'}]
    )
    def test_a_correction_that_the_engine_could_not_compute_needs_another_preview(self, unknown: object) -> None:
        state = {"resources": [{"urn": "u", "type": PORT, "inputs": {"a": 1}, "outputs": {}}]}
        _, agrees = corrected(state, {"resourcePlans": {"u": {"goal": {"inputDiff": {"updates": {"a": unknown}}}}}})
        assert not agrees

    def test_the_sdk_tells_which_outputs_are_lists_and_maps(self) -> None:
        assert computed_collections(NETWORK)["availabilityZoneHints"] == []
        assert computed_collections(SERVER)["allMetadata"] == {}
        assert computed_collections("openstack:no/such:Type") == {}


class TestTheStackFile:
    """Prevents a plan that needs the passphrase, or that sends a real credential to the provider."""

    def test_an_encrypted_value_becomes_an_invented_one_that_depends_on_the_ciphertext(self) -> None:
        def password(ciphertext: str) -> str:
            return without_secrets({"config": {"p:authPass": {"secure": ciphertext}}})[0]["config"]["p:authPass"]

        assert password("v1:one") == password("v1:one") != password("v1:two")
        assert len(password("v1:one")) == 8

    def test_an_encrypted_public_key_becomes_one_that_the_settings_accept(self) -> None:
        made, _ = without_secrets({"config": {"vrrp-pair:publicKey": {"secure": "v1:x"}}})
        assert PUBLIC_KEY.fullmatch(made["config"]["vrrp-pair:publicKey"])

    def test_an_encrypted_value_inside_an_object_is_replaced_too(self) -> None:
        made, _ = without_secrets({"config": {"p:service": {"port": 80, "body": {"secure": "v1:x"}}}})
        assert made["config"]["p:service"]["port"] == 80
        assert isinstance(made["config"]["p:service"]["body"], str)

    def test_credentials_and_environments_are_left_out_and_the_region_stays(self) -> None:
        content = {
            "config": {"openstack:region": "nz-por-1", "openstack:password": "x", "openstack:cloud": "prod"},
            "environment": ["prod/openstack"],
            "encryptionsalt": "v1:salt",
        }
        made, notes = without_secrets(content)
        assert made == {"config": {"openstack:region": "nz-por-1"}}
        assert any("environments" in note for note in notes)

    def test_the_reader_is_told_about_an_invented_value(self) -> None:
        _, (note,) = without_secrets({"config": {"vrrp-pair:authPass": {"secure": "v1:x"}}})
        assert note.startswith("authPass is encrypted, and an invented value takes its place.")


class TestTheInventedNetworking:
    """Prevents a preflight that sees another pair offline than the base declares."""

    STATE = (
        {
            "type": SUBNET,
            "id": "s-1",
            "inputs": {"name": "vrrp-subnet", "cidr": "10.0.0.0/24", "gatewayIp": "10.0.0.1"},
        },
        {"type": ROUTER, "id": "r-1", "inputs": {"externalNetworkId": "e-1"}},
        {"type": ROUTER_INTERFACE, "id": "i-1", "inputs": {"routerId": "r-1", "subnetId": "s-1"}},
        {
            "type": PORT,
            "id": "p-1",
            "inputs": {
                "name": "vrrp_master_server_port",
                "tags": ["vrrp-role-master"],
                "networkId": "n-1",
                "fixedIps": [{"subnetId": "s-1", "ipAddress": "10.0.0.4"}],
                "allowedAddressPairs": [{"ipAddress": "10.0.0.201"}],
            },
        },
        {"type": SERVER, "id": "m-1", "inputs": {"networks": [{"port": "p-1"}]}},
        {
            "type": FLOATING_IP,
            "id": "f-1",
            "inputs": {"portId": "p-1", "pool": "public-net"},
            "outputs": {"address": "203.0.113.9"},
        },
    )

    def test_a_members_port_has_its_addresses_tags_and_server(self) -> None:
        (member, router) = networking_of(self.STATE)["ports"]
        assert member == {
            "id": "p-1",
            "name": "vrrp_master_server_port",
            "tags": ["vrrp-role-master"],
            "network_id": "n-1",
            "device_id": "m-1",
            "device_owner": "compute:nova",
            "fixed_ips": [{"subnet_id": "s-1", "ip_address": "10.0.0.4"}],
            "allowed_addresses": ["10.0.0.201"],
        }
        assert (router["device_id"], router["device_owner"]) == ("r-1", "network:router_interface")
        assert router["fixed_ips"] == [{"subnet_id": "s-1", "ip_address": "10.0.0.1"}]

    def test_the_floating_ip_leads_to_the_address_of_its_port(self) -> None:
        (floating_ip,) = networking_of(self.STATE)["floating_ips"]
        assert (floating_ip["port_id"], floating_ip["fixed_ip"]) == ("p-1", "10.0.0.4")
        assert floating_ip["external_network_id"] == invented_id("external network", "public-net")

    def test_an_extra_port_may_leave_its_address_to_neutron(self) -> None:
        ports: list[dict[str, Any]] = [
            {"type": PORT, "id": "p-2", "inputs": {"fixedIps": [{"subnetId": "s-1"}]}},
            {"type": PORT, "id": "p-3", "inputs": {"fixedIps": [{"ipAddress": "10.0.0.9"}]}},
            {"type": PORT, "id": "p-4", "inputs": {}},
        ]
        made = Networking.of(networking_of([*self.STATE, *ports]))
        assert [port.fixed_ips for port in made.ports if port.id in {"p-2", "p-3", "p-4"}] == [
            (),
            (("", "10.0.0.9"),),
            (),
        ]

    def test_what_the_pair_uses_and_does_not_make_exists(self) -> None:
        made = with_existing({}, ["public-net", "public-net"], {"198.51.100.7": "public-net", "new": "public-net"})
        assert [one["name"] for one in made["external_networks"]] == ["public-net"]
        assert [(one["address"], one["port_id"]) for one in made["floating_ips"]] == [("198.51.100.7", None)]


STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]) + "\\n")
if sys.argv[1:3] == ["stack", "init"]:
    with open("Pulumi.test.yaml", "a") as file:
        file.write("encryptionsalt: v1:salt\\n")
if sys.argv[1] == "preview":
    Path(sys.argv[sys.argv.index("--save-plan") + 1]).write_text(json.dumps(dict(manifest={{}}, resourcePlans={{}})))
    print(json.dumps(dict(steps=[])))
    sys.exit({status})
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a stack file, one commit, and a stand-in for the CLI that records its calls."""
    folder = tmp_path / "project"
    (folder / "gates").mkdir(parents=True)
    shutil.copyfile(PROJECT_FOLDER / "Pulumi.yaml", folder / "Pulumi.yaml")
    (folder / "gates" / "cloud_questions.py").write_text("asks the cloud\n", encoding="utf-8")
    (folder / "Pulumi.test.yaml").write_text("config:\n  vrrp-pair:namePrefix: web\n", encoding="utf-8")
    (folder / ".gitignore").write_text("ignored\n", encoding="utf-8")
    (folder / ".venv").mkdir()
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", "Pulumi.yaml", "gates", "Pulumi.test.yaml", ".gitignore")
    _git(folder, "commit", "-qm", "base")
    (tmp_path / "bin").mkdir()
    _stand_in(tmp_path, 0)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    # The folder in which the temporary ones are made.
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return folder


def _stand_in(tmp_path: Path, status: int) -> None:
    pulumi = tmp_path / "bin" / "pulumi"
    pulumi.write_text(
        STAND_IN.format(python=sys.executable, log=str(tmp_path / "log"), status=status), encoding="utf-8"
    )
    pulumi.chmod(0o755)


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


class TestTheCopies:
    """Prevents a plan of something other than the operator's files, and files that are left behind."""

    def test_the_head_has_the_files_as_they_are_and_the_base_as_they_were(self, repository: Path) -> None:
        (repository / "Pulumi.test.yaml").write_text("config:\n  vrrp-pair:namePrefix: shop\n", encoding="utf-8")
        (repository / "new.py").write_text("new\n", encoding="utf-8")
        (repository / "ignored").write_text("a key\n", encoding="utf-8")
        with offline_stack(Engine(repository, "acme/test"), "HEAD") as made:
            assert made.base is not None
            head, base = made.engine.folder, made.base.folder
            assert "shop" in (head / "Pulumi.test.yaml").read_text(encoding="utf-8")
            assert "web" in (base / "Pulumi.test.yaml").read_text(encoding="utf-8")
            assert ((head / "new.py").exists(), (base / "new.py").exists()) == (True, False)
            assert not (head / "ignored").exists()

    def test_both_run_with_the_installed_packages_and_ask_no_cloud(self, repository: Path) -> None:
        with offline_stack(Engine(repository, "test"), "HEAD") as made:
            assert made.base is not None
            for copy in (made.engine.folder, made.base.folder):
                assert (copy / ".venv").resolve() == (repository / ".venv").resolve()
                assert "invented" in (copy / "gates" / "cloud_questions.py").read_text(encoding="utf-8")
        assert (repository / "gates" / "cloud_questions.py").read_text(encoding="utf-8") == "asks the cloud\n"

    def test_a_virtual_environment_may_be_a_link_that_git_knows(self, repository: Path, tmp_path: Path) -> None:
        (repository / ".venv").rmdir()
        (tmp_path / "elsewhere").mkdir()
        (repository / ".venv").symlink_to(tmp_path / "elsewhere")
        _git(repository, "add", ".venv")
        _git(repository, "commit", "-qm", "a link")
        with offline_stack(Engine(repository, "test"), "HEAD") as made:
            assert (made.engine.folder / ".venv").resolve() == tmp_path / "elsewhere"

    def test_a_virtual_environment_elsewhere_is_left_alone(self, repository: Path, tmp_path: Path) -> None:
        """An absolute path is the same in every copy, so it is the operator's own."""
        (tmp_path / "real").mkdir()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.symlink_to(tmp_path / "real")
        project = (repository / "Pulumi.yaml").read_text(encoding="utf-8")
        (repository / "Pulumi.yaml").write_text(
            project.replace("virtualenv: .venv", f"virtualenv: {elsewhere}"), encoding="utf-8"
        )
        with offline_stack(Engine(repository, "test"), None) as made:
            assert str(elsewhere) in (made.engine.folder / "Pulumi.yaml").read_text(encoding="utf-8")
        assert elsewhere.readlink() == tmp_path / "real"

    def test_the_engine_gets_no_credentials_and_a_state_of_its_own(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OS_CLOUD", "production")
        monkeypatch.setenv("OS_PASSWORD", "a-real-password")
        monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://production")
        with offline_stack(Engine(repository, "test"), "HEAD"):
            pass
        calls = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
        assert [arguments[:2] for arguments, _, _ in calls] == [
            ["stack", "init"],
            ["preview", "--json"],
            ["stack", "import"],
        ]
        for _, _, environment in calls:
            assert "OS_CLOUD" not in environment
            assert environment["OS_PASSWORD"] == "offline"
            assert environment["PULUMI_BACKEND_URL"].startswith(f"file://{tmp_path}/temporary/")
            assert Path(environment[CLOUD_VARIABLE]).parent.parent == tmp_path / "temporary"

    @pytest.mark.parametrize(("unknown", "previews"), [(False, 2), (True, 4)])
    def test_a_corrected_guess_is_previewed_again_only_if_a_value_is_still_unknown(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, unknown: bool, previews: int
    ) -> None:
        """A preview takes most of the time of a plan."""

        def guess(*_: object) -> tuple[dict[str, Any], bool]:
            return {"manifest": {}, "resources": []}, True

        def correct(state: dict[str, Any], _: object) -> tuple[dict[str, Any], bool]:
            return {**state, "resources": [*state["resources"], {"type": PORT, "inputs": {}, "id": "p"}]}, not unknown

        monkeypatch.setattr(offline_plan, "invented_state", guess)
        monkeypatch.setattr(offline_plan, "corrected", correct)
        with offline_stack(Engine(repository, "test"), "HEAD"):
            pass
        log = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
        calls = [" ".join(json.loads(line)[0][:2]) for line in log]
        assert calls == ["stack init", *["preview --json", "stack import"] * previews]

    def test_nothing_is_left_behind(self, repository: Path, tmp_path: Path) -> None:
        with offline_stack(Engine(repository, "test"), "HEAD"):
            assert list((tmp_path / "temporary").iterdir())
        assert list((tmp_path / "temporary").iterdir()) == []

    def test_nothing_is_left_behind_after_an_interrupt_or_a_failure(self, repository: Path, tmp_path: Path) -> None:
        def interrupted() -> None:
            with offline_stack(Engine(repository, "test"), "HEAD"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        _stand_in(tmp_path, 1)
        with (
            pytest.raises(EngineError, match="The preview of the base failed"),
            offline_stack(Engine(repository, "test"), "HEAD"),
        ):
            pass
        assert list((tmp_path / "temporary").iterdir()) == []

    def test_a_stack_that_the_base_does_not_have_is_new(self, repository: Path) -> None:
        (repository / "Pulumi.other.yaml").write_text("config: {}\n", encoding="utf-8")
        # The stand-in of `stack init` writes another file than the engine would.
        with offline_stack(Engine(repository, "other"), "HEAD") as made:
            assert made.base is None
            assert made.notes == ["HEAD has no Pulumi.other.yaml, so every resource is new."]

    def test_a_floating_ip_of_both_revisions_is_one_of_the_bases_network(
        self, repository: Path, tmp_path: Path
    ) -> None:
        """Otherwise the preview of the base fails: its floating IP would be one of another network."""

        def write(network: str) -> None:
            (repository / "Pulumi.test.yaml").write_text(
                f"config:\n  vrrp-pair:floatingIp: 198.51.100.7\n  vrrp-pair:externalNetwork: {network}\n",
                encoding="utf-8",
            )

        write("old-net")
        _git(repository, "commit", "-qam", "an existing floating IP")
        write("new-net")
        with offline_stack(Engine(repository, "test"), "HEAD"):
            cloud = json.loads(_cloud_file(tmp_path).read_text(encoding="utf-8"))
        (floating_ip,) = cloud["networking"]["floating_ips"]
        assert floating_ip["external_network_id"] == invented_id("external network", "old-net")

    @pytest.mark.parametrize(
        ("entry", "old", "noted"),
        [
            ("floatingIp: 198.51.100.1 -> 198.51.100.7", "198.51.100.1", False),
            ("floatingIp:198.51.100.1 -> 198.51.100.7", "198.51.100.1", False),
            ("floatingIp: 198.51.100.1 -> 198.51.100.8", "new", True),
            ("floatingIp: new -> 198.51.100.7", "new", True),
            ("vip: 10.0.0.201 -> 10.0.0.202", "new", True),
            ("no entry", "new", True),
        ],
    )
    def test_an_allowed_change_of_the_floating_ip_tells_the_present_address(
        self, repository: Path, entry: str, old: str, noted: bool
    ) -> None:
        """Only the cloud knows it otherwise, and no entry could fit an invented one."""
        (repository / "Pulumi.test.yaml").write_text(
            f"config:\n  vrrp-pair:floatingIp: 198.51.100.7\n  vrrp-pair:allowInterruption: [{json.dumps(entry)}]\n",
            encoding="utf-8",
        )
        with offline_stack(Engine(repository, "test"), "HEAD") as made:
            assert made.base is not None
            base, head = config_in_the_clear(made.base), config_in_the_clear(made.engine)
            told = any("not known offline" in note for note in made.notes)
        assert base.get("vrrp-pair:floatingIp", {"value": "new"})["value"] == old
        assert head["vrrp-pair:floatingIp"]["value"] == "198.51.100.7"
        assert told is noted

    def test_a_floating_ip_that_stays_needs_no_note(self, repository: Path) -> None:
        with offline_stack(Engine(repository, "test"), "HEAD") as made:
            assert made.notes == []

    def test_an_unknown_stack_or_revision_is_an_error_with_the_way_out(self, repository: Path) -> None:
        with pytest.raises(OfflineError, match=r"there is no Pulumi\.none\.yaml"):
            offline_stack(Engine(repository, "none"), "HEAD").__enter__()
        with pytest.raises(OfflineError, match="--against names the base"):
            offline_stack(Engine(repository, "test"), "no-such-branch").__enter__()

    def test_a_base_without_the_present_layout_is_an_error(self, repository: Path) -> None:
        _git(repository, "mv", "gates", "old")
        _git(repository, "commit", "-qm", "another layout")
        with pytest.raises(OfflineError, match=r"needs 0\.1\.0 or newer"):
            offline_stack(Engine(repository, "test"), "HEAD").__enter__()

    def test_the_base_is_by_default_where_the_branch_began(self, repository: Path) -> None:
        began = _head(repository)
        _git(repository, "switch", "-qc", "a-branch")
        _git(repository, "commit", "-qm", "more", "--allow-empty")
        assert default_revision(repository) == began
        _git(repository, "branch", "-qm", "main", "trunk")
        assert default_revision(repository) == "HEAD"

    def test_without_a_loopback_interface_the_message_names_the_command(
        self, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError("Network is unreachable")

        monkeypatch.setattr(offline_plan.socket, "create_connection", fail)
        with pytest.raises(OfflineError, match="`ip link set lo up`"):
            offline_stack(Engine(repository, "test"), "HEAD").__enter__()


def _cloud_file(tmp_path: Path) -> Path:
    """Return the file that describes the invented cloud, while it exists."""
    last = (tmp_path / "log").read_text(encoding="utf-8").splitlines()[-1]
    _, _, environment = json.loads(last)
    return Path(environment[CLOUD_VARIABLE])


def _head(folder: Path) -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()
