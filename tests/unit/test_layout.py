"""The layout that README and docs/architecture.md describe, read from the imports of the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.stack_file import PROJECT_FOLDER

#: Folder → the project's folders that it may import. A folder always may import itself.
LAYERS = {
    "settings": set[str](),
    "userdata": {"settings"},
    "gates": {"settings", "userdata"},
    "components": {"settings", "userdata", "gates"},
    "drill": {"settings"},
    "ops": {"settings", "userdata", "gates", "drill"},
    "lab": {"settings", "userdata", "gates", "drill"},
}

#: The only module of ``settings`` that may import Pulumi.
READER = "stack_config.py"


def _imports(path: Path) -> Iterator[str]:
    """Yield the full name of each absolute import of a module, wherever it stands in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def _modules(folder: str) -> list[Path]:
    modules = sorted((PROJECT_FOLDER / folder).rglob("*.py"))
    assert modules
    return modules


class TestNothingImportsUpwards:
    """Prevents a gate that loads the whole program, and two folders that need each other."""

    @pytest.mark.parametrize("folder", LAYERS)
    def test_a_folder_imports_only_the_folders_below_it(self, folder: str) -> None:
        allowed = LAYERS[folder] | {folder}
        for module in _modules(folder):
            imported = {name.partition(".")[0] for name in _imports(module)} & set(LAYERS)
            assert imported <= allowed, module

    def test_every_folder_with_code_of_the_program_has_a_layer(self) -> None:
        folders = {path.parent.name for path in PROJECT_FOLDER.glob("*/__init__.py")} - {"tests"}
        assert folders == set(LAYERS)

    @pytest.mark.parametrize("folder", ["gates", "userdata", "settings"])
    def test_only_the_reader_of_the_stack_file_imports_pulumi(self, folder: str) -> None:
        for module in _modules(folder):
            roots = {name.partition(".")[0] for name in _imports(module)}
            if module.name != READER:
                assert not any(root.startswith("pulumi") for root in roots), module

    @pytest.mark.parametrize(
        "module",
        [
            *(f"gates.{name}" for name in ("ready", "peer", "handover", "teardown", "complete", "cloud_questions")),
            "userdata.renderer",
        ],
    )
    def test_a_process_of_a_gate_never_loads_pulumi(self, module: str) -> None:
        """By the modules that are loaded in the end, so that no import between them can bring it in."""
        code = f"import sys, {module}; print([name for name in sys.modules if name.split('.')[0] == 'pulumi'])"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"

    def test_the_program_never_loads_openstacksdk(self) -> None:
        """Otherwise each preview would load it twice: in the program, and in the process that asks the cloud."""
        code = "import components, sys; print(sorted({'openstack', 'keystoneauth1', 'requests'} & set(sys.modules)))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=PROJECT_FOLDER, check=True, capture_output=True, text=True
        )
        assert done.stdout == "[]\n"
