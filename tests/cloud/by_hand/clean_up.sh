#!/bin/sh
# Deletes what build.sh has made, as far as it is still there: the tutorial's clean-up, floating IPs included.
set -ux
for role in master backup; do
    openstack server delete --wait vrrp-$role
done
for port in vrrp_master_server_port vrrp_backup_server_port vrrp-port; do
    for address in $(openstack floating ip list --port $port --format value --column ID); do
        openstack floating ip delete "$address"
    done
    openstack port delete $port
done
openstack router remove subnet vrrp-router vrrp-subnet
openstack router delete vrrp-router
openstack network delete vrrp-net
openstack security group delete vrrp-sec-group
openstack keypair delete vrrp-key
