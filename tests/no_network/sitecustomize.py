"""Refuses every connection that leaves this machine; conftest.py runs it, and every Python that a test starts.

Python imports a module of this name at its start, wherever PYTHONPATH has one. A connected UDP socket has sent nothing:
that is how programs ask for their own address.
"""

import ipaddress
import socket
import sys


class NetworkRefused(BaseException):
    """A test, or what it tests, wanted to connect to another machine; no error that code may handle."""


def _refuse(event: str, arguments: tuple) -> None:
    if event != "socket.connect":
        return
    connecting, address = arguments
    if connecting.family not in (socket.AF_INET, socket.AF_INET6) or connecting.type != socket.SOCK_STREAM:
        return
    host = address[0].partition("%")[0]
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise NetworkRefused(f"tests connect to no other machine, and this one wanted to connect to {host}")


sys.addaudithook(_refuse)
