"""Answers the preflight's questions without a cloud. A plan that is made offline needs these answers.

``ops.offline_plan`` puts this file in the place of ``gates/cloud_questions.py`` in its copies of the program. So the
program itself has no switch that turns its questions off, and the copy of an older release gets answers too.

Questions and answers have the format of ``gates.cloud_questions``. An id depends only on kind and name: the same name
has the same id in both copies, and another name has another id. Needs only the standard library.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

#: The variable with the path of a JSON file, which describes the invented cloud: ``servers`` is the list of its
#: servers' names, ``networking`` the answer to the question of this kind (``ops.invented_networking``).
CLOUD_VARIABLE = "VRRP_PAIR_INVENTED_CLOUD"


def invented_id(*parts: str) -> str:
    """Return an id as OpenStack gives one, always the same for the same parts."""
    return str(uuid5(NAMESPACE_URL, "/".join(("vrrp-pair", *parts))))


def invented_answer(kind: str, name: str, cloud: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to one question.

    :param cloud: the content of the file that ``CLOUD_VARIABLE`` names.
    """
    if kind == "servers":
        return {"names": cloud.get("servers", [])}
    if kind == "networking":
        return {"networking": cloud.get("networking", {})}
    return {"id": invented_id(kind, name)}


def main() -> int:
    """Answer the questions on standard input; return the exit status."""
    questions: list[dict[str, str]] = json.load(sys.stdin)
    cloud: dict[str, Any] = json.loads(Path(os.environ[CLOUD_VARIABLE]).read_text(encoding="utf-8"))
    print(json.dumps([invented_answer(one["kind"], one["name"], cloud) for one in questions]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
