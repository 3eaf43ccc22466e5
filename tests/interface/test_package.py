"""What the package shows: its import, names, signatures and words (contract 1, 2)."""

import ast
import enum
import importlib.metadata
import importlib.util
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.checks import conformance
from support.kinds import KINDS, Kind, each_kind

import nob.ipc
from nob.ipc import Flags

POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
KEYWORD = inspect.Parameter.KEYWORD_ONLY
REQUIRED = inspect.Parameter.empty

CONSTRUCTORS = {
    "NamedSemaphore": [
        ("name", REQUIRED, POSITIONAL),
        ("initial_value", 1, POSITIONAL),
        ("handle_existence", ..., POSITIONAL),
        ("unlink_on_delete", None, POSITIONAL),
        ("mode", 0o600, KEYWORD),
        ("connection", None, KEYWORD),
    ],
    "NamedSharedMemory": [
        ("name", REQUIRED, POSITIONAL),
        ("size", 0, POSITIONAL),
        ("read_only", False, POSITIONAL),
        ("handle_existence", ..., POSITIONAL),
        ("unlink_on_delete", None, POSITIONAL),
        ("mode", 0o600, KEYWORD),
        ("reserve", True, KEYWORD),
        ("connection", None, KEYWORD),
    ],
    "NamedMessageQueue": [
        ("name", REQUIRED, POSITIONAL),
        ("max_messages", None, POSITIONAL),
        ("max_message_size", None, POSITIONAL),
        ("read", True, POSITIONAL),
        ("write", True, POSITIONAL),
        ("handle_existence", ..., POSITIONAL),
        ("unlink_on_delete", None, POSITIONAL),
        ("mode", 0o600, KEYWORD),
        ("connection", None, KEYWORD),
    ],
    "NamedChannel": [
        ("name", REQUIRED, POSITIONAL),
        ("max_messages", None, POSITIONAL),
        ("max_message_size", None, POSITIONAL),
        ("read", True, POSITIONAL),
        ("write", True, POSITIONAL),
        ("handle_existence", ..., POSITIONAL),
        ("unlink_on_delete", None, POSITIONAL),
        ("capacity", None, KEYWORD),
        ("priorities", 1, KEYWORD),
        ("mode", 0o600, KEYWORD),
        ("reserve", True, KEYWORD),
        ("connection", None, KEYWORD),
    ],
    "NamedLock": [
        ("name", REQUIRED, POSITIONAL),
        ("handle_existence", ..., POSITIONAL),
        ("unlink_on_delete", None, POSITIONAL),
        ("mode", 0o600, KEYWORD),
        ("lease", 10.0, KEYWORD),
        ("connection", None, KEYWORD),
    ],
    "NamedBoundedSemaphore": [
        ("name", REQUIRED, POSITIONAL),
        ("value", 1, POSITIONAL),
        ("handle_existence", ..., POSITIONAL),
        ("unlink_on_delete", None, POSITIONAL),
        ("mode", 0o600, KEYWORD),
        ("lease", 10.0, KEYWORD),
        ("connection", None, KEYWORD),
    ],
}
METHODS = {
    ("NamedSemaphore", "acquire"): [("blocking", True), ("timeout", None)],
    ("NamedSemaphore", "release"): [("n", 1)],
    ("NamedSharedMemory", "mmap"): [],
    ("NamedSharedMemory", "ndarray"): [("shape", REQUIRED), ("dtype", "float64"), ("offset", 0)],
    ("NamedSharedMemory", "resize"): [("size", REQUIRED)],
    ("NamedSharedMemory", "fileno"): [],
    ("NamedMessageQueue", "send"): [("message", REQUIRED), ("timeout", None), ("priority", 0)],
    ("NamedMessageQueue", "receive"): [("timeout", None)],
    ("NamedMessageQueue", "fileno"): [],
    ("NamedMessageQueue", "request_notification"): [("notification", None)],
    ("NamedChannel", "send"): [("message", REQUIRED), ("timeout", None), ("priority", 0)],
    ("NamedChannel", "receive"): [("timeout", None)],
    ("NamedChannel", "receive_into"): [("buffer", REQUIRED), ("timeout", None)],
    ("NamedChannel", "fileno"): [],
    ("NamedLock", "acquire"): [("blocking", True), ("timeout", None)],
    ("NamedLock", "release"): [],
    ("NamedLock", "acquire_async"): [("timeout", None)],
    ("NamedLock", "mark_repaired"): [],
    ("NamedLock", "locked"): [],
    ("NamedBoundedSemaphore", "acquire"): [("blocking", True), ("timeout", None)],
    ("NamedBoundedSemaphore", "release"): [],
    ("NamedBoundedSemaphore", "acquire_async"): [("timeout", None)],
}
COMMON = ["name", "linked_existing_object", "unlink_on_delete", "stale", "closed"]
ATTRIBUTES = {
    "NamedSemaphore": ["value", "linked_existing_semaphore"],
    "NamedSharedMemory": ["size", "fd", "read_only"],
    "NamedMessageQueue": [
        "current_messages",
        "max_messages",
        "max_message_size",
        "block",
        "mqd",
        "mdq",
    ],
    "NamedChannel": [
        "current_messages",
        "max_messages",
        "max_message_size",
        "capacity",
        "priorities",
        "block",
    ],
    "NamedLock": ["owner_died", "held", "owner", "fence"],
    "NamedBoundedSemaphore": ["value", "bound", "holders"],
}


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_the_import_is_light() -> None:
    """Contract 1: neither click nor rich, only enum and the native module."""
    more = modules_after("import nob.ipc") - modules_after("import enum")
    ours = {module for module in more if module.split(".")[0] == "nob"}
    assert more - ours - set(sys.builtin_module_names) == set()
    assert "nob.cli" not in more
    assert "nob.ipc._native" in more


