"""Every rule of the settings: the values at its two sides, and the message for a refused one.

The tests run the model alone and through the whole program. tests/lab shows that keepalived accepts the values,
tests/cloud that Neutron accepts the address plans.
"""

from __future__ import annotations

import json
import re
import traceback
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import assume, event, given
from hypothesis import strategies as st
from pydantic import BaseModel

from lab.program import run_program
from lab.stack_file import PROJECT_FOLDER, read_stack
from settings import PairSettings, SettingsError
from settings.parsing import parse_settings
from settings.reference import keys_of
from settings.stack_config import StackConfigError

from .conftest import PROJECT, RecordingCloud, config_of

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"
PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END OPENSSH PRIVATE KEY-----"
UUID = "94b566de-52f9-423f-ab80-ceee8c0a4a23"

#: The smallest subnet: .1 is the gateway, .2 to .4 the pool, .5 the VIP.
SMALLEST = {
    "cidr": "10.0.0.0/29",
    "poolStart": "10.0.0.2",
    "poolEnd": "10.0.0.4",
    "vip": "10.0.0.5",
    "masterAddress": "10.0.0.3",
    "backupAddress": "10.0.0.4",
}

MODEL: type[BaseModel] = PairSettings
FIELDS = MODEL.model_fields
KEYS = {str(field.alias) for field in FIELDS.values()}

#: This key has keys of its own; test_service tests them.
OBJECT = "service"

VERSION_2 = {"vrrpVersion": "2", "advertInterval": "1"}

#: Settings of a pair with IPv4 and IPv6.
DUAL = {"cidr6": "2001:db8::/64", "httpCidrs": '["0.0.0.0/0", "::/0"]'}

#: Key, a value at a bound, and the other keys that must be set with it.
ACCEPTED: list[tuple[str, str, dict[str, str]]] = [
    ("namePrefix", "a", {}),
    ("namePrefix", "web-2", {}),
    ("namePrefix", "a" * 40, {}),
    ("externalNetwork", "x", {}),
    ("cidr", "10.0.0.0/29", SMALLEST),
    ("cidr", "10.0.0.0/8", {}),
    ("gateway", "10.0.0.254", {}),
    ("gateway", "10.0.0.201", {"vip": "10.0.0.202"}),
    ("poolStart", "10.0.0.200", {}),
    ("poolStart", "10.0.0.1", {"gateway": "10.0.0.254"}),
    ("poolEnd", "10.0.0.10", {}),
    ("poolEnd", "10.0.0.254", {"poolStart": "10.0.0.202"}),
    ("vip", "10.0.0.201", {}),
    ("vip", "10.0.0.254", {}),
    ("vip", "10.0.0.9", {}),
    ("floatingIp", "new", {}),
    ("floatingIp", "none", {}),
    ("floatingIp", "203.0.113.10", {}),
    ("protectFloatingIp", "true", {}),
    ("protectFloatingIp", "false", {"floatingIp": "none"}),
    ("allowInterruption", "[]", {}),
    ("allowInterruption", '["vip: 10.0.0.201 -> 10.0.0.202", "floatingIp: 203.0.113.10 -> none"]', {}),
    ("masterAddress", "10.0.0.2", {}),
    ("masterAddress", "10.0.0.254", {}),
    ("backupAddress", "10.0.0.200", {}),
    ("backupAddress", "10.0.0.202", {}),
    ("dnsServers", "[]", {}),
    ("dnsServers", '["9.9.9.9"]', {}),
    ("image", "x", {}),
    ("imageId", UUID, {}),
    ("imageId", "", {}),
    ("flavor", "x", {}),
    ("keyName", "x", {}),
    ("publicKey", PUBLIC_KEY, {}),
    ("publicKey", f"{PUBLIC_KEY}\n", {}),
    ("publicKey", "", {}),
    ("cidr6", "", {}),
    ("cidr6", "2001:db8:1::/64", DUAL),
    ("cidr6", "fd00:1:2:3::/64", DUAL),
    ("vip6", "2001:db8::6", DUAL),
    ("vip6", "2001:db8::fff", DUAL),
    ("vip6", "2001:db8::2000", DUAL),
    ("httpCidrs", "[]", {}),
    ("httpCidrs", "[]", {"cidr6": "2001:db8::/64"}),
    ("httpCidrs", '["::/0"]', DUAL),
    ("sshCidrs", '["2001:db8:7::/48"]', DUAL),
    ("httpCidrs", '["192.0.2.0/24", "198.51.100.7/32"]', {}),
    ("sshCidrs", '["0.0.0.0/0"]', {}),
    ("memberFloatingIps", "true", {}),
    ("vrrpVersion", "2", {"advertInterval": "1"}),
    ("vrrpVersion", "3", {}),
    ("unicast", "false", {}),
    ("advertInterval", "0.1", {}),
    ("advertInterval", "0.11", {}),
    ("advertInterval", "40", {}),
    ("advertInterval", "1", VERSION_2),
    ("advertInterval", "1.0", VERSION_2),
    ("advertInterval", "255", VERSION_2),
    ("virtualRouterId", "1", {}),
    ("virtualRouterId", "255", {}),
    ("masterPriority", "254", {}),
    ("masterPriority", "2", {"backupPriority": "1"}),
    ("backupPriority", "1", {}),
    ("backupPriority", "253", {}),
    ("authPass", "x", VERSION_2),
    ("authPass", "12345678", VERSION_2),
    ("authPass", "", {}),
    ("preempt", "false", {}),
    ("preemptDelay", "0", {"preempt": "false"}),
    ("preemptDelay", "1000", {}),
    ("healPartitions", "false", {}),
    ("serviceCheck", "false", {}),
    ("readyTimeout", "60", {}),
    ("readyTimeout", "7200", {}),
    ("antiAffinity", "hard", {}),
    ("antiAffinity", "soft", {}),
    ("antiAffinity", "none", {}),
]


