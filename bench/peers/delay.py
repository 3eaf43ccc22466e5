"""Stands between clients and a server, and passes each piece on after a delay, in both directions.
Prints the port that it listens at. usage: delay.py SERVER_PORT FIRST_PORT MILLISECONDS"""

import itertools
import socket
import sys
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from forked import die_with_parent

Pieces = SimpleQueue[tuple[float, bytes]]


def listen(first: int) -> socket.socket:
    for port in itertools.count(first):
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
    raise AssertionError


def take(source: socket.socket, pieces: Pieces, delay: float) -> None:
    piece = b"!"
    while piece:
        try:
            piece = source.recv(1 << 16)
        except ConnectionError:
            piece = b""
        pieces.put((time.monotonic() + delay, piece))


def give(sink: socket.socket, pieces: Pieces) -> None:
    while True:
        due, piece = pieces.get()
        time.sleep(max(0.0, due - time.monotonic()))
        with suppress(OSError):  # who has gone needs nothing any more
            if piece:
                sink.sendall(piece)
            else:
                sink.shutdown(socket.SHUT_WR)
                return


def main() -> None:
    die_with_parent()
    server_port, first, milliseconds = map(int, sys.argv[1:])
    listener = listen(first)
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", server_port))
        for source, sink in ((client, server), (server, client)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pieces: Pieces = SimpleQueue()
            Thread(target=take, args=(source, pieces, milliseconds / 1000), daemon=True).start()
            Thread(target=give, args=(sink, pieces), daemon=True).start()


if __name__ == "__main__":
    main()
