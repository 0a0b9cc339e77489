"""A client of the service: it requests a URL at a steady rate, each time on a new connection.

Run it in the client's network as ``python client.py URL INTERVAL TIMEOUT`` (seconds). It prints one line of JSON for
each finished request: when it was sent and when it was over (``time.monotonic``, which all processes of the machine
share), and the name of the member that answered, or null after the timeout. Requests do not wait for each other, so
a gap in the answers is a gap in the service.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from urllib.parse import urlsplit


async def request(host: str, port: int) -> str | None:
    """Return the first line of the page, or None unless the status is 200 and the page has text.

    :raises OSError: if there is no connection.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        status, _, rest = (await reader.read()).decode(errors="replace").partition("\r\n")
        page = rest.partition("\r\n\r\n")[2]
        return page.strip().partition("\n")[0] if status.split()[1:2] == ["200"] and page.strip() else None
    finally:
        writer.close()


async def request_and_print(host: str, port: int, timeout: float) -> None:
    """Send one request and print its line of JSON.

    :param timeout: seconds.
    """
    sent = time.monotonic()
    try:
        answer = await asyncio.wait_for(request(host, port), timeout)
    except (OSError, TimeoutError):
        answer = None
    try:
        print(json.dumps({"sent": sent, "over": time.monotonic(), "answer": answer}), flush=True)
    except BrokenPipeError:
        # The drill was killed. An exception would end this task only, and the requests would continue.
        os._exit(0)


async def main(url: str, interval: float, timeout: float) -> None:
    """Start one request per interval, until the process is ended.

    :param interval: seconds between the beginnings of two requests.
    :param timeout: seconds after which a request counts as unanswered.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    # The event loop keeps only weak references to its tasks.
    pending: set[asyncio.Task[None]] = set()
    due = time.monotonic()
    while True:
        task = asyncio.create_task(request_and_print(host, port, timeout))
        pending.add(task)
        task.add_done_callback(pending.discard)
        due = max(due + interval, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
    except KeyboardInterrupt:
        sys.exit(0)