@dataclass(frozen=True)
class Refused:
    key: str
    value: str
    #: Part of the message that states the rule.
    rule: str
    #: Part of the message, after the rule, that tells the operator what to do.
    way_out: str
    #: Other keys that must be set so that only this value is wrong.
    beside: tuple[tuple[str, str], ...] = ()
    #: The value as the message shows it, if it differs.
    shown: str | None = None
    #: Index of the wrong entry of a list.
    position: str = ""


IN_THE_CIDR = ("no host of cidr 10.0.0.0/24 can have it", "use an address from 10.0.0.1 to 10.0.0.254")
NO_ADDRESS = (
    "not a valid IPv4 address",
    "set an IPv4 address of `cidr` outside the pool with `pulumi config set vrrp-pair:gateway …`",
)
NO_NETWORK = ("not a valid IPv4 or IPv6 network", "set a list of networks that may reach the service")
IN_THE_POOL6 = ("lies in the allocation pool 2001:db8::1000 to 2001:db8::1fff", "use 2001:db8::201")
NO_BOOLEAN = ("should be a valid boolean", "set true or false with `pulumi config set vrrp-pair:")
NO_NUMBER = ("should be a valid integer", "`pulumi config set vrrp-pair:")
EMPTY = ("at least 1 character", "`pulumi config set vrrp-pair:")
HOST_NAME = ("begins the servers' host names", "use at most 40 lower-case letters")
IN_THE_POOL = ("lies in the allocation pool 10.0.0.10 to 10.0.0.200", "use 10.0.0.201, or another address outside")
IN_WHOLE_SECONDS = ("advertises in whole seconds, 1 to 255", "use 1, or vrrpVersion 3")
IN_RANGE = ("takes 0.1 to 40 seconds", "use 0.25, or 1 on a busy cloud")
ON_VERSION_2 = tuple(VERSION_2.items())
WITH_IPV6 = tuple(DUAL.items())

