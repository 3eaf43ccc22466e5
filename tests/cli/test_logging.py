"""What programs on nob.cli log, and where it goes (contract 8)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.programs import ENVIRONMENT, Program

PROGRAM = r"""
import logging
from nob import cli

@cli.grp()
def main(lg):
    lg.debug("begin")

@cli.cmd(main)
def levels(lg):
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(lg, level)("a record of %s", level)

@cli.cmd(main)
def words(lg):
    lg.info("%s end", "word " * 40)

@cli.cmd(main)
def odd_text(lg):
    lg.info("[bold]as it is[/bold] %s", {"key": [1]})
    lg.info("one\ntwo\r\nthree\x0bfour\x85five\u2028six")
    lg.info("caf\xe9 \u2714 \ud800")
    lg.info("only %d of %d")
    lg.info("")

@cli.cmd(main)
def failure(lg):
    try:
        raise RuntimeError("a reason")
    except RuntimeError:
        lg.exception("it failed")

@cli.cmd(main)
def others(lg):
    logging.getLogger("others").warning("from the library others")
    logging.getLogger("elsewhere").warning("from elsewhere")
    assert not logging.getLogger().handlers, "what else is logged is not ours to configure"
    lg.info("ours")

@cli.grp(main)
def group(lg):
    lg.info("a group logs, too")

@cli.cmd(group)
def inside(lg):
    lg.info("inside")

