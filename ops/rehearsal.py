"""A copy of a stack for trials: a state of its own on this machine, with the same program, settings and cloud."""

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
    """Give a copy of the stack for as long as the context lasts. Changes of the copy do not change the stack.

    The cloud is not copied: previews and imports only read from it, but an `up` of the copy would change it.

    :raises EngineError: with the engine's message.
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

        # The name without the organization, as in every URN.
        stack = engine.stack.rpartition("/")[2]
        copy = Engine(
            program,
            stack,
            {
                "PULUMI_BACKEND_URL": state.as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(),
                # A file would take precedence over the passphrase.
                "PULUMI_CONFIG_PASSPHRASE_FILE": "",
            },
        )
        config = engine.config()
        plain = {
            key: entry.get("objectValue", entry.get("value")) for key, entry in config.items() if not entry["secret"]
        }
        stack_file = program / f"Pulumi.{stack}.yaml"
        # JSON is valid YAML.
        stack_file.write_text(json.dumps({"config": plain}), encoding="utf-8")
        copy.run("stack", "init")
        for key, entry in config.items():
            if entry["secret"]:
                copy.run("config", "set", "--secret", key, given=str(entry["value"]))
        exported = json.loads(engine.run("stack", "export", "--show-secrets"))
        if exported["deployment"].get("resources"):
            salt = yaml.safe_load(stack_file.read_text(encoding="utf-8"))["encryptionsalt"]
            # Otherwise the engine would encrypt the secrets with the key of the stack, which the copy does not have.
            exported["deployment"]["secrets_providers"] = {"type": "passphrase", "state": {"salt": salt}}
            copy.run("stack", "import", given=json.dumps(exported))
        yield copy
