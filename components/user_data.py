"""The user-data of a member: what cloud-init does with a plain image so that it becomes one half of the pair.

Decisions are made here, text stands in ``userdata/``. The text is a pure function of the settings: same settings,
same bytes, so that a preview shows a change exactly when there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .settings import Member, PairSettings

TEMPLATES = Path(__file__).resolve().parent.parent / "userdata"

RUN_FOLDER = "/run/vrrp-pair"
INTERFACE_FILE = f"{RUN_FOLDER}/interface.conf"
SERVICE_FILE = f"{RUN_FOLDER}/service"
PROGRAM_FOLDER = "/usr/local/lib/vrrp-pair"

#: Seconds between two gratuitous ARPs of a master. The router forgets a stale neighbour after 49 s (measured);
#: this heals it when every advertisement that should have done so was lost.
GARP_REFRESH = 10


@dataclass(frozen=True)
class File:
    """A file that cloud-init writes, owned by root."""

    path: str
    permissions: str
    content: str


def render_user_data(settings: PairSettings, member: Member) -> str:
    """The ``#cloud-config`` of one member.

    It contains ``auth_pass`` in the clear when there is one: treat the text as a secret.
    """
    packages = ["keepalived", "apache2"]
    units = ["apache2.service", "keepalived.service", "vrrp-announce-ready.service"]
    files = [
        File("/etc/keepalived/keepalived.conf", "0640", render_keepalived_conf(settings, member)),
        File("/var/www/html/index.html", "0644", f"{member.name}\n"),
        File(_program("find-interface"), "0755", _render("find-interface.sh.j2", member=member)),
        File(
            _unit("keepalived.service.d/vrrp-pair.conf"), "0644", _render("keepalived-unit.conf.j2", settings=settings)
        ),
        File(_program("announce-ready"), "0755", _render("announce_ready.py.j2", member=member)),
        File(_unit("vrrp-announce-ready.service"), "0644", _render("announce-ready.service.j2")),
    ]
    if settings.service_check:
        units.insert(1, "vrrp-service-check.service")
        files += [
            File(_program("service-check"), "0755", (TEMPLATES / "service_check.py").read_text(encoding="utf-8")),
            File(_unit("vrrp-service-check.service"), "0644", _render("service-check.service.j2")),
        ]
    install = _render("install.sh.j2", member=member, packages=packages, units=units)
    files.append(File(_program("install"), "0755", install))
    return _render("cloud-config.yaml.j2", member=member, files=files, install_script=_program("install"))


def render_keepalived_conf(settings: PairSettings, member: Member) -> str:
    """The keepalived.conf(5) of one member, with ``auth_pass`` in the clear when there is one."""
    peer = next(other for other in settings.members if other.role is not member.role)
    return _render(
        "keepalived.conf.j2",
        settings=settings,
        member=member,
        peer=peer,
        # nopreempt counts only where both begin as BACKUP (keepalived.conf(5)).
        initial_state=member.role.value.upper() if settings.preempt else "BACKUP",
        interval=_seconds(settings.advert_interval),
        auth_pass=settings.auth_pass.get_secret_value() if settings.auth_pass else None,
        garp_refresh=GARP_REFRESH,
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
    "interface_file": INTERFACE_FILE,
    "service_file": SERVICE_FILE,
    "find_interface_script": _program("find-interface"),
    "service_check_script": _program("service-check"),
    "announce_ready_script": _program("announce-ready"),
}


def _render(template: str, **variables: object) -> str:
    return _ENVIRONMENT.get_template(template).render(_PLACES, **variables)
