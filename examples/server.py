"""A server that answers while it computes, or does not.

    python server.py [--quick]

An asyncio server echoes lines while a thread of the same process computes. The client is
a process of its own, so that only the server's delays are seen. Beside a call that holds
the GIL nobody is answered until that call returns; beside one that releases it, at once.
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import time
from statistics import median

import gilx

CLIENT = "--client"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send each line back, until there are no more."""
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def delays(variant: str | None, seconds: float) -> list[float]:
    """Return how long the answers took while a thread called a kernel again and again."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    words = [sys.executable, __file__, CLIENT, str(port), str(seconds)]
    client = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
    finished = asyncio.create_task(client.communicate())
    while variant is not None and not finished.done():
        await asyncio.to_thread(gilx.run, "mandelbrot", workers=1, variant=variant)
    output, _ = await finished
    if client.returncode != 0:
        raise RuntimeError(f"the client ended with {client.returncode}")
    server.close()
    found: list[float] = json.loads(output)
    return found


def ask(port: int, seconds: float) -> None:
    """Be the client: send a line every 10 ms, and print how long the answers took."""
    found = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        end = time.perf_counter() + seconds
        while (asked := time.perf_counter()) < end:
            connection.sendall(b"hello\n")
            connection.recv(16)
            found.append(time.perf_counter() - asked)
            time.sleep(0.01)
    print(json.dumps(found))


def main() -> None:
    """Ask a server that is idle, and beside held and released work."""
    parser = argparse.ArgumentParser(description="A server that computes.")
    parser.add_argument("--quick", action="store_true", help="half a second each")
    seconds = 0.5 if parser.parse_args().quick else 3
    call = gilx.run("mandelbrot", workers=1, variant="c-gil").seconds
    print(f"one call computes for {call * 1e3:.0f} ms; the server's answers took, in ms:")
    print(f"{'beside':<16}{'median':>8}{'longest':>9}{'answers':>9}")
    for name, variant in (
        ("nothing", None),
        ("held calls", "c-gil"),
        ("released calls", "c-nogil"),
    ):
        found = asyncio.run(delays(variant, seconds))
        print(
            f"{name:<16}{median(found) * 1e3:>8.2f}{max(found) * 1e3:>9.2f}"
            f"{len(found):>9}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == [CLIENT]:
        ask(int(sys.argv[2]), float(sys.argv[3]))
    else:
        main()
