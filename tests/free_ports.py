"""Ports for servers that start a little later."""

import random
import socket
from contextlib import ExitStack
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST, BELOW = 15_000, 32_768
"""Where the kernel's own choices begin unless `RANGE` says otherwise."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has, and that the kernel gives nobody who asks for just any.

    One that the kernel chose might be chosen for somebody else's connection before its server has started.
    """
    below = min(BELOW, int(RANGE.read_text().split()[0])) if RANGE.is_file() else BELOW
    some = range(LOWEST, below) if below > LOWEST + 1000 else range(1024, 65_536)
    found: list[int] = []
    with ExitStack() as all_bound:
        while len(found) < count:
            bound = all_bound.enter_context(socket.socket())
            try:
                bound.bind(("127.0.0.1", port := random.SystemRandom().choice(some)))
            except OSError:
                continue
            found.append(port)
    return found
