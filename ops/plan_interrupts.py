"""What interrupts the service: the changes of resources that take a path to it away."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from .plan_members import place_of
from .plan_steps import PlannedStep, ResourceChange, Steps
from .type_tokens import (
    COMMAND,
    FLOATING_IP,
    FLOATING_IP_ASSOCIATE,
    KEY_PAIR,
    NETWORK,
    PORT,
    ROUTER,
    ROUTER_INTERFACE,
    RULE,
    SECURITY_GROUP,
    SERVER,
    SERVER_GROUP,
    SUBNET,
)

#: Properties that describe a resource and carry no traffic.
LABELS = frozenset({"name", "description", "tags", "allTags", "metadata", "allMetadata", "valueSpecs", "dnsName"})

#: Properties of a subnet that a running server does not use, or learns when it next renews its DHCP lease. Without DHCP
#: (``enableDhcp``) it can't renew the lease, and loses its address when the lease ends.
_LEASED = frozenset({"allocationPools", "dnsNameservers", "serviceTypes", "hostRoutes"})

#: Parts of the logical names of the rules that the service depends on.
_RULES_OF_THE_SERVICE = ("-ingress-http", "-ingress-vrrp", "-ingress-health")


def interruptions(steps: Steps) -> Iterator[str]:
    """Yield why the planned changes interrupt the service, as clauses."""
    replaced = {change.name for change in steps.changes if change.operation == "replace"}
    for change in steps.changes:
        if reason := _interruption_by(change, replaced, steps.order):
            yield reason
    if _both_at_once(steps.order):
        yield "both servers are taken away at the same time"


def _interruption_by(change: ResourceChange, replaced: Collection[str], order: Sequence[PlannedStep]) -> str | None:
    """Return why a change of one resource interrupts the service; None if it does not."""
    name, gone = change.name, change.operation in {"replace", "delete"}
    done = "replaced" if change.operation == "replace" else "deleted"
    changed = change.operation == "update" and bool(change.own - LABELS)
    if change.operation == "create" or change.type in {COMMAND, KEY_PAIR, SERVER_GROUP}:
        return None
    if change.type in {NETWORK, SECURITY_GROUP}:
        return f"{name} is {done}" if gone else None
    if change.type == SUBNET:
        changed = changed and bool(change.own - LABELS - _LEASED)
        return f"{name} is {done if gone else 'changed'}" if gone or changed else None
    if change.type in {ROUTER, ROUTER_INTERFACE}:
        return f"{name} is {done if gone else 'changed'}" if gone or changed else None
    if change.type in {FLOATING_IP, FLOATING_IP_ASSOCIATE}:
        return _by_floating_ip(change, done, gone=gone, changed=changed)
    if change.type == PORT:
        return _by_port(change, replaced, done, gone=gone, changed=changed)
    if change.type == RULE:
        return _by_rule(change, order)
    if change.type == SERVER:
        return f"the server {name} is deleted" if change.operation == "delete" else None
    what = done if gone else "changed"
    return f"{name} ({change.type}) is {what}, and the effect of this is not known" if gone or changed else None


def _by_floating_ip(change: ResourceChange, done: str, *, gone: bool, changed: bool) -> str | None:
    if change.role:
        # A member's own address: no client of the service uses it.
        return None
    if gone and change.type == FLOATING_IP_ASSOCIATE:
        return "the floating IP is taken away from the VIP"
    if gone:
        return f"the floating IP is {done}, and its address is lost"
    return "the floating IP leads to another address" if changed else None


def _by_port(change: ResourceChange, replaced: Collection[str], done: str, *, gone: bool, changed: bool) -> str | None:
    server = change.name.removesuffix("-port")
    if change.role and change.operation == "replace" and server in replaced:
        # The member leaves before its port is replaced, as in every roll.
        return None
    if gone:
        return f"the port {change.name} is {done}"
    if not changed or _only_adds(change):
        return None
    return f"the port {change.name} changes while it is used"


def _only_adds(change: ResourceChange) -> bool:
    """Whether the old values stay, as those of IPv4 do when a pair gets IPv6."""
    own = change.own - LABELS
    values = [one for one in change.properties if one.path.partition(".")[0].partition("[")[0] in own]
    return bool(values) and all(one.old is None for one in values)


def _by_rule(change: ResourceChange, order: Sequence[PlannedStep]) -> str | None:
    of_the_service = any(end in change.name for end in _RULES_OF_THE_SERVICE)
    if change.operation == "replace" and of_the_service and not _is_created_first(change, order):
        return f"the rule {change.name} is deleted before its successor exists"
    if change.operation == "delete" and change.name.endswith("-ingress-vrrp"):
        return f"the rule {change.name} is deleted, so the members can't hear each other"
    return None


def _is_created_first(change: ResourceChange, order: Sequence[PlannedStep]) -> bool:
    """Whether the engine makes the successor of a replaced resource before it deletes the old one."""
    own = (step.operation for step in order if (step.type, step.name) == (change.type, change.name))
    return next(own, None) == "create"


def _both_at_once(order: Sequence[PlannedStep]) -> bool:
    """Whether the second server of a pair is taken away before the first one is there again."""
    away = set[tuple[str, str | None]]()
    for step in order:
        if step.type != SERVER:
            continue
        place = place_of(step.name, step.pair)
        if step.operation == "delete":
            away.add((place.pair, place.role))
        elif step.operation == "create":
            away.discard((place.pair, place.role))
        if sum(pair == place.pair for pair, _ in away) > 1:
            return True
    return False
