"""Prints the aliases of Neutron's extensions as a JSON list: the one question the provider can't be asked.

Run as ``python -m gates.cloud_questions``, with the credentials that openstacksdk finds (OS_CLOUD,
clouds.yaml, OS_AUTH_URL …). Exits with 1 and one line on standard error when there is no answer.
"""

from __future__ import annotations

import json
import sys

from .connection import NO_ANSWER, connect


def main() -> int:
    try:
        aliases = sorted(extension.alias for extension in connect().network.extensions())
    except NO_ANSWER as error:
        print(f"Neutron can't be asked for its extensions: {error}", file=sys.stderr)
        return 1
    print(json.dumps(aliases))
    return 0


if __name__ == "__main__":
    sys.exit(main())
