"""The ``service`` of the stack file: the packages and the unit behind the VIP, and the check of a member's own service.

The check uses the words of Octavia's health monitor: delay, timeout, max_retries, url_path, expected_codes.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field, PlainSerializer, ValidationInfo, field_validator

from .stack_file_model import Accepts, StackFileModel

Seconds = Annotated[Decimal, PlainSerializer(float, return_type=float)]

#: Debian Policy section 5.6.1, without a hyphen or a single plus at the end: apt would remove or install the package.
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9.]|[a-z0-9][a-z0-9.-]*[+][+]")

#: systemd.unit(5), without the characters that have another meaning in a shell or a unit file.
UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]*")
UNIT_SUFFIX = re.compile(r"\.(?:service|socket|target|timer|path|mount)$")

#: Web servers whose Debian packages serve /var/www/html without any configuration.
SERVES_THE_PAGE = frozenset({"apache2", "nginx", "nginx-light", "lighttpd"})

#: TCP ports.
SSH_PORT = 22
HTTP_PORT = 80

#: UDP port of the health reports between the members. IANA assigns no port from 49152 on (RFC 6335), and Linux takes
#: the ports of its own connections from a lower range, which ends at 60999.
HEALTH_PORT = 61112


class Check(StrEnum):
    """How a member checks its own service."""

    HTTP = "http"
    TCP = "tcp"
    COMMAND = "command"


class Service(StackFileModel):
    """The service behind the VIP. The default is the tutorial's: apache2 and a page with the member's name."""

    packages: Annotated[tuple[str, ...], Accepts("a list of package names")] = Field(
        default=("apache2",),
        description="Packages that a member installs in addition to keepalived. Installed packages are not changed",
    )
    unit: Annotated[str | None, Accepts("the name of a systemd unit, such as nginx")] = Field(
        default=None,
        description="systemd unit that a member starts and waits for; named like the first package when left out",
    )
    port: Annotated[int, Accepts("a TCP port, 1 to 65535, other than 22")] = Field(
        default=HTTP_PORT,
        ge=1,
        le=65535,
        description="TCP port that is checked, and opened to `httpCidrs`",
    )

    check: Annotated[Check, Accepts("http, tcp or command")] = Field(
        default=Check.HTTP,
        description="Kind of check, and its good answer. `http`: a page with one of `expectedCodes`. `tcp`: an "
        "accepted connection, which a hanging service may accept too. `command`: exit status 0",
    )
    url_path: Annotated[str, Accepts("a path that begins with a slash, without blanks")] = Field(
        default="/", description="Path of the page that `check: http` requests"
    )
    expected_codes: Annotated[str, Accepts("HTTP status codes such as 200, 200-299 or 200,204")] = Field(
        default="200-399", description="Status codes of a good answer to `check: http`"
    )
    command: Annotated[str | None, Accepts("one line for the shell that exits with 0 when the service is well")] = (
        Field(default=None, description="Command of `check: command`, run by root")
    )
    delay: Annotated[Seconds, Accepts("0.05 to 60 seconds between two checks")] = Field(
        default=Decimal("0.1"), ge=Decimal("0.05"), le=60, description="Seconds between two checks"
    )
    timeout: Annotated[Seconds, Accepts("0.05 to 60 seconds that an answer may take")] = Field(
        default=Decimal("0.5"),
        ge=Decimal("0.05"),
        le=60,
        description="Seconds that a whole answer may take; a later answer is bad",
    )
    max_retries: Annotated[int, Accepts("1 to 10 good answers in a row after which a fault is over")] = Field(
        default=3,
        ge=1,
        le=10,
        description="Good answers in a row that end a fault. Each relapse within a minute doubles the required number, "
        "up to 32 times `maxRetries`",
    )
    max_retries_down: Annotated[int, Accepts("1 to 10 bad answers in a row that are a fault")] = Field(
        default=1, ge=1, le=10, description="Bad answers in a row that are a fault"
    )

    @field_validator("packages")
    @classmethod
    def _packages_are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not PACKAGE.fullmatch(name):
                raise ValueError(f"{name} is not the name of a package: see `apt-cache search`")
        return value

    @field_validator("unit")
    @classmethod
    def _there_is_a_unit(cls, value: str | None, info: ValidationInfo) -> str | None:
        packages = info.data.get("packages")
        if value is None and packages == ():
            raise ValueError("without packages it has no default: set service.unit, such as nginx")
        if value is not None and not UNIT.fullmatch(value):
            raise ValueError("this is not the name of a systemd unit: use one such as nginx")
        return value

    @field_validator("port")
    @classmethod
    def _port_is_free(cls, value: int) -> int:
        if value == SSH_PORT:
            raise ValueError("sshd listens there: use another port")
        return value

    @field_validator("url_path")
    @classmethod
    def _path_is_a_path(cls, value: str) -> str:
        # RFC 9112 section 3.2.1: the origin form, without blanks and control characters.
        if not re.fullmatch(r"/[!-~]*", value):
            raise ValueError("a path begins with a slash and has no blanks: use one such as /healthz")
        return value

    @field_validator("expected_codes", mode="before")
    @classmethod
    def _one_code_is_a_number(cls, value: object) -> object:
        """Accept the number 200: YAML and `pulumi config set --path` read an unquoted 200 as a number."""
        return str(value) if isinstance(value, int) else value

    @field_validator("expected_codes")
    @classmethod
    def _codes_are_codes(cls, value: str) -> str:
        for low, high in code_ranges(value):
            if not 100 <= low <= high <= 599:
                raise ValueError("HTTP status codes are 100 to 599, the lower one first: use 200-399")
        return value

    @field_validator("command")
    @classmethod
    def _command_and_check_go_together(cls, value: str | None, info: ValidationInfo) -> str | None:
        check: Check | None = info.data.get("check")
        if check is Check.COMMAND and not value:
            raise ValueError(
                "check is command, and there is no command: set service.command, or set service.check to http or tcp"
            )
        if value and check is not None and check is not Check.COMMAND:
            raise ValueError(f"check is {check.value}, which runs no command: set service.check to command")
        if value and "\n" in value:
            raise ValueError("it has more than one line: put a script into the image, and give its path")
        return value

    @property
    def main_unit(self) -> str:
        """The systemd unit of the service, with its suffix."""
        name = self.unit or self.packages[0]
        return name if UNIT_SUFFIX.search(name) else f"{name}.service"

    @property
    def has_a_page(self) -> bool:
        """Whether the service serves /var/www/html, so that a page with the member's name belongs there."""
        return not SERVES_THE_PAGE.isdisjoint(self.packages)


def code_ranges(codes: str) -> list[tuple[int, int]]:
    """Return the ranges of status codes: ``200-299,404`` is [(200, 299), (404, 404)].

    :raises ValueError: if ``codes`` has another form.
    """
    if not re.fullmatch(r"\d{3}(-\d{3})?(,\d{3}(-\d{3})?)*", codes):
        raise ValueError("these are not HTTP status codes: use one (200), a range (200-299), or several (200,204)")
    parts = [part.partition("-") for part in codes.split(",")]
    return [(int(low), int(high or low)) for low, _, high in parts]
