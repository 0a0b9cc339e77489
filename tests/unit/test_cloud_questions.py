"""The process that asks a cloud: which answer it gives to which question.

That the questions fit a real OpenStack is shown in tests/cloud.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from keystoneauth1.exceptions import ConnectFailure
from openstack.exceptions import HttpException, NotFoundException

from gates import cloud_questions
from gates.cloud_questions import FINDERS, answer
from gates.present_pair import Networking


class MadeUpCloud:
    """A connection with the proxies of openstacksdk that the questions use."""

    def __init__(self, **resources: list[dict[str, Any]]) -> None:
        self.resources = resources
        self.filters: dict[str, dict[str, Any]] = {}
        self.authorized = False
        #: The lists that were asked for.
        self.requests: list[str] = []
        self.current_project_id = "project-1"
        self.network = SimpleNamespace(
            **{what: self._listing(what) for what in ("networks", "ports", "subnets", "routers", "ips")},
            find_extension=self._extension,
        )
        self.image = SimpleNamespace(images=self._listing("images"))
        self.compute = SimpleNamespace(
            flavors=self._listing("flavors"), servers=self._servers, get_keypair=self._key_pair
        )

    def authorize(self) -> None:
        self.authorized = True

    def _listing(self, what: str) -> Callable[..., list[SimpleNamespace]]:
        def listing(**filters: Any) -> list[SimpleNamespace]:
            self.filters[what] = filters
            self.requests.append(what)
            return [SimpleNamespace(**one) for one in self.resources.get(what, [])]

        return listing

    def _servers(self, *, details: bool, status: str | None = None) -> list[SimpleNamespace]:
        """As Nova does: filter by the status, and leave it out of a list without details."""
        self.filters["servers"] = {"details": details}
        matching = [one for one in self.resources.get("servers", []) if status in (None, one["status"])]
        return [SimpleNamespace(id=one["id"], name=one["name"]) for one in matching]

    def _extension(self, name_or_id: str) -> SimpleNamespace | None:
        """As openstacksdk does: look up the alias, then the names."""
        extensions = self.resources.get("extensions", [])
        matching = [one for one in extensions if name_or_id in (one["alias"], one.get("name"))]
        return SimpleNamespace(**matching[0]) if matching else None

    def _key_pair(self, name: str) -> SimpleNamespace:
        if name not in [one["name"] for one in self.resources.get("key_pairs", [])]:
            raise NotFoundException(name)
        return SimpleNamespace(name=name)


def asked(cloud: Any, kind: str, name: str) -> dict[str, Any]:
    return answer(cloud, {"kind": kind, "name": name})


class TestWhatExists:
    """Prevents a pair on the wrong image, and a check that any answer satisfies."""

    def test_the_newest_active_image_is_the_one(self) -> None:
        images = [
            {"id": "old", "created_at": "2026-01-01T00:00:00Z"},
            {"id": "new", "created_at": "2026-11-01T00:00:00Z"},
            {"id": "older", "created_at": "2025-01-01T00:00:00Z"},
        ]
        cloud = MadeUpCloud(images=images)
        assert asked(cloud, "image", "debian") == {"id": "new"}
        assert cloud.filters["images"] == {"name": "debian", "status": "active"}

    def test_an_external_network_is_found_by_its_name_among_the_external_ones(self) -> None:
        cloud = MadeUpCloud(networks=[{"id": "n-0", "name": "other-net"}, {"id": "n-1", "name": "public-net"}])
        assert asked(cloud, "external network", "public-net") == {"id": "n-1"}
        assert cloud.filters["networks"] == {"is_router_external": True}

    def test_two_questions_list_the_external_networks_once(self) -> None:
        cloud = MadeUpCloud(networks=[{"id": "n-1", "name": "public-net"}])
        with ThreadPoolExecutor() as pool:
            one = pool.submit(asked, cloud, "external network", "public-net")
            other = pool.submit(asked, cloud, "networking", "")
        assert one.result() == {"id": "n-1"}
        assert other.result()["networking"]["external_networks"] == [{"id": "n-1", "name": "public-net"}]
        assert cloud.requests.count("networks") == 1

    def test_another_cloud_is_asked_again(self) -> None:
        for id_ in ("n-1", "n-2"):
            cloud = MadeUpCloud(networks=[{"id": id_, "name": "public-net"}])
            assert asked(cloud, "external network", "public-net") == {"id": id_}

    def test_two_external_networks_of_one_name_are_a_problem_with_both_ids(self) -> None:
        cloud = MadeUpCloud(networks=[{"id": "n-1", "name": "public-net"}, {"id": "n-2", "name": "public-net"}])
        assert asked(cloud, "external network", "public-net") == {"problem": "the cloud has 2 of this name (n-1, n-2)."}

    def test_an_extension_is_found_by_its_alias_and_not_by_its_name(self) -> None:
        cloud = MadeUpCloud(extensions=[{"alias": "other", "name": "allowed-address-pairs"}])
        assert "problem" in asked(cloud, "extension", "allowed-address-pairs")
        cloud = MadeUpCloud(extensions=[{"alias": "allowed-address-pairs-atomic"}])
        assert "problem" in asked(cloud, "extension", "allowed-address-pairs")
        cloud = MadeUpCloud(extensions=[{"alias": "router"}, {"alias": "allowed-address-pairs"}])
        assert asked(cloud, "extension", "allowed-address-pairs") == {"id": "allowed-address-pairs"}

    def test_a_private_flavor_counts(self) -> None:
        cloud = MadeUpCloud(flavors=[{"id": "f-1", "name": "c1.c1r1"}, {"id": "f-2", "name": "c1.c1r2"}])
        assert asked(cloud, "flavor", "c1.c1r2") == {"id": "f-2"}
        assert cloud.filters["flavors"] == {"details": False, "is_public": "None"}

    def test_a_key_pair_is_found_by_its_name(self) -> None:
        assert asked(MadeUpCloud(key_pairs=[{"name": "mine"}]), "key pair", "mine") == {"id": "mine"}

    def test_servers_are_named_whether_or_not_there_are_any(self) -> None:
        assert asked(MadeUpCloud(), "servers", "") == {"names": [], "not_active": []}
        cloud = MadeUpCloud(servers=[{"id": "s-1", "name": "vrrp-master", "status": "ACTIVE"}])
        assert asked(cloud, "servers", "") == {"names": ["vrrp-master"], "not_active": []}

    @pytest.mark.parametrize("status", ["SHUTOFF", "ERROR", "BUILD"])
    def test_a_server_that_is_not_active_is_told_apart(self, status: str) -> None:
        cloud = MadeUpCloud(
            servers=[
                {"id": "s-1", "name": "vrrp-master", "status": status},
                {"id": "s-2", "name": "other", "status": "ACTIVE"},
            ]
        )
        assert asked(cloud, "servers", "") == {"names": ["vrrp-master", "other"], "not_active": ["s-1"]}
        # With details Nova would ask Neutron about every server.
        assert not cloud.filters["servers"]["details"]

    def test_networking_is_all_that_neutron_has_in_the_project(self) -> None:
        cloud = MadeUpCloud(
            ports=[
                {
                    "id": "p-1",
                    "name": "vrrp-port",
                    "tags": ["vrrp-role-vip"],
                    "network_id": "n-1",
                    "device_id": None,
                    "device_owner": "",
                    "fixed_ips": [{"subnet_id": "s-1", "ip_address": "10.0.0.201"}],
                    "allowed_address_pairs": None,
                },
                {
                    "id": "p-2",
                    "name": "",
                    "tags": None,
                    "network_id": "n-1",
                    "device_id": "server-1",
                    "device_owner": "compute:nova",
                    "fixed_ips": None,
                    "allowed_address_pairs": [{"ip_address": "10.0.0.201", "mac_address": "fa:16:3e:00:00:01"}],
                },
            ],
            subnets=[
                {"id": "s-1", "name": "vrrp-subnet", "ip_version": 4, "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1"}
            ],
            routers=[
                {"id": "r-1", "external_gateway_info": {"network_id": "e-1"}},
                {"id": "r-2", "external_gateway_info": None},
            ],
            ips=[
                {
                    "floating_ip_address": "203.0.113.10",
                    "port_id": "p-1",
                    "fixed_ip_address": "10.0.0.201",
                    "floating_network_id": "e-1",
                    "tags": [],
                }
            ],
            networks=[{"id": "e-1", "name": "public-net"}],
        )
        networking = asked(cloud, "networking", "")["networking"]
        json.dumps(networking)
        read = Networking.of(networking)
        assert [(port.id, port.tags, port.fixed_ips, port.allowed_addresses) for port in read.ports] == [
            ("p-1", frozenset({"vrrp-role-vip"}), (("s-1", "10.0.0.201"),), frozenset()),
            ("p-2", frozenset(), (), frozenset({"10.0.0.201"})),
        ]
        assert read.subnets["s-1"].gateway == "10.0.0.1"
        assert read.routers == {"r-1": "e-1", "r-2": None}
        assert [(one.address, one.port_id, one.external_network_id) for one in read.floating_ips] == [
            ("203.0.113.10", "p-1", "e-1")
        ]
        assert read.external_networks == {"e-1": "public-net"}
        # An administrator would get the ports of every project.
        assert {cloud.filters[what]["project_id"] for what in ("ports", "subnets", "routers", "ips")} == {"project-1"}
        assert cloud.filters["networks"] == {"is_router_external": True}

    def test_a_failed_list_is_a_problem_of_networking_as_a_whole(self) -> None:
        cloud = MadeUpCloud()

        def broken(**_: Any) -> None:
            raise HttpException("503 Service Unavailable")

        cloud.network.routers = broken
        assert "503 Service Unavailable" in asked(cloud, "networking", "")["problem"]

    @pytest.mark.parametrize("kind", sorted(FINDERS))
    def test_an_empty_cloud_has_none_of_any_kind(self, kind: str) -> None:
        assert asked(MadeUpCloud(), kind, "x") == {"problem": f"the cloud has no {kind} of this name."}


class TestACloudThatFails:
    """Prevents a traceback, and one failed service that hides what the others say."""

    def test_a_question_that_fails_is_a_problem_of_its_own(self) -> None:
        cloud = MadeUpCloud(networks=[{"id": "n-1", "name": "public-net"}])

        def broken(**_: Any) -> None:
            raise HttpException("503 Service Unavailable")

        cloud.image = SimpleNamespace(images=broken)
        problem = asked(cloud, "image", "debian")["problem"]
        assert problem.startswith("the cloud did not say whether there is one (")
        assert "503 Service Unavailable" in problem
        assert asked(cloud, "external network", "public-net") == {"id": "n-1"}


class TestTheProcess:
    """Prevents answers in another order than the questions, which the program would mix up."""

    def _run(self, cloud: Any, questions: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> int:
        monkeypatch.setattr(cloud_questions, "connect", lambda: cloud)
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(questions)))
        return cloud_questions.main()

    def test_the_answers_are_in_the_order_of_the_questions(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cloud = MadeUpCloud(networks=[{"id": "n-1", "name": "public-net"}], key_pairs=[{"name": "mine"}])
        questions = [
            {"kind": "key pair", "name": "mine"},
            {"kind": "servers", "name": ""},
            {"kind": "external network", "name": "public-net"},
        ]
        assert self._run(cloud, questions, monkeypatch) == 0
        assert cloud.authorized
        assert json.loads(capsys.readouterr().out) == [
            {"id": "mine"},
            {"names": [], "not_active": []},
            {"id": "n-1"},
        ]

    def test_no_question_is_no_answer(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self._run(MadeUpCloud(), [], monkeypatch) == 0
        assert json.loads(capsys.readouterr().out) == []

    def test_a_cloud_that_cannot_be_reached_is_one_line_and_status_1(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cloud = MadeUpCloud()

        def refuse() -> None:
            raise ConnectFailure("no route")

        cloud.authorize = refuse
        assert self._run(cloud, [{"kind": "image", "name": "x"}], monkeypatch) == 1
        seen = capsys.readouterr()
        assert (seen.out, seen.err) == ("", "the cloud cannot be asked: no route\n")
