"""A folder as data: what travels between machines that share no files."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

Parcel = list[tuple[str, int, bytes | None]]
"""Of each file its path, mode and content; of each folder, before what is in it, no content."""


def pack(folder: Path) -> Parcel:
    """Return a folder with what is in it; of links and the like nothing is taken."""
    parcel: Parcel = []
    for path in (folder, *sorted(folder.rglob("*"))):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode & 0o777
        if path.is_symlink():
            continue
        if path.is_dir():
            parcel.append((name, mode, None))
        elif path.is_file():
            parcel.append((name, mode, path.read_bytes()))
    return parcel


def unpack(parcel: Parcel, folder: Path) -> None:
    """Make the folder that pack() has taken, under a name that is free; no link is followed.

    ValueError if something is to go elsewhere. Until all of it is there it is the user's alone.
    """
    for name, _, content in parcel:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{name!r} is not within the folder that was sent")
        path = folder / name
        if content is None:
            path.mkdir(mode=0o700)
        else:
            path.touch(mode=0o600, exist_ok=False)
            path.write_bytes(content)
    for name, mode, _ in reversed(parcel):
        (folder / name).chmod(mode)
