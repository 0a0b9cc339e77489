"""Requests to the service of a pair, as a client on this machine sends them."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable

from settings.service import Check, Service, code_ranges

#: The number of requests, the seconds between two of them, and the seconds that an answer may take.
REQUESTS, PAUSE, TIMEOUT = 20, 0.1, 2.0
#: Stop after so many lost requests in a row: a monitoring system has a timeout of its own.
LOST_IN_A_ROW = 5


def probe(address: str, service: Service) -> str | None:
    """Send one request.

    :return: the first line of the page; an empty text when a good answer has no page; None without a good answer.
        Only the check ``http`` gets a page. For the other checks an accepted connection is a good answer, because the
        protocol of the service is unknown.
    """
    try:
        if service.check is not Check.HTTP:
            socket.create_connection((address, service.port), timeout=TIMEOUT).close()
            return ""
        return _first_line(address, service)
    except (OSError, http.client.HTTPException):
        return None


def _first_line(address: str, service: Service) -> str | None:
    # No proxy and no redirects: the question is whether this address answers.
    connection = http.client.HTTPConnection(address, service.port, timeout=TIMEOUT)
    try:
        connection.request("GET", service.url_path, headers={"User-Agent": "vrrp-pair status"})
        answer = connection.getresponse()
        page = answer.read(200).decode(errors="replace").strip().partition("\n")[0]
    finally:
        connection.close()
    expected = any(low <= answer.status <= high for low, high in code_ranges(service.expected_codes))
    return page if expected else None


def probe_repeatedly(send: Callable[[], str | None], sleep: Callable[[float], None] = time.sleep) -> list[str | None]:
    """Send REQUESTS requests, PAUSE seconds apart, and return each answer; stop early if the service is down."""
    answers: list[str | None] = []
    for number in range(REQUESTS):
        sleep(PAUSE if number else 0)
        answers.append(send())
        if answers[-LOST_IN_A_ROW:] == [None] * LOST_IN_A_ROW:
            break
    return answers
