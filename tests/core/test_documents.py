"""Documents: what is read, and what is said of those that cannot be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.documents import DocumentError, fit, listed, load, parse_toml, read


class Wheel(msgspec.Struct, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=10, le=30)]
    brand: Annotated[str, msgspec.Meta(min_length=1)] = "none"

    def __post_init__(self) -> None:
        if self.size == 13:
            raise ValueError("13 brings bad luck")


class Car(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(pattern="^[a-z]+$", description="small letters")]
    colour: Literal["red", "green", "blue"] = "red"
    doors: Literal[2, 4] | None = None
    weight: Annotated[float, msgspec.Meta(gt=0, lt=9000)] = 900
    new: bool = False
    wheels: list[Wheel] = []
    spares: dict[Annotated[str, msgspec.Meta(max_length=5)], Wheel] = {}


def test_what_fits_is_returned():
    car = fit(parse_toml('name = "kitt"\nwheels = [{size = 15}]\nspares.left.size = 14'), Car)

    assert car == Car("kitt", wheels=[Wheel(15)], spares={"left": Wheel(14)})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the file's top: missing key name; add it"),
        ('name = "x"\ncolor = "red"', "the file's top: unknown key color, perhaps colour; use one"),
        ('name = "x"\n"a\\u001bb" = 1', r"unknown key 'a\x1bb'; use one of name, colour, doors"),
        ('name = "X"', "name: 'X' is not allowed; use small letters"),
        ("name = 1979-05-27", "name: 1979-05-27 is not allowed; use small letters"),
        (
            'name = "x"\ncolour = "greem"',
            "colour: 'greem' is not known, perhaps green; use blue, green or red",
        ),
        ('name = "x"\ndoors = 3', "doors: 3 is not known; use 2 or 4"),
        ('name = "x"\ndoors = true', "doors: true is not known; use 2 or 4"),
        ('name = "x"\nweight = inf', "weight: inf is not allowed; use a number above 0 below 9000"),
        ('name = "x"\nweight = nan', "weight: nan is not allowed"),
        ('name = "x"\nweight = true', "weight: true is not allowed"),
        ('name = "x"\nnew = 1', "new: 1 is not allowed; use true or false"),
        ('name = "x"\nwheels = 4', "wheels: 4 is no list"),
        ('name = "x"\nwheels = [{size = 15}, {size = 9}]', "wheels[1].size: 9 is not allowed; use"),
        ('name = "x"\nwheels = [[]]', "wheels[0]: a list is no table"),
        ('name = "x"\nspares.left = {size = 14, brand = ""}', "spares.left.brand: '' is not all"),
        ('name = "x"\nspares.left = {size = 13}', "spares.left: 13 brings bad luck"),
        ('name = "x"\nspares.backward = {size = 14}', "spares.backward: 'backward' is not allowed"),
        ('name = "x"\nspares = "none"', "spares: 'none' is no table"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place_and_what_is_allowed(text, complaint):
    with pytest.raises(DocumentError) as raised:
        fit(parse_toml(text), Car)
    assert complaint in str(raised.value)


@pytest.mark.parametrize("value", [{"name": "x", "colour": "\udcff"}, {"\udcff": 1}])
def test_text_that_is_not_utf_8_is_refused(value):
    with pytest.raises(DocumentError, match="not UTF-8"):
        fit(value, Car)


WITHOUT_DOLLAR = st.characters(exclude_characters="$")
"""It would be taken for msgspec's own way of naming a place."""

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(WITHOUT_DOLLAR, max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(WITHOUT_DOLLAR, max_size=9), inner)
    ),
)
KEYS = [*Car.__struct_fields__, *Wheel.__struct_fields__]


@given(
    st.dictionaries(st.sampled_from(KEYS) | st.text(WITHOUT_DOLLAR, max_size=3), PLAIN, max_size=4)
)
def test_whatever_is_wrong_is_found_where_the_type_says_so(value):
    try:
        msgspec.convert(value, Car)
    except (msgspec.ValidationError, UnicodeError):
        with pytest.raises(DocumentError) as raised:
            fit(value, Car)
        assert "Expected" not in str(raised.value)
        assert "$" not in str(raised.value)
    else:
        fit(value, Car)


def file(folder: Path, data: bytes, name: str = "car.toml") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_a_byte_order_mark_is_none_of_the_text(tmp_path):
    assert load(file(tmp_path, b'\xef\xbb\xbfname = "kitt"'), Car) == Car("kitt")
    assert load(file(tmp_path, b'\xef\xbb\xbf{"name": "kitt"}', "car.json"), Car) == Car("kitt")


def test_what_is_no_text_is_refused(tmp_path):
    with pytest.raises(DocumentError, match=r"it is not UTF-8 \(line 2\)"):
        read(file(tmp_path, 'name = "kitt"\n# höher'.encode("latin-1")))
    with pytest.raises(DocumentError, match="it is not UTF-8"):
        read(file(tmp_path, 'name = "kitt"'.encode("utf-16")))
    with pytest.raises(DocumentError, match="Is a directory"):
        read(tmp_path)
    with pytest.raises(DocumentError, match="No such file"):
        read(tmp_path / "none.toml")
    with pytest.raises(DocumentError, match="it is no regular file"):
        read(Path("/dev/zero"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DocumentError, match="it is no regular file"):
        read(tmp_path / "fifo")
    with (tmp_path / "long").open("wb") as long:
        long.truncate((64 << 20) + 1)
    with pytest.raises(DocumentError, match="longer than 64 MiB"):
        read(tmp_path / "long")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('name = "kitt"\nsize 15', r"not TOML: .*line 2"),
        ("[" * 5000, "not TOML"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("a = 1" + "0" * 5000, "not TOML"),
        ("a = 2020-13-45", "not TOML: .*line 1"),
        ("a = 1\na = 2\nb = 3", "not TOML: .*line 2"),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line(text, complaint):
    with pytest.raises(DocumentError, match=complaint):
        parse_toml(text)


def test_what_is_no_json_is_refused(tmp_path):
    with pytest.raises(DocumentError, match="not JSON"):
        load(file(tmp_path, b'{"name": Infinity}', "car.json"), Car)


@pytest.mark.parametrize(
    ("words", "row"),
    [
        (["MN0001", "MN0002", "MN0003"], "MN0001 to MN0003"),
        (["a", "a1", "a10", *(f"a{n}" for n in range(2, 10)), "b"], "a, a1 to a10, b"),
        (["ikev1", "ikev2", "sha1", "sha256", "sha512"], "ikev1, ikev2, sha1, sha256, sha512"),
        ([], ""),
    ],
)
def test_of_words_that_count_on_the_first_and_the_last_are_listed(words, row):
    assert listed(words) == row
