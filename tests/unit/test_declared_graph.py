"""What each stack declares, resource by resource and value by value.

Proves that the program says what the design says. That Neutron and Nova accept it is shown by tests/cloud; that two
servers made from it fail over, by tests/lab.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from lab.program import run_program
from lab.stack_file import read_stack
from settings.identity import pair_tag

from .conftest import EXTERNAL_NETWORK, IMAGE, PROJECT, STACKS, Declare, RecordingCloud, Run, identifier, kind_of

DNS_SERVERS = {
    "nz-por-1": ["202.78.247.197", "202.78.247.198", "202.78.247.199"],
    "nz-wlg-2": ["202.78.240.213", "202.78.240.214", "202.78.240.215"],
    "nz-hlz-1": ["202.78.244.85", "202.78.244.86", "202.78.244.87"],
    "tutorial": ["202.78.247.197", "202.78.247.198", "202.78.247.199"],
}
REGIONS = {"nz-por-1": "nz-por-1", "nz-wlg-2": "nz_wlg_2", "nz-hlz-1": "nz-hlz-1", "tutorial": "nz-por-1"}

#: Type and logical name. A logical name is a promise: with another name the engine replaces the resource.
EVERY_STACK = {
    ("VrrpPair", "vrrp"),
    ("Network", "vrrp-net"),
    ("Subnet", "vrrp-subnet"),
    ("Router", "vrrp-router"),
    ("RouterInterface", "vrrp-router-interface"),
    ("SecGroup", "vrrp-sec-group"),
    ("SecGroupRule", "vrrp-ingress-icmp"),
    ("SecGroupRule", "vrrp-ingress-vrrp"),
    ("SecGroupRule", "vrrp-ingress-http-80-from-anywhere"),
    ("Port", "vrrp-vip-port"),
    ("FloatingIp", "vrrp-floating-ip"),
    ("Port", "vrrp-master-port"),
    ("Port", "vrrp-backup-port"),
    ("Instance", "vrrp-master"),
    ("Instance", "vrrp-backup"),
    ("Command", "vrrp-master-ready"),
    ("Command", "vrrp-master-stands-in"),
    ("Command", "vrrp-backup-ready"),
    ("Command", "vrrp-master-handover"),
    ("Command", "vrrp-backup-handover"),
    ("Command", "vrrp-teardown"),
    ("Command", "vrrp-complete"),
}
REGION_ONLY = {("ServerGroup", "vrrp-server-group"), ("SecGroupRule", "vrrp-ingress-health")}
TUTORIAL_ONLY = {
    ("SecGroupRule", "vrrp-ingress-ssh-from-anywhere"),
    ("FloatingIp", "vrrp-master-floating-ip"),
    ("FloatingIp", "vrrp-backup-floating-ip"),
}
EXACTLY = {stack: EVERY_STACK | (TUTORIAL_ONLY if stack == "tutorial" else REGION_ONLY) for stack in STACKS}

ROLES = ("master", "backup")
ADDRESSES = {"master": "10.0.0.4", "backup": "10.0.0.5"}
VIP = "10.0.0.201"


class TestNothingMoreAndNothingLess:
    """Prevents leftovers such as the three floating IPs that the tutorial's clean-up forgets."""

    def test_each_stack_declares_exactly_its_resources(self, pair: Run, stack: str) -> None:
        declared = [(kind_of(resource), resource.name) for resource in pair.outcome.resources.values()]
        assert sorted(declared) == sorted(EXACTLY[stack])

    def test_the_cloud_is_asked_to_make_each_of_them_once(self, pair: Run, stack: str) -> None:
        made = [(kind_of(resource), resource.name) for resource in pair.cloud.created]
        assert sorted(made) == sorted(EXACTLY[stack] - {("VrrpPair", "vrrp")})

    def test_every_resource_is_a_child_of_the_component(self, pair: Run) -> None:
        component = pair.one("VrrpPair", "vrrp")
        assert component.type == "vrrp:index:VrrpPair"
        assert "::pulumi:pulumi:Stack::" in component.parent
        parents = {resource.name: resource.parent for resource in pair.cloud.created}
        assert parents == dict.fromkeys(parents, component.urn)


