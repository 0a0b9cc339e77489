"""Gates and `ops` send their questions to the same region as the provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from gates.connection import connect

CLOUDS = """
clouds:
  one: {auth: {auth_url: "http://127.0.0.1:9/v3", username: a, password: b}, region_name: nz-por-1}
  two: {auth: {auth_url: "http://127.0.0.1:9/v3", username: a, password: b}, regions: [nz-por-1, nz-wlg-2]}
"""


@pytest.fixture(autouse=True)
def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(CLOUDS, encoding="utf-8")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    monkeypatch.delenv("OS_REGION_NAME", raising=False)


class TestTheRegionOfTheStackCounts:
    """Prevents a gate that looks for Hamilton's servers in Porirua: the provider uses the stack's region, but
    openstacksdk by itself uses the region of the entry in clouds.yaml.
    """

    @pytest.mark.parametrize("cloud", ["one", "two"])
    def test_os_region_name_takes_precedence_over_clouds_yaml(
        self, monkeypatch: pytest.MonkeyPatch, cloud: str
    ) -> None:
        monkeypatch.setenv("OS_CLOUD", cloud)
        monkeypatch.setenv("OS_REGION_NAME", "nz-hlz-1")
        config = connect().config
        assert {config.get_region_name(), config.get_region_name("compute")} == {"nz-hlz-1"}

    def test_without_os_region_name_the_region_of_clouds_yaml_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OS_CLOUD", "one")
        assert connect().config.get_region_name() == "nz-por-1"
