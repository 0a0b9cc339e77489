"""`ops plan` as a whole: keys, files, masks, formats, exit statuses. The engine is a stand-in for recorded previews."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from lab.program import run_program
from lab.stack_file import PROJECT_FOLDER
from ops import cli
from ops import plan as plan_module
from ops.engine import Engine, EngineError, PreviewEvents
from ops.engine_json import SECRET_MARK, logical_name
from ops.offline_plan import OfflineStack
from ops.plan import PlanError, plan, plan_offline
from ops.plan_files import Masker, file_changes, files_in
from ops.plan_report import Format, failure, report
from ops.plan_settings import configured, defaults_of, differences
from ops.plan_steps import Steps, steps_of
from ops.type_tokens import SERVER
from settings.parsing import parse_settings
from userdata.renderer import render_user_data

from .conftest import EXTERNAL_NETWORK, RecordingCloud, config_of
from .recorded_previews import PREVIEWS, RECORDED, recorded, texts

#: The tutorial's password and another one. No report may contain either.
OLD_PASSWORD, NEW_PASSWORD = "password", "geheim99"
VERSION_2 = {"vrrpVersion": "2", "advertInterval": "1"}
PROTECTED = "urn:pulumi:s::p::vrrp:index:VrrpPair$openstack:networking/floatingIp:FloatingIp::vrrp-floating-ip"
#: The floating IP that a recorded change gives to the pair.
EXISTING_FLOATING_IP: dict[str, Any] = {
    "address": "198.51.100.7",
    "port_id": None,
    "fixed_ip": None,
    "external_network_id": RecordingCloud().id_of(EXTERNAL_NETWORK, "public-net"),
    "tags": [],
}
IMAGE_ID = "08657830-51b7-5875-8b68-12c622428256"


def config(**entries: str) -> dict[str, dict[str, Any]]:
    return {f"vrrp-pair:{key}": {"value": value, "secret": key == "authPass"} for key, value in entries.items()}


def state(**entries: str) -> dict[str, Any]:
    """Return a deployment with two servers, as `pulumi stack export --show-secrets` prints it."""
    settings = parse_settings(entries, "vrrp-pair")
    servers = [
        {
            "urn": f"urn:pulumi:nz-por-1::vrrp-pair::vrrp:index:VrrpPair${SERVER}::vrrp-{member.role.value}",
            "type": SERVER,
            "inputs": {
                "imageId": IMAGE_ID,
                "userData": {
                    SECRET_MARK[0]: SECRET_MARK[1],
                    "plaintext": json.dumps(render_user_data(settings, member)),
                },
            },
        }
        for member in settings.members
    ]
    return {"resources": servers}


class StandIn(Engine):
    """An engine that answers from its fields."""

    def __init__(
        self,
        preview: str | list[str],
        *,
        before: Mapping[str, str] | None = None,
        after: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(PROJECT_FOLDER, "nz-por-1")
        self.__dict__.update(told=preview, before=dict(before or {}), after=dict(after or {}), options=[], encrypted=[])

    def config(self) -> dict[str, dict[str, Any]]:
        return self._config("after")

    def last_deployed_config(self) -> dict[str, dict[str, Any]] | None:
        return self._config("before")

    def _config(self, side: str) -> dict[str, dict[str, Any]]:
        """Return the configuration as the engine does: an object is in ``objectValue`` too."""
        made = config(**self.__dict__[side])
        for key in self.__dict__["encrypted"]:
            entry = made[f"vrrp-pair:{key}"]
            entry.update(secret=True, objectValue=json.loads(entry["value"]))
        return made

    def state_in_the_clear(self) -> dict[str, Any]:
        return state(**self.__dict__["before"])

    def preview_events(self, *arguments: str) -> PreviewEvents:
        told = self.__dict__["told"]
        self.__dict__["options"] += arguments
        return PreviewEvents(recorded(told), []) if isinstance(told, str) else PreviewEvents([], told)


def password_change() -> StandIn:
    return StandIn(
        "auth",
        before={**VERSION_2, "authPass": OLD_PASSWORD},
        after={**VERSION_2, "authPass": NEW_PASSWORD},
    )


def steps_of_events_with_the_password(events: list[dict[str, Any]]) -> Steps:
    """Return what the events say, with the notes of the provider: they repeat the user-data in the clear.

    The engine has them in the outcome of each step. No recording has them.
    """
    noted = list[dict[str, Any]]()
    for one in events:
        metadata = one["resourcePreEvent"]["metadata"]
        outputs = {"__meta": json.dumps({"user_data": f"auth_pass {NEW_PASSWORD}"})}
        states = {side: {**metadata[side], "outputs": outputs} for side in ("old", "new") if side in metadata}
        noted += [one, {"resOutputsEvent": {"metadata": {**metadata, **states}}}]
    assert NEW_PASSWORD in json.dumps(noted)
    return steps_of(noted)


class TestNoReportContainsASecret:
    """Prevents a password in a pull request's comment, in a terminal or in a log."""

    @pytest.mark.parametrize("format_", Format)
    def test_a_changed_password_is_masked_in_every_format(
        self, format_: Format, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plan_module, "steps_of", steps_of_events_with_the_password)
        text = report(plan(password_change()), format_)
        assert NEW_PASSWORD not in text
        assert OLD_PASSWORD not in text
        assert "(secret, another one)" in text
        assert "auth_pass (secret)" in text

    @pytest.mark.parametrize("format_", Format)
    def test_a_password_in_an_error_is_masked_too(self, format_: Format) -> None:
        engine = StandIn([f"the password {NEW_PASSWORD} is bad"], after={**VERSION_2, "authPass": NEW_PASSWORD})
        with pytest.raises(PlanError) as error:
            plan(engine)
        assert NEW_PASSWORD not in failure("nz-por-1", str(error.value), format_)

    @pytest.mark.parametrize("format_", Format)
    @pytest.mark.parametrize(
        "secret",
        ['curl -H "Authorization: Bearer TOKEN-1" x', r"check --as DOMAIN\TOKEN-1", "check --as Müller-TOKEN-1"],
        ids=["quotation marks", "a backslash", "a letter outside ASCII"],
    )
    def test_an_encrypted_command_of_the_service_is_masked_in_every_format(self, secret: str, format_: Format) -> None:
        """member.json has it as a text in JSON, which escapes some characters."""
        before = {"service": json.dumps({"check": "command", "command": f"{secret} old"})}
        engine = StandIn(
            "roll", before=before, after={"service": json.dumps({"check": "command", "command": f"{secret} new"})}
        )
        engine.__dict__["encrypted"] = ["service"]
        shown = report(plan(engine), format_)
        assert "/etc/vrrp-pair/member.json" in shown
        assert "TOKEN-1" not in shown

    def test_a_password_of_one_character_is_masked_where_it_is_the_password(self) -> None:
        before, after = "auth_pass a\nbanana\n", "auth_pass b\nbanana a\n"
        masker = Masker(["a", "b"])
        assert masker.mask(before) == "auth_pass (secret)\nbanana\n"
        assert masker.mask(after) == "auth_pass (secret)\nbanana (secret)\n"

    def test_a_file_in_which_only_a_secret_differs_is_still_listed(self) -> None:
        def data(value: str) -> dict[str, str]:
            return {"vrrp-master": f"#cloud-config\nwrite_files:\n- path: /etc/key\n  content: {value}\n"}

        (found,) = file_changes(data("first-secret"), data("other-secret"), Masker(["first-secret", "other-secret"]))
        assert (found.path, found.lines) == ("/etc/key", ())

    def test_the_fingerprint_of_a_gate_is_never_shown(self) -> None:
        shown = json.loads(report(plan(password_change()), Format.JSON))
        assert "RESTARTED_BY" not in json.dumps(shown)


