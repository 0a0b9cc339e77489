"""What the pair serves, and how a member finds out whether it does: the ``service`` of the stack file.

The words of the check are Octavia's (its health monitor): delay, timeout, max_retries, url_path, expected_codes.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field, PlainSerializer, ValidationInfo, field_validator

from .stack_file_model import StackFileModel

Seconds = Annotated[Decimal, PlainSerializer(float, return_type=float)]

#: Debian Policy section 5.6.1; a hyphen at the end would have apt remove it.
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9.]|[a-z0-9][a-z0-9.-]*[+][+]")

#: systemd.unit(5), without the characters that a shell or a unit file would take for something else.
UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]*")
UNIT_SUFFIX = re.compile(r"\.(?:service|socket|target|timer|path|mount)$")

#: Web servers whose Debian packages serve /var/www/html as they come.
SERVES_THE_PAGE = frozenset({"apache2", "nginx", "nginx-light", "lighttpd"})

#: What else a member needs its ports for: SSH, and what the members tell each other (``health_port``).
SSH_PORT = 22
HTTP_PORT = 80

#: UDP. In the range that IANA assigns to nobody, and above that from which Linux takes ports for its own connections.
HEALTH_PORT = 61112


class Check(StrEnum):
    """How a member asks its own service."""

    HTTP = "http"
    TCP = "tcp"
    COMMAND = "command"


class Service(StackFileModel):
    """The service behind the virtual IP; the default is the tutorial's: apache2 and a page with the member's name."""

    packages: tuple[str, ...] = Field(default=("apache2",), description="a list of the image's packages")
    unit: str | None = Field(default=None, description="the systemd unit of the service; the first package's name")
    port: int = Field(default=HTTP_PORT, ge=1, le=65535, description="a TCP port, 1 to 65535")

    check: Check = Field(default=Check.HTTP, description="http, tcp or command")
    url_path: str = Field(default="/", description="a path that begins with a slash")
    expected_codes: str = Field(default="200-399", description="HTTP status codes such as 200, 200-299 or 200,204")
    command: str | None = Field(default=None, description="a command of the shell that exits with 0 when all is well")
    delay: Seconds = Field(
        default=Decimal("0.1"), ge=Decimal("0.05"), le=60, description="0.05 to 60 seconds between two questions"
    )
    timeout: Seconds = Field(
        default=Decimal("0.5"), ge=Decimal("0.05"), le=60, description="0.05 to 60 seconds that an answer may take"
    )
    max_retries: int = Field(
        default=3, ge=1, le=10, description="1 to 10 good answers in a row after which a fault is over"
    )
    max_retries_down: int = Field(default=1, ge=1, le=10, description="1 to 10 bad answers in a row that are a fault")

    @field_validator("packages")
    @classmethod
    def _packages_are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not PACKAGE.fullmatch(name):
                raise ValueError(f"{name} is no package's name: see `apt-cache search`")
        return value

    @field_validator("unit")
    @classmethod
    def _there_is_a_unit(cls, value: str | None, info: ValidationInfo) -> str | None:
        packages = info.data.get("packages")
        if value is None and packages == ():
            raise ValueError("without packages nothing names it: set service.unit, such as nginx")
        if value is not None and not UNIT.fullmatch(value):
            raise ValueError("this is no name of a systemd unit: use one such as nginx")
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
        """YAML, and `pulumi config set --path`, make one of an unquoted 200."""
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
            raise ValueError("check is command, and there is none: set service.command, or check http or tcp")
        if value and check is not None and check is not Check.COMMAND:
            raise ValueError(f"check is {check.value}, which runs no command: set service.check to command")
        if value and "\n" in value:
            raise ValueError("it has more than one line: put a script into the image, and name it")
        return value

    @property
    def main_unit(self) -> str:
        """The unit that is started and waited for, with its suffix."""
        name = self.unit or self.packages[0]
        return name if UNIT_SUFFIX.search(name) else f"{name}.service"

    @property
    def has_a_page(self) -> bool:
        """Whether a page with the member's name at the place of the tutorial's is of any use."""
        return not SERVES_THE_PAGE.isdisjoint(self.packages)


def code_ranges(codes: str) -> list[tuple[int, int]]:
    """``200-299,404`` as [(200, 299), (404, 404)].

    :raises ValueError: for anything else.
    """
    if not re.fullmatch(r"\d{3}(-\d{3})?(,\d{3}(-\d{3})?)*", codes):
        raise ValueError("these are no HTTP status codes: use one (200), a range (200-299), or several (200,204)")
    parts = [part.partition("-") for part in codes.split(",")]
    return [(int(low), int(high or low)) for low, _, high in parts]
