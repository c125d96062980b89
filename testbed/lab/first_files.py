"""The files that a virtual machine boots with: an archive that its kernel unpacks (initramfs)."""

import re
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.lab.job import SYSTEM_PATH, LabError

INIT = Path(__file__).with_name("first_init.sh")
PROGRAMS = ("sh", "insmod", "mount", "umount", "switch_root")
FOLDERS = ("dev", "proc", "programs", "root", "run", "sys")
LIBRARY = re.compile(r"(/\S+) \(0x")  # in ldd's lines


def archive(modules: Sequence[Path]) -> bytes:
    """Return an archive with the first program, what it calls, and modules in the order given.

    The programs are the host's own, with their libraries. LabError if one is missing.
    """
    files: dict[str, Path] = {"init": INIT}
    for name in PROGRAMS:
        path = shutil.which(name, path=SYSTEM_PATH)
        if path is None:
            msg = f"the vm lab needs the program {name}, which is not here"
            raise LabError(msg)
        files[f"bin/{name}"] = Path(path)
        files |= {library.lstrip("/"): Path(library) for library in _libraries(path)}
    for place, module in enumerate(modules):
        files[f"modules/{place:02}-{module.name}"] = module
    return pack({name: path.read_bytes() for name, path in files.items()}, FOLDERS)


def _libraries(program: str) -> list[str]:
    done = subprocess.run(("ldd", program), capture_output=True, text=True, check=False)
    return LIBRARY.findall(done.stdout)  # Nothing for a static program.


def pack(files: Mapping[str, bytes], folders: Sequence[str] = ()) -> bytes:
    """Return programs and empty folders as a cpio archive, in the form that Linux wants ("newc").

    What is needed of the folders above is added.
    """
    above = (str(parent) for name in (*files, *folders) for parent in Path(name).parents)
    entries = dict.fromkeys(sorted({*above, *folders} - {"."}), None) | dict(files)
    packed = b"".join(
        _entry(name, number, content) for number, (name, content) in enumerate(entries.items(), 1)
    )
    return packed + _entry("TRAILER!!!", 0, b"")


def _entry(name: str, number: int, content: bytes | None) -> bytes:
    """Return a file that may be executed, or a folder (None)."""
    mode = (stat.S_IFDIR if content is None else stat.S_IFREG) | 0o755
    size = len(content or b"")
    fields = (number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name) + 1, 0)
    header = f"070701{''.join(f'{field:08x}' for field in fields)}{name}\0".encode()
    return _padded(header) + _padded(content or b"")


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)
