"""Exceptions that no class of the standard library describes."""


class InvalidArgument(ValueError, TypeError):
    """An argument of the wrong type, out of its range, or a bad name."""