def test_import_statements_lead_to_all_modules() -> None:
    """Programs that freeze applications follow them; native code imports without any."""
    assert nob.ipc.__file__ is not None
    folder = Path(nob.ipc.__file__).parent
    files = {f"nob.ipc.{file.stem}": file for file in folder.glob("*.py")}
    files["nob.ipc"] = files.pop("nob.ipc.__init__")
    found, new = set(), {"nob.ipc"}
    while new:
        module = new.pop()
        found.add(module)
        for node in ast.walk(ast.parse(files[module].read_text())):
            if isinstance(node, ast.Import):
                new.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                new.add(str(node.module))
        new = (new & files.keys()) - found
    assert found == files.keys()


def test_the_import_does_nothing() -> None:
    """No thread, no descriptor, no file."""
    code = """
import os
before = os.listdir("/proc/self/fd"), os.listdir("/dev/shm"), len(os.listdir("/proc/self/task"))
import nob.ipc
after = os.listdir("/proc/self/fd"), os.listdir("/dev/shm"), len(os.listdir("/proc/self/task"))
assert before[0] == after[0] and before[2] == after[2]
assert not {entry for entry in set(after[1]) - set(before[1]) if str(os.getpid()) in entry}
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_all() -> None:
    """Contract 2: the names, and no modules."""
    assert sorted(nob.ipc.__all__) == [
        "Connection",
        "Flags",
        "InvalidArgument",
        "LockLost",
        "Mapping",
        "NamedBoundedSemaphore",
        "NamedChannel",
        "NamedLock",
        "NamedMessageQueue",
        "NamedSemaphore",
        "NamedSharedMemory",
        "OutcomeUnknown",
        "ServerUnavailable",
        "StaleHandle",
        "Unconfirmed",
        "connect",
        "list_objects",
        "reap",
    ]
    for name in nob.ipc.__all__:
        assert not isinstance(getattr(nob.ipc, name), ModuleType)
    code = "from nob.ipc import *\nprint(*sorted(set(dir()) - {'__annotations__'}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    public = [name for name in done.stdout.split() if not name.startswith("__")]
    assert public == sorted(nob.ipc.__all__)


def test_the_package_is_typed_and_nob_is_shared() -> None:
    """A marker for type checkers; `nob` is a namespace that other distributions may use."""
    assert nob.ipc.__file__ is not None
    assert (Path(nob.ipc.__file__).parent / "py.typed").exists()
    namespace = importlib.util.find_spec("nob")
    assert namespace is not None
    assert namespace.origin is None


def test_the_extra_is_accepted() -> None:
    """Contract 1: `pip install 'nob.py[ipc]'`."""
    assert "ipc" in (importlib.metadata.metadata("nob.py").get_all("Provides-Extra") or [])


IMPORTED_AGAIN = """
import importlib, sys
import nob.ipc
def use(package):
    handle = package.NamedSharedMemory(None, 64, handle_existence=package.Flags.RAISE_IF_EXISTS)
    with handle.mmap() as memory:
        assert isinstance(memory, package.Mapping)
    try:
        package.NamedSharedMemory("", 64)
    except package.InvalidArgument:
        pass
    package.NamedSharedMemory(None, 64, handle_existence=nob.ipc.Flags.RAISE_IF_EXISTS)
