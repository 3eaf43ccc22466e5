"""Which names are legal, and what becomes of them (contract 3.1)."""

import pytest
from support.checks import conformance
from support.kinds import (
    KINDS,
    LOCK,
    PERMITS,
    QUEUE,
    SEGMENT,
    SEMAPHORE,
    Kind,
    each_kind,
    removed,
    unique,
)

from nob.ipc import Flags, InvalidArgument

LONGEST = {
    "semaphore": 251,
    "segment": 255,
    "queue": 255,
    "lock": 246,
    "permits": 243,
    "channel": 243,
}

each_prefixed_kind = pytest.mark.parametrize(
    "prefixed", [kind for kind in KINDS if kind.prefix], ids=lambda kind: kind.word
)

BAD = [
    "",
    "/",
    "//",
    "/.",
    "/..",
    ".",
    "..",
    "/a/b",
    "//a",
    "a/",
    "/a/",
    "/../x",
    "../x",
    "./x",
    "a b",
    "a\n",
    "\t",
    "a\0",
    "\0",
    "a\0b",
    "a$",
    "a*",
    "a:b",
    "a~",
    "a\\b",
    "a\u200bb",
    "\U0001f642",
    "\udc80",
    "a%s",
]
NO_NAMES = [b"name", 1, 1.0, True, ["a"], object(), bytearray(b"name")]


@conformance("C1")
@each_kind
def test_the_leading_slash_is_optional(kind: Kind, name: str) -> None:
    """C1: "foo" and "/foo" are one object, whichever was used to create it."""
    with removed(name):
        with_slash = kind.create(name)
        without = kind.open(name[1:])
        kind.stamp(without)
        assert kind.is_stamped(with_slash)
        assert with_slash.name == without.name == name
        with pytest.raises(FileExistsError):
            kind.create(name[1:])
        kind.cls.unlink_name(name[1:])
        assert not kind.exists(name)
        assert kind.create(name[1:]).name == name


@conformance("C2", "C3", "C4", "C5", "C9")
@each_kind
@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_other_names_are_refused(kind: Kind, bad: str) -> None:
    """C2, C3, C4, C5, C9: also with create, and by unlink_name."""
    for flag in Flags:
        with pytest.raises(InvalidArgument):
            kind.create(bad, flag)
    with pytest.raises(InvalidArgument):
        kind.cls.unlink_name(bad)


@conformance("C5")
@each_kind
def test_no_name_escapes_the_directory(kind: Kind, name: str) -> None:
    """C5: nothing is created outside, with any flag."""
    for flag in (Flags.RAISE_IF_EXISTS, Flags.LINK_OR_CREATE, Flags.UNLINK_AND_CREATE):
        with pytest.raises(InvalidArgument):
            kind.create("/.." + name, flag)
    for other in KINDS:
        assert not other.exists(name)


