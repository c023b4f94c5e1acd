"""The address that is listened on, and the descriptors that its connections need."""

from __future__ import annotations

import errno
import resource
import socket
from dataclasses import dataclass

from mixdq.configs.errors import MachineError
from mixdq.runtime.server.connections import ConnectionLimits

BACKLOG = 2048
"""Connections that may wait until they are accepted."""

_OTHER_DESCRIPTORS = 200


@dataclass(frozen=True, slots=True)
class Listening:
    """Where and how.

    Attributes:
        host: an address of this machine.
        port: 0 for any that is free.
        connections: their limits.
        drain_s: to finish what was accepted when the server is told to stop.
    """

    host: str
    port: int
    connections: ConnectionLimits
    drain_s: float


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        MachineError: the address is not this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise MachineError(f"{host} is no address to listen on: {error.strerror or error}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        fix = (
            "choose another one with --port"
            if error.errno == errno.EADDRINUSE
            else "choose another --host or --port"
        )
        raise MachineError(f"can't listen on {host}, port {port}: {error.strerror}; {fix}") from error
    return listener


def allow_descriptors(connections: int) -> None:
    """Lets the process have as many open files as it needs.

    Raises:
        MachineError: the system does not allow so many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_DESCRIPTORS
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise MachineError(
            f"{connections} connections need {wanted} open files, and the system allows {hard}: raise "
            "`ulimit -n`, or pass a smaller --most-connections"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
