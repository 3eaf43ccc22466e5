"""What is measured."""


class Operation:
    def run(self, n: int) -> list[int]:
        """Does it `n` times: the nanoseconds that all took, then what else the operation tells."""
        raise NotImplementedError

    def trace(self, n: int) -> list[int]:
        """The nanoseconds of each of `n`."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives back what the operation holds."""
