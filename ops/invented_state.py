"""Invent the state of a pair that was never made, as the engine would have recorded it after an `up`.

The engine's own preview of a new pair gives almost all of it. Its plan file (`--save-plan`) has the inputs as the
provider's Check returned them, and the outputs as the provider plans them, with placeholders for what only the cloud
knows. This module puts invented ids into the places of the placeholders.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from .engine_json import UNKNOWN, is_secret, list_in, logical_name, mapping_in
from .invented_cloud import invented_id
from .type_tokens import COMMAND, FLOATING_IP, PORT

#: The type of a default or explicit provider begins with this.
PROVIDERS = "pulumi:providers:"

#: The output of a gate that was made: a time long ago (``components.gates``), so no gate belongs to a new pair.
LONG_AGO = "1000000000"

#: Addresses for documentation (RFC 5737), which no cloud gives.
DOCUMENTATION = "203.0.113."


@dataclass
class _Maker:
    """Makes the resources of one state."""

    #: URN → its entry of the plan file.
    plans: Mapping[str, Mapping[str, Any]]
    #: URN → the outputs that are decided, in the order in which the engine registers the resources.
    made: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    #: The URN of a floating IP → its address. Any other gets an address for documentation.
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Whether a placeholder could have come from more than one output.
    ambiguous: bool = False

    def resource(self, described: Mapping[str, Any]) -> dict[str, Any]:
        """Return one resource of the state.

        :param described: the resource as the preview's JSON describes it, with masked secrets.
        """
        urn = str(described["urn"])
        plan = self.plans[urn]
        inputs = mapping_in(mapping_in(plan["goal"], "inputDiff"), "adds")
        sources: Mapping[str, list[str]] = mapping_in(described, "propertyDependencies")
        inputs = {key: self._resolved(value, key, self._known(sources.get(key, []))) for key, value in inputs.items()}
        resource = {**described, "inputs": inputs}
        if described.get("provider"):
            resource["provider"] = with_provider_id(str(described["provider"]))
        planned = mapping_in(plan, "state")
        if not described.get("custom"):
            self.made[urn] = {}
            # A component has no inputs that are compared, and its outputs are the program's.
            return {**resource, "outputs": {}}
        resource["id"] = invented_id(urn)
        type_ = str(described["type"])
        outputs = {
            **{key: value for key in planned if (value := _output(planned[key], inputs.get(key))) is not None},
            **{
                key: empty
                for key, empty in computed_collections(type_).items()
                if planned.get(key) == UNKNOWN and key not in inputs
            },
            **self._computed(urn, type_, inputs),
        }
        if "__meta" in outputs:
            outputs["__meta"] = _without_plans(str(outputs["__meta"]))
        self.made[urn] = {**outputs, "id": resource["id"]}
        if type_ != COMMAND:
            outputs["id"] = resource["id"]
        return {**resource, "outputs": outputs}

    def _computed(self, urn: str, type_: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs that only a cloud, or a run, can tell, and that the program reads."""
        if type_ == FLOATING_IP:
            return {"address": self.addresses.get(urn, f"{DOCUMENTATION}{1 + len(self.made)}")}
        if type_ == PORT:
            fixed = list_in(inputs, "fixedIps")
            return {"allFixedIps": [one["ipAddress"] for one in fixed if "ipAddress" in one]}
        if type_ == COMMAND:
            # The first gate of a new pair tells the time.
            return {"stdout": LONG_AGO if "date" in str(inputs.get("create")) else "", "stderr": ""}
        return {}

    def _known(self, urns: Sequence[str]) -> list[str]:
        """Return the sources in the order in which the engine registered them."""
        return [urn for urn in self.made if urn in urns]

    def _resolved(self, value: Any, key: str, sources: list[str]) -> Any:
        """Return a value with invented ids in place of the placeholders.

        :param key: the name of the property, or the innermost key in it.
        :param sources: the resources whose outputs are in the value; a used one is moved to the end.
        """
        if value == UNKNOWN:
            return self._chosen(key, sources)
        if is_secret(value):
            inner = self._resolved(json.loads(value["plaintext"]), key, sources)
            return {**value, "plaintext": json.dumps(inner)}
        if isinstance(value, dict):
            return {inner: self._resolved(one, inner, sources) for inner, one in cast(dict[str, Any], value).items()}
        if isinstance(value, list):
            return [self._resolved(one, key, sources) for one in cast(list[Any], value)]
        return value

    def _chosen(self, key: str, sources: list[str]) -> Any:
        if not sources:
            self.ambiguous = True
            return UNKNOWN
        wanted = _letters(key)
        # If several outputs are in one property, the key names the type: subnetId, SERVER_ID, port. A key that names
        # none may be the output of a command, which has no id that a program could use.
        named = [urn for urn in sources if _fits(wanted, urn)]
        self.ambiguous = self.ambiguous or (len(sources) > 1 and len(named) != 1)
        chosen = (named or [urn for urn in sources if _is_command(urn)] or sources)[0]
        sources.remove(chosen)
        sources.append(chosen)
        outputs = self.made[chosen]
        if _is_command(chosen):
            return outputs["stdout"]
        return outputs.get("address", outputs["id"]) if wanted.endswith(("address", "ip")) else outputs["id"]


