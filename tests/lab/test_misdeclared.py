"""The lab refuses wrongly declared pairs, also those that look healthy to themselves."""

from __future__ import annotations

import time
from typing import Any

import pulumi
import pulumi_openstack as openstack
import pytest

from drill.events import DEMONSTRATION
from drill.observer import Observer
from drill.procedure import Drill, NotHealthy
from lab.cloud import Cloud
from lab.neutron import Conflict
from lab.pair import LabPair
from lab.resources import UnknownToTheLab
from lab.up import ask

from .conftest import Labs, holders, pair_with, without


def without_the_rule_for_112(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """Make the rule for protocol 112 one for GRE, because a transformation can't remove a resource."""
    if args.props.get("protocol") != "112":
        return None
    props: dict[str, Any] = {**args.props, "protocol": "47"}
    return pulumi.ResourceTransformationResult(props, args.opts)


def wait_for_keepalived(cloud: Cloud) -> None:
    """Wait until both members have reported a state, and 3 s more, so that the state is final."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if all("ready as" in member.console() for member in cloud.nova.servers()):
            time.sleep(3)
            return
        time.sleep(0.2)
    raise AssertionError([member.console() for member in cloud.nova.servers()])


def test_without_allowed_address_pairs_keepalived_looks_healthy_but_no_request_gets_through(labs: Labs) -> None:
    program = pair_with(without("Port", "allowed_address_pairs"))
    cloud, outcome = labs.up("no-pairs", program=program, wait=False)
    wait_for_keepalived(cloud)
    assert holders(cloud) == ["vrrp-master"]
    assert "vrrp-backup is ready as BACKUP" in cloud.nova.servers()[1].console()
    url = str(outcome.outputs["url"])
    assert ask(cloud, url) is None
    pair = LabPair(cloud)
    with Observer(pair) as observer, pytest.raises(NotHealthy):
        next(Drill(pair, observer, print, limit=5, recovery_timeout=10).run(DEMONSTRATION))
    assert not observer.recording.good()


def test_multicast_without_the_rule_for_protocol_112_makes_two_masters(labs: Labs) -> None:
    program = pair_with(without_the_rule_for_112)
    cloud, _ = labs.up("no-112", program=program, wait=False, unicast="false")
    wait_for_keepalived(cloud)
    assert holders(cloud) == ["vrrp-master", "vrrp-backup"]


def test_unicast_works_without_that_rule_because_each_member_opens_the_way_for_the_other(labs: Labs) -> None:
    program = pair_with(without_the_rule_for_112)
    cloud, _ = labs.up("no-112", program=program, wait=False)
    wait_for_keepalived(cloud)
    assert holders(cloud) == ["vrrp-master"]


def test_neutron_refuses_floating_ips_without_a_dependency_on_the_router_interface(labs: Labs) -> None:
    def forget(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.endswith(":FloatingIp"):
            return None
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions(parent=args.opts.parent))

    refused: list[str] = []
    try:
        labs.up("no-order", program=pair_with(forget), wait=False)
    except Conflict as conflict:
        # By chance the floating IP may be made in time. Then the deletion is refused.
        refused.append(str(conflict))
    refused += labs.down()
    assert any("not reachable from subnet" in words or "a floating IP behind it" in words for words in refused), refused


class TestTheLabRefusesWhatItCanNotMake:
    def test_a_property_is_refused_by_name(self, labs: Labs) -> None:
        def program() -> None:
            openstack.networking.Network("net", name="net", mtu=1400)

        with pytest.raises(UnknownToTheLab, match="mtu: the lab does not know this property"):
            labs.up("unknown", program=program, wait=False)

    def test_a_resource_type_is_refused_by_name(self, labs: Labs) -> None:
        def program() -> None:
            openstack.blockstorage.Volume("disk", size=1)

        with pytest.raises(UnknownToTheLab, match="openstack:blockstorage/volume:Volume"):
            labs.up("unknown", program=program, wait=False)
