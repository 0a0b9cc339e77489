"""The bytes that a member boots with: keepalived.conf, and the cloud-config that writes it.

Proves the whole text, so that a review sees every changed byte (`--snapshot-update` writes the snapshot), and the rules
that every text must keep. tests/lab shows that keepalived takes the file and that a booted member is half of a pair.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, reject
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from lab.stack_file import PROJECT_FOLDER
from settings import PairSettings, SettingsError
from userdata import health
from userdata.renderer import render_keepalived_conf, render_user_data

from .conftest import settings_of

#: Nova refuses more characters of base64 (nova/api/openstack/compute/schemas/servers.py).
LONGEST_IN_BASE64 = 65535

KEEPALIVED_CONF = "/etc/keepalived/keepalived.conf"
MASTER, BACKUP = 0, 1
EACH_MEMBER = pytest.mark.parametrize("which", [MASTER, BACKUP], ids=["master", "backup"])
BOTH_TEXTS = pytest.mark.parametrize("stack", ["nz-por-1", "tutorial"])

#: Together they take every branch of every template.
VARIANTS: list[dict[str, str]] = [
    {},
    {"preempt": "false"},
    {"unicast": "false"},
    {"serviceCheck": "false"},
    {"service": '{"check": "tcp"}'},
    {"healPartitions": "false"},
    {"vrrpVersion": "2", "advertInterval": "1", "authPass": "x"},
    {"publicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"},
]
EACH_VARIANT = pytest.mark.parametrize("changed", VARIANTS, ids=lambda changed: next(iter(changed), "as it is"))


def _user_data(settings: PairSettings, which: int = MASTER) -> str:
    return render_user_data(settings, settings.members[which])


def _keepalived_conf(settings: PairSettings, which: int = MASTER) -> str:
    return render_keepalived_conf(settings, settings.members[which])


def _words(settings: PairSettings, which: int = MASTER) -> list[list[str]]:
    """Return the words of each line of keepalived.conf, without the comments."""
    lines = _keepalived_conf(settings, which).splitlines()
    return [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _value(settings: PairSettings, keyword: str, which: int = MASTER) -> str:
    """Return the value of a keyword of keepalived.conf. There must be exactly one."""
    (words,) = [words for words in _words(settings, which) if words[0] == keyword]
    return " ".join(words[1:])


def _files(settings: PairSettings, which: int = MASTER) -> dict[str, dict[str, Any]]:
    """Return what cloud-init reads: path → the entry of write_files."""
    config = yaml.safe_load(_user_data(settings, which))
    files: list[dict[str, Any]] = config["write_files"]
    by_path = {file["path"]: file for file in files}
    assert len(by_path) == len(files)
    return by_path


class TestTheWholeText:
    """Prevents an unintended change of the user-data: each one replaces both servers."""

    @BOTH_TEXTS
    @EACH_MEMBER
    def test_keepalived_conf_is_that_of_the_snapshot(self, stack: str, which: int, snapshot: SnapshotAssertion) -> None:
        assert _keepalived_conf(settings_of(stack), which) == snapshot

    @BOTH_TEXTS
    @EACH_MEMBER
    def test_user_data_is_that_of_the_snapshot(self, stack: str, which: int, snapshot: SnapshotAssertion) -> None:
        assert _user_data(settings_of(stack), which) == snapshot

    def test_the_regions_boot_from_the_same_text(self) -> None:
        texts = {_user_data(settings_of(stack)) for stack in ("nz-por-1", "nz-wlg-2", "nz-hlz-1")}
        assert len(texts) == 1


class TestThePublicKeyOfTheOperator:
    """Prevents that SSH needs a key pair, which in Nova belongs to the user who made it and not to the project."""

    KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

    @EACH_MEMBER
    @pytest.mark.parametrize("comment", ["", " me@here", ' "my: key" # {{ x }} \\ ü', " - [a, b]"])
    def test_cloud_init_reads_the_line_as_it_is(self, which: int, comment: str) -> None:
        """At the top level, where it is for the image's default user (cloud-init's module ssh)."""
        config = yaml.safe_load(_user_data(settings_of("nz-por-1", publicKey=self.KEY + comment), which))
        assert config["ssh_authorized_keys"] == [(self.KEY + comment).strip()]

    @EACH_MEMBER
    def test_without_a_public_key_the_text_has_no_key(self, stack: str, which: int) -> None:
        assert "ssh_authorized_keys" not in yaml.safe_load(_user_data(settings_of(stack), which))


class TestSameSettingsSameBytes:
    """Prevents a preview that replaces both servers although nothing has changed, because the text contains a set or a
    time of day.
    """

    @EACH_MEMBER
    def test_two_renders_are_equal(self, stack: str, which: int) -> None:
        assert _user_data(settings_of(stack), which) == _user_data(settings_of(stack), which)

    def test_another_process_with_another_hash_seed_renders_the_same(self) -> None:
        settings = settings_of("nz-por-1")
        program = (
            "import hashlib, sys\n"
            "from settings import PairSettings\n"
            "from userdata.renderer import render_user_data\n"
            "settings = PairSettings.model_validate_json(sys.argv[1], by_alias=True, by_name=False)\n"
            "for member in settings.members:\n"
            "    print(hashlib.sha256(render_user_data(settings, member).encode()).hexdigest())\n"
        )
        command = [sys.executable, "-W", "ignore", "-c", program, settings.model_dump_json(by_alias=True)]
        for seed in ("1", "2"):
            printed = subprocess.run(
                command, cwd=PROJECT_FOLDER, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
            ).stdout
            ours = [hashlib.sha256(_user_data(settings, which).encode()).hexdigest() for which in (MASTER, BACKUP)]
            assert printed.split() == ours


class TestCloudInitCanReadIt:
    """Prevents a server that boots and does nothing: cloud-init ignores a text that is not YAML or lacks the first
    line, and only the server's own log has a warning. Also prevents user-data that is too long: Nova refuses it when
    half of the pair exists already.
    """

    @EACH_VARIANT
    @EACH_MEMBER
    def test_it_is_a_cloud_config_of_files_and_one_command(self, changed: dict[str, str], which: int) -> None:
        text = _user_data(settings_of("nz-por-1", **changed), which)
        assert text.startswith("#cloud-config\n")
        config = yaml.safe_load(text)
        assert set(config) == {"runcmd", "write_files", *(["ssh_authorized_keys"] if "publicKey" in changed else [])}
        assert all(set(file) == {"path", "permissions", "content"} for file in config["write_files"])
        (command,) = config["runcmd"]
        assert command == ["/usr/local/lib/vrrp-pair/install"]

    @EACH_VARIANT
    def test_a_file_arrives_as_it_was_rendered(self, changed: dict[str, str]) -> None:
        settings = settings_of("nz-por-1", **changed)
        assert _files(settings)[KEEPALIVED_CONF]["content"] == _keepalived_conf(settings)

    @pytest.mark.parametrize(
        ("path", "source"),
        [
            ("announce-ready", "announce_ready.py"),
            ("userdata/health.py", "health.py"),
            ("userdata/console_line.py", "console_line.py"),
        ],
    )
    def test_a_program_arrives_as_it_is_in_the_repository(self, path: str, source: str) -> None:
        text = (PROJECT_FOLDER / "userdata" / source).read_text(encoding="utf-8")
        assert _files(settings_of("nz-por-1"))[f"/usr/local/lib/vrrp-pair/{path}"]["content"] == text

    @EACH_VARIANT
    @EACH_MEMBER
    def test_it_fits_into_what_nova_takes(self, changed: dict[str, str], which: int) -> None:
        settings = settings_of("nz-por-1", namePrefix="a" * 40, **changed)
        assert len(base64.b64encode(_user_data(settings, which).encode())) <= LONGEST_IN_BASE64

    @EACH_MEMBER
    def test_the_index_page_is_the_members_name(self, stack: str, which: int) -> None:
        settings = settings_of(stack, namePrefix="edge")
        page = _files(settings, which)["/var/www/html/index.html"]["content"]
        assert page == f"edge-{('master', 'backup')[which]}\n"


class TestFilesHaveTheRightModes:
    """Prevents a password that every user of the server can read in /etc, a program that systemd may not start, and a
    unit that starts a missing file.
    """

    def test_only_root_can_read_keepalived_conf(self, stack: str) -> None:
        """Without an owner cloud-init gives a file to root (its module write_files)."""
        file = _files(settings_of(stack))[KEEPALIVED_CONF]
        assert (file.get("owner", "root:root"), file["permissions"]) == ("root:root", "0640")

    @EACH_VARIANT
    def test_programs_can_be_run_and_other_files_can_not(self, changed: dict[str, str]) -> None:
        files = _files(settings_of("nz-por-1", **changed))
        runnable = {path for path, file in files.items() if file["permissions"] == "0755"}
        assert runnable == {path for path, file in files.items() if file["content"].startswith("#!")}
        assert len(runnable) >= 3
        others = {file["permissions"] for path, file in files.items() if path not in runnable | {KEEPALIVED_CONF}}
        assert others == {"0644"}

    @EACH_VARIANT
    def test_a_mode_is_text_and_not_a_yaml_number(self, changed: dict[str, str]) -> None:
        for file in _files(settings_of("nz-por-1", **changed)).values():
            assert re.fullmatch("0[0-7]{3}", file["permissions"])

    @EACH_VARIANT
    def test_every_program_parses_with_the_oldest_python_of_the_images(self, changed: dict[str, str]) -> None:
        """Ubuntu 22.04 has Python 3.10."""
        programs = {
            path: file["content"]
            for path, file in _files(settings_of("nz-por-1", **changed)).items()
            if file["permissions"] == "0755" or path.endswith(".py")
        }
        assert programs
        for path, source in programs.items():
            if source.startswith("#!/bin/sh\n"):
                assert subprocess.run(["sh", "-n"], input=source, text=True, check=False).returncode == 0, path
            else:
                assert source.startswith("#!/usr/bin/python3\n") or path.endswith("/console_line.py")
                ast.parse(source, path, feature_version=(3, 10))

    def test_the_programs_import_only_each_other_and_the_standard_library(self) -> None:
        files = _files(settings_of("nz-por-1"))
        folder = "/usr/local/lib/vrrp-pair"
        ours = {
            path.removeprefix(f"{folder}/").removesuffix(".py").replace("/", ".") for path in files if folder in path
        }
        for path, file in files.items():
            if path.endswith((".py", "/announce-ready")):
                for node in ast.walk(ast.parse(file["content"])):
                    names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
                    names += [f"{'.' * node.level}{node.module}"] if isinstance(node, ast.ImportFrom) else []
                    for name in names:
                        assert name in ours or name.partition(".")[0] in sys.stdlib_module_names, path

    @EACH_VARIANT
    def test_every_mentioned_program_of_ours_is_written(self, changed: dict[str, str]) -> None:
        text = _user_data(settings_of("nz-por-1", **changed))
        mentioned = set(re.findall(r"/usr/local/(?:lib/vrrp-pair|sbin)/[\w./-]*\w", text))
        assert mentioned == {path for path in _files(settings_of("nz-por-1", **changed)) if "/usr/local/" in path}

    @EACH_VARIANT
    def test_the_enabled_units_are_those_of_the_packages_and_all_of_ours(self, changed: dict[str, str]) -> None:
        files = _files(settings_of("nz-por-1", **changed))
        install = files["/usr/local/lib/vrrp-pair/install"]["content"]
        (enabled,) = re.findall(r"^systemctl .*enable (.*)$", install, re.MULTILINE)
        ours = {path.rpartition("/")[2] for path in files if re.fullmatch(r"/etc/systemd/system/[\w-]+\.service", path)}
        assert set(enabled.split()) == {"apache2.service", "keepalived.service"} | ours


class TestTheInterfaceHasNoName:
    """Prevents the tutorial's hard-coded `eth0`. Today's images have ens3 or enp1s0, so keepalived stays in FAULT or
    takes a wrong interface.
    """

    @EACH_MEMBER
    def test_keepalived_conf_names_a_variable_and_no_interface(self, stack: str, which: int) -> None:
        settings = settings_of(stack)
        assert _value(settings, "interface", which) == "$MEMBER_INTERFACE"
        assert not re.search(r"\b(eth\d|en[spox]\w*\d)\b", _keepalived_conf(settings, which))

    @EACH_MEMBER
    def test_the_interface_is_found_by_the_members_own_address(self, stack: str, which: int) -> None:
        settings = settings_of(stack)
        files = _files(settings, which)
        script = files["/usr/local/lib/vrrp-pair/find-interface"]["content"]
        assert f" address show to {settings.members[which].address}/32 " in script
        assert f'$MEMBER_INTERFACE=$interface" > {_value(settings, "include", which)}' in script
        drop_in = files["/etc/systemd/system/keepalived.service.d/vrrp-pair.conf"]["content"]
        assert "ExecStartPre=/usr/local/lib/vrrp-pair/find-interface\n" in drop_in


class TestTheMembersAreOnePair:
    """Prevents two masters: members with different virtual_router_ids or versions do not accept each other's
    advertisements. With version 2 different intervals have the same effect.
    """

    @pytest.mark.parametrize("keyword", ["virtual_router_id", "advert_int", "version"])
    def test_both_have_the_same_value(self, stack: str, keyword: str) -> None:
        settings = settings_of(stack, virtualRouterId="77")
        assert _value(settings, keyword, MASTER) == _value(settings, keyword, BACKUP)

    def test_the_two_files_differ_in_name_role_priority_and_addresses_only(self, stack: str) -> None:
        settings = settings_of(stack)
        pairs = zip(_words(settings, MASTER), _words(settings, BACKUP), strict=True)
        differing = [(one[0], other[0]) for one, other in pairs if one != other]
        expected = ["router_id", "state", "priority"]
        if settings.unicast:
            expected.append("unicast_src_ip")
            assert differing.pop() == ("10.0.0.5", "10.0.0.4")
        assert differing == [(keyword, keyword) for keyword in expected]

    @EACH_MEMBER
    def test_the_vip_has_the_prefix_and_the_broadcast_address_of_the_subnet(self, which: int) -> None:
        assert ["10.0.0.201/24", "brd", "10.0.0.255"] in _words(settings_of("nz-por-1"), which)
        wider = settings_of("nz-por-1", cidr="10.0.0.0/22", vip="10.0.3.7")
        assert ["10.0.3.7/22", "brd", "10.0.3.255"] in _words(wider, which)


class TestTheTutorialIsToTheLetter:
    """Prevents comparisons with a pair that is not the tutorial's."""

    @pytest.mark.parametrize(("which", "state", "priority"), [(MASTER, "MASTER", "100"), (BACKUP, "BACKUP", "50")])
    def test_version_2_with_pass_and_multicast(self, which: int, state: str, priority: str) -> None:
        settings = settings_of("tutorial")
        assert _value(settings, "vrrp_instance", which) == "vrrp_group_1 {"
        assert _value(settings, "state", which) == state
        assert _value(settings, "priority", which) == priority
        assert _value(settings, "version", which) == "2"
        assert _value(settings, "advert_int", which) == "1"
        assert _value(settings, "virtual_router_id", which) == "1"
        assert _value(settings, "auth_type", which) == "PASS"
        assert _value(settings, "auth_pass", which) == "password"
        assert not re.search("unicast|track_|script|garp|higher_prio", _keepalived_conf(settings, which))

    def test_no_health_daemon_runs_and_systemd_does_not_restart_keepalived(self) -> None:
        files = _files(settings_of("tutorial"))
        assert "/etc/systemd/system/vrrp-health.service" not in files
        assert "vrrp-health.service" not in files["/usr/local/lib/vrrp-pair/install"]["content"]
        assert "Restart=" not in files["/etc/systemd/system/keepalived.service.d/vrrp-pair.conf"]["content"]