#: Words in a key that stand for another word in a type.
_SYNONYMS = {"server": "instance", "group": "servergroup", "securitygroup": "secgroup"}


def _leads_to_a_vip(floating_ip: Mapping[str, Any]) -> bool:
    """Whether a floating IP is that of a pair. One of a member leads to the member's port, and is for logins only."""
    sources: list[str] = mapping_in(floating_ip, "propertyDependencies").get("portId", [])
    return any(logical_name(urn).endswith("-vip-port") for urn in sources)


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def _is_command(urn: str) -> bool:
    return urn.split("::")[2].endswith(COMMAND)


def _fits(wanted: str, urn: str) -> bool:
    """Whether a key, in small letters, names the type of a resource: ``subnetid`` and ``…/subnet:Subnet``."""
    type_ = urn.split("::")[2].rpartition(":")[2].lower()
    words = [type_, *(word for word, meaning in _SYNONYMS.items() if meaning == type_)]
    return any(word in wanted for word in words)


#: A property of a resource class in a generated SDK, whose value is a list or a map.
_COLLECTION = re.compile(
    r"@pulumi\.getter(?:\(name=\"(?P<camel>\w+)\"\))?\n    def (?P<name>\w+)\(self\) -> "
    r"pulumi\.Output\[(?:Optional\[)?(?P<kind>Sequence|Mapping)\["
)


@cache
def computed_collections(type_: str) -> dict[str, list[Any] | dict[str, Any]]:
    """Return the properties of a resource type that are lists or maps, each with its empty value.

    The provider sees a change if the state has no value for such a property. The provider's schema tells which they
    are, and the SDK is generated from it. The SDK is read as text, because it takes half a second to load.

    :param type_: such as ``openstack:networking/port:Port``.
    """
    package, module, _ = type_.split(":")
    spec = find_spec(f"pulumi_{package}")
    if spec is None or not spec.submodule_search_locations or "/" not in module:
        return {}
    folder, _, name = module.partition("/")
    file = Path(spec.submodule_search_locations[0]) / folder / f"{_snake_case(name)}.py"
    if not file.is_file():
        return {}
    found = _COLLECTION.finditer(file.read_text(encoding="utf-8"))
    return {one["camel"] or one["name"]: [] if one["kind"] == "Sequence" else {} for one in found}


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _output(planned: Any, given: Any) -> Any:
    """Return a planned output with known values in place of the placeholders; None if nothing is known about it.

    :param given: the input of the same name, because the provider repeats an input as an output.
    """
    if planned == UNKNOWN:
        return _without_marks(given)
    return _filled(planned, given)


def _without_plans(meta: str) -> str:
    """Return the provider's own notes without those that it makes only in a preview: they repeat secrets in the clear.

    :param meta: JSON.
    """
    notes: dict[str, Any] = json.loads(meta)
    return json.dumps({key: value for key, value in notes.items() if key != "_new_extra_shim"})


