"""Plan the change of one stack for the comment on a pull request. The workflow `preview` runs this.

usage: plan_for_comment.py STACK        (in the project's folder)

With OS_AUTH_URL in the environment the plan is against the deployed pair. Otherwise it is made offline, against the
first parent of the present commit: GitHub checks out the merge of the base and the branch. It writes the plan into
build/plans/STACK.txt and into the file that GITHUB_STEP_SUMMARY names, and the number of the pull request into
build/plans/pull-request. Exits with 1 if there is no plan, or if `ops plan` ended in an unknown way; else with 0: the
reviewer decides whether a change may be merged, also if it interrupts the service.
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

PLANS = Path("build") / "plans"

#: The exit statuses of `ops plan` with a plan: no changes, changes, an interruption. Any other is a failure, also that
#: of a killed process.
PLANNED = (0, 2, 3)

#: There is no plan.
FAILED = 1


def plan(stack: str) -> tuple[int, str]:
    """Return the exit status of `ops plan` and its report; FAILED and its message if there is no plan."""
    where = [] if os.environ.get("OS_AUTH_URL") else ["--offline", "--against", "HEAD^1"]
    command = [sys.executable, "-m", "ops", "plan", stack, *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode in PLANNED and done.stdout.strip():
        return done.returncode, done.stdout
    # Its own message suffices for the status 1.
    ended = "" if done.returncode == FAILED else f"`ops plan` ended with the exit status {done.returncode}\n"
    return FAILED, f"{stack}: no plan\n\n{ended}{done.stderr}"


def main() -> int:
    """Plan the stack that the argument names; return the exit status."""
    (stack,) = sys.argv[1:]
    status, text = plan(stack)
    print(text, flush=True)
    PLANS.mkdir(parents=True, exist_ok=True)
    (PLANS / f"{stack}.txt").write_text(text, encoding="utf-8")
    # GitHub tells a later workflow the branch of a run, and not which of the branch's pull requests it belongs to.
    if found := re.fullmatch(r"refs/pull/(\d+)/merge", os.environ.get("GITHUB_REF", "")):
        (PLANS / "pull-request").write_text(f"{found[1]}\n", encoding="utf-8")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"<pre>\n{html.escape(text)}\n</pre>\n\n")
    return FAILED if status == FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
