"""Check every stack for drift, and write what was found to the job's outputs. The workflow `drift` runs this.

usage: check_drift.py STACK…        (in the project's folder, with the cloud's credentials and the state's)

The output `reports` is a JSON list with one object per stack: `stack`, the exit status and the text of `pulumi preview`
(`preview`, `previewText`), and those of `python -m ops status` (`status`, `statusText`). GITHUB_OUTPUT names the file.
Exits with 0 whatever the checks found, because a failed check is a result too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PREVIEW = ("pulumi", "preview", "--expect-no-changes", "--diff", "--non-interactive", "--suppress-progress")
#: Characters that all texts may have together. The next job gets them in one environment variable, which holds 128 KiB,
#: and a character takes up to four bytes.
TOTAL = 30_000


def check(stack: str, limit: int) -> dict[str, str | int]:
    """Return the report of one stack, with at most ``limit`` characters of each text.

    It keeps the end of a longer text, because the totals and the error message are there.
    """
    preview, preview_text = run(*PREVIEW, "--color", "never", "--stack", stack)
    status, status_text = run(sys.executable, "-m", "ops", "status", stack)
    return {
        "stack": stack,
        "preview": preview,
        "previewText": preview_text[-limit:],
        "status": status,
        "statusText": status_text[-limit:],
    }


def run(*command: str) -> tuple[int, str]:
    """Run a command, print what it writes, and return its exit status and this text."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout, flush=True)
    return done.returncode, done.stdout


if __name__ == "__main__":
    stacks = sys.argv[1:]
    reports = json.dumps([check(stack, TOTAL // (2 * len(stacks))) for stack in stacks], ensure_ascii=False)
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as outputs:
        outputs.write(f"reports={reports}\n")