class TestTheRegionIsAParameter:
    """Prevents a region with its own name and the DNS servers of another one."""

    def test_the_stack_file_names_the_region_as_openstack_does(self, stack: str) -> None:
        assert read_stack(stack).values["openstack:region"] == REGIONS[stack]

    def test_the_subnet_hands_out_the_dns_servers_of_its_region(self, pair: Run, stack: str) -> None:
        assert pair.one("Subnet", "vrrp-subnet").inputs["dnsNameservers"] == DNS_SERVERS[stack]

    def test_the_regions_differ_in_nothing_but_dns_servers(self, declare: Declare) -> None:
        first, *others = [declare(stack) for stack in ("nz-por-1", "nz-wlg-2", "nz-hlz-1")]
        for other in others:
            assert _without_the_region(first) == _without_the_region(other)


def _without_the_region(run: Run) -> dict[str, dict[str, Any]]:
    """Return the inputs of every resource except the subnet, without the region of the gates and the pair's tag."""
    inputs = {made.name: dict(made.inputs) for made in run.cloud.created if made.name != "vrrp-subnet"}
    for made in inputs.values():
        made.pop("tags", None)
    for gate in run.all("Command"):
        environment: dict[str, str] = dict(inputs[gate.name]["environment"])
        assert json.loads(environment.pop("OPENSTACK_PROVIDER"))["region"].startswith("nz")
        environment.pop("PAIR_TAG", None)
        inputs[gate.name]["environment"] = environment
    return inputs


class TestTheNetworkIsTheTutorials:
    """Prevents a replacement when a hand-made pair is adopted: one different value is enough."""

    def test_the_network_has_its_name_and_leaves_the_rest_to_neutron(self, pair: Run) -> None:
        assert pair.one("Network", "vrrp-net").inputs == {"name": "vrrp-net"}

    def test_the_subnet_has_the_gateway_the_pool_and_dhcp(self, pair: Run, stack: str) -> None:
        assert pair.one("Subnet", "vrrp-subnet").inputs == {
            "name": "vrrp-subnet",
            "networkId": identifier(pair.one("Network", "vrrp-net").urn),
            "ipVersion": 4,
            "cidr": "10.0.0.0/24",
            "gatewayIp": "10.0.0.1",
            "enableDhcp": True,
            "allocationPools": [{"start": "10.0.0.2" if stack == "tutorial" else "10.0.0.10", "end": "10.0.0.200"}],
            "dnsNameservers": DNS_SERVERS[stack],
        }

    def test_the_router_leads_outside_and_has_an_interface_on_the_subnet(self, pair: Run) -> None:
        router = pair.one("Router", "vrrp-router")
        found = pair.cloud.id_of(EXTERNAL_NETWORK, "public-net")
        assert router.inputs == {"name": "vrrp-router", "externalNetworkId": found}
        assert pair.one("RouterInterface", "vrrp-router-interface").inputs == {
            "routerId": identifier(router.urn),
            "subnetId": identifier(pair.one("Subnet", "vrrp-subnet").urn),
        }


class TestWhatIsFoundIsLookedUpByName:
    """Prevents ids in the code: `public-net` has another id in each region, and an image gets a new one every month."""

    @pytest.mark.parametrize("name", ["one cloud", "another cloud"])
    def test_the_router_gets_the_id_that_the_cloud_gives_for_the_name(self, name: str) -> None:
        cloud = RecordingCloud(name=name)
        run = Run(run_program(read_stack("nz-por-1"), cloud), cloud)
        assert cloud.questions(EXTERNAL_NETWORK) == ["public-net"]
        found = cloud.id_of(EXTERNAL_NETWORK, "public-net")
        assert run.one("Router", "vrrp-router").inputs["externalNetworkId"] == found

    def test_another_external_network_is_asked_for_by_its_name_everywhere(self, declare: Declare) -> None:
        run = declare("tutorial", externalNetwork="internet")
        assert run.cloud.questions(EXTERNAL_NETWORK) == ["internet"]
        assert [ip.inputs["pool"] for ip in run.all("FloatingIp")] == ["internet"] * 3

    @pytest.mark.parametrize("image", ["debian-12-x86_64", "ubuntu-24.04-x86_64"])
    def test_the_servers_get_the_newest_image_of_the_name(self, declare: Declare, image: str) -> None:
        run = declare("nz-por-1", image=image)
        assert run.cloud.questions(IMAGE) == [image]
        found = run.cloud.id_of(IMAGE, image)
        assert [server.inputs["imageId"] for server in run.all("Instance")] == [found, found]

    def test_no_stack_file_holds_an_id(self, stack: str) -> None:
        for text in read_stack(stack).values.values():
            with pytest.raises(ValueError, match="badly formed"):
                UUID(text)