class TestOurOwnDefaults:
    """Prevents the outages of the tutorial: apache is dead while keepalived is alive, and a router keeps a stale MAC
    address for a minute after a partition.
    """

    @EACH_MEMBER
    def test_version_3_by_unicast_between_the_two_addresses_without_a_password(self, which: int) -> None:
        settings = settings_of("nz-por-1")
        words = _words(settings, which)
        own, peer = ("10.0.0.4", "10.0.0.5")[which], ("10.0.0.5", "10.0.0.4")[which]
        assert _value(settings, "version", which) == "3"
        assert _value(settings, "advert_int", which) == "0.25"
        assert _value(settings, "unicast_src_ip", which) == own
        assert words[words.index(["unicast_peer", "{"]) + 1 :][:2] == [[peer], ["}"]]
        assert "auth" not in _keepalived_conf(settings, which)

    @EACH_MEMBER
    def test_partitions_are_healed(self, which: int) -> None:
        settings = settings_of("nz-por-1")
        assert _value(settings, "vrrp_higher_prio_send_advert", which) == "true"
        assert _value(settings, "vrrp_garp_master_refresh", which) == "10"

    @EACH_MEMBER
    def test_without_the_health_daemon_keepalived_announces_the_vip_every_second(self, which: int) -> None:
        """Prevents an outage of ten seconds if one of two masters stops: no daemon notices it."""
        settings = settings_of("nz-por-1", serviceCheck="false")
        assert _value(settings, "vrrp_garp_master_refresh", which) == "1"

    def test_the_health_daemon_writes_the_file_that_keepalived_follows(self) -> None:
        settings = settings_of("nz-por-1")
        files = _files(settings)
        unit = files["/etc/systemd/system/vrrp-health.service"]["content"]
        assert "ExecStart=/usr/local/sbin/vrrp-health watch\n" in unit
        config = json.loads(files["/etc/vrrp-pair/member.json"]["content"])
        assert config["trackFile"] == _value(settings, "file")
        words = _words(settings)
        assert ["track_file", "service", "{"] in words
        assert words[words.index(["track_file", "{"]) + 1] == ["service"]

    def test_the_track_file_has_weight_0_so_that_a_fault_gives_the_vip_away(self) -> None:
        # A weight below the distance of the priorities has no effect, and nopreempt never fails over with any weight.
        assert _value(settings_of("nz-por-1"), "weight") == "0"

    def test_keepalived_does_not_write_the_track_file(self) -> None:
        """Keepalived 2.2.8 overwrites the file by init_file at every start, so that no member holds the VIP."""
        assert "init_file" not in {line[0] for line in _words(settings_of("nz-por-1")) if line}

    def test_keepalived_starts_in_fault_without_a_track_file(self) -> None:
        """Otherwise it takes a missing file for no fault."""
        unit = _files(settings_of("nz-por-1"))["/etc/systemd/system/keepalived.service.d/vrrp-pair.conf"]["content"]
        file = _value(settings_of("nz-por-1"), "file")
        assert f"ExecStartPre=/bin/sh -c '[ -e {file} ] || echo 1 > {file}'\n" in unit

    @pytest.mark.parametrize(
        ("changed", "gone"), [("serviceCheck", "track_file"), ("healPartitions", "garp"), ("unicast", "unicast")]
    )
    def test_each_switch_removes_its_lines(self, changed: str, gone: str) -> None:
        assert gone in _keepalived_conf(settings_of("nz-por-1"))
        assert gone not in _keepalived_conf(settings_of("nz-por-1", **{changed: "false"}))


