"""Records: what they hide, and that they do not change."""

import importlib
import pkgutil

import pytest
from rich.pretty import pretty_repr

import agents
from agents.core.record import Record, Secret, replace, shown_fields


class Key(Record, frozen=True):
    number: int
    octets: Secret[bytes]
    former: Secret[bytes | None] = None


class NamedKey(Key, frozen=True):
    name: str = ""


def below(kind):
    for one in kind.__subclasses__():
        yield one
        yield from below(one)


def test_a_secret_is_not_shown_nor_where_it_is_inherited():
    for key in (Key(1, b"secret", b"secret"), NamedKey(1, b"secret", b"secret", "n")):
        assert "secret" not in repr(key)
        assert pretty_repr(key) == repr(key)
        assert repr(key).startswith(f"{type(key).__name__}(number=1")
    assert shown_fields(NamedKey) == ("number", "name")


def test_records_compare_by_all_their_fields():
    assert Key(1, b"a") == Key(1, b"a") != Key(1, b"b")
    assert replace(Key(1, b"a"), number=2) == Key(2, b"a")


def test_a_record_does_not_change():
    with pytest.raises(AttributeError):
        Key(1, b"a").number = 2


def test_every_field_whose_type_speaks_of_a_secret_is_hidden():
    for module in pkgutil.walk_packages(agents.__path__, "agents."):
        if not module.name.endswith(("__main__", ".main")):
            importlib.import_module(module.name)
    kinds = [kind for kind in below(Record) if kind.__module__.startswith("agents.")]
    assert len(kinds) > 200
    hidden = {
        name
        for kind in kinds
        for name, annotation in kind.__annotations__.items()
        if "Secret" in annotation and name not in shown_fields(kind)
    }
    spoken = {n for kind in kinds for n, a in kind.__annotations__.items() if "Secret" in a}
    assert hidden == spoken
    assert hidden >= {"msk", "emsk", "encryption_key", "psk", "eap_payload"}
