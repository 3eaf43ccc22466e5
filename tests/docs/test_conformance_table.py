"""The table of what is tested where is complete, and as the tests are."""

import re

import conformance_table
import pytest


@pytest.mark.skipif(
    not conformance_table.RUST.exists(), reason="the tests are not in their repository"
)
def test_the_table_is_current() -> None:
    """`python tests/conformance_table.py` writes it."""
    assert conformance_table.TABLE.read_text(encoding="utf-8") == conformance_table.table()


def test_nothing_is_left_out_silently() -> None:
    """Every assertion has a test, or a reason why not."""
    text = conformance_table.table()
    numbers = re.findall(r"^\| ([CSHMLNR]\d+) \|", text, re.MULTILINE)
    assert len(numbers) == len(set(numbers)) == 44 + 32 + 28 + 53 + 20 + 17 + 33
    assert "**none**" not in text