class TestKeys:
    """Prevents a plan that shows what the engine changes, and not what the operator has changed."""

    def test_a_key_is_shown_from_what_to_what_with_its_class(self) -> None:
        shown = _json(StandIn("roll", before={}, after={"virtualRouterId": "7"}))
        assert shown["keys"] == [{"key": "virtualRouterId", "old": "1", "new": "7", "class": "roll"}]

    def test_a_default_that_is_written_out_is_no_difference(self) -> None:
        assert _json(StandIn("same", before={}, after={"masterAddress": "10.0.0.4"}))["keys"] == []

    def test_the_keys_of_the_service_are_told_apart(self) -> None:
        shown = _json(StandIn("service-port", before={}, after={"service": '{"port": 8080, "packages": ["apache2"]}'}))
        assert {"key": "service.port", "old": "80", "new": "8080", "class": "roll"} in shown["keys"]

    def test_a_default_of_pulumi_yaml_that_has_changed_is_a_difference(self) -> None:
        old = configured({}, "vrrp-pair", {**defaults_of(PROJECT_FOLDER), "readyTimeout": "700"})
        new = configured({}, "vrrp-pair", defaults_of(PROJECT_FOLDER))
        (found,) = differences(old, new)
        assert (found.key, found.old) == ("readyTimeout", "700")

    def test_settings_that_break_a_rule_are_compared_as_they_are_written(self) -> None:
        old = configured(config(vpi="10.0.0.9"), "vrrp-pair", {})
        new = configured(config(vip="10.0.0.9"), "vrrp-pair", {})
        assert {one.key for one in differences(old, new)} >= {"vpi", "vip"}

    def test_old_settings_that_break_a_rule_of_today_differ_only_in_what_was_changed(self) -> None:
        """``masterPriority`` 100 is below today's default of ``backupPriority``."""
        kept = {"preempt": "true", "cidr6": "2001:DB8:1::/64", "httpCidrs": '["0.0.0.0/0", "::/0"]', "keyName": ""}
        kept["service"] = '{"port": 80,  "packages": ["apache2"]}'
        defaults = defaults_of(PROJECT_FOLDER)
        old = configured(config(**kept, masterPriority="100"), "vrrp-pair", defaults)
        new = configured(config(**kept, masterPriority="254"), "vrrp-pair", defaults)
        assert old.settings is None
        assert [one.as_allowed for one in differences(old, new)] == ["masterPriority: 100 -> 254"]
        service = '{"packages": ["apache2"], "port": 8080}'
        moved = configured(config(**{**kept, "service": service}, masterPriority="100"), "vrrp-pair", defaults)
        assert [one.as_allowed for one in differences(old, moved)] == ["service.port: 80 -> 8080"]


