"""A web server in which one endpoint stops all others, and a monitor that names it.

    python asgi_server.py

An ASGI application has an endpoint that answers at once and one that sorts numbers. The
sort holds the GIL and blocks the event loop: meanwhile nobody is answered. The event loop
is one thread, and no other thread waits for the GIL: with `lone=True` the monitor reports
such a hold, too.
"""

import asyncio
import random
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import gilx

try:
    import uvicorn
except ImportError:
    raise SystemExit("this example needs uvicorn: pip install uvicorn") from None

NUMBERS = [random.random() for _ in range(1_500_000)]


async def median() -> bytes:
    """Return the median of the numbers."""
    return b"%f" % sorted(NUMBERS)[len(NUMBERS) // 2]


async def health() -> bytes:
    """Answer at once."""
    return b"fine"


ENDPOINTS: dict[str, Callable[[], Awaitable[bytes]]] = {
    "/median": median,
    "/health": health,
}


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],  # noqa: ARG001 - as ASGI calls it
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer a request."""
    body = await ENDPOINTS[scope["path"]]()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def fetch(url: str) -> None:
    """Ask the server, and print its answer."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        print(url.rpartition("/")[2], answer.read().decode())


async def serve_some_requests() -> None:
    """Start the server, send it some requests, and stop it."""
    config = uvicorn.Config(app, port=0, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    for name in ("health", "median", "health"):
        await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/{name}")
    server.should_exit = True
    await serving


def main() -> None:
    """Serve under a monitor, whose reports go to standard error."""
    with gilx.Monitor(stall=0.1, lone=True) as monitor:
        asyncio.run(serve_some_requests())
        for stall in monitor.stalls:
            print(stall)


if __name__ == "__main__":
    main()