class TestThePortsCarryTheAddresses:
    """Prevents a VIP that no packet reaches: without its allowed address pair a port drops what comes from the VIP
    while keepalived's log is clean, OVN forwards a floating IP to a single address only, never to a network, and a
    port without its subnet gets its address by luck.
    """

    @pytest.mark.parametrize("role", ROLES)
    def test_a_members_port_has_its_address_the_vip_as_pair_and_the_group(
        self, pair: Run, stack: str, role: str
    ) -> None:
        assert pair.one("Port", f"vrrp-{role}-port").inputs == {
            "name": f"vrrp_{role}_server_port",
            "networkId": identifier(pair.one("Network", "vrrp-net").urn),
            "adminStateUp": True,
            "fixedIps": [{"subnetId": identifier(pair.one("Subnet", "vrrp-subnet").urn), "ipAddress": ADDRESSES[role]}],
            "allowedAddressPairs": [{"ipAddress": VIP}],
            "securityGroupIds": [identifier(pair.one("SecGroup", "vrrp-sec-group").urn)],
            "tags": [pair_tag("vrrp-pair", stack, "vrrp"), f"vrrp-role-{role}"],
        }

    def test_the_pair_is_the_vip_of_the_settings_and_never_a_network(self, declare: Declare) -> None:
        run = declare("nz-por-1", vip="10.0.0.240")
        pairs = [port.inputs.get("allowedAddressPairs", []) for port in run.all("Port")]
        assert sorted(pairs, key=len) == [[], [{"ipAddress": "10.0.0.240"}], [{"ipAddress": "10.0.0.240"}]]

    def test_the_vip_port_reserves_the_vip_on_the_subnet_and_is_in_no_group(self, pair: Run, stack: str) -> None:
        assert pair.one("Port", "vrrp-vip-port").inputs == {
            "name": "vrrp-port",
            "networkId": identifier(pair.one("Network", "vrrp-net").urn),
            "adminStateUp": True,
            "fixedIps": [{"subnetId": identifier(pair.one("Subnet", "vrrp-subnet").urn), "ipAddress": VIP}],
            "noSecurityGroups": True,
            "tags": [pair_tag(PROJECT, stack, "vrrp"), "vrrp-role-vip"],
        }

    def test_the_vip_port_is_bound_to_no_server(self, pair: Run) -> None:
        vip_port = identifier(pair.one("Port", "vrrp-vip-port").urn)
        bound = {network["port"] for server in pair.all("Instance") for network in server.inputs["networks"]}
        assert len(bound) == 2
        assert vip_port not in bound


class TestThePublicWayIn:
    """Prevents a floating IP that leads to one server instead of to the holder of the VIP, and public addresses that
    the settings do not ask for.
    """

    def test_the_floating_ip_is_on_the_vip_port_and_at_its_address(self, pair: Run, stack: str) -> None:
        assert pair.one("FloatingIp", "vrrp-floating-ip").inputs == {
            "pool": "public-net",
            "portId": identifier(pair.one("Port", "vrrp-vip-port").urn),
            "fixedIp": VIP,
            "tags": [pair_tag(PROJECT, stack, "vrrp")],
        }

    @pytest.mark.parametrize("role", ROLES)
    def test_each_member_of_the_tutorial_has_a_floating_ip_of_its_own(self, declare: Declare, role: str) -> None:
        tutorial = declare("tutorial")
        assert tutorial.one("FloatingIp", f"vrrp-{role}-floating-ip").inputs == {
            "pool": "public-net",
            "portId": identifier(tutorial.one("Port", f"vrrp-{role}-port").urn),
        }

    def test_the_switch_alone_adds_the_members_addresses_to_a_region(self, declare: Declare) -> None:
        without, with_them = declare("nz-por-1"), declare("nz-por-1", memberFloatingIps="true")
        names = {ip.name for ip in with_them.all("FloatingIp")} - {ip.name for ip in without.all("FloatingIp")}
        assert names == {"vrrp-master-floating-ip", "vrrp-backup-floating-ip"}


class TestTheGroupLetsInWhatItMust:
    """Prevents two masters with clean logs (protocol 112 forgotten), SSH open to the world by default, a 409 for the
    egress rules that Neutron makes itself, and the tutorial's own mistake: a group on the server beside a port, which
    Nova ignores.
    """

    def test_the_group_is_the_tutorials(self, pair: Run) -> None:
        assert pair.one("SecGroup", "vrrp-sec-group").inputs == {
            "name": "vrrp-sec-group",
            "description": "VRRP security group",
        }

    def test_the_group_allows_icmp_http_and_vrrp(self, pair: Run) -> None:
        group = identifier(pair.one("SecGroup", "vrrp-sec-group").urn)
        common = {"securityGroupId": group, "direction": "ingress", "ethertype": "IPv4"}
        anywhere = {"remoteIpPrefix": "0.0.0.0/0"}
        assert pair.one("SecGroupRule", "vrrp-ingress-icmp").inputs == {**common, **anywhere, "protocol": "icmp"}
        assert pair.one("SecGroupRule", "vrrp-ingress-http-80-from-anywhere").inputs == {
            **common,
            **anywhere,
            "protocol": "tcp",
            "portRangeMin": 80,
            "portRangeMax": 80,
        }
        assert pair.one("SecGroupRule", "vrrp-ingress-vrrp").inputs == {
            **common,
            "protocol": "112",
            "remoteGroupId": group,
        }

    def test_only_the_members_reach_each_others_health_port(self, declare: Declare) -> None:
        run = declare("nz-por-1")
        group = identifier(run.one("SecGroup", "vrrp-sec-group").urn)
        assert run.one("SecGroupRule", "vrrp-ingress-health").inputs == {
            "securityGroupId": group,
            "direction": "ingress",
            "ethertype": "IPv4",
            "protocol": "udp",
            "portRangeMin": 61112,
            "portRangeMax": 61112,
            "remoteGroupId": group,
        }

    def test_the_port_of_the_service_is_open_and_in_the_url(self, declare: Declare) -> None:
        run = declare("nz-por-1", service='{"port": 8080}')
        (port,) = [rule.inputs["portRangeMin"] for rule in run.all("SecGroupRule") if rule.inputs["protocol"] == "tcp"]
        assert port == 8080
        assert run.outcome.outputs["url"].endswith(":8080")

    def test_the_group_allows_ssh_only_from_the_networks_of_the_stack(self, pair: Run, stack: str) -> None:
        sources = [
            rule.inputs["remoteIpPrefix"]
            for rule in pair.all("SecGroupRule")
            if rule.inputs["protocol"] == "tcp" and rule.inputs["portRangeMin"] <= 22 <= rule.inputs["portRangeMax"]
        ]
        assert sources == (["0.0.0.0/0"] if stack == "tutorial" else [])

    def test_each_network_gets_a_rule_with_a_name_of_its_own(self, declare: Declare) -> None:
        run = declare("nz-por-1", httpCidrs='["192.0.2.0/24"]', sshCidrs='["198.51.100.0/24", "203.0.113.7/32"]')
        rules = {
            rule.name: (rule.inputs["portRangeMin"], rule.inputs["portRangeMax"], rule.inputs["remoteIpPrefix"])
            for rule in run.all("SecGroupRule")
            if rule.inputs["protocol"] == "tcp"
        }
        assert rules == {
            "vrrp-ingress-http-80-from-192.0.2.0-24": (80, 80, "192.0.2.0/24"),
            "vrrp-ingress-ssh-from-198.51.100.0-24": (22, 22, "198.51.100.0/24"),
            "vrrp-ingress-ssh-from-203.0.113.7-32": (22, 22, "203.0.113.7/32"),
        }

    def test_taking_a_network_away_leaves_the_other_rules_as_they_are(self, declare: Declare) -> None:
        both = declare("nz-por-1", sshCidrs='["198.51.100.0/24", "203.0.113.7/32"]')
        second = declare("nz-por-1", sshCidrs='["203.0.113.7/32"]')
        rules_of_both = {rule.name: rule.inputs for rule in both.all("SecGroupRule")}
        left = {rule.name: rule.inputs for rule in second.all("SecGroupRule")}
        assert rules_of_both.pop("vrrp-ingress-ssh-from-198.51.100.0-24")["portRangeMin"] == 22
        assert left == rules_of_both

    def test_no_egress_rule_is_declared(self, pair: Run) -> None:
        assert {rule.inputs["direction"] for rule in pair.all("SecGroupRule")} == {"ingress"}

    def test_the_group_is_on_the_members_ports_and_on_no_server(self, pair: Run) -> None:
        group = identifier(pair.one("SecGroup", "vrrp-sec-group").urn)
        in_the_group = {port.name for port in pair.all("Port") if port.inputs.get("securityGroupIds") == [group]}
        assert in_the_group == {"vrrp-master-port", "vrrp-backup-port"}
        assert [server.name for server in pair.all("Instance") if "securityGroups" in server.inputs] == []


