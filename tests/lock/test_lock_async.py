"""Waiting for a lock or a permit in asyncio (contract 9)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.checks import conformance
from support.kinds import LOCK, Kind, each_owned_kind
from support.loops import Run, settle
from support.scripts import Script


def create(kind: Kind, name: str) -> Any:
    return kind.create(name, **({} if kind is LOCK else {"value": 1}))


@conformance("L19")
@each_owned_kind
def test_async_with(name: str, kind: Kind, run: Run) -> None:
    handle = create(kind, name)
    other = kind.open(name)

    async def main() -> None:
        async with handle as entered:
            assert entered is handle
            assert not other.acquire(False)
            assert await other.acquire_async(0.02) is False
        assert other.acquire(False)
        other.release()
        with pytest.raises(ZeroDivisionError):
            async with handle:
                raise ZeroDivisionError
        assert other.acquire(False)
        other.release()

    run(main())


@each_owned_kind
def test_tasks_take_turns_on_one_handle(name: str, kind: Kind, run: Run) -> None:
    handle = create(kind, name)
    inside = []

    async def work(number: int) -> None:
        for _ in range(3):
            async with handle:
                assert not inside
                inside.append(number)
                await asyncio.sleep(0.001)
                inside.pop()

    async def main() -> None:
        await asyncio.gather(*[work(number) for number in range(8)])

    run(main())
    assert handle.acquire(False)
    handle.release()


@conformance("L19")
@each_owned_kind
def test_a_cancelled_wait_holds_nothing(name: str, kind: Kind, run: Run) -> None:
    handle = create(kind, name)
    other = kind.open(name)

    async def main() -> None:
        with handle:
            waits = [asyncio.create_task(other.acquire_async()) for _ in range(3)]
            await settle()
            for wait in waits:
                wait.cancel()
            for wait in waits:
                with pytest.raises(asyncio.CancelledError):
                    await wait
        await settle()
        assert handle.acquire(False)
        handle.release()

    run(main())


@conformance("L20")
@each_owned_kind
def test_a_wait_notices_a_death(name: str, kind: Kind, run: Run) -> None:
    notices_a_death(name, kind, run)


def notices_a_death(name: str, kind: Kind, run: Run, **options: Any) -> None:
    """A handle waits for what another holds, in a process that is killed, with these options."""
    handle = create(kind, name)
    code = f"handle = {kind.cls.__name__}(name, **{options}); handle.acquire(); say(1); hear()"

    async def main(owner: Script) -> None:
        wait = asyncio.create_task(handle.acquire_async())
        await settle()
        assert not wait.done()
        owner.process.kill()
        assert await wait is True

    with Script(code, name) as owner:
        owner.expect("1")
        run(main(owner))
    if kind is LOCK:
        assert handle.owner_died
    handle.release()


@each_owned_kind
def test_closing_ends_a_wait(name: str, kind: Kind, run: Run) -> None:
    handle = create(kind, name)
    other = kind.open(name)

    async def main() -> None:
        with handle:
            wait = asyncio.create_task(other.acquire_async())
            await settle()
            other.close()
            with pytest.raises(ValueError, match="closed"):
                await wait

    run(main())
