"""The server that the objects of a worker live on: the harness says where."""

import os
import socket
from urllib.parse import urlsplit

URL_VARIABLE = "NOB_BENCH_URL"


def url() -> str:
    return os.environ[URL_VARIABLE]


class Bare:
    """A connection with nothing of a library on top: what a round trip takes at least."""

    def __init__(self) -> None:
        place = urlsplit(url())
        self.socket = socket.create_connection((place.hostname, place.port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ping(self) -> None:
        self.socket.sendall(b"PING\r\n")
        answer = self.socket.recv(64)
        assert answer == b"+PONG\r\n", answer

    def clients(self) -> int:
        """How many connections the server has, this one left out."""
        self.socket.sendall(b"CLIENT LIST\r\n")
        answer = self.socket.recv(1 << 16)
        head, _, listed = answer.partition(b"\r\n")
        assert head.startswith(b"$"), answer
        while len(listed) < int(head[1:]) + 2:
            listed += self.socket.recv(1 << 16)
        return listed.count(b" fd=") - 1

    def close(self) -> None:
        self.socket.close()
