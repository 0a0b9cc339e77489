"""From a stack file to a running pair."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from settings.pair import Role
from settings.service import Service
from userdata.console_protocol import Condition, reports_of

from . import guest_image
from .cloud import Cloud
from .nova import Member
from .place import IMAGE_FOLDER, Place
from .program import Outcome, run_program
from .stack_file import StackConfig

#: Seconds that the lab waits for each step after everything is declared before it gives up.
PATIENCE = 90


class LabFailed(Exception):
    """The lab could not be brought up; the message tells at which step, and what to look at."""


def bring_up(
    place: Place,
    config: StackConfig,
    say: Callable[[str], None],
    program: Path | Callable[[], None] | None = None,
    *,
    wait: bool = True,
) -> tuple[Cloud, Outcome, float | None]:
    """Run the program with the lab as its cloud; returns the seconds to the first answer besides.

    :param program: another program than ``__main__.py`` (a test's).
    :param wait: until somebody answers through the floating IP and every member says that it is ready.
    :raises LabFailed: when nobody answers in time.
    """
    if place.exists():
        raise LabFailed(f"there is a lab {place.name} already: `python -m lab down --name {place.name}` removes it")
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
    _until(lambda: all(is_ready(member) for member in cloud.nova.members()), "both members to be ready")
    if cloud.record.about["preempt"] == "true":
        # The backup may have booted first, and then served for a moment.
        master = next(member for member in cloud.nova.members() if member.role is Role.MASTER)
        _until(lambda: ask(cloud, url) == master.name, f"{master.name} to take the VIP")
    return cloud, outcome, first


def ask(cloud: Cloud, url: str, patience: float = 1) -> str | None:
    """One request from the client's side; the first line of the page, or None."""
    command = ["curl", "--silent", "--fail", "--max-time", str(patience), url]
    done = subprocess.run([*cloud.neutron.public.inside, *command], capture_output=True, text=True, check=False)
    return done.stdout.strip().partition("\n")[0] or None


def is_ready(member: Member) -> bool:
    """Whether that is the member's last word on its console since it was last switched on."""
    reports = reports_of(member.console()[int(member.made.chosen.get("console", "0")) :], member.name)
    return bool(reports) and reports[-1].condition is Condition.READY


def _until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise LabFailed(
                f"waited {PATIENCE} s for {what}, in vain. `python -m lab logs MEMBER` shows what a member did, "
                "`python -m lab status` what is true from outside; the lab is left as it is"
            )
        time.sleep(0.05)


def _what_the_drill_needs(config: StackConfig) -> dict[str, str]:
    own = f"{config.project}:"
    service = json.loads(config.values[own + "service"])
    return {
        **{key: config.values[own + key] for key in ("advertInterval", "preempt", "vip")},
        "serviceUnit": Service.model_validate(service).main_unit,
    }