class TestApache2DoesNotLogTheChecks:
    """Prevents an access log that grows by 74 MB a day, and an access log without a client's request."""

    CONF = "/etc/apache2/conf-enabled/vrrp-health.conf"
    #: The line of Debian 12 and of Ubuntu 22.04 and 24.04.
    LINE = "\tCustomLog ${APACHE_LOG_DIR}/access.log combined\n"

    def _edited(self, site: Path, text: str) -> str:
        """Return the text of a site after the part of the installation that edits it."""
        site.write_text(text, encoding="utf-8")
        install = _files(settings_of("nz-por-1"))["/usr/local/lib/vrrp-pair/install"]["content"]
        (part,) = re.findall(r"^if \[ -e /etc/apache2/.*?^fi$", install, re.DOTALL | re.MULTILINE)
        part = part.replace("/etc/apache2/sites-available/000-default.conf", f"'{site}'")
        for _ in range(2):  # a second run changes nothing
            subprocess.run(["sh", "-euc", part], check=True)
        return site.read_text(encoding="utf-8")

    def test_the_distributions_line_gets_the_condition(self, tmp_path: Path) -> None:
        around = "<VirtualHost *:80>\n{}\tErrorLog ${{APACHE_LOG_DIR}}/error.log\n</VirtualHost>\n"
        edited = self._edited(tmp_path / "site", around.format(self.LINE))
        assert edited == around.format(self.LINE.replace("\n", " env=!vrrp_health\n"))

    @pytest.mark.parametrize(
        "line",
        [
            "\tCustomLog ${APACHE_LOG_DIR}/access.log vhost_combined\n",
            "\tCustomLog /srv/log/access.log combined\n",
            "\tCustomLog ${APACHE_LOG_DIR}/access.log combined env=!other\n",
            "\t# CustomLog ${APACHE_LOG_DIR}/access.log combined\n",
        ],
    )
    def test_an_operators_line_stays_as_it_is(self, tmp_path: Path, line: str) -> None:
        assert self._edited(tmp_path / "site", line) == line

    def test_a_site_that_is_not_there_is_no_failure(self) -> None:
        install = _files(settings_of("nz-por-1"))["/usr/local/lib/vrrp-pair/install"]["content"]
        (part,) = re.findall(r"^if \[ -e /etc/apache2/.*?^fi$", install, re.DOTALL | re.MULTILINE)
        part = part.replace("/etc/apache2/sites-available", "/nonexistent")
        assert subprocess.run(["sh", "-euc", part], check=False).returncode == 0

    def test_only_the_health_check_of_this_member_is_marked(self) -> None:
        conf = _files(settings_of("nz-por-1"))[self.CONF]["content"]
        (expression,) = re.findall(r'^ +SetEnvIfExpr "(.*)" vrrp_health$', conf, re.MULTILINE)
        assert expression == f"%{{REMOTE_ADDR}} == '127.0.0.1' && %{{HTTP_USER_AGENT}} == '{health.USER_AGENT}'"

    @pytest.mark.parametrize(
        ("changed", "written"),
        [
            ({}, True),
            ({"service": '{"packages": ["libapache2-mod-php", "apache2"], "unit": "apache2"}'}, True),
            ({"serviceCheck": "false"}, False),
            ({"service": '{"check": "tcp"}'}, False),
            ({"service": '{"packages": ["nginx"]}'}, False),
        ],
    )
    def test_it_is_written_only_for_an_http_check_of_apache2(self, changed: dict[str, str], written: bool) -> None:
        files = _files(settings_of("nz-por-1", **changed))
        assert (self.CONF in files) is written
        assert ("CustomLog" in files["/usr/local/lib/vrrp-pair/install"]["content"]) is written


