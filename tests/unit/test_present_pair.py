"""The comparison of the settings with the pair that Neutron has, as a pure function of both.

tests/cloud changes each key of a live pair.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from gates.present_pair import (
    Networking,
    changes_of,
    find_present_pair,
    floating_ip_problems,
    refusals,
    taken_addresses,
    unclear_ports,
)
from settings import PairSettings
from settings.identity import pair_tag

TAG = pair_tag("vrrp-pair", "test", "vrrp")
OTHER_TAG = pair_tag("vrrp-pair", "test", "blog")
CIDR6 = "2001:db8:7::/64"
DUAL: dict[str, Any] = {"cidr6": CIDR6, "http_cidrs": ["0.0.0.0/0", "::/0"]}
ELSEWHERE: dict[str, Any] = {
    "cidr": "10.1.0.0/24",
    "gateway": "10.1.0.1",
    "pool_start": "10.1.0.10",
    "pool_end": "10.1.0.200",
    "master_address": "10.1.0.4",
    "backup_address": "10.1.0.5",
    "vip": "10.1.0.201",
}
PUBLIC, OTHER = "id-of-public-net", "id-of-other-net"


def port(
    name: str, *addresses: str, role: str = "", tag: str | None = TAG, owner: str = "", device: str = "", **more: Any
) -> dict[str, Any]:
    return {
        "id": f"id-of-{name}",
        "name": name,
        "tags": [tag, f"vrrp-role-{role}"] if role and tag else [],
        "network_id": "net",
        "device_id": device,
        "device_owner": owner,
        "fixed_ips": [
            {"subnet_id": "subnet6" if ":" in address else "subnet", "ip_address": address} for address in addresses
        ],
        "allowed_addresses": [],
        **more,
    }


def cloud(
    *more_ports: dict[str, Any],
    tag: str | None = TAG,
    prefix: str = "vrrp",
    vip: str = "10.0.0.201",
    allowed: Iterable[str] = ("10.0.0.201",),
    six: bool = False,
    external: str | None = PUBLIC,
    floating_ips: Iterable[dict[str, Any]] | None = None,
    existing_floating_ip: bool = False,
) -> dict[str, list[dict[str, Any]]]:
    """Return Neutron's lists with one pair, whose addresses are the defaults."""
    own = f"{TAG}" if tag else ""
    vip_port = port(f"{prefix}-port", vip, role="vip", tag=tag)
    if existing_floating_ip:
        vip_port["tags"].append("vrrp-existing-floating-ip")
    return {
        "ports": [
            port(
                f"{prefix}_master_server_port",
                "10.0.0.4",
                *(["2001:db8:7::4"] if six else []),
                role="master",
                tag=tag,
                owner="compute:nova",
                device="server-1",
                allowed_addresses=list(allowed),
            ),
            port(
                f"{prefix}_backup_server_port",
                "10.0.0.5",
                *(["2001:db8:7::5"] if six else []),
                role="backup",
                tag=tag,
                owner="compute:nova",
                device="server-2",
                allowed_addresses=list(allowed),
            ),
            vip_port,
            *([port(f"{prefix}-port6", "2001:db8:7::201", role="vip6", tag=tag)] if six else []),
            port("", "10.0.0.1", owner="network:router_interface", device="router"),
            *more_ports,
        ],
        "subnets": [
            {"id": "subnet", "name": f"{prefix}-subnet", "ip_version": 4, "cidr": "10.0.0.0/24", "gateway": "10.0.0.1"},
            *(
                [
                    {
                        "id": "subnet6",
                        "name": f"{prefix}-subnet6",
                        "ip_version": 6,
                        "cidr": CIDR6,
                        "gateway": "2001:db8:7::1",
                    }
                ]
                if six
                else []
            ),
        ],
        "routers": [{"id": "router", "external_network_id": external}],
        "floating_ips": [floating_ip("203.0.113.10", f"id-of-{prefix}-port", own)]
        if floating_ips is None
        else list(floating_ips),
        "external_networks": [{"id": PUBLIC, "name": "public-net"}, {"id": OTHER, "name": "other-net"}],
    }