REFUSED = [
    Refused("namePrefix", "", *HOST_NAME, shown="(empty)"),
    Refused("namePrefix", "a" * 41, *HOST_NAME),
    Refused("namePrefix", "Vrrp", *HOST_NAME),
    Refused("namePrefix", "2nd", *HOST_NAME),
    Refused("namePrefix", "vrrp-", *HOST_NAME),
    Refused("namePrefix", "vrrp_2", *HOST_NAME),
    Refused("externalNetwork", "", *EMPTY, shown="(empty)"),
    Refused("readyTimeout", "59", "greater than or equal to 60", "set 60 to 7200 seconds"),
    Refused("readyTimeout", "7201", "less than or equal to 7200", "set 60 to 7200 seconds"),
    Refused("cidr", "224.0.0.0/24", "no server can have an address in it", "use a private network"),
    Refused("cidr", "127.0.0.0/8", "no server can have an address in it", "use a private network"),
    Refused("cidr", "10.0.0.0/30", "no room for a gateway, two members, the VIP and a pool", "use a /29 or larger"),
    Refused("cidr", "10.0.0.7/24", "not a valid IPv4 network", "such as 10.0.0.0/24, without host bits"),
    Refused("cidr", "fd00::/64", "not a valid IPv4 network", "set an IPv4 network"),
    Refused("gateway", "10.0.0.0", *IN_THE_CIDR),
    Refused("gateway", "10.0.0.255", *IN_THE_CIDR),
    Refused("gateway", "10.0.1.1", *IN_THE_CIDR),
    Refused("gateway", "router", *NO_ADDRESS),
    Refused("poolStart", "10.0.0.0", *IN_THE_CIDR),
    Refused("poolStart", "10.0.1.2", *IN_THE_CIDR),
    Refused("poolEnd", "10.0.0.255", *IN_THE_CIDR),
    Refused(
        "poolEnd",
        "10.0.0.49",
        "ends before it starts (10.0.0.50)",
        "use an address from 10.0.0.50 on",
        (("poolStart", "10.0.0.50"),),
    ),
    Refused(
        "poolEnd",
        "10.0.0.200",
        "contains the gateway 10.0.0.10",
        "start after the gateway",
        (("gateway", "10.0.0.10"),),
    ),
    Refused(
        "poolEnd",
        "10.0.0.200",
        "contains the gateway 10.0.0.200",
        "or end before it",
        (("gateway", "10.0.0.200"),),
    ),
    Refused("vip", "10.0.0.10", *IN_THE_POOL),
    Refused("vip", "10.0.0.200", *IN_THE_POOL),
    Refused("vip", "10.0.0.1", "gateway has the same address", "give each its own"),
    Refused(
        "vip",
        "10.0.0.201",
        "masterAddress has the same address",
        "give each its own",
        (("masterAddress", "10.0.0.201"),),
    ),
    Refused(
        "vip",
        "10.0.0.201",
        "backupAddress has the same address",
        "give each its own",
        (("backupAddress", "10.0.0.201"),),
    ),
    Refused("vip", "10.0.0.255", *IN_THE_CIDR),
    Refused("vip", "10.0.1.201", *IN_THE_CIDR),
    Refused("masterAddress", "10.0.0.1", "gateway has the same address", "give each its own"),
    Refused("masterAddress", "10.0.0.0", *IN_THE_CIDR),
    Refused("backupAddress", "10.0.0.4", "masterAddress has the same address", "give each its own"),
    Refused("backupAddress", "10.0.0.1", "gateway has the same address", "give each its own"),
    Refused("backupAddress", "192.168.0.5", *IN_THE_CIDR),
    Refused("dnsServers", "9.9.9.9", "should be a valid tuple", "set a list of IPv4 addresses"),
    Refused(
        "dnsServers",
        '["9.9.9.9", "dns.example"]',
        "not a valid IPv4 address",
        "in the stack file",
        position="[1]",
        shown="dns.example",
    ),
    Refused(
        "dnsServers",
        '["9.9.9.9", "9.9.9.9"]',
        "9.9.9.9 is listed twice",
        "name each once",
        shown="['9.9.9.9', '9.9.9.9']",
    ),
    Refused("image", "", *EMPTY, shown="(empty)"),
    Refused("imageId", "debian-12-x86_64", "is a UUID in lower case", "or use `image`"),
    Refused("imageId", UUID.upper(), "is a UUID in lower case", "see `openstack image list`"),
    Refused("flavor", "", *EMPTY, shown="(empty)"),
    Refused("keyName", "", *EMPTY, shown="(empty)"),
    Refused(
        "publicKey", PRIVATE_KEY, "not an OpenSSH public key", "the one line of the .pub file", shown="(not shown)"
    ),
    Refused(
        "publicKey", f"{PUBLIC_KEY}\n{PUBLIC_KEY}", "not an OpenSSH public key", "the one line", shown="(not shown)"
    ),
    Refused("cidr6", "10.0.0.0/24", "not a valid IPv6 network", "an IPv6 network of /64", WITH_IPV6),
    Refused("cidr6", "2001:db8::1/64", "not a valid IPv6 network", "an IPv6 network of /64", WITH_IPV6),
    Refused("cidr6", "2001:db8::/48", "is a /64", "use 2001:db8::/64", WITH_IPV6),
    Refused("cidr6", "2001:db8::/65", "is a /64", "use 2001:db8::/64", WITH_IPV6),
    Refused("cidr6", "fe80::/64", "no server can have an address in it", "that the cloud routes", WITH_IPV6),
    Refused("vip6", "2001:db8::201", "without cidr6 the pair has no IPv6", "set cidr6, or remove vip6"),
    Refused("vip6", "10.0.0.201", "not a valid IPv6 address", "an IPv6 address of `cidr6`", WITH_IPV6),
    Refused("vip6", "2001:db8:0:1::201", "no host of cidr6 2001:db8::/64", "use 2001:db8::201", WITH_IPV6),
    Refused("vip6", "2001:db8::", "belongs to the routers of the subnet", "use 2001:db8::201", WITH_IPV6),
    Refused("vip6", "2001:db8::1", "belongs to its gateway", "use 2001:db8::201", WITH_IPV6),
    Refused("vip6", "2001:db8::4", "belongs to the master", "use 2001:db8::201", WITH_IPV6),
    Refused("vip6", "2001:db8::5", "belongs to the backup", "use 2001:db8::201", WITH_IPV6),
    Refused("vip6", "2001:db8::1000", *IN_THE_POOL6, WITH_IPV6),
    Refused("vip6", "2001:db8::1fff", *IN_THE_POOL6, WITH_IPV6),
    Refused(
        "httpCidrs",
        '["0.0.0.0/0"]',
        "no client could reach the service over IPv6",
        "add ::/0",
        (("cidr6", "2001:db8::/64"),),
        shown="['0.0.0.0/0']",
    ),
    Refused("httpCidrs", '["::/0"]', "the pair has no IPv6", "set cidr6, or remove ::/0", shown="['::/0']"),
    Refused("httpCidrs", "0.0.0.0/0", "should be a valid tuple", "set a list of networks"),
    Refused("httpCidrs", '["192.0.2.7/24"]', *NO_NETWORK, position="[0]", shown="192.0.2.7/24"),
    Refused(
        "sshCidrs",
        '["192.0.2.0/24", "home"]',
        NO_NETWORK[0],
        "set a list of networks that may reach port",
        position="[1]",
        shown="home",
    ),
    Refused("sshCidrs", '["::/0"]', "the pair has no IPv6", "set cidr6, or remove ::/0", shown="['::/0']"),
    Refused(
        "sshCidrs",
        '["0.0.0.0/0", "0.0.0.0/0"]',
        "0.0.0.0/0 is listed twice",
        "name each once",
        shown="['0.0.0.0/0', '0.0.0.0/0']",
    ),
    Refused("memberFloatingIps", "both", *NO_BOOLEAN),
    Refused("floatingIp", "old", "neither new nor none nor an IPv4 address", "`openstack floating ip list` shows"),
    Refused("floatingIp", "2001:db8::1", "neither new nor none nor an IPv4 address", "use new, or an address"),
    Refused("protectFloatingIp", "always", *NO_BOOLEAN),
    Refused("protectFloatingIp", "true", "makes no floating IP", "remove one of the two", (("floatingIp", "none"),)),
    Refused(
        "allowInterruption",
        '["vip"]',
        "vip is not a change",
        "write KEY: OLD -> NEW",
        shown="['vip']",
    ),
    Refused(
        "allowInterruption",
        '["cidr: 10.0.0.0/24 -> 10.1.0.0/24"]',
        "cidr is not a key whose change can be allowed",
        "externalNetwork, floatingIp, vip, vip6; remove the entry",
        shown="['cidr: 10.0.0.0/24 -> 10.1.0.0/24']",
    ),
    Refused("vrrpVersion", "1", "should be 2 or 3", "set 2 (RFC 3768) or 3 (RFC 9568) with"),
    Refused("vrrpVersion", "4", "should be 2 or 3", "set 2 (RFC 3768) or 3 (RFC 9568) with"),
    Refused("vrrpVersion", "three", "should be 2 or 3", "set 2 (RFC 3768) or 3 (RFC 9568) with"),
    Refused("vrrpVersion", "2", "is IPv4 only", "use 3, or remove cidr6", (*WITH_IPV6, ("advertInterval", "1"))),
    Refused("unicast", "multicast", *NO_BOOLEAN),
    Refused("advertInterval", "0.09", *IN_RANGE),
    Refused("advertInterval", "0", *IN_RANGE),
    Refused("advertInterval", "-1", *IN_RANGE),
    Refused("advertInterval", "40.01", *IN_RANGE),
    Refused("advertInterval", "0.333", "counts in centiseconds", "use 0.33"),
    Refused("advertInterval", "fast", "should be a valid decimal", "set seconds: 0.1 to 40"),
    Refused("advertInterval", "NaN", "should be a finite number", "set seconds: 0.1 to 40"),
    Refused("advertInterval", "0.25", *IN_WHOLE_SECONDS, ON_VERSION_2),
    Refused("advertInterval", "1.5", *IN_WHOLE_SECONDS, ON_VERSION_2),
    Refused("advertInterval", "0", *IN_WHOLE_SECONDS, ON_VERSION_2),
    Refused("advertInterval", "256", *IN_WHOLE_SECONDS, ON_VERSION_2),
    Refused("virtualRouterId", "0", "greater than or equal to 1", "set 1 to 255"),
    Refused("virtualRouterId", "256", "less than or equal to 255", "set 1 to 255"),
    Refused("virtualRouterId", "one", *NO_NUMBER),
    Refused("masterPriority", "0", "greater than or equal to 1", "set 1 to 254"),
    Refused("masterPriority", "255", "less than or equal to 254", "255 is for the owner of the address"),
    Refused("backupPriority", "0", "greater than or equal to 1", "set 1 to 254"),
    Refused("backupPriority", "255", "less than or equal to 254", "255 is for the owner of the address"),
    Refused("backupPriority", "254", "must be lower than masterPriority (254)", "use 253, close below it"),
    Refused(
        "backupPriority",
        "253",
        "must be lower than masterPriority (253)",
        "use 252, close below it",
        beside=(("masterPriority", "253"),),
    ),
    Refused("authPass", "x", "version 3 has no authentication", "or use vrrpVersion 2", shown="(not shown)"),
    Refused("authPass", "123456789", "has 9 characters and VRRP carries 8", "shorten it", ON_VERSION_2, "(not shown)"),
    Refused("authPass", "a b", "takes no blanks", "use others", ON_VERSION_2, "(not shown)"),
    Refused("authPass", "a#b", "takes no blanks, quotes, braces, '#'", "use others", ON_VERSION_2, "(not shown)"),
    Refused("authPass", 'a"b', "takes no blanks, quotes", "use others", ON_VERSION_2, "(not shown)"),
    Refused("authPass", "$a", "takes no blanks", "use others", ON_VERSION_2, "(not shown)"),
    Refused("authPass", "a\nb", "takes no blanks", "use others", ON_VERSION_2, "(not shown)"),
    Refused("authPass", "pässword", "takes no blanks", "use others", ON_VERSION_2, "(not shown)"),
    Refused("preempt", "sometimes", *NO_BOOLEAN),
    Refused("preemptDelay", "-1", "greater than or equal to 0", "set 0 to 1000 seconds"),
    Refused("preemptDelay", "1001", "less than or equal to 1000", "set 0 to 1000 seconds"),
    Refused("preemptDelay", "5", "there is nothing to delay", "remove one of the two", (("preempt", "false"),)),
    Refused("healPartitions", "2", *NO_BOOLEAN),
    Refused("serviceCheck", "apache2", *NO_BOOLEAN),
    Refused("antiAffinity", "Hard", "should be 'hard', 'soft' or 'none'", "set hard, soft or none with"),
]