class TestPreemption:
    """Prevents a nopreempt without effect: keepalived applies it only if both members start as BACKUP."""

    @EACH_MEMBER
    def test_without_preemption_both_members_start_as_backup(self, stack: str, which: int) -> None:
        settings = settings_of(stack, preempt="false")
        assert _value(settings, "state", which) == "BACKUP"
        assert ["nopreempt"] in _words(settings, which)

    @EACH_MEMBER
    def test_with_preemption_each_member_starts_in_its_role(self, stack: str, which: int) -> None:
        settings = settings_of(stack)
        assert _value(settings, "state", which) == ("MASTER", "BACKUP")[which]
        assert ["nopreempt"] not in _words(settings, which)


class TestThePasswordIsOneWord:
    """Prevents a password that keepalived reads in part, or as a comment, or as a line of its own. The members then
    refuse each other's advertisements, and both are master.
    """

    @given(
        st.one_of(
            st.text(string.ascii_letters + string.digits + string.punctuation, min_size=1, max_size=8),
            st.text("_.,:;+*/=@%^~?-", min_size=1, max_size=8),
            st.sampled_from(["null", "true", "0777", "1e3", "1.0", "~", "-", "a:b", "*a", "%a", "@a", "=", ";"]),
        )
    )
    def test_an_accepted_password_arrives_as_exactly_one_line(self, password: str) -> None:
        try:
            settings = settings_of("tutorial", authPass=password)
        except SettingsError:
            reject()
        for which in (MASTER, BACKUP):
            content: str = _files(settings, which)[KEEPALIVED_CONF]["content"]
            lines = [line.strip() for line in content.splitlines()]
            assert [line for line in lines if "auth_pass" in line] == [f"auth_pass {password}"]
            assert len(password.split()) == 1

    @pytest.mark.parametrize("interval", ["0.1", "0.25", "0.5", "1", "1.0", "10", "40", "4e1"])
    def test_an_interval_is_written_in_plain_digits(self, interval: str) -> None:
        written = _value(settings_of("nz-por-1", advertInterval=interval), "advert_int")
        assert re.fullmatch(r"\d+|\d+\.\d*[1-9]", written)
        assert float(written) == float(interval)
