"""What the site needs beside docs/: the pages at the top of the repository, and what links name.

A link to a file that is no page leads to a page with its text, and one to a folder to a list of
what is in it, so that the site is whole by itself.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
TOP = {
    "README.md": "index.md",
    "CLAIMS.md": "claims.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "project-security.md",
}
"""What the pages at the top are called in the site."""

_FROM = {page: name for name, page in TOP.items()}
_SOURCE = "source"
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`|^ {4}[^\n]*$", re.M | re.S)
_LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "sh", ".md": "markdown", ".yml": "yaml"}
_NO_PAGES = "docs/joss/"
_HIDDEN = "---\nsearch:\n  exclude: true\n---\n\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the top, and those of all that the pages name."""
    for name, page in TOP.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    named: set[Path] = set()
    for file in files.documentation_pages():
        text = _CODE.sub("", file.content_string)
        named |= {_target(file.src_uri, link) for link, _ in _LINK.findall(text)}
    for target in sorted(named):
        if target.exists() and _page(target).startswith(f"{_SOURCE}/"):
            files.append(File.generated(config, _page(target), content=_text(target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let links lead to where things are in the site."""
    here = page.file.src_uri
    if here.startswith(f"{_SOURCE}/"):
        return markdown

    def moved(link: re.Match[str]) -> str:
        target = _target(here, link[1])
        if not target.exists():
            return link[0]  # Strict mode tells of it.
        return os.path.relpath(_page(target), PurePosixPath(here).parent) + (link[2] or "")

    kept: list[str] = []

    def keep(code: re.Match[str]) -> str:
        kept.append(code[0])
        return f"\0{len(kept) - 1}\0"

    plain = _LINK.sub(moved, _CODE.sub(keep, markdown))
    return re.sub(r"\0(\d+)\0", lambda found: kept[int(found[1])], plain)


def _target(page: str, link: str) -> Path:
    """Return what a link of a page names in the repository."""
    place = ROOT if page in _FROM else (ROOT / "docs" / page).parent
    return Path(os.path.normpath(place / link))


def _page(target: Path) -> str:
    """Return where something of the repository is in the site."""
    path = target.relative_to(ROOT).as_posix()
    if path in TOP:
        return TOP[path]
    if target.is_file() and path.startswith("docs/") and not path.startswith(_NO_PAGES):
        return path.removeprefix("docs/")
    return f"{_SOURCE}/{path}.md" if target.is_file() else f"{_SOURCE}/{path}/index.md"


def _text(target: Path) -> str:
    """Return the page of a file or folder."""
    name = target.relative_to(ROOT).as_posix()
    if target.is_dir():
        below = sorted(one.name + "/" * one.is_dir() for one in target.iterdir())
        shown = [one for one in below if not one.startswith((".", "__"))]
        return f"{_HIDDEN}# {name}/\n\n" + "\n".join(f"- `{one}`" for one in shown)
    language = _LANGUAGES.get(target.suffix, "text")
    text = target.read_text(encoding="utf-8")
    return f"{_HIDDEN}# {name}\n\n~~~~~~ {language}\n{text}\n~~~~~~\n"
