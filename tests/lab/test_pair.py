"""The pair of `nz-por-1` as it is declared: the lab brings it up once, inspects it, drills it and takes it down."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drill.events import DEMONSTRATION
from drill.measurement import Observation
from drill.observer import Observer
from drill.procedure import Drill
from lab.cloud import Cloud
from lab.pair import LabPair
from lab.stack_file import PROJECT_FOLDER
from lab.up import ask, is_ready
from settings.pair import PairSettings
from userdata import renderer as user_data

from .conftest import Labs, from_client, holders, traces_of


@pytest.fixture(scope="module")
def cloud(labs_of_module: Labs) -> Cloud:
    return labs_of_module.up("pair")[0]


@pytest.fixture(scope="module")
def events(cloud: Cloud) -> dict[str, Observation]:
    pair = LabPair(cloud)
    with Observer(pair) as observer:
        return {event.name: event for event in Drill(pair, observer, print).run(DEMONSTRATION)}


def url(cloud: Cloud) -> str:
    return str(cloud.record.about["outputs"]["url"])


def lab_command(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab", *words]
    return subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, text=True, check=False, timeout=60)


def drill_command(cloud: Cloud, report: Path, event: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab", "drill", "--name", cloud.place.name, "--event", event]
    command += ["--report", str(report)]
    return subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, text=True, check=False, timeout=120)


class TestAPairThatIsUp:
    def test_the_master_answers_through_the_floating_ip_and_holds_the_vip_alone(self, cloud: Cloud) -> None:
        assert ask(cloud, url(cloud)) == "vrrp-master"
        assert holders(cloud) == ["vrrp-master"]

    def test_each_member_reports_on_its_console_that_it_is_ready(self, cloud: Cloud) -> None:
        assert [is_ready(member) for member in cloud.nova.servers()] == [True, True]
        for member in cloud.nova.servers():
            assert re.search(
                rf"vrrp-pair: {member.name} is ready as (MASTER|BACKUP) \(boot [0-9a-f-]{{36}}", member.console()
            )

    def test_each_member_runs_the_declared_user_data(self, cloud: Cloud) -> None:
        settings = PairSettings()
        for member, described in zip(cloud.nova.servers(), settings.members, strict=True):
            status = json.loads(member.run("cloud-init", "status", "--format=json").stdout)
            assert (status["status"], status["errors"]) == ("done", [])
            written = member.run("cat", "/etc/keepalived/keepalived.conf").stdout
            assert written == user_data.render_keepalived_conf(settings, described)
            assert member.run("stat", "-c", "%U:%G %a", "/etc/keepalived/keepalived.conf").stdout == "root:root 640\n"

    def test_keepalived_finds_its_interface_by_the_address_whatever_the_name(self, cloud: Cloud) -> None:
        devices = [member.made.chosen["device"] for member in cloud.nova.servers()]
        assert sorted(devices) == ["enp1s0", "ens3"]
        found = [member.run("cat", user_data.INTERFACE_FILE).stdout for member in cloud.nova.servers()]
        assert found == [f"$MEMBER_INTERFACE={device}\n" for device in devices]

    def test_apache2_logs_a_clients_request_and_no_health_check(self, cloud: Cloud) -> None:
        master = cloud.nova.servers()[0]
        assert '"service": "well"' in master.run("vrrp-health", "status").stdout
        assert ask(cloud, f"{url(cloud)}/?client") == master.name
        log = ""
        end = time.monotonic() + 5  # apache2 logs a request after it has answered
        while "GET /?client " not in log and time.monotonic() < end:
            log = master.run("cat", "/var/log/apache2/access.log").stdout
        assert "GET /?client " in log
        assert "vrrp-health" not in log

    def test_every_unit_starts_at_the_next_boot(self, cloud: Cloud) -> None:
        for member in cloud.nova.servers():
            for unit in ("keepalived", "apache2", "vrrp-health", "vrrp-announce-ready"):
                assert member.run("systemctl", "is-enabled", unit).stdout == "enabled\n", unit


class TestTheProgramsAcceptTheTexts:
    """A snapshot shows that a text did not change. Only the program that reads the text can show that it is right."""

    def test_keepalived_accepts_its_configuration_without_a_warning(self, cloud: Cloud) -> None:
        for member in cloud.nova.servers():
            # keepalived exits with 0 for a missing or empty file, too. The test of the user-data shows that it exists.
            checked = member.run("keepalived", "--config-test", "--use-file=/etc/keepalived/keepalived.conf")
            assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

    @pytest.mark.parametrize(
        "own",
        [
            {"preempt": False},
            {"unicast": False, "advert_interval": "0.1"},
            {"advert_interval": 40, "heal_partitions": False},
            {"service_check": False},
            {"vrrp_version": 2, "advert_interval": 1, "unicast": False, "auth_pass": "password"},
            {"vrrp_version": 2, "advert_interval": 255, "auth_pass": "%^,;.:=~"},
        ],
    )
    def test_keepalived_accepts_every_other_configuration_too(self, cloud: Cloud, own: dict[str, Any]) -> None:
        settings = PairSettings.model_validate(own)
        member = cloud.nova.servers()[0]
        text = user_data.render_keepalived_conf(settings, settings.members[0])
        member.write("/root/other.conf", text)
        checked = member.run("keepalived", "--config-test", "--use-file=/root/other.conf")
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

    def test_keepalived_refuses_a_wrong_configuration(self, cloud: Cloud) -> None:
        member = cloud.nova.servers()[0]
        member.write(
            "/root/wrong.conf", member.run("cat", "/etc/keepalived/keepalived.conf").stdout.replace("_int", "_itn")
        )
        assert member.run("keepalived", "--config-test", "--use-file=/root/wrong.conf").returncode != 0

    def test_cloud_init_finds_the_user_data_valid(self, cloud: Cloud) -> None:
        for member in cloud.nova.servers():
            checked = member.run("cloud-init", "schema", "--system")
            assert checked.returncode == 0, checked.stdout + checked.stderr


class TestTheFirewall:
    def test_icmp_gets_in_and_ssh_does_not(self, cloud: Cloud) -> None:
        address = str(cloud.record.about["outputs"]["floatingIp"])
        assert from_client(cloud, "ping", "-c", "1", "-W", "2", address) == 0
        # sshd listens on both members, and no rule opens its port.
        assert "LISTEN" in cloud.nova.servers()[0].run("ss", "-Hltn", "sport = :22").stdout
        assert from_client(cloud, "curl", "--silent", "--max-time", "1", f"telnet://{address}:22") == 28

    def test_port_security_drops_packets_from_a_foreign_address(self, cloud: Cloud) -> None:
        """Only the port's own addresses and its allowed address pairs pass."""
        backup = cloud.nova.servers()[1]
        device = backup.made.chosen["device"]
        backup.run("ip", "address", "add", "10.0.0.77/24", "dev", device).check_returncode()
        try:
            gateway = ("ping", "-c", "2", "-i", "0.2", "-W", "1", "10.0.0.1")
            assert backup.run(*gateway[:1], "-I", "10.0.0.5", *gateway[1:]).returncode == 0
            assert backup.run(*gateway[:1], "-I", "10.0.0.77", *gateway[1:]).returncode == 1
        finally:
            backup.run("ip", "address", "del", "10.0.0.77/24", "dev", device).check_returncode()


