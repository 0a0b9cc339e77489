"""A stack belongs to a team: another user of the project sees no changes, although a key pair belongs to one user."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import MakeStack, administrator


@pytest.fixture
def clouds_of_a_colleague(cloud: Any, tmp_path: Path) -> Generator[Path]:
    """Give a clouds.yaml that logs in to the same project as another user, whom an administrator makes for the test."""
    admin = administrator("another user")
    project = admin.identity.get_project(cloud.current_project_id)
    password = secrets.token_urlsafe()
    with ExitStack() as afterwards:
        user = admin.identity.create_user(name="vrrp-colleague", domain_id=project.domain_id, password=password)
        afterwards.callback(admin.identity.delete_user, user)
        admin.identity.assign_project_role_to_user(project, user, admin.identity.find_role("member"))
        login = {
            "auth_url": cloud.config.config["auth"]["auth_url"],
            "user_id": user.id,
            "password": password,
            "project_id": project.id,
        }
        entry = {"auth": login, "region_name": str(cloud.config.get_region_name())}
        path = tmp_path / "clouds-of-a-colleague.yaml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump({"clouds": {cloud.config.name: entry}}), encoding="utf-8")
        yield path


def test_another_user_of_the_project_sees_no_changes(
    make_stack: MakeStack, cloud: Any, clouds_of_a_colleague: Path
) -> None:
    deployment = make_stack("fleeting")
    deployment.forget("publicKey")
    key_pair = cloud.compute.create_keypair(name=f"{deployment.prefix}-key", public_key=deployment.public_key)
    try:
        deployment.up()
        workspace = deployment.stack.workspace
        workspace.env_vars = {**workspace.env_vars, "OS_CLIENT_CONFIG_FILE": str(clouds_of_a_colleague)}
        for command in (("preview",), ("up", "--yes", "--skip-preview")):
            done = deployment.pulumi(*command, "--expect-no-changes")
            assert (
                "Nova would refuse to make or to replace a server with these credentials" in done.stdout + done.stderr
            )
        assert deployment.ops("plan", deployment.stack.name).returncode == 0
        deployment.destroy()
    finally:
        cloud.compute.delete_keypair(key_pair)
