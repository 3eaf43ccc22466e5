"""How programs on nob.cli end: the status, and what is said about it (contract 8)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.checks import WATCHDOG
from support.kinds import QUEUE
from support.programs import Program

PROGRAM = '''
import io, os, signal, sys, threading
from nob import cli
from nob.ipc import Flags, NamedMessageQueue

@cli.grp()
def main(): ...

@cli.cmd(main)
@cli.arg("what")
def end(what, ctx):
    """End with an exception, or by sys.exit or ctx.exit."""
    print("before")
    if what.isdecimal():
        sys.exit(int(what))
    if what == "context":
        ctx.exit(4)
    if what == "text":
        sys.exit("a text about it")
    raise eval(what)

@cli.cmd(main)
def chain():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise OSError(5, "the drawer is stuck", "/drawer") from error

@cli.cmd(main)
def other_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    os.write(writing, b"x")

@cli.cmd(main)
@cli.arg("name")
def wait(name, lg):
    mq = NamedMessageQueue(name, handle_existence=Flags.RAISE_IF_EXISTS)
    lg.info("waiting")
    mq.receive()

@cli.cmd(main)
def at_the_end(lg):
    try:
        lg.info("waiting")
        threading.Event().wait()
    finally:
        print("tidied up")

@cli.cmd(main)
@cli.arg("how")
def flood(how, lg):
    while True:
        lg.info("more") if how == "log" else print("more")

@cli.cmd(main)
def log_once(lg):
    lg.info("a record")

if __name__ == "__main__":
    main()
'''


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path, PROGRAM)


@pytest.mark.parametrize(("what", "status"), [("0", 0), ("7", 7), ("context", 4), ("text", 1)])
def test_a_command_chooses_its_status(program: Program, what: str, status: int) -> None:
    done = program.run("end", what)
    assert (done.returncode, done.stdout) == (status, "before\n")
    assert done.stderr == ("a text about it\n" if what == "text" else "")


@pytest.mark.parametrize("kind", ["RuntimeError", "EOFError", "StopIteration", "BaseException"])
def test_an_exception(program: Program, kind: str) -> None:
    """Its traceback is shown as by the interpreter."""
    done = program.run("end", f"{kind}('a reason')")
    assert (done.returncode, done.stdout) == (1, "before\n")
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith(f"\n{kind}: a reason\n")


def test_an_error_of_the_system_is_a_line(program: Program) -> None:
    """The user can know what to do about it; where it comes from is shown with --verbose."""
    line = "OSError: [Errno 5] the drawer is stuck: '/drawer'\n"
    done = program.run("chain")
    assert (done.returncode, done.stderr) == (1, line)
    done = program.run("-v", "chain")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.endswith(line)


def test_a_missing_object_is_a_line_that_names_it(program: Program, name: str) -> None:
    with QUEUE.create(name):
        done = program.run("wait", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"FileExistsError: \[Errno 17\] .*'{name}'\n", done.stderr)


def test_ctrl_c(program: Program, name: str) -> None:
    """The wait for a message ends, and so does the queue; nothing is said about it."""
    with program.running("wait", name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "INFO wait: waiting\n"
        assert QUEUE.exists(name)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=WATCHDOG)
    assert (process.returncode, output, errors) == (130, "", "")
    assert not QUEUE.exists(name)


def test_ctrl_c_runs_what_is_due(program: Program) -> None:
    with program.running("at_the_end") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "INFO at_the_end: waiting\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=WATCHDOG)
    assert (process.returncode, output, errors) == (130, "tidied up\n", "")


def test_ctrl_c_on_a_terminal_ends_the_line(program: Program) -> None:
    """After ^C, which the terminal shows, the prompt of the shell is to have a line of its own."""
    status, screen = program.run_on_a_terminal("end", "KeyboardInterrupt()", columns=80)
    assert (status, screen) == (130, "before\n\n")


@pytest.mark.parametrize("how", ["log", "print"])
def test_nobody_reads_any_more(program: Program, how: str) -> None:
    """As in `prog flood | head -n 1`: it ends, without a word, and not well."""
    with program.running("flood", how) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("more\n")
        process.stdout.close()
        assert process.wait(WATCHDOG) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_nobody_reads_what_is_written_last(program: Program) -> None:
    """It is in the buffer until the end."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = program.run("end", "0", stdout=pipe)
        assert (done.returncode, done.stderr) == (1, "")
        done = program.run("log_once", stdout=pipe)
        assert (done.returncode, done.stderr) == (1, "")


def test_a_broken_pipe_of_its_own_is_told(program: Program) -> None:
    done = program.run("other_pipe")
    assert done.returncode == 1
    assert done.stderr == "BrokenPipeError: [Errno 32] Broken pipe\n"


@pytest.mark.parametrize("arguments", [["log_once"], ["end", "0"]], ids=" ".join)
def test_what_cannot_be_written_is_told(program: Program, arguments: list[str]) -> None:
    """A full disk, once: not by logging, nor again by the interpreter that shuts down."""
    with open("/dev/full", "wb") as full:
        done = program.run(*arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "OSError: [Errno 28] No space left on device\n"


def test_without_a_standard_output(program: Program) -> None:
    """As in `prog log_once >&-`."""
    done = program.run("log_once", stdout=None, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")
    done = program.run("end", "7", stdout=None, preexec_fn=lambda: os.close(1))
    assert done.returncode == 7


def test_called_as_a_function(tmp_path: Path) -> None:
    """What raises is raised, and what is returned comes back: the program goes on."""
    calls = Program(
        tmp_path,
        "from nob import cli\n"
        "@cli.cmd()\n"
        "@cli.arg('x')\n"
        "def inverse(x):\n"
        "    return 1 / int(x)\n"
        "assert inverse(['4'], standalone_mode=False) == 0.25\n"
        "try:\n"
        "    inverse(['0'], standalone_mode=False)\n"
        "except ZeroDivisionError:\n"
        "    print('went on')\n",
    )
    assert calls.shows() == "went on\n"


NO_GROUP = "the parent is to be a group, not"
NO_CALL = "a call only makes a coroutine or generator of it"


@pytest.mark.parametrize(
    ("misuse", "hint"),
    [
        ("@cli.cmd\ndef f(): ...", "needs its parentheses: @cli.grp(), @cli.cmd()"),
        ("@cli.grp\ndef f(): ...", "needs its parentheses: @cli.grp(), @cli.cmd()"),
        ("@cli.cmd()\ndef g(): ...\n@cli.cmd(g)\ndef f(): ...", NO_GROUP),
        ("@cli.cmd('main')\ndef f(): ...", NO_GROUP),
        ("@cli.cmd()\nasync def f(): ...", NO_CALL),
        ("@cli.cmd()\nasync def f(): yield", NO_CALL),
        ("@cli.grp()\ndef f(): yield", NO_CALL),
    ],
)
def test_misuse(misuse: str, hint: str) -> None:
    """It is told where it is written, not when the command is called."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"from nob import cli\n{misuse}"],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("TypeError: ")
    assert hint in last
