"""What this machine has of what a lab needs, found out by trying."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.base.places import how_to_install
from testbed.lab import host, uml_host, vm, vm_kernel
from testbed.lab.job import SYSTEM_PATH, LabError
from testbed.lab.native import isolated

PROBE = Path(__file__).with_name("probe.sh")
PROBE_TIME = 20.0  # s; it takes a tenth of one
KERNEL = "use a kernel with this feature, or the uml or the vm lab"


@dataclass(frozen=True)
class Feature:
    """Something that a lab needs, and what for."""

    name: str
    purpose: str
    kind: str  # right, kernel or tool
    labs: tuple[str, ...] = ("native", "uml", "vm")
    always: bool = True  # False: a lab can do without.
    level: str = ""  # Of the set-up that brings it.


@dataclass(frozen=True)
class Finding:
    """Whether a feature is here; `here` is None if that cannot be told without root."""

    name: str
    kind: str
    purpose: str
    labs: tuple[str, ...]
    here: bool | None
    how: str
    remedy: str

    def as_json(self) -> dict[str, object]:
        """Return plain data, as `doctor --json` prints it."""
        return asdict(self)


NATIVE, UML, VM = ("native",), ("uml",), ("vm",)
REAL = frozenset(("native", "uml", "vm"))
"""The labs that need something; the sim lab does not."""

FEATURES = {
    feature.name: feature
    for feature in (
        Feature("root", "make namespaces and interfaces", "right", NATIVE),
        Feature("namespaces", "keep a run apart: network, mounts, processes", "kernel", NATIVE),
        Feature("veth", "links between hosts", "kernel", NATIVE),
        Feature("sch_htb", "the rate of a link", "kernel", NATIVE),
        Feature("sch_netem", "delay and loss of a link", "kernel", NATIVE),
        Feature("xfrm_user", "security policies and associations", "kernel", NATIVE),
        Feature("esp6", "the binding update under ESP", "kernel", NATIVE),
        Feature("mip6", "home address option, type 2 routing header", "kernel", NATIVE),
        Feature("ip6_tunnel", "the tunnel to the home agent", "kernel", NATIVE),
        Feature("rpfilter", "what a home agent takes from a tunnel", "kernel", NATIVE),
        Feature(
            "policy_routing",
            "the enforcement point; what is sent from the home address",
            "kernel",
            NATIVE,
        ),
        Feature(
            "cls_flower",
            "counters of accounting on access links; controlled ports of IEEE 802.1X",
            "kernel",
            NATIVE,
            always=False,
        ),
        Feature("bridge", "links with more than two hosts", "kernel", NATIVE, always=False),
        Feature("cgroup_cpu", "slower processors (cgroup v2)", "kernel", NATIVE, always=False),
        Feature("mnexec", "Mininet's prompt", "tool"),
        Feature("ip", "a lab's set-up, and at Mininet's prompt", "tool"),
        Feature("tc", "to see what shapes a link", "tool"),
        Feature("ip6tables", "what a home agent takes from a tunnel", "tool"),
        Feature("radvd", "the access router's advertisements", "tool"),
        Feature("kea-dhcp6", "the approach dhcpv6-ikev2", "tool", always=False, level="approaches"),
        Feature("nsd", "the approach dns-ikev2", "tool", always=False, level="approaches"),
        Feature(
            "charon-systemd",
            "strongSwan in the roles of IKE",
            "tool",
            always=False,
            level="daemons",
        ),
        Feature(
            "freeradius",
            "FreeRADIUS as the EAP server",
            "tool",
            always=False,
            level="daemons",
        ),
        *(
            Feature(name, "access by IEEE 802.1X", "tool", always=False, level="approaches")
            for name in ("hostapd", "wpa_supplicant")
        ),
        Feature(
            "freeDiameterd",
            "freeDiameter as the relay between access routers and the home AAA server",
            "tool",
            always=False,
            level="daemons",
        ),
        Feature("iperf3", "the throughput of paths", "tool", always=False, level="approaches"),
        Feature("ping", "for use at Mininet's prompt", "tool"),
        Feature("linux.uml", "the uml lab's kernel", "tool", UML),
        Feature("modprobe", "modules of a lab's own kernel", "tool", (*UML, *VM)),
        Feature("uml_memory", "room for the uml lab's memory", "right", UML),
        Feature("uml_files", "files that the uml lab's hosts have open", "right", UML),
        Feature("uml_cpu", "the uml lab on a CPU with AMX: a C compiler", "tool", UML),
        Feature("qemu", "the vm lab's machine", "tool", VM),
        Feature("vm_kernel", "the vm lab's kernel", "right", VM),
        Feature("kvm", "the speed of the vm lab", "right", VM, always=False),
    )
}
PACKAGES = {
    "mnexec": "mininet",
    "ip": "iproute2",
    "tc": "iproute2",
    "ip6tables": "iptables",
    "radvd": "radvd",
    "kea-dhcp6": "kea-dhcp6-server",
    "nsd": "nsd",
    "charon-systemd": "charon-systemd",
    "freeradius": "freeradius",
    "freeDiameterd": "freediameterd",
    "hostapd": "hostapd",
    "wpa_supplicant": "wpasupplicant",
    "iperf3": "iperf3",
    "ping": "iputils-ping",
    "linux.uml": "user-mode-linux",
    "modprobe": "kmod",
    "uml_cpu": "tcc",
    "qemu": "qemu-system-arm" if platform.machine() == "aarch64" else "qemu-system-x86",
}

OTHERS = "an approach or a daemon of another package"
"""What programs are for that are no features."""


def examine(names: Iterable[str] | None = None) -> list[Finding]:
    """Return a finding for each feature, or for those named."""
    asked = set(FEATURES if names is None else names)
    wanted = [name for name in FEATURES if name in asked]
    kernel = _probe() if any(FEATURES[name].kind == "kernel" for name in wanted) else {}
    return [_find(FEATURES[name], kernel) for name in wanted]


def lacking(lab: str, needs: Iterable[str]) -> list[Finding]:
    """Return what a lab would lack for an experiment that needs these features.

    What is no feature is a program that an approach or a daemon of another package needs.
    """
    needs = set(needs)
    others = [_find(Feature(n, OTHERS, "tool"), {}) for n in sorted(needs - FEATURES.keys())]
    needs &= FEATURES.keys()
    wanted = {"namespaces", *needs} if lab == "native" else {*needs}
    wanted = {name for name in wanted if lab == "native" or FEATURES[name].kind != "kernel"}
    wanted |= {name for name, f in FEATURES.items() if f.kind != "kernel" and f.always}
    findings = examine(name for name in wanted if lab in FEATURES[name].labs)
    # Without root, the kernel's features are unknown; what lacks is root.
    return [finding for finding in (*findings, *others) if finding.here is False]


def _find(feature: Feature, kernel: dict[str, str]) -> Finding:
    here: bool | None
    match feature.name:
        case "root":
            here, how = os.geteuid() == 0, f"user {os.geteuid()}"
            remedy = "use sudo; the uml lab needs no root"
        case "uml_memory":
            here, how = _room()
            remedy = "set TMPDIR to a folder with room that is not mounted noexec"
        case "uml_files":
            most = host.open_files()
            here, how = most >= host.LEAST_FILES, f"{most} at most"
            remedy = f"allow {host.LEAST_FILES} open files: ulimit -n, limits.conf(5)"
        case "uml_cpu":
            here, how = _compiler()
            remedy = how_to_install(PACKAGES["uml_cpu"])
        case "qemu":
            here, how = _told(vm.program)
            how = how.partition(";")[0]  # What to do about it is said once.
            remedy = how_to_install(PACKAGES["qemu"], level=vm.LEVEL)
        case "vm_kernel":
            here, how = _virtual_kernel()
            remedy = f"install apt, dpkg and kmod, or name one: {vm_kernel.NAMED}=/boot/vmlinuz-..."
        case "kvm":
            here, how = _accelerated()
            remedy = f"{how}; without KVM the processor is emulated"
        case name if feature.kind == "kernel":
            here, how = _kernel_feature(name, kernel)
            remedy = "use sudo to try it, or the uml lab" if here is None else KERNEL
        case name:
            path = shutil.which(name, path=SYSTEM_PATH)
            here, how = path is not None, path or "not found"
            remedy = f"install the program {name}"
            if name in PACKAGES:
                remedy = how_to_install(PACKAGES[name], level=feature.level)
    return Finding(
        name=feature.name,
        kind=feature.kind,
        purpose=feature.purpose,
        labs=feature.labs,
        here=here,
        how=how,
        remedy="" if here else remedy,
    )


def _probe() -> dict[str, str]:
    """Return what trying said a feature; empty if it cannot be tried."""
    if os.geteuid() != 0:
        return {}
    environment = {"PATH": SYSTEM_PATH, "LANG": "C"}
    try:
        tried = subprocess.run(
            isolated(("/bin/sh", str(PROBE))),
            env=environment,
            capture_output=True,
            text=True,
            timeout=PROBE_TIME,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"namespaces": f"no {error}"}
    if tried.returncode != 0:
        return {"namespaces": f"no {tried.stderr.strip()}"}
    lines = (line.partition(" ") for line in tried.stdout.splitlines())
    return {"namespaces": "yes"} | {name: said for name, _, said in lines}


def _kernel_feature(name: str, kernel: dict[str, str]) -> tuple[bool | None, str]:
    if name in kernel:
        word, _, reason = kernel[name].partition(" ")
        return word == "yes", "tried" if word == "yes" else f"tried: {reason}"
    if kernel:
        return None, "not tried: that needs namespaces"
    modules = Path("/lib/modules", platform.release())
    for listing in ("modules.builtin", "modules.dep"):
        with_name = f"/{name}.ko"
        try:
            if with_name in (modules / listing).read_text(encoding="utf-8"):
                return None, f"listed in {modules / listing}, not tried: that needs root"
        except OSError:
            continue
    return None, "not tried: that needs root"


def _room() -> tuple[bool, str]:
    try:
        size, folder = uml_host.memory()
    except LabError as error:
        return False, str(error)
    return True, f"{size >> 20} MiB in {folder}"


def _told(find: Callable[[], object]) -> tuple[bool, str]:
    try:
        return True, str(find())
    except LabError as error:
        return False, str(error)


def _virtual_kernel() -> tuple[bool, str]:
    try:
        kernel = vm_kernel.find()
    except LabError as error:
        return False, str(error)
    if kernel:
        return True, str(kernel.image)
    lacks = vm_kernel.cannot_fetch()
    return lacks is None, lacks or f"none yet: {vm_kernel.MEGABYTES} MB to be fetched at first use"


def _accelerated() -> tuple[bool, str]:
    try:
        vm.program()
    except LabError:
        return False, "not tried: that needs QEMU"
    try:
        why_not = vm.lacks_kvm(vm_kernel.find())
    except LabError as error:
        return False, str(error)
    return why_not is None, why_not or "a machine was started"


def _compiler() -> tuple[bool, str]:
    if not uml_host.needs_preload():
        return True, "this CPU needs none"
    path = uml_host.compiler()
    return path is not None, path or "not found"
