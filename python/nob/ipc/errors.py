"""Exceptions that no class of the standard library describes."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nob.ipc._native import _Request


class InvalidArgument(ValueError, TypeError):
    """An argument of the wrong type, out of its range, or a bad name."""


class ServerUnavailable(ConnectionError):
    """The server could not be reached, or did not answer in time; nothing was changed.

    What a `receive` or `acquire` may have taken there goes back.
    """


class OutcomeUnknown(ConnectionError):
    """A change was sent to the server, and no answer came: it may have been made, or not."""

    _request: "_Request | None" = None

    def retry(self, timeout: float | None = None) -> "Any":
        """Repeat the very request, which runs once, and return what the call would have.

        It works for nine minutes, in the process that made the call. After a constructor it
        returns the handle.

        Args:
            timeout: Seconds to wait for the answer; `None` waits as long as the connection's
                patience, as does what repeats a constructor.

        Raises:
            OutcomeUnknown: There is still no answer, or it is too late to repeat the request.
        """
        if self._request is None:
            message = "the request cannot be repeated any more; look at the object"
            raise OutcomeUnknown(self.errno, message, self.filename) from self
        return self._request.again(timeout)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        # The request stays here.
        return type(self), (self.errno, self.strerror, self.filename)


class Unconfirmed(ConnectionError):
    """It was done, but too few replicas or disks have confirmed that in time."""

    result: "Any" = None
    """What the call would have returned."""


class StaleHandle(FileNotFoundError):
    """The object that the handle was opened on is not on the server any more."""


class LockLost(RuntimeError):
    """The handle had lost the lock or permit before: the server took it for dead."""
