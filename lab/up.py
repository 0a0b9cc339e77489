"""Bring a stack's pair up in a lab."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from settings.pair import NEW, Role
from settings.service import Service
from userdata.console_protocol import Condition, reports_of

from . import guest_image
from .cloud import Cloud
from .machine import check_ipv6
from .nova import Server
from .place import IMAGE_FOLDER, Place
from .program import Outcome, run_program
from .stack_file import StackConfig

#: Seconds to wait for each step after the program has declared everything.
PATIENCE = 90


class LabFailed(Exception):
    """The lab could not be brought up; the message names the step and the commands that show more."""


def bring_up(
    place: Place,
    config: StackConfig,
    say: Callable[[str], None],
    program: Path | Callable[[], None] | None = None,
    *,
    wait: bool = True,
) -> tuple[Cloud, Outcome, float | None]:
    """Run the program with the lab as its cloud; return the lab, what was declared, and the time to the first answer.

    :param say: is called with each step, in a few words.
    :param program: a test's program in place of ``__main__.py``.
    :param wait: wait until the floating IP answers and every member reports that it is ready.
    :returns: the time in seconds from the first resource; None without ``wait``.
    :raises LabFailed: if a lab of this name exists, the pair makes no floating IP, or a step takes longer than
        ``PATIENCE``.
    :raises MachineNotReady: for a pair with IPv6 on a kernel without it.
    """
    if place.exists():
        raise LabFailed(f"there is a lab {place.name} already: `python -m lab down --name {place.name}` removes it")
    floating_ip = config.values.get(f"{config.project}:floatingIp", NEW)
    if floating_ip != NEW:
        raise LabFailed(
            f"floatingIp is {floating_ip}: the lab reaches a pair only by a floating IP that it makes itself"
        )
    check_ipv6(config.values.get(f"{config.project}:cidr6", ""))
    image = guest_image.build(IMAGE_FOLDER, say)
    cloud = Cloud(place, image, say)
    began = time.monotonic()
    cloud.start()
    outcome = run_program(config, cloud, program)
    cloud.record.about = {"stack": config.stack, "outputs": outcome.outputs, **_what_the_drill_needs(config)}
    cloud.record.save()
    if not wait:
        return cloud, outcome, None
    say("waiting for the first answer through the floating IP")
    url = str(outcome.outputs["url"])
    _until(lambda: ask(cloud, url) is not None, f"the first answer of {url}")
    first = time.monotonic() - began
    say("waiting for both members to be ready")
    _until(lambda: all(is_ready(server) for server in cloud.nova.servers()), "both members to be ready")
    if cloud.record.about["preempt"] == "true":
        # The backup may have booted first and may hold the VIP.
        master = next(server for server in cloud.nova.servers() if server.role is Role.MASTER)
        _until(lambda: ask(cloud, url) == master.name, f"{master.name} to take the VIP")
    return cloud, outcome, first


def ask(cloud: Cloud, url: str, patience: float = 1) -> str | None:
    """Send one HTTP request from the external network; return the first line of the page, or None without an answer.

    :param patience: seconds.
    """
    command = ["curl", "--silent", "--fail", "--max-time", str(patience), url]
    done = subprocess.run([*cloud.neutron.public.inside, *command], capture_output=True, text=True, check=False)
    return done.stdout.strip().partition("\n")[0] or None


def is_ready(server: Server) -> bool:
    """Whether the server's last report on its console since it was switched on is that it is ready."""
    reports = reports_of(server.console()[int(server.made.chosen.get("console", "0")) :], server.name)
    return bool(reports) and reports[-1].condition is Condition.READY


def _until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise LabFailed(
                f"waited {PATIENCE} s for {what}, in vain. `python -m lab logs MEMBER` shows a member's log, "
                "`python -m lab status` shows which member answers and holds the VIP; the lab is left as it is"
            )
        time.sleep(0.05)


def _what_the_drill_needs(config: StackConfig) -> dict[str, str]:
    own = f"{config.project}:"
    service = json.loads(config.values[own + "service"])
    return {
        **{key: config.values[own + key] for key in ("advertInterval", "preempt", "serviceCheck", "vip")},
        "serviceUnit": Service.model_validate(service).main_unit,
    }
