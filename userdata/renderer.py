"""The user-data of a member: what cloud-init does with a plain image so that it becomes one half of the pair.

Decisions are made here, text stands in ``userdata/``. The text is a pure function of the settings: same settings,
same bytes, so that a preview shows a change exactly when there is one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from settings.pair import MemberSettings, PairSettings
from settings.service import HEALTH_PORT, code_ranges

from .console_protocol import DRAINED

PROGRAMS = Path(__file__).resolve().parent
TEMPLATES = PROGRAMS / "templates"

KEEPALIVED_CONF = "/etc/keepalived/keepalived.conf"
RUN_FOLDER = "/run/vrrp-pair"
INTERFACE_FILE = f"{RUN_FOLDER}/interface.conf"
SERVICE_FILE = f"{RUN_FOLDER}/service"
HEALTH_STATUS_FILE = f"{RUN_FOLDER}/health.json"
HEALTH_LOCK_FILE = f"{RUN_FOLDER}/health.lock"
HEALTH_CONFIG_FILE = "/etc/vrrp-pair/health.json"
#: On the disk: who drains a member before a reboot does not want it back by the reboot.
DRAINED_FILE = "/var/lib/vrrp-pair/drained"
PROGRAM_FOLDER = "/usr/local/lib/vrrp-pair"
#: Among the commands: a person drains a member with it.
HEALTH_PROGRAM = "/usr/local/sbin/vrrp-health"

#: Where Debian's and Ubuntu's keepalived has it.
KEEPALIVED_PID_FILE = "/run/keepalived.pid"

#: Seconds between two gratuitous ARPs of a master. The router forgets a stale neighbour after 49 s (measured);
#: this heals it when every advertisement that should have done so was lost.
GARP_REFRESH = 10


@dataclass(frozen=True)
class File:
    """A file that cloud-init writes, owned by root."""

    path: str
    permissions: str
    content: str


def render_user_data(settings: PairSettings, member: MemberSettings) -> str:
    """The ``#cloud-config`` of one member.

    It contains ``auth_pass`` in the clear when there is one: treat the text as a secret.
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
        File(HEALTH_PROGRAM, "0755", (PROGRAMS / "health.py").read_text(encoding="utf-8")),
        File(HEALTH_CONFIG_FILE, "0644", render_health_config(settings, member)),
        File(_program("announce-ready"), "0755", _render("announce_ready.py.j2", settings=settings, member=member)),
        File(
            _unit("vrrp-announce-ready.service"), "0644", _render("announce-ready.service.j2", unit=service.main_unit)
        ),
    ]
    if service.has_a_page:
        files.insert(1, File("/var/www/html/index.html", "0644", f"{member.name}\n"))
    if settings.service_check:
        units.insert(1, "vrrp-health.service")
        files.append(File(_unit("vrrp-health.service"), "0644", _render("health.service.j2")))
    install = _render("install.sh.j2", member=member, packages=packages, units=units)
    files.append(File(_program("install"), "0755", install))
    return _render("cloud-config.yaml.j2", member=member, files=files, install_script=_program("install"))


def render_keepalived_conf(settings: PairSettings, member: MemberSettings) -> str:
    """The keepalived.conf(5) of one member, with ``auth_pass`` in the clear when there is one."""
    return _render(
        "keepalived.conf.j2",
        settings=settings,
        member=member,
        peer=settings.peer_of(member),
        # nopreempt and preempt_delay count only where both begin as BACKUP (keepalived.conf(5)).
        initial_state=member.role.value.upper() if settings.preempt and not settings.preempt_delay else "BACKUP",
        interval=_seconds(settings.advert_interval),
        auth_pass=settings.auth_pass.get_secret_value() if settings.auth_pass else None,
        garp_refresh=GARP_REFRESH,
    )


def render_health_config(settings: PairSettings, member: MemberSettings) -> str:
    """What the health daemon of one member (``userdata/health.py``) knows, as JSON."""
    check = settings.service.model_dump(mode="json", by_alias=True, exclude={"packages", "unit"})
    about = {
        "member": member.name,
        "peer": settings.peer_of(member).name,
        "address": str(member.address),
        "peerAddress": str(member.peer_address),
        "vips": settings.vips,
        "virtualRouterId": settings.virtual_router_id,
        "advertInterval": float(settings.advert_interval),
        "unicast": settings.unicast,
        "healthPort": HEALTH_PORT,
        **check,
        "expectedCodes": code_ranges(settings.service.expected_codes),
        "trackFile": SERVICE_FILE,
        "statusFile": HEALTH_STATUS_FILE,
        "lockFile": HEALTH_LOCK_FILE,
        "drainedFile": DRAINED_FILE,
        "keepalivedPidFile": KEEPALIVED_PID_FILE,
        "interfaceFile": INTERFACE_FILE,
    }
    return "".join(
        ["{\n", ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in about.items()), "\n}\n"]
    )


def _program(name: str) -> str:
    return f"{PROGRAM_FOLDER}/{name}"


def _unit(name: str) -> str:
    return f"/etc/systemd/system/{name}"


def _seconds(interval: Decimal) -> str:
    """Plain digits, without an exponent and without trailing zeros: keepalived reads ``0.25`` and ``1``."""
    return format(interval.normalize(), "f")


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # configuration files and scripts, no HTML
)

#: Where things are on the server, for every template.
_PLACES = {
    "run_folder": RUN_FOLDER,
    "keepalived_conf": KEEPALIVED_CONF,
    "keepalived_pid_file": KEEPALIVED_PID_FILE,
    "health_status_file": HEALTH_STATUS_FILE,
    "health_lock_file": HEALTH_LOCK_FILE,
    "drained": DRAINED,
    "interface_file": INTERFACE_FILE,
    "service_file": SERVICE_FILE,
    "find_interface_script": _program("find-interface"),
    "health_program": HEALTH_PROGRAM,
    "announce_ready_script": _program("announce-ready"),
}


def _render(template: str, **variables: object) -> str:
    return _ENVIRONMENT.get_template(template).render(_PLACES, **variables)
