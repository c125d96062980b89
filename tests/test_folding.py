"""Case in names of ASCII."""

import pytest

from agents.folding import ascii_lower


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("AAA.Home.Test", "aaa.home.test"),
        ("\u212aelvin.test", "\u212aelvin.test"),  # Not "kelvin.test".
        ("\u0130\u00c4Z", "\u0130\u00c4z"),
        ("", ""),
    ],
)
def test_only_a_to_z_are_folded(text, folded):
    assert ascii_lower(text) == folded
