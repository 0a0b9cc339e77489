#!/usr/bin/python3
"""Asks the web server of this member every 0.1 s and writes the verdict where keepalived's track_file looks.

Exit from the pool is quick, the way back is slow: one refused connection, or one that is silent for half a
second, is a fault; three good answers in a row end it. keepalived's own vrrp_script runs at most once a
second, and its track_process does not see a server that hangs.
"""

from __future__ import annotations

import http.client
import sys
import time

INTERVAL = 0.1  # seconds between two questions
PATIENCE = 0.5  # seconds of silence, while connecting and while reading
GOOD_ANSWERS = 3  # in a row, before a fault is over


def answers() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=PATIENCE)
    try:
        connection.request("GET", "/", headers={"User-Agent": "vrrp-pair service-check"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def stands_in(track_file: str) -> str | None:
    try:
        with open(track_file, encoding="ascii") as file:
            return file.read()
    except OSError:
        return None


def main(track_file: str) -> None:
    fault: bool | None = None  # not known yet: what stands in the file stays, a restart of this changes nothing
    good = 0
    while True:
        good = good + 1 if answers() else 0
        fault = True if good == 0 else False if good >= GOOD_ANSWERS else fault
        # Compared with the file and not with the last verdict: somebody else may have written or removed it.
        if fault is not None and stands_in(track_file) != f"{int(fault)}\n":
            with open(track_file, "w", encoding="ascii") as file:
                file.write(f"{int(fault)}\n")
            print("the web server does not answer" if fault else "the web server answers", flush=True)
        time.sleep(INTERVAL)


if __name__ == "__main__":
    main(sys.argv[1])
