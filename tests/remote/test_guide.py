"""What docs/guides/servers.md tells administrators to do: rights, settings, TLS (11.1, 11.5)."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.checks import WATCHDOG, conformance
from support.documents import BLOCKS
from support.servers import Server, free_port
from support.waits import Background

from nob import ipc
from nob.ipc import Flags

GUIDE = "docs/guides/servers.md"
CREATE = Flags.RAISE_IF_EXISTS
Start = Callable[..., Server]


def shown(beginning: str) -> str:
    """The block of the guide that begins so."""
    [code] = [
        block.code
        for block in BLOCKS
        if block.document == GUIDE and block.code.startswith(beginning)
    ]
    return code


def use_all_kinds(place: ipc.Connection, name: str) -> None:
    """Every kind is created, waited for, inspected and removed."""
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)
    background = Background(queue.receive)
    queue.send("one")
    assert background.result() == (b"one", 0)
    assert (queue.send_many(["two", "three"]), queue.current_messages) == (2, 2)
    semaphore = place.NamedSemaphore(name, 0, CREATE)
    waiting = Background(semaphore.acquire)
    semaphore.release()
    assert waiting.result() is True
    assert semaphore.value == 0
    with place.NamedLock(name, CREATE) as lock:
        assert lock.held
        lock.mark_repaired()
    permits = place.NamedBoundedSemaphore(name, 2, CREATE)
    with permits:
        assert permits.value == 1
    for handle in (queue, semaphore, lock, permits):
        assert not handle.stale
        handle.unlink()


@conformance("R26")
@pytest.mark.parametrize("namespace", ["nipc", "billing"])
def test_the_rights_suffice(own_server: Start, name: str, namespace: str) -> None:
    server = own_server()
    words = shown("ACL SETUSER app").replace("nipc", namespace).split()
    assert server.command(*words) == "+OK\r\n"
    url = f"redis://app:password@127.0.0.1:{server.port}?namespace={namespace}"
    with ipc.connect(url) as place:
        use_all_kinds(place, name)
        with pytest.raises(PermissionError):
            place.list_objects()
        [finding] = place.check()
        assert "INFO" in finding
    assert server.command("ACL", "SETUSER", "app", "+info", "+scan") == "+OK\r\n"
    with ipc.connect(url) as place:
        semaphore = place.NamedSemaphore(name, handle_existence=CREATE)
        [listed] = place.list_objects()
        assert listed["name"] == semaphore.name
        assert not any("INFO" in finding for finding in place.check())
    assert server.command("ACL", "SETUSER", "app", "+wait") == "+OK\r\n"
    with ipc.connect(url, durability="replica") as place, pytest.raises(ipc.Unconfirmed):
        place.NamedSemaphore(name, handle_existence=CREATE).release()


@conformance("R26")
@pytest.mark.parametrize("right", ["+zcount", "+spublish", "+time"])
def test_each_of_them_is_needed(own_server: Start, name: str, right: str) -> None:
    server = own_server()
    words = shown("ACL SETUSER app").split()
    words.remove(right)
    assert server.command(*words) == "+OK\r\n"
    with (
        ipc.connect(f"redis://app:password@127.0.0.1:{server.port}") as place,
        pytest.raises(PermissionError),
    ):
        use_all_kinds(place, name)


def test_the_settings_are_accepted(own_server: Start, name: str) -> None:
    """A server with them has nothing to be said of; without its replica it refuses to change."""
    settings = shown("appendonly yes").split()
    server = own_server(
        *(f"--{word}" if index % 2 == 0 else word for index, word in enumerate(settings))
    )
    with ipc.connect(server.url) as place:
        assert place.check() == []
        with pytest.raises(OSError, match="replica") as refused:
            place.NamedSemaphore(name, handle_existence=CREATE)
        assert refused.value.errno == errno.EROFS
        assert server.command("CONFIG", "SET", "min-replicas-to-write", "0") == "+OK\r\n"
        use_all_kinds(place, name)


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(
        ["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=WATCHDOG
    )


@conformance("R31")
def test_an_encrypted_connection(own_server: Start, name: str, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    authority = ("-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
    openssl(tmp_path, "req", "-x509", *key, "-days", "2", *authority)
    openssl(tmp_path, "req", *key, "-subj", "/CN=s", "-keyout", "server.key", "-out", "server.csr")
    (tmp_path / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions")
    openssl(
        tmp_path,
        *("x509", "-req", "-in", "server.csr", *signed, "-days", "2", "-out", "server.crt"),
    )
    plain, port = own_server(), free_port()
    settings = re.sub(
        r"/etc/redis/", f"{tmp_path}/", shown("tls-port 6380").replace("6380", str(port))
    )
    # The plain port stays, for the tests' own questions.
    options = [line for line in settings.splitlines() if line and not line.startswith("port")]
    plain.kill()
    plain.options = tuple(
        word
        for line in options
        for index, word in enumerate(line.split())
        for word in ([f"--{word}"] if index == 0 else [word])
    )
    plain.start()
    url = f"rediss://127.0.0.1:{port}"
    with ipc.connect(f"{url}?cafile={tmp_path}/ca.crt") as place:
        use_all_kinds(place, name)
    with pytest.raises(ConnectionError, match="certificate"):
        ipc.connect(url, patience=1)
