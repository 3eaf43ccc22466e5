"""The mapping of a segment; imported when the first one is made."""

from __future__ import annotations

import io
import mmap
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from nob.ipc._native import Lease

_close = mmap.mmap.close


class Mapping(mmap.mmap):
    """The bytes of a segment: an mmap.mmap of exactly its size, and a context manager.

    Made by NamedSharedMemory.mmap(). It keeps the handle that made it, and so the name, until it is
    closed. While views of it are alive, close() raises BufferError and keeps both.
    """

    __slots__ = ("_lease",)

    _lease: Lease | None

    def close(self) -> None:
        """Unmap the bytes and let go of the handle; BufferError while views are alive."""
        try:
            _close(self)
        except BufferError:
            message = (
                "cannot close the mapping: views of it are alive (a memoryview, an array); "
                "release or delete them first"
            )
            raise BufferError(message) from None
        self._lease = None

    def __del__(self) -> None:
        # The bytes before the handle: the segment is in use as long as they are mapped.
        if self.closed:
            return
        try:
            self.close()
        except BufferError:
            # Views that are deleted together with it; the bytes are unmapped after them.
            return

    def resize(self, newsize: int, /) -> NoReturn:
        """Refuse: io.UnsupportedOperation; resize the segment, and map it anew."""
        message = "a mapping cannot be resized: close it, resize the segment, and map it anew"
        raise io.UnsupportedOperation(message)

    def __exit__(self, *_: object) -> None:
        self.close()