#: Ten keys with one wrong value each. None of the errors is the consequence of another.
TEN_MISTAKES = {
    "namePrefix": "Vrrp",
    "vip": "10.0.0.50",
    "backupAddress": "10.0.0.4",
    "imageId": "latest",
    "flavor": "",
    "sshCidrs": '["192.0.2.7/24"]',
    "advertInterval": "0.05",
    "virtualRouterId": "256",
    "masterPriority": "255",
    "antiAffinity": "maybe",
}

#: The declaration of each key in Pulumi.yaml.
DECLARED: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text("utf-8"))["config"]


def _problems(**entries: str) -> list[str]:
    """Return the numbered lines of the message about these settings, without their numbers."""
    with pytest.raises(SettingsError) as raised:
        parse_settings(entries, PROJECT)
    return re.findall(r"^  \d+\. (.*)$", str(raised.value), re.MULTILINE)


def _accepted(entries: dict[str, str]) -> bool:
    try:
        parse_settings(entries, PROJECT)
    except SettingsError:
        return False
    return True


class TestEveryRuleHasItsTwoSides:
    """Prevents a bound that is off by one. Neutron would answer 409, and keepalived would say nothing at all: it cuts a
    long password or a large virtual_router_id, and the pair has two masters without a line in the log.
    """

    @pytest.mark.parametrize(("key", "value", "beside"), ACCEPTED)
    def test_a_value_at_the_bound_is_accepted_unchanged(self, key: str, value: str, beside: dict[str, str]) -> None:
        settings = parse_settings({**beside, key: value}, PROJECT)
        taken = settings.model_dump(mode="json", by_alias=True)[key]
        if key == "authPass" and settings.auth_pass:
            taken = settings.auth_pass.get_secret_value()
        given = (value.strip() or None) if taken is None or isinstance(taken, str) else json.loads(value)
        assert taken == given

    @pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: f"{refused.key}={refused.value[:20]!r}")
    def test_a_value_beyond_the_bound_is_refused_with_key_value_rule_and_way_out(self, refused: Refused) -> None:
        (problem,) = _problems(**{**dict(refused.beside), refused.key: refused.value})
        assert problem.startswith(f"{PROJECT}:{refused.key}{refused.position} = {refused.shown or refused.value}: ")
        _, rule, after = problem.partition(refused.rule)
        assert rule
        assert refused.way_out in after

    def test_every_key_has_a_value_that_is_accepted_and_one_that_is_refused(self) -> None:
        assert {key for key, _, _ in ACCEPTED} == KEYS - {OBJECT}
        assert {refused.key for refused in REFUSED} == KEYS - {OBJECT}


