"""Two pairs in one stack, with the program of docs/architecture.md."""

from __future__ import annotations

import re

from lab.stack_file import PROJECT_FOLDER

from .conftest import MakeStack
from .deployment import Deployment
from .seen import watched


def test_two_pairs_of_one_stack_serve_and_are_destroyed(make_stack: MakeStack) -> None:
    deployment = make_stack("shop")
    before = deployment.left()
    document = (PROJECT_FOLDER / "docs" / "architecture.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    # The program expects an existing key pair.
    key = deployment.cloud.compute.create_keypair(name="vrrp-demo-two-pairs")
    try:
        program = program.replace("name_prefix=name,", f'name_prefix=name, key_name="{key.name}",')
        (deployment.folder / "__main__.py").write_text(program, encoding="utf-8")
        for name in ("namePrefix", "keyName", "publicKey", "advertInterval"):
            deployment.forget(name)
        deployment.up()
        pairs = [Deployment(deployment.stack, deployment.cloud, prefix) for prefix in ("shop", "blog")]
        for pair in pairs:
            pair.until_ready()
            with watched(str(deployment.outputs[pair.prefix])) as seen:
                pass
            assert seen.by == [f"{pair.prefix}-master"]
            assert seen.longest_gap < 1
        assert set(deployment.preview()) == {"same"}
        deployment.destroy()
        assert [pair.left() for pair in pairs] == [before, before]
    finally:
        deployment.cloud.compute.delete_keypair(key)
