"""What to do about an object that exists, or does not."""

import enum


class Flags(enum.Enum):
    """What to do about an object that exists, or does not."""

    RAISE_IF_EXISTS = "raise if exists"
    """Create; FileExistsError if the name is taken."""

    RAISE_IF_NOT_EXISTS = "raise if not exists"
    """Link; FileNotFoundError if there is none."""

    LINK_OR_CREATE = "link or create"
    """Link if there is one, else create."""

    UNLINK_AND_CREATE = "unlink and create"
    """Remove what has the name, then create."""
