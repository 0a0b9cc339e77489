# The pair's resources as a Terraform configuration, without a preflight and gates: a yardstick of compare_speed.py.
# The resources and their values are those of the project's defaults, and the provider is the one inside pulumi-openstack.
# compare_speed.py writes the user-data of the project into this folder.

terraform {
  required_version = "~> 1.11"
  required_providers {
    openstack = {
      source  = "terraform-provider-openstack/openstack"
      version = "3.4.0"
    }
  }
}

variable "region" {
  type        = string
  description = "The region of the cloud that OS_CLOUD names"
}

variable "name_prefix" {
  type        = string
  description = "The beginning of every name"
}

variable "external_network" {
  type        = string
  description = "The name of the external network"
}

variable "image" {
  type        = string
  description = "The name of the image; the newest of that name is taken"
}

variable "flavor" {
  type        = string
  description = "The name of the flavor"
}

locals {
  vip     = "10.0.0.201"
  members = { master = "10.0.0.4", backup = "10.0.0.5" }
}

provider "openstack" {
  region = var.region
}

data "openstack_networking_network_v2" "external" {
  name     = var.external_network
  external = true
}

data "openstack_images_image_v2" "image" {
  name        = var.image
  most_recent = true
}

resource "openstack_networking_network_v2" "network" {
  name = "${var.name_prefix}-net"
}

resource "openstack_networking_subnet_v2" "subnet" {
  name        = "${var.name_prefix}-subnet"
  network_id  = openstack_networking_network_v2.network.id
  ip_version  = 4
  cidr        = "10.0.0.0/24"
  gateway_ip  = "10.0.0.1"
  enable_dhcp = true

  allocation_pool {
    start = "10.0.0.10"
    end   = "10.0.0.200"
  }
}

resource "openstack_networking_router_v2" "router" {
  name                = "${var.name_prefix}-router"
  external_network_id = data.openstack_networking_network_v2.external.id
}

resource "openstack_networking_router_interface_v2" "interface" {
  router_id = openstack_networking_router_v2.router.id
  subnet_id = openstack_networking_subnet_v2.subnet.id
}

resource "openstack_networking_secgroup_v2" "group" {
  name        = "${var.name_prefix}-sec-group"
  description = "VRRP security group"
}

resource "openstack_networking_secgroup_rule_v2" "icmp" {
  security_group_id = openstack_networking_secgroup_v2.group.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "icmp"
  remote_ip_prefix  = "0.0.0.0/0"
}

resource "openstack_networking_secgroup_rule_v2" "vrrp" {
  security_group_id = openstack_networking_secgroup_v2.group.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "112"
  remote_group_id   = openstack_networking_secgroup_v2.group.id
}

resource "openstack_networking_secgroup_rule_v2" "http" {
  security_group_id = openstack_networking_secgroup_v2.group.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = 80
  port_range_max    = 80
  remote_ip_prefix  = "0.0.0.0/0"
}

resource "openstack_networking_secgroup_rule_v2" "health" {
  security_group_id = openstack_networking_secgroup_v2.group.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "udp"
  port_range_min    = 61112
  port_range_max    = 61112
  remote_group_id   = openstack_networking_secgroup_v2.group.id
}

resource "openstack_networking_port_v2" "vip" {
  name               = "${var.name_prefix}-port"
  network_id         = openstack_networking_network_v2.network.id
  admin_state_up     = true
  no_security_groups = true

  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.subnet.id
    ip_address = local.vip
  }
}

resource "openstack_networking_floatingip_v2" "vip" {
  pool     = var.external_network
  port_id  = openstack_networking_port_v2.vip.id
  fixed_ip = "10.0.0.201"

  depends_on = [openstack_networking_router_interface_v2.interface]
}

resource "openstack_compute_servergroup_v2" "group" {
  name     = "${var.name_prefix}-server-group"
  policies = ["soft-anti-affinity"]
}

resource "openstack_networking_port_v2" "member" {
  for_each = local.members

  name               = "${var.name_prefix}_${each.key}_server_port"
  network_id         = openstack_networking_network_v2.network.id
  admin_state_up     = true
  security_group_ids = [openstack_networking_secgroup_v2.group.id]

  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.subnet.id
    ip_address = each.value
  }

  allowed_address_pairs {
    ip_address = local.vip
  }
}

resource "openstack_compute_instance_v2" "member" {
  for_each = local.members

  name                = "${var.name_prefix}-${each.key}"
  image_id            = data.openstack_images_image_v2.image.id
  flavor_name         = var.flavor
  user_data           = file("${path.module}/user-data-${each.key}")
  stop_before_destroy = true
  power_state         = "active"

  network {
    port = openstack_networking_port_v2.member[each.key].id
  }

  scheduler_hints {
    group = openstack_compute_servergroup_v2.group.id
  }

  depends_on = [
    openstack_networking_router_interface_v2.interface,
    openstack_networking_secgroup_rule_v2.icmp,
    openstack_networking_secgroup_rule_v2.vrrp,
    openstack_networking_secgroup_rule_v2.http,
    openstack_networking_secgroup_rule_v2.health,
  ]
}

output "url" {
  value       = "http://${openstack_networking_floatingip_v2.vip.address}"
  description = "The URL of the service behind the floating IP"
}
