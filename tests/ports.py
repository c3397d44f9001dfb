"""Ports for processes that find each other on this machine."""

from __future__ import annotations

import random
import socket


def free_ports(n: int) -> list[str]:
    """Return ports that nobody listens on, below those that most systems lend out."""
    found: list[str] = []
    for port in random.Random().sample(range(20_000, 30_000), 1_000):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(str(port))
        if len(found) == n:
            return found
    raise OSError("no port is free")
