"""Documents from outside, TOML or JSON: read, and fitted to the types declared for them.

Whatever is wrong is told in plain words, with its place in the document and what is allowed there.
A type says that itself where it is hard to tell: `msgspec.Meta(description=...)`.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import digits
from typing import Any, BinaryIO, NoReturn, TypeVar

import msgspec
from msgspec import inspect

T = TypeVar("T")
_MOST = 64 << 20  # Octets of a file.
_SHOWN = 60
_COUNTED = 3  # Words of a row that are told by the first and the last.


class DocumentError(ValueError):
    """A document that cannot be used; the text says where and what is allowed."""


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; OSError for what is none: a FIFO would be waited for without end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def read(path: Path) -> str:
    """Return a file's text, without a byte order mark; raises DocumentError."""
    try:
        with open_file(path) as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}") from None
    if len(data) > _MOST:
        raise DocumentError(f"cannot be read: it is longer than {_MOST >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError(f"cannot be read: it is not UTF-8 (line {line})") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Return what a text in TOML says; raises DocumentError with the line."""
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and what else Python cannot make a number of.
        raise DocumentError(f"not TOML: {error}") from None
    except RecursionError:
        raise DocumentError("not TOML that can be used: it is nested too deeply") from None


def load(path: Path, kind: type[T]) -> T:
    """Read a file in TOML, or in JSON if its name ends so; raises DocumentError."""
    text = read(path)
    if path.suffix != ".json":
        return fit(parse_toml(text), kind)
    try:
        return fit(msgspec.json.decode(text), kind)
    except msgspec.DecodeError as error:
        raise DocumentError(f"not JSON: {error}") from None
    except RecursionError:
        raise DocumentError("not JSON that can be used: it is nested too deeply") from None


def fit(value: object, kind: type[T], place: str = "") -> T:
    """Return msgspec.convert(value, kind); DocumentError for what does not fit.

    `place` is where in the document the value stands.
    """
    try:
        fitted: T = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        _find(value, inspect.type_info(kind), place)
        _refuse(place, str(error))
    except RecursionError:
        _refuse(place, "it is nested too deeply")
    except UnicodeError:
        _refuse(place, "it has text that is not UTF-8")
    return fitted


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ', perhaps X' where a known word is much like this one, else nothing."""
    like = difflib.get_close_matches(word, list(known), 1)
    return f", perhaps {like[0]}" if like else ""


def absent(what: str, word: str, known: Iterable[str]) -> str:
    """Return that there is no such thing as `word`, which of the known ones it is like, and all."""
    words = list(known)
    return f"there is no {what}{nearest(word, words)}; use one of {listed(words)}"


def listed(words: Iterable[str]) -> str:
    """Return words in a row; of three and more that count on, the first and the last."""
    families: dict[tuple[str, bool], list[str]] = {}
    for word in words:
        name = word.rstrip(digits)
        families.setdefault((name, name == word), []).append(word)
    return ", ".join(_first_to_last(len(name), own) for (name, _), own in families.items())


def _first_to_last(length: int, family: Sequence[str]) -> str:
    if len(family) < _COUNTED:
        return ", ".join(family)
    numbers = {int(word[length:]): word for word in family}
    first, last = min(numbers), max(numbers)
    if last - first + 1 > len(numbers):
        return ", ".join(family)
    return f"{numbers[first]} to {numbers[last]}"


def shown(value: object) -> str:
    """Return a value as TOML has it, a long one cut."""
    match value:
        case None:
            return "nothing"
        case Mapping():
            return "a table"
        case list() | tuple():
            return "a list"
        case bool():
            return "true" if value else "false"
        case str():
            text = repr(value)
        case _:
            text = str(value) if not isinstance(value, int) or abs(value) < 10**_SHOWN else "it"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 20]}... ({len(str(value))} letters)"


def _refuse(place: str, problem: str) -> NoReturn:
    raise DocumentError(f"{place}: {problem}" if place else problem) from None


def _below(place: str, key: object) -> str:
    name = _name(key)
    return f"{place}.{name}" if place else name


def _name(key: object) -> str:
    """Return a key as TOML has it: quoted unless it is plain."""
    name = str(key)
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) else shown(name)


def _find(value: Any, kind: inspect.Type, place: str, allowed: str = "") -> None:
    """Raise DocumentError for the first thing in `value` that does not fit `kind`, if it is here.

    `allowed` is what the type says of itself.
    """
    match kind:
        case inspect.Metadata():
            said = (kind.extra_json_schema or {}).get("description", allowed)
            _find(value, kind.type, place, said)
        case inspect.UnionType():
            others = [t for t in kind.types if not isinstance(t, inspect.NoneType)]
            if isinstance(value, Mapping):
                others = [t for t in others if isinstance(t, inspect.StructType)] or others
            if value is not None and len(others) == 1:
                _find(value, others[0], place, allowed)
            elif value is not None and allowed and not any(_fits(value, t) for t in others):
                _refuse(place, f"{shown(value)} is not allowed; use {allowed}")
        case inspect.StructType():
            _find_in_struct(value, kind, place)
        case inspect.DictType():
            _find_in_table(value, kind, place)
        case inspect.ListType() | inspect.VarTupleType():
            if not isinstance(value, Sequence) or isinstance(value, str):
                _refuse(place, f"{shown(value)} is no list")
            for number, item in enumerate(value):
                _find(item, kind.item_type, f"{place}[{number}]")
            if len(value) < (kind.min_length or 0):
                _refuse(place, "the list is empty")
        case _:
            _find_in_value(value, kind, place, allowed)


def _find_in_struct(value: Any, kind: inspect.StructType, place: str) -> None:
    if not isinstance(value, Mapping):
        _refuse(place, f"{shown(value)} is no table")
    fields = {field.encode_name: field for field in kind.fields}
    top = place or "the file's top"
    if kind.forbid_unknown_fields:
        for key in value:
            if key not in fields and key != kind.tag_field:
                near, known = nearest(str(key), fields), ", ".join(fields)
                _refuse(top, f"unknown key {_name(key)}{near}; use one of {known}")
    missing = [name for name, f in fields.items() if f.required and name not in value]
    if missing:
        them, s = ("it", "") if len(missing) == 1 else ("them", "s")
        _refuse(top, f"missing key{s} {', '.join(missing)}; add {them}")
    for name, field in fields.items():
        if name in value:
            _find(value[name], field.type, _below(place, name))
    try:
        msgspec.convert(value, kind.cls)
    except msgspec.ValidationError as error:  # What the struct itself has to say.
        _refuse(place, str(error).partition(" - at `")[0])


def _find_in_table(value: Any, kind: inspect.DictType, place: str) -> None:
    if not isinstance(value, Mapping):
        _refuse(place, f"{shown(value)} is no table")
    for key, item in value.items():
        _find(key, kind.key_type, _below(place, key))
        _find(item, kind.value_type, _below(place, key))
    if len(value) < (kind.min_length or 0):
        _refuse(place, "the table is empty")


def _find_in_value(value: object, kind: inspect.Type, place: str, allowed: str) -> None:
    if isinstance(kind, inspect.LiteralType):
        if _fits(value, kind):
            return
        words = [str(one) for one in kind.values]
        near = nearest(value, words) if isinstance(value, str) else ""
        _refuse(place, f"{shown(value)} is not known{near}; use {_or(words)}")
    if not _fits(value, kind):
        _refuse(place, f"{shown(value)} is not allowed; use {allowed or _describe(kind)}")


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _fits(value: object, kind: inspect.Type) -> bool:
    match kind:
        case inspect.LiteralType():
            return value in kind.values and not isinstance(value, bool)
        case inspect.StructType():
            return isinstance(value, Mapping)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType() | inspect.FloatType():
            numbers = int if isinstance(kind, inspect.IntType) else (int, float)
            return (
                isinstance(value, numbers)
                and not isinstance(value, bool)
                and (kind.ge is None or value >= kind.ge)
                and (kind.gt is None or value > kind.gt)
                and (kind.le is None or value <= kind.le)
                and (kind.lt is None or value < kind.lt)
            )
        case inspect.StrType():
            return (
                isinstance(value, str)
                and len(value) >= (kind.min_length or 0)
                and (kind.max_length is None or len(value) <= kind.max_length)
                and (kind.pattern is None or re.search(kind.pattern, value) is not None)
            )
    return True


def _number(n: float) -> str:
    return str(n) if isinstance(n, int) else f"{n:.15g}"


def _describe(kind: inspect.Type) -> str:
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            word = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            limits = (
                ("from", kind.ge),
                ("above", kind.gt),
                ("to", kind.le),
                ("below", kind.lt),
            )
            return " ".join(
                [word, *(f"{name} {_number(n)}" for name, n in limits if n is not None)]
            )
        case inspect.StrType(max_length=int(most)):
            return f"a text of {kind.min_length or 0} to {most} letters"
        case inspect.StrType(min_length=int()):
            return "a text that is not empty"
    return "a text"