class TestTheServersAreTwins:
    """Prevents two servers that differ in more than their role, and two that share one hypervisor unnoticed."""

    @pytest.mark.parametrize("role", ROLES)
    def test_a_server_has_the_tutorials_values(self, pair: Run, stack: str, role: str) -> None:
        inputs = dict(pair.one("Instance", f"vrrp-{role}").inputs)
        assert f"vrrp-{role}" in inputs.pop("userData")
        hints = {}
        if stack != "tutorial":
            hints = {"schedulerHints": [{"group": identifier(pair.one("ServerGroup", "vrrp-server-group").urn)}]}
        assert inputs == {
            "name": f"vrrp-{role}",
            "imageId": pair.cloud.id_of(IMAGE, "debian-12-x86_64"),
            "flavorName": "c1.c1r1",
            "keyPair": "vrrp-demo-key",
            "networks": [{"port": identifier(pair.one("Port", f"vrrp-{role}-port").urn)}],
            "stopBeforeDestroy": True,
            "powerState": "active",
            **hints,
        }

    @pytest.mark.parametrize(("setting", "policy"), [("hard", "anti-affinity"), ("soft", "soft-anti-affinity")])
    def test_the_server_group_has_the_policy_of_the_settings(self, declare: Declare, setting: str, policy: str) -> None:
        run = declare("nz-por-1", antiAffinity=setting)
        assert run.one("ServerGroup", "vrrp-server-group").inputs == {"name": "vrrp-server-group", "policies": policy}

    def test_without_anti_affinity_there_is_no_group_and_no_hint(self, declare: Declare) -> None:
        run = declare("nz-por-1", antiAffinity="none")
        assert run.all("ServerGroup") == []
        assert [server.name for server in run.all("Instance") if "schedulerHints" in server.inputs] == []

    def test_with_a_public_key_no_key_pair_is_made_and_no_server_has_one(self, declare: Declare) -> None:
        """A key pair belongs to the user who made it. The preview of another user would plan a second one."""
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"
        run = declare("nz-por-1", publicKey=key, keyName="my-key")
        assert run.all("Keypair") == []
        assert [server.name for server in run.all("Instance") if "keyPair" in server.inputs] == []
        assert all(key in server.inputs["userData"] for server in run.all("Instance"))

    def test_a_flavor_goes_to_both_servers(self, declare: Declare) -> None:
        run = declare("nz-por-1", flavor="c3.c2r4")
        assert [server.inputs["flavorName"] for server in run.all("Instance")] == ["c3.c2r4", "c3.c2r4"]


class TestThePrefixNamesEverything:
    """Prevents a second pair of a project that uses the network of the first one."""

    def test_every_name_in_openstack_begins_with_the_prefix(self, declare: Declare) -> None:
        run = declare("tutorial", namePrefix="edge", antiAffinity="soft")
        names = {made.inputs["name"] for made in run.cloud.created if "name" in made.inputs}
        assert names == {
            "edge-net",
            "edge-subnet",
            "edge-router",
            "edge-sec-group",
            "edge-port",
            "edge_master_server_port",
            "edge_backup_server_port",
            "edge-server-group",
            "edge-master",
            "edge-backup",
        }

    def test_another_prefix_changes_no_logical_name(self, declare: Declare) -> None:
        edge = declare("tutorial", namePrefix="edge")
        assert set(edge.outcome.resources) == set(declare("tutorial").outcome.resources)


