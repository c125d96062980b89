"""The vm lab's kernel: one that is named, the host's own, or Debian's unpacked into a cache."""

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from testbed.lab.job import SYSTEM_PATH, LabError

NAMED = "MIP6LAB_KERNEL"
# What the first program needs to find the host's files, and what the lab's hosts are made of.
FIRST = ("virtio_pci", "9pnet_virtio", "9p", "virtio_console")
NEEDED = (
    *(*FIRST, "veth", "bridge", "sch_htb", "sch_netem", "sch_ingress", "cls_matchall", "act_gact"),
    *("xfrm_user", "esp6", "mip6", "ip6_tunnel"),
)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # Debian's names for machines
TOOLS = ("apt-get", "apt-cache", "dpkg-deb", "depmod")
# Of the package's 400 MB, 350 drive what no virtual machine has.
USELESS = ("sound", "drivers/[!vnc]*", "drivers/net/*/", "drivers/video")
MEGABYTES = 70  # of the download


@dataclass(frozen=True)
class Kernel:
    """A kernel's image and the folder of its modules, which has its release for a name."""

    image: Path
    modules: Path

    def lacks(self) -> list[str]:
        """Return the modules that the lab needs and this kernel has not."""
        return [name for name in NEEDED if name not in {*self._loadable, *self._built_in}]

    def files(self, names: Sequence[str]) -> list[Path]:
        """Return the files of modules and of what they depend on, in the order to load them."""
        wanted = [name for name in names if name in self._loadable]
        ordered = (path for name in wanted for path in reversed(self._loadable[name]))
        return [self.modules / path for path in dict.fromkeys(ordered)]

    @cached_property
    def _loadable(self) -> dict[str, list[str]]:
        """The paths of each module and of what it depends on."""
        listed = (line.replace(":", "").split() for line in self._lines("modules.dep"))
        return {_name(paths[0]): paths for paths in listed}

    @cached_property
    def _built_in(self) -> set[str]:
        return set(map(_name, self._lines("modules.builtin")))

    def _lines(self, listing: str) -> list[str]:
        try:
            return (self.modules / listing).read_text(encoding="utf-8").splitlines()
        except OSError:
            return []


def _name(path: str) -> str:
    return Path(path).name.partition(".")[0].replace("-", "_")


def cache() -> Path:
    """Return the folder of the caller's in which Debian's kernel is kept; LabError without any."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    parent = given if given.is_absolute() else Path(os.path.expanduser("~/.cache"))
    if not parent.is_absolute():
        msg = "the caller has no home to keep a kernel in; set XDG_CACHE_HOME"
        raise LabError(msg)
    return parent / "mip6lab" / "kernel"


def find() -> Kernel | None:
    """Return the first kernel at hand that has what is needed.

    LabError if the environment names one that has not.
    """
    if named := os.environ.get(NAMED):
        return _named(Path(named))
    release = platform.release()
    own = (Path("/boot", f"vmlinuz-{release}"), Path("/lib/modules", release, "vmlinuz"))
    kept = sorted(cache().glob("boot/vmlinuz-*"))
    for image in (*own, *kept):
        kernel = at(image)
        if kernel and not kernel.lacks():
            return kernel
    return None


def _named(image: Path) -> Kernel:
    kernel = at(image)
    if kernel is None:
        msg = (
            f"{NAMED}={image}: no kernel that can be read with its modules; they are looked for "
            "as beside /boot/vmlinuz-RELEASE in /lib/modules/RELEASE"
        )
        raise LabError(msg)
    if lacks := kernel.lacks():
        msg = f"{NAMED}={image}: its modules lack {', '.join(lacks)}"
        raise LabError(msg)
    return kernel


def at(image: Path) -> Kernel | None:
    """Return the kernel with this image, None if it or its modules cannot be read."""
    release = image.name.partition("-")[2]
    beside = image.parent.parent / "lib" / "modules" / release if release else image.parent
    readable = os.access(image, os.R_OK) and os.access(beside / "modules.dep", os.R_OK)
    return Kernel(image.absolute(), beside.absolute()) if readable else None


def cannot_fetch() -> str | None:
    """Return why Debian's kernel cannot be fetched, None if it is worth a try."""
    if platform.machine() not in ARCHITECTURES:
        return f"no Debian kernel is known for {platform.machine()}"
    missing = [tool for tool in TOOLS if shutil.which(tool, path=SYSTEM_PATH) is None]
    return f"it takes {', '.join(missing)} to fetch one" if missing else None


def fetch() -> Kernel:
    """Download and unpack Debian's kernel into the cache; nothing is installed.

    apt checks the signatures. LabError if that fails, or the kernel is not what it should be.
    """
    if why := cannot_fetch():
        msg = f"no kernel for the vm lab: {why}; name one by {NAMED}=/boot/vmlinuz-RELEASE"
        raise LabError(msg)
    place = cache()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = (
            f"{error.filename}: {error.strerror}; set XDG_CACHE_HOME to where a kernel may be kept"
        )
        raise LabError(msg) from None
    with _alone(place.parent):
        if kernel := find():
            return kernel  # Another has just fetched it.
        once = f"{MEGABYTES} MB, once"
        sys.stderr.write(f"lab: vm: fetching Debian's kernel ({once}) into {place}\n")
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="kernel-") as name:
            folder = Path(name)
            root = _unpack(_download(folder), folder)
            shutil.rmtree(place, ignore_errors=True)
            root.rename(place)
    kernel = find()
    if kernel is None:
        msg = f"Debian's kernel, unpacked into {place}, lacks what the vm lab needs"
        raise LabError(msg)
    return kernel


def _download(folder: Path) -> Path:
    """Return the newest kernel package of the architecture, by lists of its own."""
    architecture = ARCHITECTURES[platform.machine()]
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    own = (
        *("-o", f"Dir::State::Lists={folder / 'lists'}"),
        *("-o", f"Dir::Cache={folder / 'cache'}"),
        *("-o", "Acquire::Languages=none"),
        *("-o", "APT::Sandbox::User=root"),  # The folder is the caller's alone.
    )
    _run(folder, "apt-get", *own, "--quiet", "update")
    meta = f"linux-image-{architecture}"
    told = _run(folder, "apt-cache", *own, "show", "--no-all-versions", meta)
    depends = re.search(rf"^Depends:.*\b(linux-image-[\w.+-]+-{architecture})\b", told, re.M)
    if depends is None:
        msg = f"apt knows no kernel by the name {meta}; name one by {NAMED}=/boot/vmlinuz-RELEASE"
        raise LabError(msg)
    _run(folder, "apt-get", *own, "--quiet", "download", depends[1])
    return next(folder.glob("*.deb"))


def _unpack(package: Path, folder: Path) -> Path:
    """Return the folder with the kernel and those of its modules that may be of use."""
    root = folder / "root"
    _run(folder, "dpkg-deb", "--extract", str(package), str(root))
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")
    for release in root.glob("lib/modules/*"):
        for pattern in USELESS:
            for useless in release.glob(f"kernel/{pattern}"):
                shutil.rmtree(useless)
        _run(folder, "depmod", "--basedir", str(root), release.name)
    return root


def _run(folder: Path, *command: str) -> str:
    environment = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "HOME": str(folder)}
    for name, value in os.environ.items():
        if name.lower().endswith("_proxy"):
            environment[name] = value
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = "\n".join(f"    {line}" for line in done.stderr.strip().splitlines()[-3:])
        msg = f"cannot fetch Debian's kernel; {' '.join(command[:1])} says:\n{said}"
        raise LabError(msg)
    return done.stdout


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches a kernel."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
