"""The ``service`` of the stack file: accepted and refused values, the messages, and the files of a member.

test_health shows how a member checks its service, and tests/lab that another service than apache2 works.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from settings import SettingsError
from settings.parsing import parse_settings
from userdata.renderer import render_user_data

from .conftest import PROJECT, settings_of

#: Accepted settings of the service, at their bounds.
ACCEPTED: list[dict[str, Any]] = [
    {},
    {"packages": ["nginx"]},
    {"packages": [], "unit": "app"},
    {"packages": ["libapache2-mod-php", "apache2"], "unit": "apache2.service"},
    {"port": 1},
    {"port": "65535"},
    {"check": "tcp"},
    {"check": "command", "command": "pg_isready --quiet"},
    {"urlPath": "/healthz?deep=1"},
    {"expectedCodes": "200"},
    {"expectedCodes": "200-299,404"},
    {"delay": 0.05, "timeout": 60},
    {"delay": "60", "timeout": "0.05"},
    {"maxRetries": 1, "maxRetriesDown": 10},
]

#: Key, value, other settings, and of the message the rule and the way out.
REFUSED: list[tuple[str, Any, dict[str, Any], str, str]] = [
    ("packages", ["apache2; reboot"], {}, "is not the name of a package", "see `apt-cache search`"),
    ("unit", "apache2 ssh", {}, "not the name of a systemd unit", "use one such as nginx"),
    ("port", 0, {}, "greater than or equal to 1", "set a TCP port"),
    ("port", 65536, {}, "less than or equal to 65535", "`pulumi config set --path 'vrrp-pair:service.port' …`"),
    ("port", 22, {}, "sshd listens there", "use another port"),
    ("check", "ping", {}, "should be 'http', 'tcp' or 'command'", "set http, tcp or command"),
    ("urlPath", "healthz", {}, "begins with a slash", "such as /healthz"),
    ("urlPath", "/a b", {}, "has no blanks", "such as /healthz"),
    ("urlPath", "/a\r\nHost: x", {}, "has no blanks", "such as /healthz"),
    ("expectedCodes", "2xx", {}, "not HTTP status codes", "a range (200-299)"),
    ("expectedCodes", "299-200", {}, "the lower one first", "use 200-399"),
    ("expectedCodes", "200,600", {}, "are 100 to 599", "use 200-399"),
    ("command", "true", {}, "check is http, which runs no command", "set service.check to command"),
    ("command", "a\nb", {"check": "command"}, "more than one line", "put a script into the image"),
    ("delay", 0.04, {}, "greater than or equal to 0.05", "set 0.05 to 60 seconds"),
    ("delay", 61, {}, "less than or equal to 60", "set 0.05 to 60 seconds"),
    ("timeout", 0.04, {}, "greater than or equal to 0.05", "set 0.05 to 60 seconds"),
    ("timeout", "soon", {}, "valid decimal", "set 0.05 to 60 seconds"),
    ("maxRetries", 0, {}, "greater than or equal to 1", "set 1 to 10 good answers"),
    ("maxRetriesDown", 11, {}, "less than or equal to 10", "set 1 to 10 bad answers"),
]


def _problems(service: object) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        parse_settings({"service": json.dumps(service)}, PROJECT)
    return re.findall(r"^  \d+\. (.*)", str(raised.value), re.MULTILINE)


def _files(which: int = 0, **service: object) -> dict[str, str]:
    settings = settings_of("nz-por-1", service=json.dumps(service))
    written = yaml.safe_load(render_user_data(settings, settings.members[which]))["write_files"]
    return {file["path"]: file["content"] for file in written}


class TestEachRuleAcceptsAndRefuses:
    """Prevents a check that can't succeed, and a text that has another meaning in a unit or a request."""

    @pytest.mark.parametrize("service", ACCEPTED, ids=json.dumps)
    def test_a_value_at_the_bound_is_accepted_unchanged(self, service: dict[str, Any]) -> None:
        taken = parse_settings({"service": json.dumps(service)}, PROJECT).service.model_dump(mode="json", by_alias=True)
        assert {key: str(value) for key, value in taken.items() if key in service} == {
            key: str(float(value) if key in {"delay", "timeout"} else value) for key, value in service.items()
        }

    @pytest.mark.parametrize(("key", "value", "beside", "rule", "way_out"), REFUSED, ids=lambda value: str(value)[:20])
    def test_a_value_beyond_the_bound_is_refused_with_key_value_rule_and_way_out(
        self, key: str, value: object, beside: dict[str, Any], rule: str, way_out: str
    ) -> None:
        problem = _problems({**beside, key: value})[0]
        assert problem.startswith(f"{PROJECT}:service.{key} = ")
        text = str(_message({**beside, key: value}))
        _, found, after = text.partition(rule)
        assert found, text
        assert way_out in after

    def test_a_check_by_command_needs_a_command(self) -> None:
        (problem,) = _problems({"check": "command"})
        assert "check is command, and there is no command: set service.command" in problem

    def test_without_packages_a_unit_must_be_set(self) -> None:
        (problem,) = _problems({"packages": []})
        assert "set service.unit" in problem

    def test_the_message_about_a_misspelt_key_names_the_nearest_key(self) -> None:
        (problem,) = _problems({"urlpath": "/"})
        assert problem.startswith(f"{PROJECT}:service.urlpath: there is no such key; did you mean service.urlPath?")
        assert f"`pulumi config rm --path '{PROJECT}:service.urlpath'`" in problem

    def test_a_value_that_is_no_object_is_refused(self) -> None:
        with pytest.raises(SettingsError, match=r"service = apache2: "):
            parse_settings({"service": "apache2"}, PROJECT)