main()
"""
LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
TIME = r"^\[\d\d:\d\d:\d\d\]"
SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[a-zA-Z]|\][^\x1b]*\x1b\\)")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path, PROGRAM)


def records(levels: list[str]) -> str:
    return "".join(f"{level} levels: a record of {level.lower()}\n" for level in levels)


@pytest.mark.parametrize("options", [["-v"], ["--verbose"], ["-vv"]], ids=str)
def test_verbose(program: Program, options: list[str]) -> None:
    assert program.shows(*options, "levels") == "DEBUG main: begin\n" + records(LEVELS)


def test_neither_verbose_nor_quiet(program: Program) -> None:
    assert program.shows("levels") == records(LEVELS[1:])


@pytest.mark.parametrize("options", [["-q"], ["--quiet"]], ids=str)
def test_quiet(program: Program, options: list[str]) -> None:
    assert program.shows(*options, "levels") == records(LEVELS[2:])


@pytest.mark.parametrize("options", [["-vq"], ["-q", "--verbose"]], ids=str)
def test_they_exclude_each_other(program: Program, options: list[str]) -> None:
    assert "--verbose and --quiet exclude each other" in program.refuses(*options, "levels")


def test_groups_log_under_their_names(program: Program) -> None:
    assert (
        program.shows("group", "inside") == "INFO group: a group logs, too\nINFO inside: inside\n"
    )


def test_a_record_is_a_line_however_long(program: Program) -> None:
    narrow = ENVIRONMENT | {"COLUMNS": "20"}
    done = program.run("words", env=narrow)
    assert done.stdout == f"INFO words: {'word ' * 40} end\n"


def test_a_record_is_a_line_whatever_it_contains(program: Program) -> None:
    done = program.run("odd_text")
    assert done.returncode == 0
    first, second, third, *more = done.stdout.splitlines()
    assert first == "INFO odd_text: [bold]as it is[/bold] {'key': [1]}"
    assert second == r"INFO odd_text: one\ntwo\r\nthree\x0bfour\x85five\u2028six"
    assert third == "INFO odd_text: caf\xe9 \u2714 \\ud800"
    assert more == ["INFO odd_text: only %d of %d", "INFO odd_text: "]


def test_an_exception_is_in_the_line_of_its_record(program: Program) -> None:
    [line] = program.shows("failure").splitlines()
    assert line.startswith(r"ERROR failure: it failed\nTraceback (most recent call last):\n")
    assert line.endswith(r"\nRuntimeError: a reason")


def test_a_stream_that_cannot_show_it_all(program: Program) -> None:
    """What the encoding does not have is escaped; no record is lost."""
    ascii_only = ENVIRONMENT | {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = program.run("odd_text", env=ascii_only)
    assert r"INFO odd_text: caf\xe9 \u2714 \ud800" in done.stdout.splitlines()
    status, screen = program.run_on_a_terminal("odd_text", columns=80, env=ascii_only)
    assert status == 0
    assert r"caf\xe9 \u2714 \ud800" in plain(screen)


def test_records_of_others_are_left_alone(program: Program) -> None:
    """Also of a library whose logger is called like the command."""
    done = program.run("-q", "others")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "from the library others\nfrom elsewhere\n"
    assert program.run("others").stdout == "INFO others: ours\n"


def test_records_come_when_they_are_made(tmp_path: Path) -> None:
    """A reader at the other end of a pipe sees each at once."""
    waits = Program(
        tmp_path,
        "from nob import cli\n"
        "@cli.cmd()\n"
        "def wait(lg):\n"
        "    lg.info('waiting')\n"
        "    import threading; threading.Event().wait()\n"
        "wait()\n",
    )
    with waits.running() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "INFO wait: waiting\n"
        assert process.poll() is None


def test_a_program_that_is_called_again(tmp_path: Path) -> None:
    """A record is shown once, where standard output is by then."""
    twice = Program(
        tmp_path,
        "import contextlib, io\n"
        "from nob import cli\n"
        "@cli.cmd()\n"
        "def tell(lg):\n"
        "    lg.debug('less')\n"
        "    lg.info('more')\n"
        "with contextlib.redirect_stdout(io.StringIO()) as elsewhere:\n"
        "    tell(['-v'], standalone_mode=False)\n"
        "tell([], standalone_mode=False)\n"
        "print(repr(elsewhere.getvalue()))\n",
    )
    assert twice.shows() == "INFO tell: more\n'DEBUG tell: less\\nINFO tell: more\\n'\n"


def test_a_terminal_gets_them_through_rich(program: Program) -> None:
    status, screen = program.run_on_a_terminal("levels", columns=60)
    assert status == 0
    assert SEQUENCE.search(screen), "colours are for terminals"
    first, *more = plain(screen).splitlines()
    assert re.search(rf"{TIME} INFO +a record of info *$", first)
    assert [line.split()[0] for line in more] == LEVELS[2:]
    status, screen = program.run_on_a_terminal("-v", "levels", columns=60)
    assert re.search(rf"{TIME} DEBUG +begin *$", plain(screen), re.MULTILINE)
    status, screen = program.run_on_a_terminal("-q", "levels", columns=60)
    assert "INFO" not in plain(screen)


def test_a_terminal_gets_them_wrapped(program: Program) -> None:
    _, screen = program.run_on_a_terminal("words", columns=50)
    lines = plain(screen).splitlines()
    assert len(lines) > 4
    assert all(len(line) <= 50 for line in lines)
    assert " ".join(lines).count("word") == 40


def test_a_terminal_gets_the_text_as_it_is(program: Program) -> None:
    """Brackets are no markup."""
    status, screen = program.run_on_a_terminal("odd_text", columns=80)
    assert status == 0
    assert "[bold]as it is[/bold] {'key': [1]}" in plain(screen)
    assert "caf\xe9 \u2714" in plain(screen)


def test_errors_are_not_in_the_way_of_records(program: Program, tmp_path: Path) -> None:
    """Standard error may be a terminal when standard output is a file: that is what counts."""
    target = tmp_path / "output"
    with target.open("wb") as file:
        status, screen = program.run_on_a_terminal("levels", columns=60, stdout=file.fileno())
    assert (status, screen) == (0, "")
    assert target.read_text() == records(LEVELS[1:])


def plain(screen: str) -> str:
    """What is read on the screen, without colours."""
    return SEQUENCE.sub("", screen)
