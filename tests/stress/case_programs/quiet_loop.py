"""Closing under waits of asyncio ends them with ValueError, and the loop logs nothing."""

import asyncio
import sys

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore

CREATE = Flags.RAISE_IF_EXISTS
logged: list[object] = []


async def close_after(delay: float) -> None:
    permits = NamedSemaphore(None, 0, CREATE)
    empty = NamedMessageQueue(None, 1, 8, handle_existence=CREATE)
    full = NamedMessageQueue(None, 1, 8, handle_existence=CREATE)
    full.send(b"x")
    begun = [permits.acquire_async(), permits.acquire_async(5), empty.receive_async()]
    begun += [empty.receive_async(5), full.send_async(b"y")]
    tasks = [asyncio.ensure_future(each) for each in begun]
    await asyncio.sleep(delay)
    for handle in permits, empty, full:
        # From a thread as well as from the loop.
        if delay > 0.005:
            await asyncio.to_thread(handle.close)
        else:
            handle.close()
    for result in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30):
        if not isinstance(result, ValueError):
            sys.exit(f"a wait ended with {result!r}")


async def main() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    for number in range(20):
        await close_after(number / 2_000)
    await asyncio.sleep(0.1)


asyncio.run(main())
if logged:
    sys.exit(f"{len(logged)} logged, such as {logged[0]}")
