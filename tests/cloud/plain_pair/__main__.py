"""The pair's resources in a plain Pulumi program, without a preflight and gates: the yardstick of compare_speed.py.

The resources and their values are those of the project's defaults. The user-data is that of the project, too:
compare_speed.py writes it into the folder `userData`, so that this program spends no time on it.
"""

from __future__ import annotations

from pathlib import Path

import pulumi
import pulumi_openstack as openstack

VIP = "10.0.0.201"

config = pulumi.Config()
prefix = config.require("namePrefix")
user_data = Path(config.require("userData"))

external_network = openstack.networking.get_network(name=config.require("externalNetwork"), external=True)
image = openstack.images.get_image(name=config.require("image"), most_recent=True)

network = openstack.networking.Network("net", name=f"{prefix}-net")
subnet = openstack.networking.Subnet(
    "subnet",
    name=f"{prefix}-subnet",
    network_id=network.id,
    ip_version=4,
    cidr="10.0.0.0/24",
    gateway_ip="10.0.0.1",
    enable_dhcp=True,
    allocation_pools=[openstack.networking.SubnetAllocationPoolArgs(start="10.0.0.10", end="10.0.0.200")],
)
router = openstack.networking.Router("router", name=f"{prefix}-router", external_network_id=external_network.id)
router_interface = openstack.networking.RouterInterface("router-interface", router_id=router.id, subnet_id=subnet.id)

group = openstack.networking.SecGroup("sec-group", name=f"{prefix}-sec-group", description="VRRP security group")
rules = [
    openstack.networking.SecGroupRule(
        "icmp",
        security_group_id=group.id,
        direction="ingress",
        ethertype="IPv4",
        protocol="icmp",
        remote_ip_prefix="0.0.0.0/0",
    ),
    openstack.networking.SecGroupRule(
        "vrrp",
        security_group_id=group.id,
        direction="ingress",
        ethertype="IPv4",
        protocol="112",
        remote_group_id=group.id,
    ),
    openstack.networking.SecGroupRule(
        "http",
        security_group_id=group.id,
        direction="ingress",
        ethertype="IPv4",
        protocol="tcp",
        port_range_min=80,
        port_range_max=80,
        remote_ip_prefix="0.0.0.0/0",
    ),
    openstack.networking.SecGroupRule(
        "health",
        security_group_id=group.id,
        direction="ingress",
        ethertype="IPv4",
        protocol="udp",
        port_range_min=61112,
        port_range_max=61112,
        remote_group_id=group.id,
    ),
]

vip_port = openstack.networking.Port(
    "vip-port",
    name=f"{prefix}-port",
    network_id=network.id,
    admin_state_up=True,
    fixed_ips=[openstack.networking.PortFixedIpArgs(subnet_id=subnet.id, ip_address=VIP)],
    no_security_groups=True,
)
floating_ip = openstack.networking.FloatingIp(
    "floating-ip",
    pool=config.require("externalNetwork"),
    port_id=vip_port.id,
    fixed_ip="10.0.0.201",
    opts=pulumi.ResourceOptions(depends_on=[router_interface]),
)

server_group = openstack.compute.ServerGroup(
    "server-group", name=f"{prefix}-server-group", policies="soft-anti-affinity"
)
for role, address in (("master", "10.0.0.4"), ("backup", "10.0.0.5")):
    port = openstack.networking.Port(
        f"{role}-port",
        name=f"{prefix}_{role}_server_port",
        network_id=network.id,
        admin_state_up=True,
        fixed_ips=[openstack.networking.PortFixedIpArgs(subnet_id=subnet.id, ip_address=address)],
        allowed_address_pairs=[openstack.networking.PortAllowedAddressPairArgs(ip_address=VIP)],
        security_group_ids=[group.id],
    )
    openstack.compute.Instance(
        role,
        name=f"{prefix}-{role}",
        image_id=image.id,
        flavor_name=config.require("flavor"),
        networks=[openstack.compute.InstanceNetworkArgs(port=port.id)],
        scheduler_hints=[openstack.compute.InstanceSchedulerHintArgs(group=server_group.id)],
        user_data=(user_data / f"user-data-{role}").read_text(encoding="utf-8"),
        stop_before_destroy=True,
        power_state="active",
        opts=pulumi.ResourceOptions(depends_on=[router_interface, *rules]),
    )

pulumi.export("url", pulumi.Output.concat("http://", floating_ip.address))