class TestTheWayOutLeadsOut:
    """Prevents advice that leads to the next error: an operator would stop reading the messages."""

    @pytest.mark.parametrize(
        ("key", "entries"),
        [
            ("vip", {"vip": "10.0.0.50"}),
            ("vip", {"vip": "10.0.0.250", "poolStart": "10.0.0.100", "poolEnd": "10.0.0.254"}),
            ("vip", {"vip": "10.0.0.50", "poolStart": "10.0.0.3", "poolEnd": "10.0.0.253", "gateway": "10.0.0.254"}),
            ("poolEnd", {"poolStart": "10.0.0.50", "poolEnd": "10.0.0.40"}),
            ("advertInterval", {"advertInterval": "0.333"}),
            ("advertInterval", {"advertInterval": "0.1049"}),
            ("advertInterval", {"advertInterval": "39.999"}),
            ("advertInterval", {"advertInterval": "90"}),
            ("advertInterval", {"advertInterval": "0.5", "vrrpVersion": "2"}),
            ("backupPriority", {"backupPriority": "254"}),
            ("backupPriority", {"backupPriority": "2", "masterPriority": "2"}),
            ("vip", {"vip": "10.0.0.50", "masterAddress": "10.0.0.201"}),
            ("vip", {"vip": "10.0.0.50", "masterAddress": "10.0.0.202", "backupAddress": "10.0.0.201"}),
        ],
    )
    def test_the_suggested_value_is_accepted(self, key: str, entries: dict[str, str]) -> None:
        (problem,) = _problems(**entries)
        suggested = re.search(r": use (?:an address from )?([0-9.]*[0-9])", problem)
        assert suggested
        assert _accepted({**entries, key: suggested[1]})

    def test_the_message_says_to_raise_the_masters_priority_if_no_backup_priority_fits(self) -> None:
        lowest = {"masterPriority": "1", "backupPriority": "1"}
        (problem,) = _problems(**lowest)
        assert "raise masterPriority to 2 or more" in problem
        assert _accepted({**lowest, "masterPriority": "2"})

    def test_the_message_says_to_end_the_pool_earlier_if_no_address_beside_it_is_free(self) -> None:
        whole = {"gateway": "10.0.0.1", "poolStart": "10.0.0.2", "poolEnd": "10.0.0.254", "vip": "10.0.0.250"}
        (problem,) = _problems(**whole)
        assert "end the pool earlier (poolEnd) and use an address after it" in problem
        assert parse_settings({**whole, "poolEnd": "10.0.0.249"}, PROJECT).vip == IPv4Address("10.0.0.250")