class TestTheCommands:
    def test_status_names_the_member_that_answers_and_exits_with_0(self, cloud: Cloud) -> None:
        done = lab_command("status", "--name", cloud.place.name)
        assert done.returncode == 0, done.stdout
        assert f"vrrp-master answers at {url(cloud)}; the VIP is on vrrp-master" in done.stdout

    def test_status_exits_with_1_if_no_member_answers(self, cloud: Cloud) -> None:
        ports = [member.port_id for member in cloud.nova.servers()]
        for port in ports:
            cloud.neutron.set_admin_state(port, up=False)
        try:
            done = lab_command("status", "--name", cloud.place.name)
            assert done.returncode == 1
            assert "no member answers at" in done.stdout
        finally:
            for port in ports:
                cloud.neutron.set_admin_state(port, up=True)

    def test_logs_shows_the_console_and_the_log_of_keepalived(self, cloud: Cloud) -> None:
        done = lab_command("logs", "master", "--name", cloud.place.name)
        assert done.returncode == 0
        assert "vrrp-master is ready as" in done.stdout
        assert "Entering MASTER STATE" in done.stdout

    def test_an_unknown_member_is_one_message(self, cloud: Cloud) -> None:
        done = lab_command("logs", "third", "--name", cloud.place.name)
        assert done.returncode == 2
        assert "has no member third; it has vrrp-master, vrrp-backup" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr

    def test_a_second_lab_of_the_same_name_is_refused_and_the_first_stays(self, cloud: Cloud) -> None:
        done = lab_command("up", "nz-por-1", "--name", cloud.place.name)
        assert done.returncode == 2
        assert "there is a lab" in done.stdout
        assert ask(cloud, url(cloud)) is not None


