"""The vm lab: a distribution's own kernel in a virtual machine (QEMU), on the host's files."""

import os
import platform
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from testbed.base.places import PROJECT, how_to_install
from testbed.lab import host, vm_kernel
from testbed.lab.first_files import archive
from testbed.lab.guest import Boot, GuestLab
from testbed.lab.job import SYSTEM_PATH, LabError
from testbed.lab.vm_kernel import Kernel

KVM = Path("/dev/kvm")
MOST_CPUS = 8
FILES = "trans=virtio,version=9p2000.L,msize=512000"
UP = "mip6lab: up"  # as first_init.sh says it
PROOF_TIME = 10.0  # s to boot in; it takes one or two where KVM works
LEVEL = "tests"  # of the set-up that has QEMU


@dataclass(frozen=True, slots=True)
class Machine:
    """QEMU for a processor: its program and Debian's package, a machine and its serial line.

    `own` is said of the machine if the processor is the host's own; `emulated` is the model that
    emulation is fastest with, and `words` are for its kernel.
    """

    program: str
    package: str
    kind: str
    serial: str
    emulated: str
    own: str = ""
    words: str = ""


MACHINES = {
    # On newer models memory is filled by an instruction that QEMU carries out octet by octet, which
    # takes ten times as long. What the kernel does against the leaks of real processors is of no
    # use, and the clocks that it may take instead of the TSC are slow.
    "x86_64": Machine(
        *("qemu-system-x86_64", "qemu-system-x86", "q35", "ttyS0"),
        emulated="Westmere",
        words="mitigations=off tsc=reliable",
    ),
    "aarch64": Machine(
        *("qemu-system-aarch64", "qemu-system-arm", "virt", "ttyAMA0"),
        emulated="max,pauth-impdef=on",
        own=",gic-version=host",
    ),
}


class VmLab(GuestLab):
    """Hosts on a virtual machine. Needs no rights; with the right to use KVM it is fast."""

    name = "vm"
    what = "the virtual machine"
    console = "/dev/hvc0"

    def __init__(self, kernel: Kernel, *, emulated: bool, at_once: int = 1) -> None:
        """`emulated`: the processor is; else KVM lends the machine's own.

        CPUs and memory are shared out among `at_once` machines, before the first is started.
        """
        self.emulated = emulated
        self._kernel = kernel
        self._cpus = max(1, min(len(os.sched_getaffinity(0)) // at_once, MOST_CPUS))
        self._memory = host.memory_size(at_once)

    def modules(self) -> Path:
        """Return where the kernel's modules are."""
        return self._kernel.modules.parent

    def boot(self, boot: Boot, held: ExitStack) -> subprocess.Popen[bytes]:
        """Start QEMU, in which the first program goes on with the job's."""
        (boot.folder / "programs").write_text("".join(f"{path}\n" for path in programs()))
        words = f"job={boot.folder} files={FILES}"
        command = qemu(self._kernel, boot.folder, words, emulated=self.emulated)
        command += ("-smp", str(self._cpus), "-m", f"{self._memory >> 20}M")
        stdin, stdout = subprocess.DEVNULL, None
        if boot.terminal is not None:
            stdin, stdout = boot.terminal
            command += [
                *("-chardev", "stdio,id=terminal,signal=off"),
                *("-device", "virtio-serial-pci", "-device", "virtconsole,chardev=terminal"),
            ]
        return host.spawn(
            command, boot.folder, held, messages=boot.messages, stdin=stdin, stdout=stdout
        )


def programs() -> list[Path]:
    """Return the folders of the host that only hold programs: nothing in them changes meanwhile."""
    own = (PROJECT / name for name in ("agents", "testbed", "topologies"))
    named = (Path("/usr"), Path(sys.base_prefix), Path(sys.prefix), *own)
    found: list[Path] = []
    for folder in (path.resolve() for path in named):
        if folder.is_dir() and not any(folder.is_relative_to(each) for each in found):
            found.append(folder)
    return found


def machine() -> Machine:
    """Return what QEMU needs to run this processor's programs; LabError if it is not known."""
    known = MACHINES.get(platform.machine())
    if known is None:
        msg = f"the vm lab knows {' and '.join(MACHINES)}, and not {platform.machine()}"
        raise LabError(msg)
    return known


def program() -> str:
    """Return the path of QEMU."""
    this = machine()
    path = shutil.which(this.program, path=SYSTEM_PATH)
    if path is None:
        msg = f"QEMU is not installed; {how_to_install(this.package, level=LEVEL)}"
        raise LabError(msg)
    return path


def qemu(kernel: Kernel, folder: Path, words: str, *, emulated: bool) -> list[str]:
    """Return the command that boots a kernel; what it says goes to standard error.

    The files that it boots with are written into the folder. `words` are for its command line.
    """
    this = machine()
    first = folder / "first-files"
    first.write_bytes(archive(kernel.files(vm_kernel.FIRST)))
    kind, accelerator, cpu = f"{this.kind}{this.own}", "kvm", "host"
    if emulated:
        kind, accelerator, cpu = this.kind, "tcg,thread=multi", this.emulated
        words = f"{this.words} {words}"
    shared = "local,path=/,security_model=none,multidevs=remap"
    return [
        *(program(), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-machine", kind, "-accel", accelerator, "-cpu", cpu),
        *("-kernel", str(kernel.image), "-initrd", str(first)),
        *("-append", f"console={this.serial} panic=-1 {words}".strip()),
        *("-chardev", "file,id=messages,path=/dev/stderr,append=on", "-serial", "chardev:messages"),
        *("-fsdev", f"{shared},id=files", "-device", "virtio-9p-pci,fsdev=files,mount_tag=files"),
        *("-fsdev", f"{shared},id=programs,readonly=on"),
        *("-device", "virtio-9p-pci,fsdev=programs,mount_tag=programs"),
    ]


@cache
def lacks_kvm(kernel: Kernel | None = None) -> str | None:
    """Return why the processor has to be emulated, None if KVM lends the machine's own.

    The device alone says little: a machine is started, with a kernel if there is one at hand.
    """
    if not KVM.exists():
        return f"no {KVM}"
    if not os.access(KVM, os.R_OK | os.W_OK):
        return f"no right to use {KVM}; ask for the group of its owner"
    if kernel is None:
        return "not tried: there is no kernel for it before the vm lab's first use"
    with ExitStack() as held:
        folder = held.enter_context(host.job_folder())
        command = [*qemu(kernel, folder, "", emulated=False), "-m", "512M"]
        with (folder / "console").open("wb") as stream:
            process = host.spawn(command, folder, held, messages=stream.fileno())
        try:
            process.wait(PROOF_TIME)
        except subprocess.TimeoutExpired:
            host.end(process)
            return f"{KVM} is there, but nothing boots by it within {PROOF_TIME:g} s"
        said = (folder / "console").read_text(encoding="utf-8", errors="replace")
    if UP in said:
        return None
    first = next(iter(said.splitlines()), f"QEMU ended with status {process.returncode}")
    return f"{KVM} is there, but nothing boots by it: {first}"
