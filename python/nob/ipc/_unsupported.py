"""Stands in for the native module on systems that have no such objects, or keep them elsewhere."""

from __future__ import annotations

from typing import Any, NoReturn

NEEDS = "64-bit Linux with glibc, and CPython with the GIL"


def _refuse(what: str) -> NoReturn:
    raise NotImplementedError(f"The current OS does not provide {what}; nob.ipc needs {NEEDS}")


class _Named:
    _kind = ""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        _refuse(self._kind)

    @classmethod
    def unlink_name(cls, *_args: Any, **_kwargs: Any) -> None:
        _refuse(cls._kind)


class NamedSemaphore(_Named):
    _kind = "a named semaphore"


class NamedSharedMemory(_Named):
    _kind = "a named shared memory"


class NamedMessageQueue(_Named):
    _kind = "a named message queue"


class NamedLock(_Named):
    _kind = "a named lock"


class NamedBoundedSemaphore(_Named):
    _kind = "a named bounded semaphore"


class NamedChannel(_Named):
    _kind = "a named channel"


class Connection:
    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        _refuse("named objects")


def connect(*_args: Any, **_kwargs: Any) -> NoReturn:
    _refuse("named objects")


def list_objects(*_args: Any, **_kwargs: Any) -> NoReturn:
    _refuse("named objects")


def reap(*_args: Any, **_kwargs: Any) -> NoReturn:
    _refuse("named objects")
