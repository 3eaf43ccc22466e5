"""A server for the tests of this folder, and connections to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.kinds import Kind
from support.places import THERE
from support.servers import Server, each_server

from nob import ipc


@pytest.fixture(params=each_server(), ids=lambda path: Path(path).name, scope="session")
def program(request: pytest.FixtureRequest) -> str:
    """The program of a server."""
    return str(request.param)


@pytest.fixture(scope="session")
def server(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is left running."""
    with Server(program, tmp_path_factory.mktemp("server"), "--appendonly", "no") as server:
        yield server


@pytest.fixture
def own_server(program: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers with these options, which the test may kill."""
    servers = []

    def start(*options: str) -> Server:
        servers.append(Server(program, tmp_path, *options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def place(server: Server) -> Iterator[ipc.Connection]:
    """A connection to the server; what is there after the test is removed."""
    with ipc.connect(server.url) as place:
        yield place
    assert server.command("FLUSHALL") == "+OK\r\n"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of all kinds are taken over for those that there are on a server."""
    items[:] = [item for item in items if _is_there(item)]


def _is_there(item: pytest.Item) -> bool:
    if "_there.py" not in item.nodeid:
        return True
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return not any(isinstance(value, Kind) and value not in THERE for value in parameters)
