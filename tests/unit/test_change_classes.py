"""The classes of the keys: each key has one, and the data agree with each other.

That a change of each key does what its class says is measured by tests/cloud/change_matrix.py.
"""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from settings import PairSettings, Service
from settings.allowed_interruptions import INTERRUPTING, SettingChange, parse_allowed
from settings.change_classes import KEYS, ChangeClass


def keys_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    return {f"{prefix}{field.alias}" for field in model.model_fields.values()}


class TestEachKeyHasOneClass:
    """Prevents a new key without a class: its change might interrupt the service unannounced."""

    def test_no_key_is_missing_and_none_is_left_over(self) -> None:
        assert set(KEYS) == keys_of(PairSettings) | keys_of(Service, "service.")

    def test_a_refused_key_has_an_effect_and_a_way_out(self) -> None:
        refused = {key: change for key, change in KEYS.items() if change.change_class is ChangeClass.REFUSED}
        assert set(refused) == {"cidr", "gateway"}
        assert [key for key, change in refused.items() if not (change.effect and change.way_out.endswith("."))] == []

    def test_an_interruption_says_what_happens(self) -> None:
        assert INTERRUPTING == ["cidr6", "externalNetwork", "floatingIp", "vip", "vip6"]
        assert [key for key in INTERRUPTING if not KEYS[key].effect] == []

    @pytest.mark.parametrize("key", sorted(KEYS))
    def test_an_effect_is_the_end_of_a_sentence(self, key: str) -> None:
        assert not KEYS[key].effect.endswith(".")
        assert KEYS[key].effect[:1].islower() or not KEYS[key].effect

    def test_a_first_ipv6_subnet_is_a_roll_and_its_end_an_interruption(self) -> None:
        assert SettingChange("cidr6", "none", "2001:db8::/64").change_class is ChangeClass.ROLL
        assert SettingChange("cidr6", "2001:db8::/64", "none").change_class is ChangeClass.INTERRUPTION

    def test_a_first_floating_ip_interrupts_nothing(self) -> None:
        assert SettingChange("floatingIp", "none", "new").change_class is ChangeClass.NOTHING


class TestAnAllowedInterruptionNamesOneChange:
    """Prevents an entry that allows more than one change, or none because of a blank."""

    def test_an_entry_is_read_as_the_message_writes_it(self) -> None:
        change = SettingChange("vip", "10.0.0.201", "10.0.0.202")
        assert str(change) == "vip: 10.0.0.201 -> 10.0.0.202"
        assert parse_allowed(str(change)) == change

    @pytest.mark.parametrize("entry", ["vip:10.0.0.201->10.0.0.202", " vip : 10.0.0.201  ->  10.0.0.202 "])
    def test_blanks_do_not_matter(self, entry: str) -> None:
        assert parse_allowed(entry) == SettingChange("vip", "10.0.0.201", "10.0.0.202")

    def test_ipv6_addresses_have_colons(self) -> None:
        entry = "vip6: 2001:db8::201 -> 2001:db8::202"
        assert parse_allowed(entry) == SettingChange("vip6", "2001:db8::201", "2001:db8::202")

    @pytest.mark.parametrize("entry", ["", "vip", "vip: 10.0.0.202", "vip: a b -> c", "vip: a -> b -> c"])
    def test_another_form_is_refused_with_an_example(self, entry: str) -> None:
        with pytest.raises(ValueError, match="write KEY: OLD -> NEW"):
            parse_allowed(entry)