class TestFiles:
    """Prevents a diff of a whole cloud-config, in which the changed line is lost."""

    def test_each_changed_file_is_shown_line_by_line(self) -> None:
        shown = _json(StandIn("roll", before={}, after={"virtualRouterId": "7"}))
        diffs = {(tuple(one["servers"]), one["path"]): one["diff"] for one in shown["files"]}
        conf = diffs[("vrrp-backup",), "/etc/keepalived/keepalived.conf"]
        assert "-    virtual_router_id 1" in conf
        assert "+    virtual_router_id 7" in conf

    def test_the_same_change_on_both_members_is_shown_once(self) -> None:
        shown = _json(StandIn("roll", before={}, after={"service": '{"port": 8080, "packages": ["apache2"]}'}))
        assert ["vrrp-master", "vrrp-backup"] in [one["servers"] for one in shown["files"]]

    def test_without_a_change_of_a_server_no_file_is_shown(self) -> None:
        assert _json(StandIn("http-cidrs", before={}, after={"virtualRouterId": "7"}))["files"] == []

    def test_the_servers_of_another_pair_of_the_program_are_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Other settings describe them, so the stack file's user-data is not theirs."""
        engine = StandIn("roll", before={}, after={"virtualRouterId": "7"})
        servers = engine.state_in_the_clear()["resources"]
        for server, member in zip(servers, parse_settings({}, "vrrp-pair").members, strict=True):
            server["inputs"]["name"] = member.name
        others = [
            {**one, "urn": one["urn"].replace("::vrrp-", "::web-"), "inputs": {**one["inputs"], "name": "web-x"}}
            for one in servers
        ]

        def state_with_two_pairs(_: StandIn) -> dict[str, Any]:
            return {"resources": [*servers, *others]}

        monkeypatch.setattr(StandIn, "state_in_the_clear", state_with_two_pairs)
        assert {server for one in _json(engine)["files"] for server in one["servers"]} == {"vrrp-master", "vrrp-backup"}

    def test_user_data_that_is_no_cloud_config_has_no_files(self) -> None:
        assert files_in("#!/bin/sh\necho hello\n") == {}


