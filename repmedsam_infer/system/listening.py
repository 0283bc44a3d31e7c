"""Addresses that a server listens on, and whether a request means this machine."""

import socket
from ipaddress import ip_address

from repmedsam_infer.errors import UsageError


def names_this_machine(host: str, *, loopback: bool) -> bool:
    """Whether a Host header may mean a server of ours.

    A name may be anybody's, and lead a browser here (DNS rebinding): only "localhost" is taken. A number may not,
    but with `loopback` it has to be one of loopback.
    """
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name == "localhost":
        return True
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or not loopback


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_everywhere(host: str) -> bool:
    """Whether it stands for all addresses of this machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises UsageError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, so that asyncio sends small answers at once: else each waits 40 ms for the acknowledgement before it.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"{host}, port {port}, cannot be listened on ({error.strerror or error}); leave out --port for a free one"
        ) from error
    return listening
