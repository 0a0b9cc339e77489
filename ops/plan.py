"""The plan of a change: what the engine would do to a pair, and what the clients would notice.

The plan is the engine's own preview, in an operator's words. The state comes from the backend, or offline from the
base (``ops.offline_plan``). Nothing is written: not into the cloud, not into the backend, not into the stack file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from settings.pair import PairSettings
from userdata.renderer import render_user_data

from .engine import Engine
from .engine_json import is_secret, list_in, logical_name, mapping_in
from .offline_plan import config_in_the_clear, offline_stack
from .plan_files import FileChange, Masker, file_changes
from .plan_members import Place, pair_in, place_of
from .plan_settings import Configured, KeyDifference, configured, defaults_of, differences
from .plan_steps import Steps, masked, steps_of
from .plan_verdict import Verdict, judge_plan, protected_verdict, refused_verdict
from .type_tokens import SERVER

#: The preflight's refusal of a change that would interrupt the service (``components.preflight.REFUSED``). It names the
#: change from what to what. It also refuses an address that another port has, which is no interruption.
_REFUSAL = re.compile(r"\Athe change is refused\b.* -> ", re.DOTALL)

#: The preflight's words about an image that the cloud does not have (gates.cloud_questions).
_NO_IMAGE = "the cloud has no image of this name"


class PlanError(Exception):
    """The preview failed for a reason other than an interruption; the message is the engine's, without secrets."""


@dataclass(frozen=True)
class ImageChange:
    """Another image of the servers."""

    #: The value of ``image``, or of ``imageId``.
    name: str
    old_id: str
    new_id: str
    #: Whether the stack file is unchanged: a newer image has the same name.
    same_name: bool


@dataclass(frozen=True)
class Plan:
    """Everything that a report shows."""

    stack: str
    verdict: Verdict
    keys: tuple[KeyDifference, ...] = ()
    steps: Steps = field(default_factory=Steps)
    files: tuple[FileChange, ...] = ()
    image: ImageChange | None = None
    #: The revision whose pair the change is compared with; None for the pair in the cloud.
    against: str | None = None
    #: Whole sentences about the limits of the result.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Side:
    """A pair as it is, or as it will be."""

    configured: Configured
    #: Logical name of a server → its user-data, with secrets in the clear.
    user_data: Mapping[str, str]


def plan(engine: Engine) -> Plan:
    """Return the plan of an `up` now. It asks the cloud, as every preview does.

    :raises PlanError, EngineError: when the preview failed.
    """
    project, defaults = engine.project(), defaults_of(engine.folder)
    after = configured(engine.config(), project, defaults)
    deployed = engine.last_deployed_config()
    before = configured(deployed, project, defaults) if deployed is not None else None
    state = list_in(engine.state_in_the_clear(), "resources")
    old = _Side(before or after, _user_data_in(state))
    new = _Side(after, _user_data_of(after.settings, state, _own_pairs(state, before, after)))
    return _plan(engine, (), old, new, state)


def plan_offline(engine: Engine, against: str | None = None) -> Plan:
    """Return the effect on a pair as another revision declares it, without a cloud and without a network.

    :param against: a revision of git; the merge base with the main branch when left out.
    :raises PlanError, EngineError, OfflineError: when a preview failed, or the plan can't be made offline.
    """
    with offline_stack(engine, against) as offline:
        project, head = engine.project(), offline.engine
        after = configured(config_in_the_clear(head), project, defaults_of(head.folder))
        base = offline.base
        before = configured(config_in_the_clear(base), project, defaults_of(base.folder)) if base else after
        state = list_in(offline.state, "resources")
        own = _own_pairs(state, before, after)
        old, new = _Side(before, _user_data_in(state)), _Side(after, _user_data_of(after.settings, state, own))
        return _plan(head, ("--refresh=false",), old, new, state, against=offline.revision, notes=offline.notes)


