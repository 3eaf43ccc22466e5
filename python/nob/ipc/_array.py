"""Arrays of numpy over a segment; imported when the first one is made. Only this needs numpy."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy

from nob.ipc.errors import InvalidArgument

if TYPE_CHECKING:
    from nob.ipc._mapping import Mapping


def array(memory: Mapping, shape: Any, dtype: Any, offset: Any) -> numpy.ndarray[Any, Any]:
    """An array over a mapping, which lives as long as the array does.

    The arguments are checked here: numpy takes a negative offset, and goes before the memory.
    """
    kind = numpy.dtype(dtype)
    if kind.hasobject or kind.itemsize == 0:
        why = "a reference means nothing to another process" if kind.hasobject else "it has no size"
        raise InvalidArgument(f"dtype {kind} cannot be shared: {why}")
    lengths = _lengths(shape)
    start = _at_least_0("offset", offset)
    size = math.prod(lengths) * kind.itemsize
    if start + size > len(memory):
        raise InvalidArgument(
            f"an array of shape {lengths} and dtype {kind} has {size} bytes"
            + (f" from byte {start} on" if start else "")
            + f", and the segment {len(memory)}"
        )
    # frombuffer keeps the buffer exported, so closing the mapping under the array is refused.
    octets = numpy.frombuffer(memory, numpy.uint8)
    return numpy.ndarray(lengths, kind, octets, start)


def _lengths(shape: Any) -> tuple[int, ...]:
    try:
        lengths = tuple(shape)
    except TypeError:
        lengths = (shape,)
    return tuple(_at_least_0("shape", length) for length in lengths)


def _at_least_0(what: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if number < 0 or isinstance(value, bool):
        plural = " or some" if what == "shape" else ""
        raise InvalidArgument(f"{what} must be an integer{plural}, 0 or more, not {value!r}")
    return number
