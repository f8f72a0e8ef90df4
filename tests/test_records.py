"""Frozen classes that are quick to define behave as the standard library's do."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import FrozenInstanceError, asdict, field, fields, replace

import pytest

from ranvier.records import dataclass


def _classes(decorator):
    """The same three classes, made with one decorator or the other."""

    @decorator(frozen=True)
    class Point:
        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list, compare=False)
        hidden: int = field(default=7, repr=False)

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("negative")

    @decorator(frozen=True)
    class Named(Point):
        name: str = "it"

        def __repr__(self) -> str:
            return self.name

    @decorator(frozen=True)
    class Nothing:
        """No fields."""

    @decorator(frozen=True)
    class One:
        value: object

    @decorator(frozen=True, eq=False)
    class Itself:
        value: int

    return Point, Named, Nothing, One, Itself


OURS, THEIRS = _classes(dataclass), _classes(dataclasses.dataclass)


@pytest.mark.parametrize("which", range(5))
def test_the_initializer_takes_what_the_librarys_takes(which):
    ours, theirs = (inspect.signature(made[which]) for made in (OURS, THEIRS))
    assert list(ours.parameters) == list(theirs.parameters)
    assert OURS[which].__match_args__ == THEIRS[which].__match_args__
    for name, theirs_ in theirs.parameters.items():
        if name != "tags":
            assert ours.parameters[name].default == theirs_.default


@pytest.mark.parametrize("arguments", [(), (1, 2, [], 4, 5, 6)])
def test_wrong_arguments_get_pythons_own_errors(arguments):
    with pytest.raises(TypeError) as ours:
        OURS[0](*arguments)
    with pytest.raises(TypeError) as theirs:
        THEIRS[0](*arguments)
    assert str(ours.value) == str(theirs.value)


def test_values_defaults_and_factories():
    point = OURS[0](1)
    assert (point.x, point.y, point.tags, point.hidden) == (1, 2, [], 7)
    assert point.tags is not OURS[0](1).tags
    with pytest.raises(ValueError, match="negative"):
        OURS[0](-1)


def test_nothing_changes_afterwards():
    point = OURS[0](1)
    with pytest.raises(FrozenInstanceError, match="x"):
        point.x = 3
    with pytest.raises(FrozenInstanceError, match="other"):
        point.other = 3
    with pytest.raises(FrozenInstanceError, match="x"):
        del point.x
    assert point.x == 1


def test_equality_and_hash_follow_the_fields():
    point, named, nothing, one, itself = OURS
    assert point(1, tags=["a"]) == point(1)
    assert hash(point(1, tags=["a"])) == hash(point(1))
    assert point(1) != point(2)
    assert point(1) != named(1)
    assert point(1) != (1, 2, 7)
    assert nothing() == nothing()
    assert hash(nothing()) == hash(nothing())
    assert one((1, 2)) == one((1, 2))
    assert one(1) != one(2)
    assert itself(1) != itself(1)
    assert len({itself(1), itself(1)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(one([]))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_text_is_the_librarys(which):
    arguments = (1,) if which < 2 else ()
    assert repr(OURS[which](*arguments)) == repr(THEIRS[which](*arguments))


def test_an_object_inside_itself_has_a_text():
    parts: list[object] = []
    whole = OURS[3](parts)
    parts.append(whole)
    assert repr(whole).endswith("One(value=[...])")


def test_the_librarys_functions_know_the_classes():
    point = OURS[0](1, 5)
    assert [f.name for f in fields(point)] == ["x", "y", "tags", "hidden"]
    assert replace(point, x=4) == OURS[0](4, 5)
    assert asdict(point) == {"x": 1, "y": 5, "tags": [], "hidden": 7}


def test_a_class_that_is_not_frozen_is_the_librarys():
    @dataclass
    class Open:
        x: int

    opened = Open(1)
    opened.x = 2
    assert opened == Open(2)


def test_classes_extend_each_other_only_if_both_are_frozen():
    @dataclass(frozen=True)
    class Base:
        x: int

    @dataclasses.dataclass(frozen=True)
    class Theirs(Base):
        y: int

    assert Theirs(1, 2) == Theirs(1, 2)
    with pytest.raises(FrozenInstanceError):
        Theirs(1, 2).y = 3

    @dataclass(frozen=True)
    class Ours(Theirs):
        z: int

    assert repr(Ours(1, 2, 3)).endswith("Ours(x=1, y=2, z=3)")
    with pytest.raises(TypeError, match="frozen"):

        @dataclass
        class Open(Base):
            y: int

    @dataclass
    class Free:
        x: int

    with pytest.raises(TypeError, match="Frozen is frozen"):

        @dataclass(frozen=True)
        class Frozen(Free):
            y: int


@pytest.mark.parametrize("option", [{"kw_only": True}, {"init": False, "default": 1}])
def test_what_the_initializer_cannot_take_is_refused(option):
    with pytest.raises(TypeError, match=r"Odd\.x: arguments of frozen classes have positions"):

        @dataclass(frozen=True)
        class Odd:
            x: int = field(**option)
