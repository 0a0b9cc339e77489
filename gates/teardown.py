"""Marks a pair as being torn down, so that its gates do not stop a `destroy`, and withdraws the mark again.

The mark is a tag of the members' ports. A `destroy` deletes the resource ``vrrp-teardown`` before everything that it
depends on, and so runs ``mark``. The mark stays until the ports are gone, so a repeated `destroy` passes too. An `up`
withdraws it, at its beginning if the pair exists, and when it makes ``vrrp-teardown`` again.

Run as ``python -m gates.teardown mark`` or ``… withdraw``, with the variables of ``gates.pair_ports`` and the
credentials that openstacksdk finds. Exits with 1 if Neutron gave no answer.
"""

from __future__ import annotations

import os
import sys

from .arguments import MARK, WITHDRAW
from .connection import NO_ANSWER, connect
from .member_console import say
from .pair_ports import PairPorts, UnclearPair


def main(arguments: list[str]) -> int:
    """Mark the pair that the environment names, or withdraw the mark; return the exit status."""
    (what,) = arguments
    ports = PairPorts.of(os.environ)
    try:
        connection = connect()
        if what == MARK:
            ports.mark_teardown(connection)
        elif what == WITHDRAW:
            ports.withdraw_teardown(connection)
        else:
            sys.exit(f"{what!r} is neither {MARK} nor {WITHDRAW}")
    except UnclearPair as error:
        say(str(error))
    except NO_ANSWER as error:
        say(f"Neutron gave no answer ({error}). Repeat the command.")
        if what == MARK:
            say(
                "This command uses the credentials of the last `up`. If they have changed since, run `pulumi up` first."
            )
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
