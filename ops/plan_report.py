"""The report of a plan, as text, Markdown or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .plan import Plan
from .plan_steps import PropertyChange
from .plan_verdict import FAILED
from .plan_words import kinds, order_in_words

TEMPLATES = Path(__file__).resolve().parent / "templates"

#: The longest value that a report shows.
LONGEST = 200

#: The limits of an offline plan. Every format says them.
OFFLINE = (
    "This is the effect on a pair as {revision} declares it. No cloud was asked: what is in the cloud, and what was "
    "changed there by hand, is not known."
)


class Format(StrEnum):
    """The formats of a report."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def report(plan: Plan, format_: Format) -> str:
    """Return the report of a plan."""
    shown = _shown(plan)
    if format_ is Format.JSON:
        return json.dumps(shown, indent=2)
    return _render("plan.md.j2" if format_ is Format.MARKDOWN else "plan.txt.j2", **shown).strip()


def failure(stack: str, message: str, format_: Format) -> str:
    """Return the report of a plan that could not be made."""
    if format_ is Format.JSON:
        return json.dumps({"stack": stack, "exitStatus": FAILED, "error": message}, indent=2)
    if format_ is Format.MARKDOWN:
        return _render("failure.md.j2", stack=stack, message=message).strip()
    return message


def _shown(plan: Plan) -> dict[str, Any]:
    """Return the content of every format."""
    revision = plan.against
    return {
        "stack": plan.stack,
        "exitStatus": plan.verdict.exit_status,
        "verdict": plan.verdict.sentence,
        "class": plan.verdict.change_class.value,
        "refused": plan.verdict.refused,
        "reasons": list(plan.verdict.reasons),
        "offline": revision is not None,
        "against": revision,
        "notes": [*([OFFLINE.format(revision=_short(revision))] if revision else []), *plan.notes],
        "keys": [
            {"key": one.key, "old": one.old, "new": one.new, "class": one.change_class or ""} for one in plan.keys
        ],
        "image": asdict(plan.image) if plan.image else None,
        "resources": [
            {
                "name": change.name,
                "type": kind,
                "done": done,
                "properties": _properties(change.properties),
                "causes": list(change.causes),
                "repairsDrift": change.drifted,
            }
            for kind, done, change in kinds(plan.steps.changes)
        ],
        "drift": [
            {
                "name": one.name,
                "type": one.type.rpartition(":")[2],
                "operation": one.operation,
                "properties": _properties(one.properties),
            }
            for one in plan.steps.drift
        ],
        "order": order_in_words(plan.steps.order, plan.steps.changes),
        "files": [{"servers": list(one.servers), "path": one.path, "diff": list(one.lines)} for one in plan.files],
    }


def _properties(changes: Iterable[PropertyChange]) -> list[dict[str, str | None]]:
    """Return each property, from what to what. The user-data is left out, because its files are compared by line."""
    return [
        {"path": one.path, "old": _shortened(one.old), "new": _shortened(one.new)}
        for one in changes
        if one.path != "userData"
    ]


def _shortened(text: str | None) -> str | None:
    return text if text is None or len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _short(revision: str) -> str:
    """Return twelve digits of a commit's id, and any other revision as it is."""
    return revision[:12] if re.fullmatch(r"[0-9a-f]{40}", revision) else revision


def _code(text: object) -> str:
    """Return a text as Markdown's code, which shows every character as it is, also in a table."""
    shown = " ".join(str(text).split()).replace("|", "\\|")
    longest = max((len(ticks) for ticks in re.findall(r"`+", shown)), default=0)
    if longest == 0:
        return f"`{shown}`" if shown else ""
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}"


def _plain(text: object) -> str:
    """Return a text for Markdown in which no character has a meaning, apart from code between backticks."""
    parts = re.split(r"(`[^`\n]+`)", str(text))
    escaped = [
        part if part.startswith("`") and part.endswith("`") and len(part) > 2 else _without_meaning(part)
        for part in parts
    ]
    return "".join(escaped)


def _without_meaning(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # "@" and "#" would mention people and issues.
    return re.sub(r"([\\`*_\[\]|~!])", r"\\\1", text).replace("@", "&#64;").replace("#", "&#35;")


def _fenced(lines: list[str]) -> str:
    """Return a fence that no line contains."""
    longest = max((len(ticks) for line in lines for ticks in re.findall(r"`+", line)), default=0)
    return "`" * max(3, longest + 1)


_FILTERS: dict[str, Callable[..., str]] = {"code": _code, "plain": _plain, "fence": _fenced}

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # texts and Markdown, which have filters of their own
)
_ENVIRONMENT.filters.update(_FILTERS)


def _render(template: str, **variables: object) -> str:
    return _ENVIRONMENT.get_template(template).render(**variables)