class TestTwoFamilies:
    """Prevents a pair whose IPv6 address does not move at a failover, and a change of pairs without IPv6."""

    @pytest.fixture
    def dual(self, declare: Declare) -> Run:
        return declare("nz-por-1", cidr6="2001:db8:7::/64", httpCidrs='["0.0.0.0/0", "::/0", "2001:db8:8::/48"]')

    def test_cidr6_adds_exactly_these_resources(self, dual: Run) -> None:
        declared = {(kind_of(resource), resource.name) for resource in dual.outcome.resources.values()}
        assert declared - EXACTLY["nz-por-1"] == {
            ("Subnet", "vrrp-subnet6"),
            ("RouterInterface", "vrrp-router-interface6"),
            ("Port", "vrrp-vip-port6"),
            ("SecGroupRule", "vrrp-ingress-icmp6"),
            ("SecGroupRule", "vrrp-ingress-http-80-from-anywhere6"),
            ("SecGroupRule", "vrrp-ingress-http-80-from-2001-db8-8---48"),
        }
        assert declared > EXACTLY["nz-por-1"]

    def test_the_ipv6_subnet_uses_stateful_dhcp(self, dual: Run) -> None:
        assert dual.one("Subnet", "vrrp-subnet6").inputs == {
            "name": "vrrp-subnet6",
            "networkId": identifier(dual.one("Network", "vrrp-net").urn),
            "ipVersion": 6,
            "cidr": "2001:db8:7::/64",
            "gatewayIp": "2001:db8:7::1",
            "enableDhcp": True,
            "ipv6AddressMode": "dhcpv6-stateful",
            "ipv6RaMode": "dhcpv6-stateful",
            "allocationPools": [{"start": "2001:db8:7::1000", "end": "2001:db8:7::1fff"}],
        }

    @pytest.mark.parametrize(
        ("role", "four", "six"), [("master", "10.0.0.4", "2001:db8:7::4"), ("backup", "10.0.0.5", "2001:db8:7::5")]
    )
    def test_a_members_port_has_an_address_of_each_and_may_speak_for_both_vips(
        self, dual: Run, role: str, four: str, six: str
    ) -> None:
        inputs = dual.one("Port", f"vrrp-{role}-port").inputs
        assert inputs["fixedIps"] == [
            {"subnetId": identifier(dual.one("Subnet", "vrrp-subnet").urn), "ipAddress": four},
            {"subnetId": identifier(dual.one("Subnet", "vrrp-subnet6").urn), "ipAddress": six},
        ]
        assert inputs["allowedAddressPairs"] == [{"ipAddress": VIP}, {"ipAddress": "2001:db8:7::201"}]

    def test_each_vip_has_a_port_of_its_own_and_the_first_is_as_it_was(self, dual: Run, declare: Declare) -> None:
        """OVN knows one virtual IP per port: with both on one it might not be the floating IP's."""
        assert dual.one("Port", "vrrp-vip-port").inputs == declare("nz-por-1").one("Port", "vrrp-vip-port").inputs
        assert dual.one("Port", "vrrp-vip-port6").inputs == {
            "name": "vrrp-port6",
            "networkId": identifier(dual.one("Network", "vrrp-net").urn),
            "adminStateUp": True,
            "fixedIps": [
                {"subnetId": identifier(dual.one("Subnet", "vrrp-subnet6").urn), "ipAddress": "2001:db8:7::201"}
            ],
            "noSecurityGroups": True,
            "tags": [pair_tag(PROJECT, "nz-por-1", "vrrp"), "vrrp-role-vip6"],
        }

    def test_a_rule_is_of_the_family_of_its_network(self, dual: Run) -> None:
        for rule in dual.all("SecGroupRule"):
            source = rule.inputs.get("remoteIpPrefix", "")
            assert rule.inputs["ethertype"] == ("IPv6" if ":" in source else "IPv4"), rule.name

    def test_a_server_waits_for_the_router_and_not_for_its_interfaces(self, dual: Run) -> None:
        """Neutron needs seconds for an interface, and a server needs the network only later in its boot."""
        router = dual.one("Router", "vrrp-router").urn
        interfaces = {dual.one("RouterInterface", f"vrrp-router-interface{end}").urn for end in ("", "6")}
        for server in dual.all("Instance"):
            assert router in dual.waits_for(server)
            assert not interfaces & set(dual.waits_for(server))

    def test_the_ipv6_vip_is_a_stack_output(self, dual: Run) -> None:
        assert dual.outcome.outputs["vip6"] == "2001:db8:7::201"
