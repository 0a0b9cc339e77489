"""The outputs of the stack, and the secrets that must not be in them.

The tests run against a cloud that invents addresses. tests/lab and tests/cloud show that `curl` on the url gets an
answer.
"""

from __future__ import annotations

import json

import pytest

from .conftest import Declare, Run, identifier

#: A text that no other value contains.
PASSWORD = "Zq7xK2wv"


class TestTheOutputsAreTheContract:
    """Prevents a renamed or missing output, which breaks every script that reads `pulumi stack output`."""

    def test_the_stack_has_exactly_these_four_outputs(self, pair: Run) -> None:
        assert sorted(pair.outcome.outputs) == ["floatingIp", "members", "url", "vip"]

    def test_the_url_and_the_floating_ip_lead_to_the_vip(self, pair: Run) -> None:
        address = pair.cloud.address_of(pair.one("FloatingIp", "vrrp-floating-ip"))
        assert pair.outcome.outputs["floatingIp"] == address
        assert pair.outcome.outputs["url"] == f"http://{address}"

    def test_the_output_vip_is_the_one_of_the_settings(self, declare: Declare) -> None:
        assert declare("nz-por-1").outcome.outputs["vip"] == "10.0.0.201"
        assert declare("nz-por-1", vip="10.0.0.240").outcome.outputs["vip"] == "10.0.0.240"

    def test_each_member_is_listed_with_its_server_its_port_and_its_addresses(self, pair: Run, stack: str) -> None:
        # The SDK drops a null, so the key is missing.
        assert [{"floatingIp": None, **member} for member in pair.outcome.outputs["members"]] == [
            {
                "name": f"vrrp-{role}",
                "role": role,
                "serverId": identifier(pair.one("Instance", f"vrrp-{role}").urn),
                "portId": identifier(pair.one("Port", f"vrrp-{role}-port").urn),
                "fixedAddress": address,
                "floatingIp": pair.cloud.address_of(pair.one("FloatingIp", f"vrrp-{role}-floating-ip"))
                if stack == "tutorial"
                else None,
            }
            for role, address in (("master", "10.0.0.4"), ("backup", "10.0.0.5"))
        ]

    def test_no_public_address_appears_twice(self, declare: Declare) -> None:
        outputs = declare("tutorial").outcome.outputs
        told = [outputs["floatingIp"], *(member["floatingIp"] for member in outputs["members"])]
        assert len(set(told)) == 3


class TestNoOutputContainsASecret:
    """Prevents the password of the pair in a log. User-data is not a secret in the provider's schema: without a wrapper
    it would be in the clear in the state, in every preview and in every diff.
    """

    def test_the_user_data_of_both_servers_contains_the_password(self, declare: Declare) -> None:
        servers = declare("tutorial", authPass=PASSWORD).all("Instance")
        assert [f"auth_pass {PASSWORD}\n" in server.inputs["userData"] for server in servers] == [True, True]

    def test_no_output_contains_the_password(self, declare: Declare) -> None:
        assert PASSWORD not in json.dumps(declare("tutorial", authPass=PASSWORD).outcome.outputs)

    def test_only_secret_inputs_contain_the_password(self, declare: Declare) -> None:
        in_the_clear = {
            (made.name, key)
            for made in declare("tutorial", authPass=PASSWORD).outcome.resources.values()
            for key, value in made.inputs.items()
            if PASSWORD in json.dumps(value) and key not in made.secret_inputs
        }
        assert in_the_clear == set()

    def test_user_data_is_a_secret_with_and_without_a_password(self, pair: Run) -> None:
        secret = {server.name: server.secret_inputs for server in pair.all("Instance")}
        assert secret == {"vrrp-master": ("userData",), "vrrp-backup": ("userData",)}

    @pytest.mark.parametrize("output", ["url", "floatingIp", "vip", "members"])
    def test_no_output_is_a_secret(self, pair: Run, output: str) -> None:
        assert output not in pair.outcome.secret_outputs