class TestOneMessageNamesEveryWrongKey:
    """Prevents ten runs for ten mistakes, and a network that is made before the servers' settings are refused."""

    def test_ten_mistakes_give_ten_messages(self) -> None:
        problems = _problems(**TEN_MISTAKES)
        assert len(problems) == 10
        assert {problem.split(":")[1].split(" = ")[0].split("[")[0] for problem in problems} == set(TEN_MISTAKES)

    def test_ten_mistakes_stop_the_program_before_it_asks_the_cloud(self, cloud: RecordingCloud) -> None:
        with pytest.raises(StackConfigError, match=r"^10 settings are wrong, so nothing was declared:\n"):
            run_program(config_of("nz-por-1", **TEN_MISTAKES), cloud)
        assert cloud.created == []
        assert cloud.lookups == []

    def test_one_mistake_gives_one_message_in_the_singular(self) -> None:
        with pytest.raises(SettingsError, match=r"^1 setting is wrong, so nothing was declared:\n  1\. [^\n]*$"):
            parse_settings({"flavor": ""}, PROJECT)

    @pytest.mark.parametrize(
        "cause",
        [
            {"cidr": "10.0.0.7/24"},
            {"poolStart": "first"},
            {"poolEnd": "last"},
            {"gateway": "router"},
            {"masterPriority": "high"},
            {"vrrpVersion": "2.5", "advertInterval": "0.25"},
            {"masterAddress": "one"},
        ],
        ids=lambda cause: next(iter(cause)),
    )
    def test_a_cause_is_named_without_its_consequences(self, cause: dict[str, str]) -> None:
        (problem,) = _problems(**cause)
        assert problem.startswith(f"{PROJECT}:{next(iter(cause))} = ")

    def test_each_wrong_entry_of_a_list_is_named(self) -> None:
        problems = _problems(sshCidrs='["192.0.2.0/24", "office", "home"]')
        assert [problem.split(": ")[0] for problem in problems] == [
            f"{PROJECT}:sshCidrs[1] = office",
            f"{PROJECT}:sshCidrs[2] = home",
        ]