class TestImage:
    """Prevents a roll without a visible reason, and a pair that can't be changed when its image is gone."""

    def test_a_newer_image_of_the_same_name_is_shown_with_the_way_to_keep_the_old_one(self) -> None:
        text = report(plan(StandIn("image")), Format.TEXT)
        assert f"image: {IMAGE_ID} -> 511a17fe-fb4d-5ff2-9d87-6a9c5cad110c" in text
        assert f"`pulumi config set imageId {IMAGE_ID}` keeps the present one" in text

    def test_another_image_name_needs_no_such_hint(self) -> None:
        shown = _json(StandIn("image", before={}, after={"image": "debian-13-x86_64"}))
        assert shown["image"]["same_name"] is False

    def test_a_server_that_was_rebuilt_by_hand_is_no_newer_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        events: list[dict[str, Any]] = []
        for one in recorded("image"):
            metadata = one.get("resourcePreEvent", {}).get("metadata", {})
            if metadata.get("type") == SERVER and metadata["op"] == "replace":
                old, new = metadata["old"], metadata["new"]
                # The refresh found what the replacement takes away again.
                found = {**metadata, "op": "update", "old": {**new, "outputs": new["inputs"]}}
                found["new"] = {**old, "outputs": old["inputs"]}
                events += [{"resourcePreEvent": {"metadata": {**metadata, "op": "refresh"}}}]
                events += [{"resOutputsEvent": {"metadata": found}}]

        def preview(*_: str) -> PreviewEvents:
            return PreviewEvents([*events, *recorded("image")], [])

        engine = StandIn("image")
        monkeypatch.setattr(StandIn, "preview_events", preview)
        shown = _json(engine)
        assert [one["name"] for one in shown["drift"]] == ["vrrp-backup", "vrrp-master"]
        assert shown["image"] is None

    def test_with_an_image_id_no_name_is_said_to_have_a_newer_image(self) -> None:
        shown = _json(StandIn("image", before={"imageId": IMAGE_ID}, after={"imageId": IMAGE_ID}))
        assert (shown["image"]["name"], shown["image"]["same_name"]) == (IMAGE_ID, False)

    def test_a_missing_image_says_how_to_keep_the_one_in_use(self) -> None:
        engine = StandIn(["the cloud is not ready: image = debian-12: the cloud has no image of this name."])
        with pytest.raises(PlanError, match=f"`pulumi config set imageId {IMAGE_ID}`"):
            plan(engine)


class TestFormats:
    """Prevents a format that leaves out the verdict, and a text that becomes Markdown or HTML of its own."""

    @pytest.mark.parametrize("format_", Format)
    def test_every_format_has_verdict_keys_order_and_files(self, format_: Format) -> None:
        text = report(plan(StandIn("roll", before={}, after={"virtualRouterId": "7"})), format_)
        for part in (
            "A roll: the backup, then the master; two planned failovers.",
            "virtualRouterId",
            "gate: wait until the backup is ready",
            "/etc/keepalived/keepalived.conf",
            "virtual_router_id 7",
        ):
            assert part in text.replace("\\", "")

    @pytest.mark.parametrize("format_", Format)
    def test_an_offline_plan_says_what_it_is(self, format_: Format, offline: Callable[[StandIn], None]) -> None:
        engine = StandIn("roll", before={}, after={"virtualRouterId": "7"})
        offline(engine)
        text = report(plan_offline(engine, "main"), format_)
        assert "the effect on a pair as main declares it. No cloud was asked" in text
        assert "--refresh=false" in engine.__dict__["options"]

    @pytest.mark.parametrize("entry", ["vip: 10.0.0.201 -> 10.0.0.202", "vip:10.0.0.201  ->10.0.0.202"])
    def test_an_offline_plan_accepts_each_spelling_of_an_allowed_change(
        self, entry: str, offline: Callable[[StandIn], None]
    ) -> None:
        engine = StandIn("vip-allowed", after={"vip": "10.0.0.202", "allowInterruption": json.dumps([entry])})
        offline(engine)
        verdict = plan_offline(engine, "main").verdict
        assert (verdict.refused, verdict.exit_status) == (False, 3)

    def test_a_plan_against_the_cloud_does_not_say_so(self) -> None:
        assert "No cloud was asked" not in report(plan(StandIn("roll")), Format.TEXT)

    def test_markdown_shows_a_value_as_it_is(self) -> None:
        value = "`x` | <b>@somebody</b> ![](http://example.org)"
        text = report(plan(StandIn("image", before={}, after={"image": value})), Format.MARKDOWN)
        (row,) = [line for line in text.splitlines() if line.startswith("| `image`")]
        assert row.split(" | ", 2)[2].startswith("`` `x` \\| <b>@somebody</b> ![](http://example.org) ``")

    def test_a_fence_is_longer_than_any_fence_inside(self) -> None:
        text = failure("nz-por-1", "```\n# not a heading\n```", Format.MARKDOWN)
        assert text.count("````") == 2

    def test_a_message_in_markdown_mentions_nobody(self) -> None:
        refused = StandIn(["the change is refused:\n  1. vip: a -> b: this @everyone <img src=x> #1"])
        text = report(plan(refused), Format.MARKDOWN)
        assert "@everyone" not in text
        assert "<img" not in text