def _filled(planned: Any, given: Any) -> Any:
    """Return a part of a planned output. An inner value that only the cloud knows becomes an empty text."""
    if planned == UNKNOWN:
        return "" if given is None else _without_marks(given)
    if is_secret(planned):
        return planned
    if isinstance(planned, dict):
        entries = cast(dict[str, Any], planned)
        known = cast(dict[str, Any], given) if isinstance(given, dict) else {}
        return {key: _filled(one, known.get(key)) for key, one in entries.items()}
    if isinstance(planned, list):
        items = cast(list[Any], planned)
        inputs = cast(list[Any], given) if isinstance(given, list) else []
        return [_filled(one, inputs[place] if place < len(inputs) else None) for place, one in enumerate(items)]
    return planned


def _without_marks(value: Any) -> Any:
    """Return an input without the marks that the provider's Check adds."""
    if isinstance(value, dict):
        entries = cast(dict[str, Any], value)
        return {key: _without_marks(one) for key, one in entries.items() if key != "__defaults"}
    if isinstance(value, list):
        return [_without_marks(one) for one in cast(list[Any], value)]
    return value


def with_provider_id(reference: str) -> str:
    """Return the reference of a provider (URN, ``::``, id) with an invented id."""
    urn, _, _ = reference.rpartition("::")
    return f"{urn}::{invented_id(urn)}"


def invented_state(
    steps: Sequence[Mapping[str, Any]], plan: Mapping[str, Any], floating_ip: str | None = None
) -> tuple[dict[str, Any], bool]:
    """Return a deployment for `pulumi stack import`, and whether a value in it is a guess.

    :param steps: the entries ``steps`` of `pulumi preview --json` of a stack without resources.
    :param plan: the plan file of the same preview, with secrets in the clear (`--show-secrets`).
    :param floating_ip: the address of the pair's floating IP; an address for documentation when left out.
    """
    plans: Mapping[str, Mapping[str, Any]] = plan["resourcePlans"]
    described = [step["newState"] for step in steps if step.get("newState")]
    of_a_pair = [one["urn"] for one in described if one["type"] == FLOATING_IP and _leads_to_a_vip(one)]
    # With several pairs in one program, the stack file does not tell which of them has it.
    maker = _Maker(plans, addresses={of_a_pair[0]: floating_ip} if floating_ip and len(of_a_pair) == 1 else {})
    resources = [*_providers(plans), *(maker.resource(one) for one in described)]
    return {"manifest": plan["manifest"], "resources": resources}, maker.ambiguous


def _providers(plans: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the default providers. The preview's JSON leaves them out."""
    for urn, plan in plans.items():
        type_ = str(plan["goal"]["type"])
        if type_.startswith(PROVIDERS):
            inputs = mapping_in(mapping_in(plan["goal"], "inputDiff"), "adds")
            yield {
                "urn": urn,
                "custom": True,
                "id": invented_id(urn),
                "type": type_,
                "inputs": inputs,
                "outputs": mapping_in(plan, "state"),
            }


def corrected(state: dict[str, Any], plan: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the state with the inputs that the engine computes from it, and whether it agrees with the program now.

    It agrees unless the engine could not compute an input: a wrong guess made it replace another resource, whose id and
    outputs only an `up` would tell.

    :param plan: the plan file of a preview of the same program against ``state``, with secrets in the clear.
    """
    agrees = True
    resources = list[dict[str, Any]]()
    for resource in state["resources"]:
        goal = mapping_in(mapping_in(mapping_in(plan, "resourcePlans"), resource["urn"]), "goal")
        diff = mapping_in(goal, "inputDiff")
        new = {**mapping_in(diff, "adds"), **mapping_in(diff, "updates")}
        gone = list_in(diff, "deletes")
        if (new or gone) and not str(resource["type"]).startswith(PROVIDERS):
            # A secret is JSON in a text, so look for the mark in the text of everything.
            agrees = agrees and UNKNOWN not in json.dumps(new)
            kept = {key: value for key, value in resource["inputs"].items() if key not in gone}
            outputs = {**resource["outputs"], **{key: new[key] for key in new if key in resource["outputs"]}}
            resources.append({**resource, "inputs": {**kept, **new}, "outputs": outputs})
        else:
            resources.append(resource)
    return {**state, "resources": resources}, agrees