class TestAMisspeltKeyIsRefused:
    """Prevents `pulumi config set vrrpversion 2` from being ignored without a message."""

    @pytest.mark.parametrize(
        ("key", "meant"),
        [("vrrpversion", "vrrpVersion"), ("sshCidr", "sshCidrs"), ("master_address", "masterAddress"), ("VIP", None)],
    )
    def test_an_unknown_key_is_refused_and_the_nearest_key_is_named(self, key: str, meant: str | None) -> None:
        (problem,) = _problems(**{key: "2"})
        assert problem.startswith(f"{PROJECT}:{key}: there is no such key; ")
        assert (f"did you mean {meant}?" if meant else "docs/configuration.md lists all keys") in problem
        assert f"`pulumi config rm {PROJECT}:{key}` removes it" in problem

    def test_the_program_stops_at_a_misspelt_key(self, cloud: RecordingCloud) -> None:
        with pytest.raises(StackConfigError, match=r"vrrpversion: there is no such key; did you mean vrrpVersion\?"):
            run_program(config_of("nz-por-1", vrrpversion="2"), cloud)
        assert cloud.created == []


class TestNoMessageShowsASecret:
    """Prevents a password, or a private key that was set as publicKey, in the log of a build."""

    @pytest.mark.parametrize(
        "entries",
        [
            {"authPass": "hunter2!", **VERSION_2},
            {"authPass": "hunter2"},
            {"authPass": "hunter2-and-more", **VERSION_2},
            {"authPass": '["hunter2"]', **VERSION_2},
            {"authpass": "hunter2", **VERSION_2},
            {"publicKey": f"{PRIVATE_KEY} hunter2"},
            {"publicKey": '["hunter2"]'},
        ],
    )
    def test_neither_the_message_nor_its_traceback_contains_the_value(self, entries: dict[str, str]) -> None:
        with pytest.raises(SettingsError) as raised:
            parse_settings(entries, PROJECT)
        printed = "".join(traceback.format_exception(raised.value))
        assert "hunter2" not in printed
        assert "PRIVATE KEY" not in printed

    def test_accepted_settings_do_not_print_the_password(self) -> None:
        settings = parse_settings({"authPass": "hunter2", **VERSION_2}, PROJECT)
        assert settings.auth_pass
        assert settings.auth_pass.get_secret_value() == "hunter2"
        assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"


class TestPulumiYamlAgreesWithTheModel:
    """Prevents two sources that differ. A default in Pulumi.yaml reaches the program as a value, so another default in
    the model would count in the tests only.
    """

    def test_it_declares_the_keys_of_the_model_and_no_other_keys(self) -> None:
        assert set(DECLARED) == KEYS

    def test_its_defaults_are_the_defaults_of_the_model(self, tmp_path: Path) -> None:
        bare = tmp_path / "Pulumi.bare.yaml"
        bare.write_text("config: {}\n", encoding="utf-8")
        defaults = {key.removeprefix(f"{PROJECT}:"): text for key, text in read_stack(str(bare)).values.items()}
        assert set(defaults) == KEYS
        assert parse_settings(defaults, PROJECT) == PairSettings()

    @pytest.mark.parametrize("key", sorted(KEYS))
    def test_each_description_is_the_one_of_the_model(self, key: str) -> None:
        described = {key.name: key.meaning for key in keys_of(PairSettings)}
        assert DECLARED[key]["description"] == described[key]
        assert re.fullmatch(r"\S.{5,}[^.\s]", described[key])

    @pytest.mark.parametrize("key", sorted(KEYS - {"authPass"}))
    def test_each_type_is_the_one_of_the_model(self, key: str) -> None:
        # Pulumi has no type for fractions.
        pulumis_type = {"number": "string", "list": "array"}
        types = {key.name: key.type for key in keys_of(PairSettings)}
        assert DECLARED[key]["type"] == pulumis_type.get(types[key], types[key])
        assert DECLARED[key].get("items") == ({"type": "string"} if types[key] == "list" else None)

    def test_the_password_has_no_type_because_a_typed_secret_can_have_no_default(self) -> None:
        assert "type" not in DECLARED["authPass"]

    def test_only_the_password_is_declared_secret(self) -> None:
        assert [key for key, declaration in DECLARED.items() if declaration.get("secret")] == ["authPass"]


@st.composite
def sound_plans(draw: st.DrawFn) -> dict[str, str]:
    """Draw address plans that keep every rule: all addresses are hosts of the subnet, the VIP is outside the pool."""
    prefix = draw(st.integers(22, 29))
    network = IPv4Network((draw(st.integers(0x0A000000, 0x0AFFFFFF)), prefix), strict=False)
    size = network.num_addresses
    hosts = draw(st.lists(st.integers(1, size - 2), min_size=6, max_size=6, unique=True))
    # The lowest and the highest address are outside the pool between them. The members may have any address.
    gateway, pool_start, pool_end, vip = sorted(hosts[:4])
    if draw(st.booleans()):
        gateway, vip = vip, gateway
    return _plan(network, *(network[host] for host in (gateway, pool_start, pool_end, vip, hosts[4], hosts[5])))