class TestExitStatuses:
    """Prevents a script that takes an interruption for a harmless change."""

    @pytest.fixture
    def run(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
        def run_it(engine: StandIn, *arguments: str) -> tuple[int, str]:
            def found(_: str) -> StandIn:
                return engine

            monkeypatch.setattr(cli, "_engine", found)
            result = CliRunner().invoke(cli.app, ["plan", "nz-por-1", *arguments])
            if result.exception and not isinstance(result.exception, SystemExit):
                raise result.exception
            return result.exit_code, result.output

        return run_it

    @pytest.mark.parametrize(("preview", "status"), [("same", 0), ("http-cidrs", 2), ("roll", 2), ("vip-allowed", 3)])
    def test_the_status_follows_the_verdict(
        self, run: Callable[..., tuple[int, str]], preview: str, status: int
    ) -> None:
        assert run(StandIn(preview))[0] == status

    def test_a_refusal_of_the_preflight_is_an_interruption(self, run: Callable[..., tuple[int, str]]) -> None:
        message = (
            "the change is refused, so nothing was declared:\n  1. vip: 10.0.0.201 -> 10.0.0.202: this leads the "
            "floating IP to the new VIP. To allow exactly this change, run `pulumi config set x`."
        )
        status, said = run(StandIn([message], before={}, after={"vip": "10.0.0.202"}))
        assert status == 3
        assert (
            "An interruption; refused: vip: 10.0.0.201 -> 10.0.0.202: this leads the floating IP to the new VIP.\n"
            in said
        )
        assert "To allow exactly this change, run `pulumi config set x`." in said
        assert "vip: 10.0.0.201 -> 10.0.0.202 (class: interruption)" in said

    @pytest.mark.parametrize("password", ["change", "the", "vip", "refused"])
    def test_a_refusal_is_recognised_although_the_password_is_one_of_its_words(
        self, run: Callable[..., tuple[int, str]], password: str
    ) -> None:
        message = "the change is refused, so nothing was declared:\n  1. vip: a -> b: this vip is refused. Wait."
        status, said = run(StandIn([message], after={**VERSION_2, "authPass": password}))
        assert status == 3
        assert "An interruption; refused: " in said

    @pytest.mark.parametrize(
        "error",
        [
            f'Preview failed: resource "{PROTECTED}" cannot be deleted\nbecause it is protected. To unprotect the '
            f"resource, use the command:\n`pulumi state unprotect '{PROTECTED}'`",
            f'unable to replace resource "{PROTECTED}"\nas it is currently marked for protection. To unprotect the '
            "resource, remove the `protect` flag from the resource in your Pulumi program and run `pulumi up`",
            f'unable to replace resource "{PROTECTED}" as part of replacing "urn:p::router" as it '
            "is currently marked for protection. To unprotect the resource, use `pulumi state unprotect x`",
        ],
    )
    def test_a_protected_floating_ip_is_refused(self, run: Callable[..., tuple[int, str]], error: str) -> None:
        """The texts are those of the engine 3.259, and it adds that the preview has failed."""
        status, said = run(StandIn([error, "preview failed"]), "--format", "json")
        shown = json.loads(said)
        assert (status, shown["class"], shown["refused"]) == (3, "refused", True)
        assert shown["verdict"] == (
            "An interruption; refused: vrrp-floating-ip is protected, and the change would delete or replace it."
        )
        assert len(shown["reasons"]) == 1
        assert "To unprotect the resource" in shown["reasons"][0]
        assert "set protectFloatingIp to false and run `pulumi up` first" in shown["reasons"][0]

    def test_a_protected_resource_beside_another_error_is_an_error(self, run: Callable[..., tuple[int, str]]) -> None:
        protected = f'resource "{PROTECTED}" cannot be deleted\nbecause it is protected.'
        assert run(StandIn([protected, "the cloud gave no answer"]))[0] == 1

    def test_a_missing_image_is_recognised_although_the_password_is_a_word_of_the_message(self) -> None:
        said = ["the cloud is not ready: image = debian-12: the cloud has no image of this name."]
        with pytest.raises(PlanError, match=f"`pulumi config set imageId {IMAGE_ID}`"):
            plan(StandIn(said, before=VERSION_2, after={**VERSION_2, "authPass": "image"}))

    def test_an_address_that_another_port_has_is_an_error(self, run: Callable[..., tuple[int, str]]) -> None:
        message = "the change is refused, so nothing was declared:\n  1. vip = 10.0.0.9: port p-1 has this address."
        assert run(StandIn([message]))[0] == 1

    def test_another_failure_is_an_error(self, run: Callable[..., tuple[int, str]]) -> None:
        status, said = run(StandIn(["the cloud has no flavor of this name."]))
        assert (status, "the cloud has no flavor of this name." in said) == (1, True)

    @pytest.mark.parametrize("format_", ["json", "markdown"])
    def test_an_error_has_the_format_too(self, run: Callable[..., tuple[int, str]], format_: str) -> None:
        status, said = run(StandIn(["the cloud has no flavor of this name."]), "--format", format_)
        assert status == 1
        assert ('"exitStatus": 1' if format_ == "json" else "**The plan could not be made.**") in said

    def test_an_engine_that_fails_is_an_error(
        self, run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise EngineError("no stack named 'nz-por-1' found")

        monkeypatch.setattr(cli, "plan_now", fail)
        assert run(StandIn("same")) == (1, "no stack named 'nz-por-1' found\n")

    def test_a_base_needs_an_offline_plan(self, run: Callable[..., tuple[int, str]]) -> None:
        status, said = run(StandIn("same"), "--against", "main")
        assert (status, "--offline" in said) == (1, True)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[StandIn], None]:
    """Give a function that makes a stand-in the head and the base of an offline plan."""

    def use(engine: StandIn) -> None:
        base = StandIn("same", after=engine.__dict__["before"])

        @contextmanager
        def stand_in(_: Engine, against: str | None) -> Any:
            yield OfflineStack(engine, base, [], state(**engine.__dict__["before"]), against or "HEAD")

        def told(one: StandIn) -> dict[str, dict[str, Any]]:
            return one.config()

        monkeypatch.setattr(plan_module, "offline_stack", stand_in)
        monkeypatch.setattr(plan_module, "config_in_the_clear", told)

    return use


def _json(engine: StandIn) -> dict[str, Any]:
    return json.loads(report(plan(engine), Format.JSON))


class TestTheFolderOfRecordedPreviews:
    """Prevents recordings of an older program, and a secret or a path of a machine in the repository."""

    def test_each_recording_has_its_change_and_the_other_way_round(self) -> None:
        assert {file.stem for file in PREVIEWS.iterdir()} == set(RECORDED)

    @pytest.mark.parametrize("name", RECORDED)
    def test_a_recording_names_no_machine_and_no_secret(self, name: str) -> None:
        text = (PREVIEWS / f"{name}.json").read_text(encoding="utf-8")
        assert re.findall(r"""(?:^|[\s"'=])/[a-z][\w./-]*""", text) == []
        assert "plaintext" not in text
        assert NEW_PASSWORD not in text

    @pytest.mark.parametrize("name", RECORDED)
    def test_a_recording_has_the_resources_that_the_program_declares(self, name: str) -> None:
        change = RECORDED[name]
        events = [one["resourcePreEvent"]["metadata"] for one in recorded(name)]
        recorded_types = {
            logical_name(one["urn"]): one["type"]
            for one in events
            if "new" in one and not one["type"].startswith("pulumi:")
        }
        config = config_of(change.stack, **texts({**change.before, **change.after}))
        outcome = run_program(config, RecordingCloud(networking={"floating_ips": [EXISTING_FLOATING_IP]}))
        assert recorded_types == {one.name: one.type for one in outcome.resources.values()}
