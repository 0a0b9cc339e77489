#!/bin/sh
# The tutorial's pair by the tutorial's own commands: `build.sh IMAGE FLAVOR KEY`.
set -eux
cd "$(dirname "$0")"
export OS_PAGER=cat
alias floating_ip='openstack floating ip create --format value --column floating_ip_address public-net'

openstack network create vrrp-net
openstack subnet create vrrp-subnet --network vrrp-net --subnet-range 10.0.0.0/24 --gateway 10.0.0.1 \
    --allocation-pool start=10.0.0.2,end=10.0.0.200 \
    --dns-nameserver 202.78.247.197 --dns-nameserver 202.78.247.198 --dns-nameserver 202.78.247.199
openstack router create vrrp-router
openstack router set vrrp-router --external-gateway public-net
openstack router add subnet vrrp-router vrrp-subnet

openstack security group create vrrp-sec-group --description 'VRRP security group'
openstack security group rule create --ingress --protocol icmp vrrp-sec-group
openstack security group rule create --ingress --protocol tcp --dst-port 80 vrrp-sec-group
openstack security group rule create --ingress --protocol tcp --dst-port 22 vrrp-sec-group
openstack security group rule create --ingress --protocol 112 --remote-group vrrp-sec-group vrrp-sec-group

openstack port create vrrp_master_server_port --network vrrp-net --security-group vrrp-sec-group \
    --fixed-ip subnet=vrrp-subnet,ip-address=10.0.0.4 --allowed-address ip-address=10.0.0.201
openstack port create vrrp_backup_server_port --network vrrp-net --security-group vrrp-sec-group \
    --fixed-ip subnet=vrrp-subnet,ip-address=10.0.0.5 --allowed-address ip-address=10.0.0.201
openstack port create vrrp-port --network vrrp-net --fixed-ip ip-address=10.0.0.201

for role in master backup; do
    openstack server create vrrp-$role --image "$1" --flavor "$2" --key-name "$3" --security-group vrrp-sec-group \
        --user-data vrrp-setup.sh --port vrrp_${role}_server_port
    openstack floating ip set --port vrrp_${role}_server_port "$(floating_ip)"
done
openstack floating ip set --port vrrp-port "$(floating_ip)"