@st.composite
def nearly_sound_plans(draw: st.DrawFn) -> dict[str, str]:
    """Draw sound plans with one address moved onto or beside another one, or to the edge of the subnet."""
    plan = draw(sound_plans())
    network = IPv4Network(plan["cidr"])
    addresses = [IPv4Address(text) for key, text in plan.items() if key != "cidr"]
    near = draw(st.sampled_from([*addresses, network.network_address, network.broadcast_address]))
    moved = draw(st.sampled_from([key for key in plan if key != "cidr"]))
    return {**plan, moved: str(near + draw(st.integers(-1, 1)))}


@st.composite
def any_plans(draw: st.DrawFn) -> dict[str, str]:
    """Draw plans in a subnet so small that addresses often coincide, cross or lie outside it."""
    network = IPv4Network(("10.9.8.0", draw(st.integers(28, 30))))
    near = st.integers(-1, network.num_addresses).map(lambda offset: network.network_address + offset)
    return _plan(network, *(draw(near) for _ in range(6)))


def _plan(network: IPv4Network, *addresses: IPv4Address) -> dict[str, str]:
    keys = ("gateway", "poolStart", "poolEnd", "vip", "masterAddress", "backupAddress")
    return {"cidr": str(network), **{key: str(address) for key, address in zip(keys, addresses, strict=True)}}


def _is_sound(plan: dict[str, str]) -> bool:
    """Return whether a plan keeps every rule, computed in another way than the model does it."""
    network = IPv4Network(plan["cidr"])
    hosts = set(network.hosts())
    gateway, start, end, vip, master, backup = (IPv4Address(text) for key, text in plan.items() if key != "cidr")
    pool = {address for address in hosts if start <= address <= end}
    return (
        network.prefixlen <= 29
        and {gateway, start, end, vip, master, backup} <= hosts
        and len({gateway, vip, master, backup}) == 4
        and len(pool) > 0
        and gateway not in pool
        and vip not in pool
    )


class TestTheAddressPlanHasNoConflict:
    """Prevents an address that another port gets first. Neutron gives any address of the pool to any port, and then
    answers 409 to the port of the pair, in the middle of an update.
    """

    @given(sound_plans())
    def test_a_sound_plan_is_accepted_unchanged(self, plan: dict[str, str]) -> None:
        settings = parse_settings(plan, PROJECT)
        assert {key: str(value) for key, value in settings.model_dump(by_alias=True).items() if key in plan} == plan

    @hypothesis.settings(max_examples=400)
    @given(st.one_of(any_plans(), nearly_sound_plans()))
    def test_a_plan_is_accepted_exactly_when_it_is_sound(self, plan: dict[str, str]) -> None:
        accepted = _accepted(plan)
        event(f"accepted: {accepted}")
        assert accepted == _is_sound(plan)

    @given(sound_plans(), st.integers(0, 2**16))
    def test_the_address_suggested_for_a_vip_in_the_pool_makes_the_plan_sound(
        self, plan: dict[str, str], place: int
    ) -> None:
        start, end = int(IPv4Address(plan["poolStart"])), int(IPv4Address(plan["poolEnd"]))
        inside = str(IPv4Address(start + place % (end - start + 1)))
        assume(inside not in (plan["masterAddress"], plan["backupAddress"]))
        (problem,) = _problems(**{**plan, "vip": inside})
        suggested = re.search(r": use ([0-9.]+), or another address outside the pool$", problem)
        event(f"suggested: {suggested is not None}")
        if suggested:
            assert _is_sound({**plan, "vip": suggested[1]})
        else:
            assert problem.endswith("end the pool earlier (poolEnd) and use an address after it")

    @given(sound_plans())
    def test_each_member_knows_its_own_and_its_peers_address(self, plan: dict[str, str]) -> None:
        master, backup = parse_settings(plan, PROJECT).members
        assert (str(master.address), str(master.peer_address)) == (plan["masterAddress"], plan["backupAddress"])
        assert (str(backup.address), str(backup.peer_address)) == (plan["backupAddress"], plan["masterAddress"])


class TestAPairWithIpv6:
    """Prevents an IPv6 address that differs from the port's, or that appears without a prefix."""

    def test_with_cidr6_the_ipv6_addresses_end_like_the_ipv4_addresses(self) -> None:
        settings = parse_settings(DUAL, PROJECT)
        assert [str(member.address6) for member in settings.members] == ["2001:db8::4", "2001:db8::5"]
        assert settings.vips == ("10.0.0.201/24", "2001:db8::201/128")

    def test_without_cidr6_the_pair_has_no_ipv6_address(self) -> None:
        settings = parse_settings({}, PROJECT)
        assert [member.address6 for member in settings.members] == [None, None]
        assert settings.vips == ("10.0.0.201/24",)