def _plan(
    engine: Engine,
    options: tuple[str, ...],
    old: _Side,
    new: _Side,
    state: Sequence[Mapping[str, Any]],
    against: str | None = None,
    notes: Iterable[str] = (),
) -> Plan:
    keys = tuple(differences(old.configured, new.configured))
    masker = Masker(old.configured.secrets | new.configured.secrets)
    preview = engine.preview_events(*options)
    if preview.errors:
        message = "\n".join(preview.errors)
        # A secret may be a word of the message, so it is masked after the message is understood.
        verdict = (
            refused_verdict(message, masker.mask)
            if _REFUSAL.match(message)
            else protected_verdict(preview.errors, masker.mask)
        )
        if verdict is None:
            raise PlanError(masker.mask(message) + _way_to_keep_the_image(message, state))
        return Plan(engine.stack, verdict, keys, against=against, notes=tuple(notes))
    steps = masked(steps_of(preview.events), masker.mask)
    settings = new.configured.settings
    own = _own_pairs(state, old.configured, new.configured)
    # The preflight reads an entry in the same way: its blanks do not count.
    allowed = {str(change) for change in settings.allowed_interruptions} if settings else set[str]()
    verdict = judge_plan(
        steps,
        keys,
        preempt=settings is None or settings.preempt,
        allowed=allowed if against else None,
        own=own,
    )
    return Plan(
        engine.stack,
        verdict,
        keys,
        steps,
        tuple(file_changes(old.user_data, new.user_data, masker)) if _touches_servers(steps) else (),
        _image_change(steps, keys, settings, own),
        against,
        tuple(notes),
    )


def _touches_servers(steps: Steps) -> bool:
    return any(change.type == SERVER for change in steps.changes)


def _user_data_in(resources: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return logical name → user-data of each server in a state whose secrets are in the clear."""
    found: dict[str, str] = {}
    for resource in resources:
        text: Any = mapping_in(resource, "inputs").get("userData")
        if resource["type"] == SERVER and not resource.get("delete") and text:
            found[logical_name(resource["urn"])] = json.loads(text["plaintext"]) if is_secret(text) else str(text)
    return found


def _user_data_of(
    settings: PairSettings | None, resources: Iterable[Mapping[str, Any]], own: frozenset[str] | None
) -> dict[str, str]:
    """Return logical name → user-data that the settings give, for each server of a state that they describe.

    The engine masks the user-data in a preview. It is a pure function of the settings.

    :param own: the pairs that the settings describe; None for all.
    """
    if settings is None:
        return {}
    by_role = {member.role.value: render_user_data(settings, member) for member in settings.members}
    places = {logical_name(one["urn"]): _place_of(one) for one in resources if one["type"] == SERVER}
    return {
        name: by_role[place.role] for name, place in places.items() if place.role and (own is None or place.pair in own)
    }


def _own_pairs(resources: Iterable[Mapping[str, Any]], *sides: Configured | None) -> frozenset[str] | None:
    """Return the logical names of the pairs that the stack's settings describe; None if there is at most one pair.

    A program may declare more pairs. Their servers have names that begin with another ``namePrefix``.
    """
    servers = [one for one in resources if one["type"] == SERVER]
    pairs = {_place_of(one).pair for one in servers}
    if len(pairs) < 2:
        return None
    names = {member.name for side in sides if side and side.settings for member in side.settings.members}
    return frozenset(_place_of(one).pair for one in servers if mapping_in(one, "inputs").get("name") in names)


def _place_of(resource: Mapping[str, Any]) -> Place:
    return place_of(logical_name(resource["urn"]), pair_in(resource.get("parent")))


def _image_change(
    steps: Steps, keys: Iterable[KeyDifference], settings: PairSettings | None, own: frozenset[str] | None
) -> ImageChange | None:
    """Return the change of the image; None if there is none, or if it only repairs a change by hand."""
    named = {"image", "imageId"} & {key.key for key in keys}
    for change in steps.changes:
        pair = place_of(change.name, change.pair).pair
        if change.type != SERVER or "imageId" not in change.own or (own is not None and pair not in own):
            continue
        for one in change.properties:
            if one.path == "imageId" and one.old and one.new:
                image_id = settings.image_id if settings else None
                name = image_id or (settings.image if settings else "image")
                return ImageChange(name, one.old, one.new, same_name=not named and image_id is None)
    return None


def _way_to_keep_the_image(message: str, state: Iterable[Mapping[str, Any]]) -> str:
    """Return how to keep the image in use, if the message says that its name is gone; else an empty text."""
    ids = sorted(
        {str(one["inputs"]["imageId"]) for one in state if one["type"] == SERVER and one["inputs"].get("imageId")}
    )
    if _NO_IMAGE not in message or not ids:
        return ""
    which = ids[0] if len(ids) == 1 else " or ".join(ids)
    return (
        f"\nThe servers use the image {which}. To keep it, whatever its name is now: "
        f"`pulumi config set imageId {ids[0]}`."
    )