def floating_ip(address: str, port_id: str | None, *tags: str, network: str = PUBLIC) -> dict[str, Any]:
    return {
        "address": address,
        "port_id": port_id,
        "fixed_ip": "10.0.0.201" if port_id else None,
        "external_network_id": network,
        "tags": [tag for tag in tags if tag],
    }


def settings(**changed: Any) -> PairSettings:
    return PairSettings.model_validate(changed)


def changes(there: dict[str, list[dict[str, Any]]], wanted: PairSettings, external: str = PUBLIC) -> list[str]:
    """Return the changes as the message writes them."""
    present = find_present_pair(Networking.of(there), TAG, wanted)
    return [str(change) for change in changes_of(present, wanted, external)]


def problems(there: dict[str, list[dict[str, Any]]], wanted: PairSettings, external: str = PUBLIC) -> list[str]:
    """Return every message of the preflight."""
    networking = Networking.of(there)
    present = find_present_pair(networking, TAG, wanted)
    return [
        *refusals(present, wanted, changes_of(present, wanted, external)),
        *taken_addresses(networking, present, wanted),
        *floating_ip_problems(networking, present, wanted, external),
    ]


class TestAnUnchangedPairIsAllowed:
    """Prevents a preflight that refuses every run."""

    @pytest.mark.parametrize("tag", [TAG, None], ids=["of this release", "of an older release"])
    @pytest.mark.parametrize("six", [False, True])
    def test_the_pair_as_it_is(self, tag: str | None, six: bool) -> None:
        wanted = settings(**(DUAL if six else {}))
        assert changes(cloud(tag=tag, six=six), wanted) == []
        assert problems(cloud(tag=tag, six=six), wanted) == []

    def test_a_new_pair_in_an_empty_project(self) -> None:
        assert changes({}, settings()) == problems({}, settings()) == []

    def test_keys_that_only_roll_or_touch_nothing(self) -> None:
        wanted = settings(
            flavor="c3.c2r4",
            virtual_router_id=77,
            pool_end="10.0.0.150",
            ssh_cidrs=["192.0.2.0/24"],
            name_prefix="shop",
        )
        assert changes(cloud(), wanted) == problems(cloud(), wanted) == []

    def test_a_second_pair_with_the_names_of_the_first(self) -> None:
        """The ports have the tag of the other pair, so they are not this pair's, and its network is another one."""
        wanted = settings(**ELSEWHERE)
        assert problems(cloud(tag=OTHER_TAG), wanted) == problems(cloud(tag=OTHER_TAG), settings()) == []

    @pytest.mark.parametrize("floating_ips", [[], [floating_ip("203.0.113.10", None, TAG)]])
    def test_a_floating_ip_that_was_taken_away_by_hand_comes_back(self, floating_ips: list[dict[str, Any]]) -> None:
        assert problems(cloud(floating_ips=floating_ips), settings()) == []

    def test_a_gateway_that_was_cleared_by_hand_comes_back(self) -> None:
        assert problems(cloud(external=None), settings()) == []

    def test_a_vip_port_that_was_changed_by_hand_is_repaired(self) -> None:
        """The members have the VIP of the settings: only its port is at another address."""
        assert problems(cloud(vip="10.0.0.250"), settings()) == []

    def test_a_run_that_was_interrupted_goes_on_without_the_entry(self) -> None:
        there = cloud(vip="10.0.0.201", allowed=["10.0.0.202"])
        assert changes(there, settings(vip="10.0.0.202")) == []


