"""What a lab test needs, by the doctor's names; on a machine without it the test is skipped."""

import pytest

from testbed.lab.doctor import examine

_HERE = {finding.name for finding in examine() if finding.here}


def needs(*features: str) -> pytest.MarkDecorator:
    """Return the mark of tests that need root and these features."""
    missing = [name for name in ("root", *features) if name not in _HERE]
    return pytest.mark.skipif(bool(missing), reason=f"lacks {', '.join(missing)}")
