"""Groups, commands and their parameters (contract 8), in programs that are run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.checks import WATCHDOG
from support.kinds import QUEUE
from support.programs import Program

PROGRAM = '''
import sys
from nob import cli

@cli.grp()
@cli.opt("--level", default=3, show_default=True, help="How deep")
def main(level, lg, ctx):
    """Do one thing or another.

    And say so.
    """
    ctx.obj = level

@cli.cmd(main)
@cli.arg("needed", help="What is needed")
@cli.arg("fallback", default="else")
@cli.arg("nothing", default=None)
@cli.opt("--count", "-c", type=int, default=1, help="How often")
def below(needed, fallback, nothing, count):
    """Take arguments that are declared below."""
    print(repr((needed, fallback, nothing, count)))

@cli.arg("first")
@cli.opt("--one", default="1")
@cli.arg("second")
@cli.cmd(parent=main)
@cli.arg("third")
@cli.opt("--two", is_flag=True)
@cli.arg("fourth", nargs=-1)
def mixed(first, second, third, fourth, one, two):
    print(first, second, third, *fourth, one, two)

@cli.opt("--where", default="here")
@cli.grp(main)
def inner_group(where):
    """Keep a group in a group."""
    print("inner group", where)

@cli.grp(inner_group)
def innermost(): ...

@cli.cmd(innermost)
def deep_down(ctx):
    print(ctx.command_path, ctx.find_root().obj, ctx.obj, ctx.info_name)

@cli.cmd(main)
def send_cmd(lg, ctx):
    print(lg.name, type(lg) is cli.Logger, ctx.command.name)

@cli.cmd(main)
def returns():
    return 5

if __name__ == "__main__":
    main()
'''


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path, PROGRAM)


def test_help_is_the_docstring(program: Program) -> None:
    for flag in ("-h", "--help"):
        text = program.shows(flag)
        assert "Usage: prog.py [OPTIONS] COMMAND [ARGS]..." in text
        assert "Do one thing or another." in text
        assert "And say so." in text
        for shown in ("--level", "How deep", "--verbose", "-v", "--quiet", "-q", "--help", "-h"):
            assert shown in text
        assert re.search(r"\bbelow +Take arguments that are declared below\.", text)
        assert re.search(r"\binner_group +Keep a group in a group\.", text)


def test_help_of_a_command(program: Program) -> None:
    for flag in ("-h", "--help"):
        text = program.shows("below", flag)
        assert "Usage: prog.py below [OPTIONS] NEEDED [FALLBACK] [NOTHING]" in text
        assert "Take arguments that are declared below." in text
        assert "What is needed" in text
        assert "How often" in text
        assert "--verbose" not in text, "it is the top level that takes it"
    assert "Keep a group in a group." in program.shows("inner-group", "-h")


def test_arguments(program: Program) -> None:
    """An argument without a default is required; `default=None` makes it optional."""
    assert program.shows("below", "a") == "('a', 'else', None, 1)\n"
    assert program.shows("below", "a", "b", "c", "-c", "4") == "('a', 'b', 'c', 4)\n"
    assert program.shows("below", "--count=2", "--", "-h") == "('-h', 'else', None, 2)\n"
    assert "Missing argument 'NEEDED'" in program.refuses("below")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["belo"], "No such command 'belo'"),
        (["--belo", "below"], "No such option"),
        (["below", "a", "b", "c", "d"], "unexpected extra argument"),
        (["below", "a", "--count", "many"], "'many' is not a valid integer"),
        (["--level", "x", "below", "a"], "'x' is not a valid integer"),
        (["below", "a", "--verbose"], "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(program: Program, arguments: list[str], complaint: str) -> None:
    assert complaint in program.refuses(*arguments)


def test_a_group_without_a_command_shows_its_help(program: Program) -> None:
    """It is wrong usage nevertheless; the function of the group does not run."""
    done = program.run()
    assert done.returncode == 2
    assert "Usage: prog.py [OPTIONS] COMMAND" in done.stdout + done.stderr
    done = program.run("inner-group")
    assert done.returncode == 2
    assert "Keep a group in a group." in done.stdout + done.stderr
    assert "inner group here" not in done.stdout


def test_decorators_in_any_order(program: Program) -> None:
    """They are read from top to bottom, wherever the command's own decorator is."""
    assert program.shows("mixed", "a", "b", "c", "d", "e") == "a b c d e 1 False\n"
    assert program.shows("mixed", "--two", "a", "b", "c", "--one", "x") == "a b c x True\n"
    assert "Usage: prog.py mixed [OPTIONS] FIRST SECOND THIRD" in program.shows("mixed", "-h")
    assert "Missing argument 'THIRD'" in program.refuses("mixed", "a", "b")