class TestEachRoleHasOnePort:
    """Prevents a gate that asks about the master of another pair, whose state is in another backend."""

    def test_two_ports_with_the_tags_of_one_role_are_named(self) -> None:
        twin = port("another-port", "10.9.0.4", role="master", owner="compute:nova", device="server-9")
        (problem,) = unclear_ports(Networking.of(cloud(twin)), TAG, settings())
        assert problem.startswith("2 ports have the tags of this pair's master: port id-of-vrrp_master_server_port (")
        assert "port id-of-another-port (another-port) of compute:nova server-9" in problem
        assert "`pulumi stack rename NAME`" in problem

    def test_one_port_for_each_role_is_no_problem(self) -> None:
        stranger = port("another-port", "10.9.0.4", role="master", tag=OTHER_TAG)
        assert list(unclear_ports(Networking.of(cloud(stranger, six=True)), TAG, settings())) == []


#: What the settings say → the change that the cloud's pair would see.
INTERRUPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"vip": "10.0.0.202"}, "vip: 10.0.0.201 -> 10.0.0.202"),
    ({**DUAL, "vip6": "2001:db8:7::202"}, "vip6: 2001:db8:7::201 -> 2001:db8:7::202"),
    ({}, f"cidr6: {CIDR6} -> none"),
    ({**DUAL, "floating_ip": "none"}, "floatingIp: 203.0.113.10 -> none"),
]


class TestAnInterruptionNeedsPermission:
    """Prevents a changed `vip` whose run ends with 0 while the service never answers again."""

    @pytest.mark.parametrize(("changed", "change"), INTERRUPTIONS)
    @pytest.mark.parametrize("tag", [TAG, None], ids=["of this release", "of an older release"])
    def test_it_is_refused_with_the_command_that_allows_exactly_it(
        self, changed: dict[str, Any], change: str, tag: str | None
    ) -> None:
        six = changed != {"vip": "10.0.0.202"}
        there = cloud(six=six, tag=tag)
        (problem,) = problems(there, settings(**changed))
        key, _, old = change.partition(" -> ")[0].partition(": ")
        assert problem.startswith(f"{change}: this ")
        assert f"`pulumi config set --path 'allowInterruption[0]' '{change}'`" in problem
        assert f"set {key} back to {old}" in problem
        assert problems(there, settings(**changed, allow_interruption=[change])) == []

    def test_the_permission_is_for_this_change_alone(self) -> None:
        wanted = settings(vip="10.0.0.202", allow_interruption=["vip: 10.0.0.201 -> 10.0.0.203"])
        (problem,) = problems(cloud(), wanted)
        assert "'allowInterruption[1]' 'vip: 10.0.0.201 -> 10.0.0.202'" in problem

    def test_an_entry_that_fits_nothing_is_harmless(self) -> None:
        assert problems(cloud(), settings(allow_interruption=["vip: 10.0.0.199 -> 10.0.0.201"])) == []

    def test_two_changes_get_two_entries(self) -> None:
        first, second = problems(cloud(), settings(vip="10.0.0.202", floating_ip="none"))
        assert "allowInterruption[0]" in first
        assert "allowInterruption[1]" in second

    def test_another_external_network_is_named(self) -> None:
        wanted = settings(external_network="other-net")
        (problem,) = problems(cloud(), wanted, OTHER)
        change = "externalNetwork: public-net -> other-net"
        assert problem.startswith(f"{change}: this replaces the router")
        assert problems(cloud(), settings(external_network="other-net", allow_interruption=[change]), OTHER) == []

    def test_a_new_network_of_the_same_name_is_named_by_its_id(self) -> None:
        there = cloud(external="id-of-a-deleted-net")
        there["external_networks"].append({"id": "id-of-a-deleted-net", "name": "public-net"})
        assert changes(there, settings()) == [f"externalNetwork: id-of-a-deleted-net -> {PUBLIC}"]

    def test_a_renamed_pair_is_found_by_its_tags(self) -> None:
        assert changes(cloud(), settings(name_prefix="shop", vip="10.0.0.202")) == ["vip: 10.0.0.201 -> 10.0.0.202"]

    def test_a_pair_found_by_name_says_so(self) -> None:
        (problem,) = problems(cloud(tag=None), settings(vip="10.0.0.202"))
        assert problem.endswith("If vrrp is another pair, choose another namePrefix.)")

    def test_a_move_of_an_older_pair_needs_a_run_before(self) -> None:
        """Its floating IP does not depend on the router in the state, so the engine would not delete it first."""
        change = "externalNetwork: public-net -> other-net"
        wanted = settings(external_network="other-net", allow_interruption=[change])
        (problem,) = problems(cloud(tag=None), wanted, OTHER)
        assert "An older release made the pair" in problem
        assert "set externalNetwork back to public-net, run `pulumi up`" in problem

    def test_a_first_ipv6_subnet_needs_no_permission(self) -> None:
        assert changes(cloud(), settings(**DUAL)) == [f"cidr6: none -> {CIDR6}"]
        assert problems(cloud(), settings(**DUAL)) == []


class TestAMembersAddressRolls:
    """Prevents a permission for a change that needs none."""

    def test_it_is_a_change_and_no_problem(self) -> None:
        wanted = settings(master_address="10.0.0.6")
        assert changes(cloud(), wanted) == ["masterAddress: 10.0.0.4 -> 10.0.0.6"]
        assert problems(cloud(), wanted) == []

    @pytest.mark.parametrize(
        ("key", "change"),
        [("master", "masterAddress: 10.0.0.4 -> 10.0.0.6"), ("backup", "backupAddress: 10.0.0.5 -> 10.0.0.6")],
    )
    def test_in_the_first_run_after_an_upgrade_or_an_adoption_it_is_refused(self, key: str, change: str) -> None:
        """The engine would change the port of the running member in place: 8.66 s without an answer were measured."""
        wanted = settings(**{f"{key}_address": "10.0.0.6"})
        (problem,) = problems(cloud(tag=None), wanted)
        assert problem.startswith(f"{change}: this would change the port of the running {key}")
        name, old = change.split(" -> ")[0].split(": ")
        assert f"Set {name} back to {old}, run `pulumi up`, and change {name} then." in problem

    def test_a_port_without_a_server_may_change(self) -> None:
        there = cloud(tag=None)
        there["ports"][0]["device_owner"] = ""
        assert problems(there, settings(master_address="10.0.0.6")) == []


class TestSomeChangesAreRefused:
    """Prevents a subnet that is replaced together with both servers."""

    def test_another_cidr_is_one_refusal_with_the_way_out(self) -> None:
        (problem,) = problems(cloud(), settings(**ELSEWHERE))
        assert problem.startswith(
            "cidr: 10.0.0.0/24 -> 10.1.0.0/24: this replaces the subnet, and with it both servers"
        )
        assert "Make a second pair" in problem
        assert "allowInterruption" not in problem

    def test_another_gateway_is_refused(self) -> None:
        (problem,) = problems(cloud(), settings(gateway="10.0.0.254"))
        assert problem.startswith("gateway: 10.0.0.1 -> 10.0.0.254: this is refused by Neutron")
        assert "Make a second pair" in problem