@each_kind
@pytest.mark.parametrize("bad", NO_NAMES, ids=lambda bad: type(bad).__name__)
def test_a_name_is_a_str(kind: Kind, bad: object) -> None:
    with pytest.raises(InvalidArgument):
        kind.create(bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        kind.cls.unlink_name(bad)


@each_kind
@pytest.mark.parametrize("ending", ["a", "Z", "7", "-", "_", ".", "..", "é", "名前", "ß", "٣", "½"])
def test_letters_digits_and_three_signs_are_legal(kind: Kind, name: str, ending: str) -> None:
    """The alphabet of contract 3.1, of any script."""
    full = name + ending
    with removed(full):
        made = kind.create(full)
        assert made.name == full
        assert kind.exists(full)
        made.unlink()
        assert not kind.exists(full)


@each_kind
def test_names_may_begin_with_a_sign(kind: Kind, name: str) -> None:
    for sign in ("-", "_", ".", "..."):
        full = f"/{sign}{name[1:]}"
        with removed(full):
            assert kind.create(full).name == full


@conformance("C6", "C7")
@each_kind
def test_the_longest_name(kind: Kind, name: str) -> None:
    """C6, C7: it works for create, link and unlink; one byte more is refused and leaves nothing."""
    longest = name + "x" * (LONGEST[kind.word] + 1 - len(name))
    with removed(longest):
        made = kind.create(longest)
        linked = kind.open(longest)
        kind.stamp(linked)
        assert kind.is_stamped(made)
        kind.cls.unlink_name(longest)
        assert not kind.exists(longest)
    for flag in Flags:
        with pytest.raises(InvalidArgument):
            kind.create(longest + "x", flag)
    with pytest.raises(InvalidArgument):
        kind.cls.unlink_name(longest + "x")
    with pytest.raises(InvalidArgument):
        kind.create("/" + "x" * 5000)


@conformance("C8")
@each_kind
def test_length_counts_bytes(kind: Kind) -> None:
    """C8: 125 times "é" fits a semaphore, 126 times does not; a segment or a queue takes 127."""
    most = LONGEST[kind.word] // 2
    fits, too_long = ("/" + "é" * count for count in (most, most + 1))
    with removed(fits):
        made = kind.create(fits)
        assert kind.open(fits).name == made.name == fits
        made.unlink()
    with pytest.raises(InvalidArgument):
        kind.create(too_long)


@conformance("C12")
def test_the_kinds_do_not_share_names(name: str) -> None:
    """C12: one name, as many objects as kinds, each with its own life."""
    handles = [kind.create(name) for kind in KINDS]
    for kind, handle in zip(KINDS, handles, strict=True):
        kind.stamp(handle)
        assert all(other.exists(name) for other in KINDS)
        assert kind.is_stamped(handle)
    for number, handle in enumerate(handles):
        handle.unlink()
        assert [kind.exists(name) for kind in KINDS] == [
            index > number for index in range(len(KINDS))
        ]


@conformance("C12")
@each_prefixed_kind
def test_a_segment_is_not_where_others_live(prefixed: Kind, name: str) -> None:
    """C12: the segment "/sem.X" would be the file of the semaphore "/X"; and so on."""
    other = prefixed.create(name)
    for flag in Flags:
        with pytest.raises(InvalidArgument):
            SEGMENT.create(f"/{prefixed.prefix}{name[1:]}", flag)
    with pytest.raises(InvalidArgument):
        SEGMENT.cls.unlink_name(prefixed.prefix + name[1:])
    prefixed.use(other)
    assert prefixed.exists(name)


@each_prefixed_kind
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind is not SEGMENT], ids=lambda kind: kind.word
)
def test_only_segments_may_not_be_called_so(kind: Kind, prefixed: Kind, name: str) -> None:
    full = f"/{prefixed.prefix}{name[1:]}"
    with removed(full):
        assert kind.create(full).name == full


@each_kind
def test_none_makes_a_random_free_name(kind: Kind) -> None:
    """Contract 3.1: with RAISE_IF_EXISTS; the name can be handed on."""
    made = [kind.create(None) for _ in range(5)]
    names = {handle.name for handle in made}
    with removed(*names):
        assert len(names) == 5
        for handle in made:
            assert handle.name.startswith("/")
            assert not handle.linked_existing_object
            kind.stamp(handle)
            assert kind.is_stamped(kind.open(handle.name))
        del made, handle
        assert not any(kind.exists(name) for name in names)


@each_kind
@pytest.mark.parametrize(
    "flag",
    [flag for flag in Flags if flag is not Flags.RAISE_IF_EXISTS],
    ids=lambda flag: flag.name,
)
def test_none_is_no_name_otherwise(kind: Kind, flag: Flags) -> None:
    with pytest.raises(InvalidArgument):
        kind.create(None, flag)
    with pytest.raises(InvalidArgument):
        kind.cls.unlink_name(None)


@each_kind
def test_a_subclass_of_str_is_a_name(kind: Kind) -> None:
    class Text(str):
        __slots__ = ()

    name = Text(unique())
    with removed(name):
        assert kind.create(name).name == name


def test_a_bad_name_is_explained(name: str) -> None:
    """The text says what is wrong, and repeats the name in a readable form."""
    with pytest.raises(InvalidArgument, match=r"slash|/"):
        SEMAPHORE.create("/a/b")
    with pytest.raises(InvalidArgument, match="251"):
        SEMAPHORE.create("x" * 252)
    with pytest.raises(InvalidArgument, match="246"):
        LOCK.create("x" * 247)
    with pytest.raises(InvalidArgument, match="243"):
        PERMITS.create("x" * 244)
    with pytest.raises(InvalidArgument, match="255"):
        QUEUE.create("x" * 256)
    with pytest.raises(InvalidArgument) as caught:
        SEGMENT.create(name + "\n")
    assert "\n" not in str(caught.value)
