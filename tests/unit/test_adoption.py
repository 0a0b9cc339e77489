"""The check of a pair that was made by hand, before its first `up` takes the backup away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from keystoneauth1.exceptions import ConnectFailure
from openstack.exceptions import NotFoundException

from gates import adoption
from settings.identity import pair_tag


@dataclass
class Cloud:
    """A connection with the proxies of Nova and Neutron in one object, and a pair that was made by hand."""

    statuses: dict[str, str] = field(default_factory=lambda: {"i-master": "ACTIVE", "i-backup": "ACTIVE"})
    disabled: tuple[str, ...] = ()
    #: Whether the ports have the names that the settings give.
    named: bool = True
    current_project_id: str = "p"

    @property
    def network(self) -> Any:
        return self

    compute = network

    def ports(self, **query: str) -> list[Any]:
        every = [
            SimpleNamespace(
                id=f"port-of-{role}",
                name=f"vrrp_{role}_server_port" if self.named else role,
                tags=[],
                device_id=f"i-{role}",
                device_owner="compute:nova",
                address=address,
                is_admin_state_up=role not in self.disabled,
                is_port_security_enabled=True,
                allowed_address_pairs=[],
            )
            for role, address in (("master", "10.0.0.4"), ("backup", "10.0.0.5"))
            if f"i-{role}" in self.statuses
        ]
        attributes = {"name": "name", "device_id": "device_id", "fixed_ips": "address"}
        for key, attribute in attributes.items():
            if key in query:
                wanted = query[key].removeprefix("ip_address=")
                every = [port for port in every if getattr(port, attribute) == wanted]
        return [] if "tags" in query else every

    def get_server(self, server_id: str) -> Any:
        if server_id not in self.statuses:
            raise NotFoundException(server_id)
        return SimpleNamespace(status=self.statuses[server_id])


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Callable[[Cloud], bool]:
    """Runs the check of the backup as the first gate does."""
    for key, value in {
        "ROLE": "backup",
        "MEMBER": "vrrp-backup",
        "PEER": "vrrp-master",
        "ADDRESSES": "10.0.0.4 10.0.0.5",
        "PAIR_TAG": pair_tag("vrrp-pair", "prod", "vrrp"),
        "MASTER_PORT": "vrrp_master_server_port",
        "BACKUP_PORT": "vrrp_backup_server_port",
    }.items():
        monkeypatch.setenv(key, value)

    def run(cloud: Cloud) -> bool:
        monkeypatch.setattr(adoption, "connect", lambda: cloud)
        return adoption.main() == 0

    return run


class TestTheBackupIsTakenAwayOnlyIfTheMasterRuns:
    """Prevents an outage in the first `up` after `ops adopt`, if the master is stopped and the backup serves."""

    @pytest.mark.parametrize("named", [True, False])
    def test_the_gate_opens_beside_a_master_that_runs(self, opens: Callable[[Cloud], bool], named: bool) -> None:
        assert opens(Cloud(named=named))

    @pytest.mark.parametrize("named", [True, False])
    @pytest.mark.parametrize("status", ["SHUTOFF", "ERROR", "PAUSED", "BUILD"])
    def test_the_gate_stays_closed_beside_a_master_that_does_not_run(
        self, opens: Callable[[Cloud], bool], capsys: pytest.CaptureFixture[str], status: str, named: bool
    ) -> None:
        assert not opens(Cloud({"i-master": status, "i-backup": "ACTIVE"}, named=named))
        told = capsys.readouterr().err
        assert f"vrrp-master has Nova's status {status}. `openstack server start i-master`" in told
        assert "`openstack server stop i-backup`" in told

    def test_the_gate_stays_closed_beside_a_master_with_a_disabled_port(
        self, opens: Callable[[Cloud], bool], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert not opens(Cloud(disabled=("master",)))
        assert "`openstack port set --enable port-of-master`" in capsys.readouterr().err

    def test_the_gate_stays_closed_without_a_master(
        self, opens: Callable[[Cloud], bool], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert not opens(Cloud({"i-backup": "ACTIVE"}))
        assert "there is no server vrrp-master." in capsys.readouterr().err

    @pytest.mark.parametrize("statuses", [{}, {"i-master": "SHUTOFF"}, {"i-master": "SHUTOFF", "i-backup": "SHUTOFF"}])
    def test_the_gate_opens_if_no_backup_serves(self, opens: Callable[[Cloud], bool], statuses: dict[str, str]) -> None:
        assert opens(Cloud(statuses))

    def test_without_a_cloud_the_gate_stays_closed_and_says_why(
        self, opens: Callable[[Cloud], bool], capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Unreachable(Cloud):
            def ports(self, **_: str) -> list[Any]:
                raise ConnectFailure("no route")

        assert not opens(Unreachable())
        assert "did not say whether its peer runs (no route)" in capsys.readouterr().err
