"""The effects of a change beside failovers: those of its keys, and the networks that lose access."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_network

from settings.change_classes import KEYS, NONE, ChangeClass

from .plan_settings import KeyDifference
from .plan_steps import Steps
from .type_tokens import RULE

#: The end of the logical name of a rule that opens a port for one network (``components.firewall``). A rule of an older
#: release has no port in its name.
_FOR_A_NETWORK = re.compile(r"-ingress-(?P<what>http|ssh)(?:-\d+)?-from-(?P<source>.+)")

#: Key → the part of the name of its rules.
_RULES = {"httpCidrs": "http", "sshCidrs": "ssh"}

#: The key whose removed networks are clients of the service.
CLIENTS = "httpCidrs"


def effects(steps: Steps, keys: Sequence[KeyDifference]) -> dict[str, str]:
    """Return key → its effect, for each key whose change clients, members or logins may notice without a failover.

    The keys of the two lists of networks are found by their rules: only a removed network notices the change.
    """
    harmless = {ChangeClass.NOTHING, ChangeClass.ROLL}
    by_key = {key.key: key for key in keys}
    found = dict[str, str]()
    for name, about in KEYS.items():
        key = by_key.get(name)
        if name in _RULES:
            noticed = _loses_a_network(steps, name, key)
        else:
            # The effect is that of the key's own class. A value where there was none may have another class.
            noticed = key is not None and about.change_class in harmless and key.change_class is about.change_class
        if noticed and about.effect:
            found[name] = about.effect
    return found


def _loses_a_network(steps: Steps, name: str, key: KeyDifference | None) -> bool:
    """Whether a rule for a network is deleted, and no other network of the key contains that one."""
    deleted, created = (set(_sources(steps, _RULES[name], operation)) for operation in ("delete", "create"))
    if not deleted - created:
        return False
    try:
        return key is None or not _covered(_networks(key.old), _networks(key.new))
    except ValueError:
        # A value of an older release may not be a list of networks.
        return True


def _sources(steps: Steps, what: str, operation: str) -> Iterator[tuple[str, str]]:
    """Yield the pair and the network of each rule, as its name writes them. The port may be another one."""
    for change in steps.changes:
        found = _FOR_A_NETWORK.search(change.name) if change.type == RULE else None
        if found and found["what"] == what and change.operation == operation:
            yield change.name[: found.start()], found["source"]


def _networks(text: str) -> list[str]:
    """Return the networks in the text of a key's value: a list in JSON, or ``none``."""
    return [] if text == NONE else [str(one) for one in json.loads(text)]


def _covered(old: Collection[str], new: Collection[str]) -> bool:
    """Whether each old network is a part of a new one."""
    return all(any(_contains(outer, inner) for outer in new) for inner in old)


def _contains(outer: str, inner: str) -> bool:
    one, other = ip_network(outer), ip_network(inner)
    # ``subnet_of`` has a type for each address family.
    return one.version == other.version and one.supernet_of(other)  # pyright: ignore[reportArgumentType]
