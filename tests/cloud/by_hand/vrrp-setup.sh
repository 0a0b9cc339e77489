#!/bin/sh
# What the tutorial's servers run at their first boot: VRRP version 2 by multicast, the role guessed from the name.
apt-get -qq update
apt-get -qq --yes install keepalived apache2
hostname > /var/www/html/index.html
case $(hostname) in
*master) state=MASTER priority=100 ;;
*) state=BACKUP priority=50 ;;
esac
cat > /etc/keepalived/keepalived.conf <<CONF
vrrp_instance vrrp_group_1 {
    state $state
    interface $(ip -4 route show default | sed 's/.* dev \([^ ]*\).*/\1/')
    virtual_router_id 1
    priority $priority
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass password
    }
    virtual_ipaddress {
        10.0.0.201/24 brd 10.0.0.255
    }
}
CONF
systemctl restart apache2 keepalived