use(nob.ipc)
for name in [name for name in sys.modules if name.startswith("nob")]:
    del sys.modules[name]
use(importlib.import_module("nob.ipc"))
"""


def test_a_second_import() -> None:
    """Flags, exceptions and mappings are those of the package that is imported last."""
    subprocess.run([sys.executable, "-c", IMPORTED_AGAIN], check=True, timeout=60)


def test_the_flags() -> None:
    assert issubclass(Flags, enum.Enum)
    assert [flag.name for flag in Flags] == [
        "RAISE_IF_EXISTS",
        "RAISE_IF_NOT_EXISTS",
        "LINK_OR_CREATE",
        "UNLINK_AND_CREATE",
    ]
    assert len({flag.value for flag in Flags}) == 4


@each_kind
def test_the_constructors(kind: Kind) -> None:
    """Contract 2: names, order, defaults and kinds of the arguments."""
    signature = inspect.signature(kind.cls)
    found = [(p.name, p.default, p.kind) for p in signature.parameters.values()]
    assert found == CONSTRUCTORS[kind.cls.__name__]


@pytest.mark.parametrize(("cls", "method"), METHODS, ids=".".join)
def test_the_methods(cls: str, method: str) -> None:
    signature = inspect.signature(getattr(getattr(nob.ipc, cls), method))
    found = [(p.name, p.default) for p in signature.parameters.values()]
    assert found == [("self", REQUIRED), *METHODS[cls, method]]
    assert all(p.kind is not KEYWORD for p in signature.parameters.values())


@each_kind
def test_what_all_kinds_have(kind: Kind) -> None:
    """Contract 2."""
    for method in ("close", "unlink", "unlink_name", "__del__", "__enter__", "__exit__"):
        assert callable(getattr(kind.cls, method))
    parameters = inspect.signature(kind.cls.unlink_name).parameters
    assert list(parameters) == ["name", "connection"]
    for attribute in [*COMMON, *ATTRIBUTES[kind.cls.__name__]]:
        assert inspect.isdatadescriptor(getattr(kind.cls, attribute)), attribute


@each_kind
def test_everything_public_says_what_it_is(kind: Kind) -> None:
    """Docstrings that help() shows, on classes, methods and attributes."""
    assert inspect.getdoc(kind.cls)
    for name in dir(kind.cls):
        if not name.startswith("_"):
            words = inspect.getdoc(getattr(kind.cls, name))
            assert words, f"{kind.cls.__name__}.{name} has no docstring"
            assert len(words.split()) >= 3, f"{kind.cls.__name__}.{name}: {words!r}"
    text = pydoc.plain(pydoc.render_doc(kind.cls))
    assert "handle_existence" in text
    for attribute in [*COMMON, *ATTRIBUTES[kind.cls.__name__]]:
        assert attribute in text


def test_the_package_says_what_it_is() -> None:
    for thing in (nob.ipc, Flags, nob.ipc.InvalidArgument, nob.ipc.Mapping):
        assert inspect.getdoc(thing)


@each_kind
def test_the_classes_are_where_they_seem_to_be(kind: Kind) -> None:
    """Native types, exposed as they are: nothing of them is Python; known by their public name."""
    assert kind.cls.__module__ == "nob.ipc"
    assert getattr(nob.ipc, kind.cls.__name__) is kind.cls
    for cls in kind.cls.__mro__:
        assert not [name for name, value in vars(cls).items() if inspect.isfunction(value)]


def test_handles_have_no_attributes_of_their_own(name: str) -> None:
    """A misspelled attribute is an AttributeError, as of native types."""
    for kind in KINDS:
        with pytest.raises(AttributeError):
            kind.create(name).unlink_on_delet = False
        with pytest.raises(AttributeError):
            _ = kind.create(name).handle


@conformance("C45")
def test_subinterpreters_are_refused_clearly() -> None:
    """C45: an ImportError, not a crash."""
    code = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import nob.ipc
script = '''
try:
    import nob.ipc
except ImportError as error:
    assert "interpreter" in str(error), error
else:
    raise SystemError("it was imported")
'''
outcome = interpreters.run_string(interpreters.create(), script)
assert outcome is None, outcome
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@conformance("C45")
def test_the_gil_is_relied_on() -> None:
    """C45: a build of Python without the lock does not load the module at all, or turns it on."""
    spec = importlib.util.find_spec("nob.ipc._native")
    assert spec is not None
    assert spec.origin is not None
    assert ".abi3." in spec.origin
    assert getattr(sys, "_is_gil_enabled", lambda: True)()