class TestAnAddressBelongsToOnePort:
    """Prevents the 409 of Neutron in the middle of a run, after one member has changed already."""

    DHCP = port("", "10.0.0.4", owner="network:dhcp", device="dhcp-agent-1")

    def test_a_dhcp_port_took_a_members_address(self) -> None:
        there = cloud(self.DHCP)
        there["ports"] = [one for one in there["ports"] if one["name"] != "vrrp_master_server_port"]
        (problem,) = problems(there, settings())
        assert problem.startswith("masterAddress = 10.0.0.4: port id-of- of network:dhcp dhcp-agent-1 has it")
        assert "poolStart" in problem
        assert "`openstack port delete id-of-`" in problem

    def test_it_took_it_before_the_first_port_of_the_pair_was_made(self) -> None:
        there = cloud(self.DHCP)
        there["ports"] = [self.DHCP]
        (problem,) = problems(there, settings())
        assert problem.startswith("masterAddress = 10.0.0.4: ")

    def test_the_members_exchange_their_addresses(self) -> None:
        first, second = problems(cloud(), settings(master_address="10.0.0.5", backup_address="10.0.0.4"))
        assert first.startswith("masterAddress = 10.0.0.5: the pair's own backup has it")
        assert second.startswith("backupAddress = 10.0.0.4: the pair's own master has it")
        assert "with a `pulumi up` of its own" in first

    def test_a_foreign_port_has_the_address(self) -> None:
        guest = port("guest", "10.0.0.6", owner="compute:nova", device="server-9")
        (problem,) = problems(cloud(guest), settings(master_address="10.0.0.6"))
        assert problem.startswith("masterAddress = 10.0.0.6: port id-of-guest (guest) of compute:nova server-9")

    def test_a_foreign_port_has_the_new_vip(self) -> None:
        change = "vip: 10.0.0.201 -> 10.0.0.202"
        guest = port("guest", "10.0.0.202")
        (problem,) = problems(cloud(guest), settings(vip="10.0.0.202", allow_interruption=[change]))
        assert problem.startswith("vip = 10.0.0.202: port id-of-guest (guest) has it")

    def test_ipv6_addresses_are_checked_too(self) -> None:
        guest = port("guest", "2001:db8:7::202", owner="compute:nova", device="server-9")
        wanted = settings(
            **DUAL, vip6="2001:db8:7::202", allow_interruption=["vip6: 2001:db8:7::201 -> 2001:db8:7::202"]
        )
        (problem,) = problems(cloud(guest, six=True), wanted)
        assert problem.startswith("vip6 = 2001:db8:7::202: ")

    def test_the_same_address_in_another_subnet_is_another_address(self) -> None:
        elsewhere = port("guest", owner="compute:nova", device="server-9")
        elsewhere["fixed_ips"] = [{"subnet_id": "another", "ip_address": "10.0.0.6"}]
        assert problems(cloud(elsewhere), settings(master_address="10.0.0.6")) == []

    def test_a_port_of_a_pair_made_by_hand_may_have_another_name(self) -> None:
        """`ops adopt` finds such a port by its address."""
        there = cloud(tag=None)
        there["ports"][2]["name"] = "made-by-hand"
        assert problems(there, settings()) == []


