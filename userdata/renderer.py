"""The user-data of a member: with it, cloud-init turns a plain image into one half of the pair.

Decisions are made here. The texts are in ``templates/``; the programs are beside this module. The user-data is a pure
function of the settings: the same settings give the same bytes, so that a preview shows a change only if there is one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from settings.pair import MemberSettings, PairSettings
from settings.service import HEALTH_PORT, Check, code_ranges

PROGRAMS = Path(__file__).resolve().parent
TEMPLATES = PROGRAMS / "templates"

KEEPALIVED_CONF = "/etc/keepalived/keepalived.conf"
RUN_FOLDER = "/run/vrrp-pair"
INTERFACE_FILE = f"{RUN_FOLDER}/interface.conf"
TRACK_FILE = f"{RUN_FOLDER}/service"
HEALTH_STATUS_FILE = f"{RUN_FOLDER}/health.json"
HEALTH_LOCK_FILE = f"{RUN_FOLDER}/health.lock"
#: The configuration of both programs.
MEMBER_CONFIG_FILE = "/etc/vrrp-pair/member.json"
#: Persistent: a drain survives a reboot.
DRAINED_FILE = "/var/lib/vrrp-pair/drained"
PROGRAM_FOLDER = "/usr/local/lib/vrrp-pair"
#: On root's PATH, because operators drain a member with it.
HEALTH_PROGRAM = "/usr/local/sbin/vrrp-health"

#: Debian's and Ubuntu's unit of keepalived uses this path.
KEEPALIVED_PID_FILE = "/run/keepalived.pid"

#: apache2 reads every file of this folder for all its sites.
APACHE2_LOG_CONF = "/etc/apache2/conf-enabled/vrrp-health.conf"
#: The site that Debian's and Ubuntu's apache2 enables.
APACHE2_SITE = "/etc/apache2/sites-available/000-default.conf"

#: Seconds between two gratuitous ARPs of a master. The router forgets a stale neighbour after 49 s (measured).
#: A repeated ARP corrects the router's entry even if all earlier ones were lost.
GARP_REFRESH = 10
#: The same without the health daemon, which announces the VIP when the peer may have stopped.
GARP_REFRESH_ALONE = 1


@dataclass(frozen=True)
class File:
    """A file that cloud-init writes, owned by root."""

    path: str
    permissions: str
    content: str


def render_user_data(settings: PairSettings, member: MemberSettings) -> str:
    """Return the ``#cloud-config`` of one member.

    It contains ``auth_pass`` in the clear if there is one: treat the text as a secret.
    """
    service = settings.service
    packages = ["keepalived", *service.packages]
    units = [service.main_unit, "keepalived.service", "vrrp-announce-ready.service"]
    files = [
        File(KEEPALIVED_CONF, "0640", render_keepalived_conf(settings, member)),
        File(_program("find-interface"), "0755", _render("find-interface.sh.j2", member=member)),
        File(
            _unit("keepalived.service.d/vrrp-pair.conf"), "0644", _render("keepalived-unit.conf.j2", settings=settings)
        ),
        File(HEALTH_PROGRAM, "0755", _render("vrrp-health.sh.j2")),
        File(_program("announce-ready"), "0755", _source("announce_ready.py")),
        # In a folder that is named like this package, so that announce-ready can import them as the project does.
        File(_program("userdata/health.py"), "0755", _source("health.py")),
        File(_program("userdata/console_line.py"), "0644", _source("console_line.py")),
        File(MEMBER_CONFIG_FILE, "0644", render_member_config(settings, member)),
        File(
            _unit("vrrp-announce-ready.service"), "0644", _render("announce-ready.service.j2", unit=service.main_unit)
        ),
    ]
    if service.has_a_page:
        files.insert(1, File("/var/www/html/index.html", "0644", f"{member.name}\n"))
    if settings.service_check:
        units.insert(1, "vrrp-health.service")
        files.append(File(_unit("vrrp-health.service"), "0644", _render("health.service.j2")))
    apache2_logs_checks = settings.service_check and service.check is Check.HTTP and "apache2" in service.packages
    if apache2_logs_checks:
        files.append(File(APACHE2_LOG_CONF, "0644", _render("apache2-log.conf.j2")))
    install = _render(
        "install.sh.j2", member=member, packages=packages, units=units, apache2_logs_checks=apache2_logs_checks
    )
    files.append(File(_program("install"), "0755", install))
    return _render(
        "cloud-config.yaml.j2",
        member=member,
        # A JSON text is a YAML text too, whatever is in the key's comment.
        public_key=json.dumps(settings.public_key) if settings.public_key else None,
        files=files,
        install_script=_program("install"),
    )


def render_keepalived_conf(settings: PairSettings, member: MemberSettings) -> str:
    """Return the keepalived.conf(5) of one member, with ``auth_pass`` in the clear if there is one."""
    return _render(
        "keepalived.conf.j2",
        settings=settings,
        member=member,
        peer=settings.peer_of(member),
        # nopreempt and preempt_delay have an effect only if both members start as BACKUP (keepalived.conf(5)).
        initial_state=member.role.value.upper() if settings.preempt and not settings.preempt_delay else "BACKUP",
        interval=_seconds(settings.advert_interval),
        auth_pass=settings.auth_pass.get_secret_value() if settings.auth_pass else None,
        garp_refresh=GARP_REFRESH if settings.service_check else GARP_REFRESH_ALONE,
    )


def render_member_config(settings: PairSettings, member: MemberSettings) -> str:
    """Return the configuration of both programs of one member, ``health.py`` and ``announce_ready.py``, as JSON."""
    check = settings.service.model_dump(mode="json", by_alias=True, exclude={"packages", "unit"})
    config = {
        "member": member.name,
        "peer": settings.peer_of(member).name,
        "role": member.role.value,
        "address": str(member.address),
        "peerAddress": str(member.peer_address),
        "vips": settings.vips,
        "virtualRouterId": settings.virtual_router_id,
        "advertInterval": float(settings.advert_interval),
        "serviceCheck": settings.service_check,
        "healthPort": HEALTH_PORT,
        **check,
        "expectedCodes": code_ranges(settings.service.expected_codes),
        "trackFile": TRACK_FILE,
        "statusFile": HEALTH_STATUS_FILE,
        "lockFile": HEALTH_LOCK_FILE,
        "drainedFile": DRAINED_FILE,
        "keepalivedConf": KEEPALIVED_CONF,
        "keepalivedPidFile": KEEPALIVED_PID_FILE,
        "interfaceFile": INTERFACE_FILE,
    }
    return "".join(
        ["{\n", ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in config.items()), "\n}\n"]
    )


def _program(name: str) -> str:
    return f"{PROGRAM_FOLDER}/{name}"


def _unit(name: str) -> str:
    return f"/etc/systemd/system/{name}"


def _source(name: str) -> str:
    return (PROGRAMS / name).read_text(encoding="utf-8")


def _seconds(interval: Decimal) -> str:
    """Return plain digits, without an exponent or trailing zeros: keepalived reads ``0.25`` and ``1``."""
    return format(interval.normalize(), "f")


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # configuration files and scripts, no HTML
)

#: The paths on the server, for every template.
_PLACES = {
    "run_folder": RUN_FOLDER,
    "interface_file": INTERFACE_FILE,
    "track_file": TRACK_FILE,
    "apache2_log_conf": APACHE2_LOG_CONF,
    "apache2_site": APACHE2_SITE,
    "find_interface_script": _program("find-interface"),
    "health_program": HEALTH_PROGRAM,
    "health_source": _program("userdata/health.py"),
    "announce_ready_script": _program("announce-ready"),
}


def _render(template: str, **variables: object) -> str:
    return _ENVIRONMENT.get_template(template).render(_PLACES, **variables)