class TestTheDrillCommand:
    """`python -m lab drill` leaves a report, and leaves a pair alone that is not healthy."""

    def test_it_writes_a_report_in_four_formats(self, cloud: Cloud, tmp_path: Path) -> None:
        done = drill_command(cloud, tmp_path / "drill", "drained")
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads((tmp_path / "drill.json").read_text(encoding="utf-8"))
        assert [(event["name"], event["before"], event["after"]) for event in told["events"]] == [
            ("drained", "vrrp-master", "vrrp-backup"),
            ("undrained", "vrrp-backup", "vrrp-master"),
        ]
        assert "| drained | vrrp-master | vrrp-backup |" in (tmp_path / "drill.md").read_text(encoding="utf-8")
        assert "<svg" in (tmp_path / "drill.svg").read_text(encoding="utf-8")
        assert "undrained" in (tmp_path / "drill.html").read_text(encoding="utf-8")

    def test_an_unhealthy_pair_is_left_alone(self, cloud: Cloud, tmp_path: Path) -> None:
        backup = cloud.nova.servers()[1]
        backup.run("systemctl", "stop", "keepalived").check_returncode()
        try:
            done = drill_command(cloud, tmp_path / "drill", "port disabled")
        finally:
            backup.run("systemctl", "start", "keepalived").check_returncode()
        assert done.returncode == 2
        assert "vrrp-backup is not ready" in done.stdout
        assert list(tmp_path.iterdir()) == []
        assert ask(cloud, url(cloud)) == "vrrp-master"


class TestTheDrill:
    def test_the_service_comes_back_after_every_event(self, events: dict[str, Observation]) -> None:
        assert {name: event.back for name, event in events.items()} == {
            "port disabled": True,
            "port enabled again": True,
            "keepalived stopped": True,
            "keepalived started": True,
            "web server stopped": True,
            "web server started": True,
            "server killed": True,
            "killed server booted": True,
        }

    def test_the_backup_takes_over_and_the_returning_master_takes_the_vip_back(
        self, events: dict[str, Observation]
    ) -> None:
        took_over = {name: (event.before, event.after) for name, event in events.items()}
        away, home = ("vrrp-master", "vrrp-backup"), ("vrrp-backup", "vrrp-master")
        for way_back in ("port enabled again", "keepalived started", "web server started", "killed server booted"):
            assert took_over.pop(way_back) == home
        assert set(took_over.values()) == {away}

    def test_exactly_one_member_holds_the_vip_after_every_event_but_a_disabled_port(
        self, events: dict[str, Observation]
    ) -> None:
        at_end = {name: event.holders_at_end for name, event in events.items()}
        # A master with a disabled port can't know that the backup has taken over.
        assert at_end.pop("port disabled") == 2
        assert set(at_end.values()) == {1}

    def test_a_killed_server_boots_from_its_disk_and_not_as_a_new_server(
        self, cloud: Cloud, events: dict[str, Observation]
    ) -> None:
        assert events["server killed"].before == "vrrp-master"
        master = cloud.nova.servers()[0]
        # cloud-init writes this file once per instance, after runcmd's script.
        ran = int(master.run("stat", "-c", "%Y", "/var/lib/cloud/instance/sem/config_scripts_user").stdout)
        booted = int(master.run("stat", "-c", "%Y", "/proc/1").stdout)
        assert ran < booted
        assert is_ready(master)


def test_down_leaves_nothing_and_neutron_would_refuse_nothing(
    cloud: Cloud, events: dict[str, Observation], labs_of_module: Labs
) -> None:
    assert events
    there = traces_of(cloud.place)
    assert there["namespaces"]
    assert there["processes"]
    assert there["groups"]
    assert labs_of_module.down() == []
    assert not any(traces_of(cloud.place).values()), traces_of(cloud.place)
