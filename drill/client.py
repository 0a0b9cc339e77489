"""A client of the service: asks a URL at a steady rate, each time on a fresh connection, and prints what it saw.

Run inside the network where the client lives, as ``python client.py URL INTERVAL PATIENCE`` (seconds). One line of
JSON per request, when it is over: when it was sent and when it was over (``time.monotonic``, which every process
of the machine shares) and who answered, null when nobody did in time. Requests do not wait for each other: a hole
in the answers is a hole in the service and not in the asking.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit


async def ask(host: str, port: int) -> str | None:
    """The first line of the page, or None when it is no good answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        status, _, rest = (await reader.read()).decode(errors="replace").partition("\r\n")
        page = rest.partition("\r\n\r\n")[2]
        return page.strip().partition("\n")[0] if status.split()[1:2] == ["200"] and page.strip() else None
    finally:
        writer.close()


async def ask_and_tell(host: str, port: int, patience: float) -> None:
    sent = time.monotonic()
    try:
        answer = await asyncio.wait_for(ask(host, port), patience)
    except (OSError, TimeoutError):
        answer = None
    print(json.dumps({"sent": sent, "over": time.monotonic(), "answer": answer}), flush=True)


async def main(url: str, interval: float, patience: float) -> None:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    under_way: set[asyncio.Task[None]] = set()
    following = time.monotonic()
    while True:
        task = asyncio.create_task(ask_and_tell(host, port, patience))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        following = max(following + interval, time.monotonic())
        await asyncio.sleep(following - time.monotonic())


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(0)
