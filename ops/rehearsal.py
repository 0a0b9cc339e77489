"""A copy of a stack to try something on: its own state on this machine, the same program, settings and cloud."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import yaml

from .engine import Engine


@contextmanager
def rehearsal(engine: Engine) -> Generator[Engine]:
    """The copy; what is done to it leaves the stack itself as it was.

    It is no copy of the cloud: previews and imports only read from that, an `up` would not.

    :raises EngineError: with the engine's words.
    """
    with tempfile.TemporaryDirectory(prefix="vrrp-pair-rehearsal-") as name:
        folder = Path(name)
        program, state = folder / "program", folder / "state"
        program.mkdir()
        state.mkdir()
        for there in engine.folder.iterdir():
            if not there.name.startswith((".git", "Pulumi.")):
                (program / there.name).symlink_to(there)
        project = (engine.folder / "Pulumi.yaml").read_text(encoding="utf-8")
        (program / "Pulumi.yaml").write_text(project, encoding="utf-8")

        # The name without the organisation, as in every URN.
        stack = engine.stack.rpartition("/")[2]
        copy = Engine(
            program,
            stack,
            {
                "PULUMI_BACKEND_URL": state.as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(),
                # It would come before the passphrase.
                "PULUMI_CONFIG_PASSPHRASE_FILE": "",
            },
        )
        config = engine.config()
        plain = {
            key: entry.get("objectValue", entry.get("value")) for key, entry in config.items() if not entry["secret"]
        }
        stack_file = program / f"Pulumi.{stack}.yaml"
        # JSON, which is YAML too.
        stack_file.write_text(json.dumps({"config": plain}), encoding="utf-8")
        copy.run("stack", "init")
        for key, entry in config.items():
            if entry["secret"]:
                copy.run("config", "set", "--secret", key, given=str(entry["value"]))
        exported = json.loads(engine.run("stack", "export", "--show-secrets"))
        if exported["deployment"].get("resources"):
            salt = yaml.safe_load(stack_file.read_text(encoding="utf-8"))["encryptionsalt"]
            # Else the engine would encrypt what it is given with the key of the stack itself, which the copy has not.
            exported["deployment"]["secrets_providers"] = {"type": "passphrase", "state": {"salt": salt}}
            copy.run("stack", "import", given=json.dumps(exported))
        yield copy