def test_groups_in_groups(program: Program) -> None:
    """A group's function runs before its command's; the context is handed down."""
    told = "inner group here\nprog.py inner_group innermost deep_down 3 3 deep_down\n"
    assert program.shows("inner_group", "innermost", "deep_down") == told
    told = "inner group x\nprog.py inner_group innermost deep_down 7 7 deep_down\n"
    path = ("--level", "7", "inner_group", "--where", "x", "innermost", "deep_down")
    assert program.shows(*path) == told


def test_underscores_typed_as_dashes(program: Program) -> None:
    """A command is known by its own name, however it was typed."""
    told = "inner group here\nprog.py inner_group innermost deep_down 3 3 deep_down\n"
    assert program.shows("inner-group", "innermost", "deep-down") == told
    assert "Usage: prog.py inner_group innermost" in program.shows("inner-group", "innermost", "-h")


def test_lg_and_ctx(program: Program) -> None:
    """The names are those of the functions, whole: click would cut `_cmd` off."""
    assert program.shows("send-cmd") == "send_cmd True send_cmd\n"


def test_what_a_command_returns_is_no_status(program: Program) -> None:
    assert program.shows("returns") == ""


def test_a_command_alone_is_a_program(tmp_path: Path) -> None:
    alone = Program(
        tmp_path,
        "from nob import cli\n"
        "@cli.cmd()\n"
        "@cli.arg('x', type=int)\n"
        "def double_it(x, lg):\n"
        "    '''Double a number.'''\n"
        "    lg.debug('doubling %d', x)\n"
        "    print(2 * x)\n"
        "double_it()\n",
    )
    assert alone.shows("21") == "42\n"
    assert alone.shows("-v", "21") == "DEBUG double_it: doubling 21\n42\n"
    text = alone.shows("-h")
    assert "Usage: prog.py [OPTIONS] X" in text
    assert "Double a number." in text
    assert "--quiet" in text
    assert "Missing argument 'X'" in alone.refuses()


EXAMPLE = Path(__file__).parents[2] / "examples" / "queue.py"


def test_the_program_of_the_documents(tmp_path: Path, name: str) -> None:
    """Two processes talk; what they say by default, and what they say when there is no queue."""
    example = Program(tmp_path, EXAMPLE.read_text().replace('"/test_queue"', f'"{name}"'))
    assert "Message to send in SEND phase" in example.shows("send", "-h")
    with example.running("receive") as receiver:
        while not QUEUE.exists(name):
            assert receiver.poll() is None, receiver.communicate()
        assert example.shows("send") == "INFO send: Message sent\n"
        output, errors = receiver.communicate(timeout=WATCHDOG)
    said = "INFO receive: Received message: 'Hello from POSIX IPC' with priority 0\n"
    assert (receiver.returncode, output, errors) == (0, said, "")
    assert not QUEUE.exists(name)
    done = example.run("send")
    assert (done.returncode, done.stdout) == (1, "")
    assert name in done.stderr
    assert "Traceback" not in done.stderr


TYPED = """
from nob import cli

@cli.grp()
def main() -> None: ...

@cli.opt("--count", default=1)
@cli.cmd(main)
@cli.arg("message", default=None, help="What to send")
def send(lg: cli.Logger, count: int, message: str | None) -> None:
    lg.info("%s, %d times", message, count)

@cli.cmd()
def alone() -> None: ...

if __name__ == "__main__":
    main()
    alone()
    main(["send", "x"], standalone_mode=False)
"""


def test_types(tmp_path: Path) -> None:
    """A program whose functions have types passes mypy --strict; a wrong parent does not."""
    pytest.importorskip("mypy")
    assert _mypy(tmp_path, TYPED) == (0, "")
    status, complaint = _mypy(tmp_path, TYPED.replace("cmd()", "cmd(send)"))
    assert status == 1
    assert '"RichCommand"; expected "Group | None"' in complaint


def _mypy(folder: Path, code: str) -> tuple[int, str]:
    (folder / "typed.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "typed.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=4 * WATCHDOG,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout
