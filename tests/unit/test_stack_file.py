"""The lab reads a stack file and the defaults of Pulumi.yaml as the engine does.

tests/cloud shows that the engine itself accepts these files.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.stack_file import StackFileError, read_stack

from .conftest import PROJECT, STACKS

PROJECT_FILE = """\
name: shop
runtime: python
config:
  colour:
    type: string
    default: blue
  sizes:
    type: array
    items:
      type: string
    default:
      - s
      - m
  interval:
    type: string
    default: "0.25"
  count:
    type: integer
    default: 3
  wanted:
    type: boolean
    default: true
  password:
    default: ""
    secret: true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with defaults, and no stack yet."""
    (tmp_path / "Pulumi.yaml").write_text(PROJECT_FILE, encoding="utf-8")
    return tmp_path


def _stack(folder: Path, text: str, name: str = "test") -> str:
    (folder / f"Pulumi.{name}.yaml").write_text(text, encoding="utf-8")
    return name


class TestTheStackFileOverridesTheDefaults:
    """Prevents a lab that runs another pair than `pulumi up` would make."""

    def test_a_key_that_the_stack_does_not_set_has_its_default(self, folder: Path) -> None:
        config = read_stack(_stack(folder, "config: {}\n"), folder)
        assert (config.project, config.stack) == ("shop", "test")
        assert config.values == {
            "shop:colour": "blue",
            "shop:sizes": '["s", "m"]',
            "shop:interval": "0.25",
            "shop:count": "3",
            "shop:wanted": "true",
            "shop:password": "",
        }

    def test_the_value_of_the_stack_replaces_the_default(self, folder: Path) -> None:
        config = read_stack(
            _stack(folder, "config:\n  shop:colour: red\n  count: 4\n  openstack:region: here\n"), folder
        )
        assert config.values["shop:colour"] == "red"
        assert config.values["shop:count"] == "4"
        assert config.values["openstack:region"] == "here"
        assert config.values["shop:interval"] == "0.25"

    def test_a_file_without_config_has_all_defaults(self, folder: Path) -> None:
        stack = _stack(folder, "# nothing yet\n")
        assert read_stack(stack, folder).values["shop:colour"] == "blue"

    def test_the_four_stacks_are_stacks_of_this_project(self, stack: str) -> None:
        config = read_stack(stack)
        assert (config.project, config.stack) == (PROJECT, stack)

    def test_a_stack_file_may_be_in_another_folder(self, tmp_path: Path) -> None:
        elsewhere = tmp_path / "Pulumi.mine.yaml"
        elsewhere.write_text("config:\n  vrrp-pair:vip: 10.0.0.240\n", encoding="utf-8")
        config = read_stack(str(elsewhere))
        assert (config.project, config.stack) == (PROJECT, "mine")
        assert config.values["vrrp-pair:vip"] == "10.0.0.240"


class TestValuesAreTheEnginesText:
    """Prevents values that YAML changes, such as 0.10 to 0.1 and `no` to false."""

    def test_a_list_is_json(self, folder: Path) -> None:
        config = read_stack(_stack(folder, "config:\n  shop:sizes:\n    - l\n    - 10.0.0.0/24\n"), folder)
        assert json.loads(config.values["shop:sizes"]) == ["l", "10.0.0.0/24"]

    def test_an_empty_list_is_json_too(self, folder: Path) -> None:
        assert read_stack(_stack(folder, "config:\n  shop:sizes: []\n"), folder).values["shop:sizes"] == "[]"

    @pytest.mark.parametrize("written", ["0.25", "0.10", "1", "1e1", "007", "true", "no", "null"])
    def test_a_scalar_stays_as_it_is_written(self, folder: Path, written: str) -> None:
        config = read_stack(_stack(folder, f"config:\n  shop:interval: {written}\n"), folder)
        assert config.values["shop:interval"] == written

    def test_quotes_are_no_part_of_a_value(self, folder: Path) -> None:
        config = read_stack(_stack(folder, 'config:\n  shop:interval: "0.5"\n'), folder)
        assert config.values["shop:interval"] == "0.5"


class TestSecretsStayEncrypted:
    """Prevents a lab that needs the passphrase of production, or treats a password as a plain value."""

    ENCRYPTED = "config:\n  shop:password:\n    secure: v1:c3BhbQ==:ZWdncw==\n"

    def test_an_encrypted_value_is_replaced_by_eight_characters(self, folder: Path) -> None:
        value = read_stack(_stack(folder, self.ENCRYPTED), folder).values["shop:password"]
        assert len(value) == 8
        assert value.isalnum()

    def test_the_replacement_is_different_each_time(self, folder: Path) -> None:
        stack = _stack(folder, self.ENCRYPTED)
        assert len({read_stack(stack, folder).values["shop:password"] for _ in range(3)}) == 3

    def test_every_encrypted_value_is_listed_as_secret(self, folder: Path) -> None:
        config = read_stack(_stack(folder, "config:\n  shop:colour:\n    secure: v1:c3BhbQ==:ZWdncw==\n"), folder)
        assert config.secret_keys == ["shop:colour", "shop:password"]

    def test_a_declared_secret_in_plain_text_is_listed_as_secret_too(self, folder: Path) -> None:
        config = read_stack(_stack(folder, "config:\n  shop:password: spam\n"), folder)
        assert config.values["shop:password"] == "spam"
        assert config.secret_keys == ["shop:password"]


class TestAMissingFileIsOneMessage:
    """Prevents a stack trace after a typing error: the message lists the stacks that exist."""

    def test_the_message_for_a_missing_stack_lists_the_stacks(self, folder: Path) -> None:
        _stack(folder, "config: {}\n", "here")
        _stack(folder, "config: {}\n", "there")
        with pytest.raises(StackFileError, match=r"no stack file Pulumi\.nowhere\.yaml; there are: here, there$"):
            read_stack("nowhere", folder)

    def test_this_project_has_the_four_stacks(self) -> None:
        with pytest.raises(StackFileError) as raised:
            read_stack("nz-akl-1")
        assert str(raised.value).split("there are: ")[1].split(", ") == sorted(STACKS)

    def test_the_message_for_a_broken_file_names_it(self, folder: Path) -> None:
        stack = _stack(folder, "config: [\n")
        with pytest.raises(StackFileError, match=r"^Pulumi\.test\.yaml is not valid YAML: "):
            read_stack(stack, folder)


def test_a_stack_that_is_given_by_its_path_has_the_name_of_the_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("config:\n  vrrp-pair:flavor: c1.c2r2\n", encoding="utf-8")
    assert read_stack(str(mine)).stack == "mine"