def _message(service: object) -> SettingsError:
    with pytest.raises(SettingsError) as raised:
        parse_settings({"service": json.dumps(service)}, PROJECT)
    return raised.value


class TestAnotherServiceThanApache:
    """Prevents a member that installs nginx and waits for apache2."""

    def test_a_member_installs_its_packages_and_starts_and_awaits_its_unit(self) -> None:
        files = _files(packages=["nginx", "ssl-cert"], port=8443, check="tcp")
        install = files["/usr/local/lib/vrrp-pair/install"]
        assert "for package in keepalived nginx ssl-cert; do" in install
        (enabled,) = re.findall(r"^systemctl .*enable (.*)$", install, re.MULTILINE)
        assert enabled.split()[:3] == ["nginx.service", "vrrp-health.service", "keepalived.service"]
        assert "After=keepalived.service nginx.service\n" in files["/etc/systemd/system/vrrp-announce-ready.service"]
        assert "apache2" not in "".join(files.values())

    def test_its_check_reaches_the_member(self) -> None:
        config = json.loads(
            _files(port=5432, check="command", command="pg_isready", delay=0.5, maxRetriesDown=2)[
                "/etc/vrrp-pair/member.json"
            ]
        )
        assert {key: config[key] for key in ("port", "check", "command", "delay", "timeout", "maxRetriesDown")} == {
            "port": 5432,
            "check": "command",
            "command": "pg_isready",
            "delay": 0.5,
            "timeout": 0.5,
            "maxRetriesDown": 2,
        }

    def test_each_member_knows_its_peer(self) -> None:
        configs = [json.loads(_files(which)["/etc/vrrp-pair/member.json"]) for which in (0, 1)]
        assert [(config["member"], config["peer"], config["peerAddress"]) for config in configs] == [
            ("vrrp-master", "vrrp-backup", "10.0.0.5"),
            ("vrrp-backup", "vrrp-master", "10.0.0.4"),
        ]

    @pytest.mark.parametrize(("packages", "page"), [(["apache2"], True), (["nginx"], True), (["haproxy"], False)])
    def test_the_tutorials_page_is_written_for_a_web_server_that_serves_it(
        self, packages: list[str], page: bool
    ) -> None:
        assert ("/var/www/html/index.html" in _files(packages=packages)) is page
