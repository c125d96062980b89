"""The templates of pages, and what pages may do: run their own script, and load nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from testbed.base.files import FORMAT

_WEB = Path(__file__).with_name("web")
_STYLE = "page.css"


def document(name: str, scripts: Sequence[str] = ("dom.js", "table.js"), **content: object) -> str:
    """Return a page by its template; all text in `content` is escaped. `scripts` go into it."""
    script = "\n".join(_asset(one) for one in scripts)
    return (
        _environment()
        .get_template(name)
        .render(
            format=FORMAT,
            policy=_policy(script),
            css=Markup(_asset(_STYLE)),  # noqa: S704  # Both are files of this package.
            script=Markup(script),  # noqa: S704
            **content,
        )
    )


@cache
def _environment() -> Environment:
    loader = PackageLoader("testbed.report", "web")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


@cache
def _asset(name: str) -> str:
    return (_WEB / name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Return a policy by which only this script runs, and files beside the page."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';"
        f" form-action 'none'; script-src 'sha256-{digest}' 'self' file:"
    )