class TestOtherSystemsDependOnTheFloatingIp:
    """Prevents the loss of an address that DNS names."""

    PROTECTED = floating_ip("203.0.113.10", "id-of-vrrp-port", TAG, "vrrp-protected")
    FREE = floating_ip("203.0.113.77", None)

    @pytest.mark.parametrize(
        ("changed", "change", "external"),
        [
            ({"floating_ip": "none"}, "floatingIp: 203.0.113.10 -> none", PUBLIC),
            ({"external_network": "other-net"}, "externalNetwork: public-net -> other-net", OTHER),
        ],
    )
    def test_a_protected_address_is_not_lost_even_with_permission(
        self, changed: dict[str, Any], change: str, external: str
    ) -> None:
        wanted = settings(**changed, allow_interruption=[change])
        (problem,) = problems(cloud(floating_ips=[self.PROTECTED]), wanted, external)
        assert "It would lose 203.0.113.10, which protectFloatingIp protects" in problem
        assert "protectFloatingIp to false, run `pulumi up`" in problem
        assert problems(cloud(), wanted, external) == []

    def test_a_protection_of_this_very_run_counts_too(self) -> None:
        change = "externalNetwork: public-net -> other-net"
        wanted = settings(external_network="other-net", protect_floating_ip=True, allow_interruption=[change])
        (problem,) = problems(cloud(), wanted, OTHER)
        assert "which protectFloatingIp protects" in problem

    def test_another_ipv6_network_needs_two_runs_even_with_permission(self) -> None:
        """Neutron does not delete a subnet in which the members' ports have addresses, so the run would never end."""
        change = f"cidr6: {CIDR6} -> 2001:db8:8::/64"
        wanted = settings(**DUAL | {"cidr6": "2001:db8:8::/64"}, allow_interruption=[change])
        (problem,) = problems(cloud(six=True), wanted)
        assert problem.startswith(f"{change}: this ")
        assert "First remove cidr6, run `pulumi up`" in problem

    def test_another_vip_keeps_a_protected_address(self) -> None:
        wanted = settings(
            vip="10.0.0.202", protect_floating_ip=True, allow_interruption=["vip: 10.0.0.201 -> 10.0.0.202"]
        )
        assert problems(cloud(floating_ips=[self.PROTECTED]), wanted) == []

    def test_an_existing_address_that_is_free_is_fine_for_a_new_pair(self) -> None:
        assert problems({"floating_ips": [self.FREE]}, settings(floating_ip="203.0.113.77")) == []

    def test_an_existing_address_that_leads_to_the_pair_is_fine(self) -> None:
        leads_here = floating_ip("203.0.113.77", "id-of-vrrp-port")
        there = cloud(floating_ips=[leads_here], existing_floating_ip=True)
        assert changes(there, settings(floating_ip="203.0.113.77")) == []
        assert problems(there, settings(floating_ip="203.0.113.77")) == []

    def test_an_address_that_the_project_does_not_have_is_refused(self) -> None:
        (problem,) = problems({}, settings(floating_ip="203.0.113.77"))
        assert problem.startswith("floatingIp = 203.0.113.77: the project has no floating IP with this address.")

    def test_an_address_of_another_external_network_is_refused(self) -> None:
        there = {**cloud(), "floating_ips": [floating_ip("203.0.113.77", None, network=OTHER)]}
        (problem,) = problems(there, settings(floating_ip="203.0.113.77"))
        assert "an address of the external network other-net, and externalNetwork is public-net" in problem

    def test_an_address_that_leads_elsewhere_is_refused(self) -> None:
        guest = port("guest", "10.0.0.50", owner="compute:nova", device="server-9")
        there = cloud(guest, floating_ips=[floating_ip("203.0.113.77", "id-of-guest")])
        (problem,) = problems(there, settings(floating_ip="203.0.113.77"))
        assert "it leads to port id-of-guest (guest) of compute:nova server-9" in problem
        assert "`openstack floating ip unset --port 203.0.113.77`" in problem

    @pytest.mark.parametrize("tag", [TAG, None], ids=["of this release", "of an older release"])
    def test_the_address_that_the_pair_made_cannot_become_an_existing_one(self, tag: str | None) -> None:
        """The engine would delete the floating IP at the end of the run."""
        (problem,) = problems(cloud(tag=tag), settings(floating_ip="203.0.113.10"))
        assert "Leave floatingIp at new, and set protectFloatingIp to true" in problem

    def test_a_change_of_the_address_needs_permission(self) -> None:
        there = cloud(floating_ips=[floating_ip("203.0.113.10", "id-of-vrrp-port", TAG), self.FREE])
        assert changes(there, settings(floating_ip="203.0.113.77")) == ["floatingIp: 203.0.113.10 -> 203.0.113.77"]

    def test_a_change_from_an_existing_address_to_a_new_one_needs_permission(self) -> None:
        leads_here = floating_ip("203.0.113.77", "id-of-vrrp-port")
        there = cloud(floating_ips=[leads_here], existing_floating_ip=True)
        assert changes(there, settings()) == ["floatingIp: 203.0.113.77 -> new"]

    def test_the_address_of_an_upgrade_that_was_interrupted_stays_the_pairs(self) -> None:
        """The first run gave tags to the ports, and ended before it came to the floating IP.

        Otherwise the preflight advises a ``floatingIp`` with which the pair deletes the address.
        """
        there = cloud(floating_ips=[floating_ip("203.0.113.10", "id-of-vrrp-port")])
        assert problems(there, settings()) == []
        (problem,) = problems(there, settings(floating_ip="203.0.113.10"))
        assert "the pair would delete it in this run" in problem

    def test_an_internal_pair_gets_a_floating_ip_without_permission(self) -> None:
        assert problems(cloud(floating_ips=[]), settings(floating_ip="new")) == []
