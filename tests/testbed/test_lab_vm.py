"""The vm lab, as far as it can be told without a virtual machine: its kernel, files and command."""

import os
import platform
import shutil
import sys
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from testbed.base.places import PROJECT
from testbed.lab import LabError, VmLab, host, vm, vm_kernel
from testbed.lab.first_files import archive, pack
from testbed.lab.guest import Boot

RELEASE = "6.1.0-1-test"
SCHEDULING = ("act_gact", "cls_matchall", "sch_htb", "sch_ingress", "sch_netem")
DEPENDS = {
    "kernel/drivers/virtio/virtio.ko": [],
    "kernel/drivers/virtio/virtio_pci.ko": ["kernel/drivers/virtio/virtio.ko"],
    "kernel/net/9p/9pnet.ko": [],
    "kernel/net/9p/9pnet_virtio.ko": ["kernel/net/9p/9pnet.ko", "kernel/drivers/virtio/virtio.ko"],
    "kernel/fs/9p/9p.ko": ["kernel/net/9p/9pnet.ko"],
    "kernel/drivers/char/virtio_console.ko.xz": ["kernel/drivers/virtio/virtio.ko"],
    "kernel/net/ipv6/esp6.ko": [],
    "kernel/net/ipv6/ip6_tunnel.ko": [],
    "kernel/net/bridge/bridge.ko": [],
    **{f"kernel/net/sched/{name}.ko": [] for name in SCHEDULING},
    "kernel/net/xfrm/xfrm_user.ko": [],
}
BUILT_IN = ("kernel/drivers/net/veth.ko", "kernel/net/ipv6/mip6.ko")


def make_kernel(root: Path, *, without: str = "") -> Path:
    """Lay out a kernel as its package does; return its image."""
    modules = root / "lib" / "modules" / RELEASE
    modules.mkdir(parents=True)
    for path in DEPENDS:
        (modules / path).parent.mkdir(parents=True, exist_ok=True)
        (modules / path).write_text(path)
    kept = {path: needed for path, needed in DEPENDS.items() if without not in path or not without}
    lines = [f"{path}: {' '.join(needed)}".strip() for path, needed in kept.items()]
    (modules / "modules.dep").write_text("\n".join(lines) + "\n")
    (modules / "modules.builtin").write_text("\n".join(BUILT_IN) + "\n")
    image = root / "boot" / f"vmlinuz-{RELEASE}"
    image.parent.mkdir()
    image.write_text("kernel")
    return image


@pytest.fixture
def nothing_at_hand(tmp_path, monkeypatch):
    """A machine without a kernel, and its user's cache."""
    monkeypatch.delenv(vm_kernel.NAMED, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "release", lambda: "0.0-none")
    return tmp_path / "cache" / "mip6lab" / "kernel"


@pytest.fixture
def kernel(tmp_path):
    found = vm_kernel.at(make_kernel(tmp_path / "root"))
    assert found
    return found


def test_the_kernel_named_comes_before_the_one_in_the_cache(nothing_at_hand, tmp_path, monkeypatch):
    assert vm_kernel.find() is None
    kept = make_kernel(nothing_at_hand)
    found = vm_kernel.find()
    assert found
    assert (found.image, found.modules.name) == (kept, RELEASE)
    named = make_kernel(tmp_path / "named")
    monkeypatch.setenv(vm_kernel.NAMED, str(named))
    found = vm_kernel.find()
    assert found
    assert found.image == named


def test_a_kernel_without_what_is_needed_is_passed_over_or_refused(
    nothing_at_hand, tmp_path, monkeypatch
):
    make_kernel(nothing_at_hand, without="esp6")
    assert vm_kernel.find() is None
    monkeypatch.setenv(vm_kernel.NAMED, str(make_kernel(tmp_path / "named", without="netem")))
    with pytest.raises(LabError, match="lack sch_netem"):
        vm_kernel.find()
    monkeypatch.setenv(vm_kernel.NAMED, str(tmp_path / "vmlinuz-none"))
    with pytest.raises(LabError, match="vmlinuz-none: no kernel that can be read"):
        vm_kernel.find()


def test_where_no_kernel_can_be_fetched_it_says_what_to_do(nothing_at_hand, monkeypatch):
    monkeypatch.setattr(vm_kernel, "SYSTEM_PATH", "/nonexistent")
    with pytest.raises(LabError, match=r"apt-get.* to fetch one; name one by MIP6LAB_KERNEL="):
        vm_kernel.fetch()
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(LabError, match="vax"):
        vm_kernel.fetch()
    assert not nothing_at_hand.exists()


def test_without_a_place_for_a_kernel_it_says_what_to_do(nothing_at_hand, monkeypatch):
    del nothing_at_hand
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    if vm_kernel.cannot_fetch() is None:
        with pytest.raises(LabError, match="set XDG_CACHE_HOME"):
            vm_kernel.fetch()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "nowhere")
    with pytest.raises(LabError, match="set XDG_CACHE_HOME"):
        vm_kernel.find()


def test_a_module_is_loaded_after_those_that_it_needs(kernel):
    order = [path.name for path in kernel.files(["9pnet_virtio", "9p", "virtio_console", "veth"])]
    assert order == ["virtio.ko", "9pnet.ko", "9pnet_virtio.ko", "9p.ko", "virtio_console.ko.xz"]


def unpacked(packed: bytes) -> dict[str, tuple[int, bytes]]:
    """Read an archive as the kernel does: mode and content by name."""
    found, at = {}, 0
    while True:
        assert packed[at : at + 6] == b"070701"
        fields = [int(packed[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = packed[at + 110 : at + 110 + fields[11] - 1].decode()
        at += -(-(110 + fields[11]) // 4) * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], packed[at : at + fields[6]])
        at += -(-fields[6] // 4) * 4


def test_the_archive_has_folders_before_what_is_in_them():
    found = unpacked(pack({"a/b/c": b"12345", "init": b""}, ["dev"]))
    assert list(found) == ["a", "a/b", "dev", "a/b/c", "init"]
    assert found["a/b/c"] == (0o100755, b"12345")
    assert found["dev"] == (0o40755, b"")


def test_the_first_files_are_the_hosts_programs_with_their_libraries(kernel):
    found = unpacked(archive(kernel.files(vm_kernel.FIRST)))
    for program in ("sh", "insmod", "mount", "switch_root"):
        path = shutil.which(program)
        assert path
        assert found[f"bin/{program}"][1] == Path(path).read_bytes()
    assert [name for name in found if "libc.so" in name]
    assert found["init"][1].startswith(b"#!/bin/sh")
    assert next(name for name in found if name.startswith("modules/")) == "modules/00-virtio.ko"


@pytest.mark.parametrize(
    ("emulated", "accelerator", "cpu"), [(False, "kvm", "host"), (True, "tcg,thread=multi", None)]
)
def test_the_command_line(kernel, tmp_path, monkeypatch, emulated, accelerator, cpu):
    monkeypatch.setattr(vm, "program", lambda: "/usr/bin/qemu")
    words = vm.qemu(kernel, tmp_path, "job=/tmp/x", emulated=emulated)
    option = dict(pairwise(words))
    assert option["-accel"] == accelerator
    assert option["-cpu"] == (cpu or vm.machine().emulated)
    assert option["-kernel"] == str(kernel.image)
    assert option["-append"].endswith("job=/tmp/x")
    assert "panic=-1" in option["-append"]
    assert ("mitigations" in option["-append"]) == (emulated and platform.machine() == "x86_64")
    assert Path(option["-initrd"]).read_bytes()


@pytest.mark.parametrize(("at_once", "cpus", "memory"), [(1, "8", "2048M"), (3, "6", "1536M")])
def test_machines_at_once_share_cpus_and_memory(
    kernel, tmp_path, monkeypatch, at_once, cpus, memory
):
    commands = []
    monkeypatch.setattr(host, "_available", lambda: 6 << 30)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(20)))
    monkeypatch.setattr(vm, "program", lambda: "/usr/bin/qemu")
    monkeypatch.setattr(host, "spawn", lambda command, *_, **__: commands.append(command))

    with ExitStack() as held:
        VmLab(kernel, emulated=True, at_once=at_once).boot(Boot(tmp_path, messages=2), held)

    option = dict(pairwise(commands[0]))
    assert (option["-smp"], option["-m"]) == (cpus, memory)
    assert (tmp_path / "programs").read_text().splitlines() == [str(one) for one in vm.programs()]


def test_programs_are_cached_and_results_are_not():
    folders = vm.programs()
    assert Path("/usr") in folders
    assert any(Path(sys.prefix).is_relative_to(folder) for folder in folders)
    assert any((PROJECT / "agents").is_relative_to(folder) for folder in folders)
    assert not any((PROJECT / "results").is_relative_to(folder) for folder in folders)


def test_a_machine_without_qemu_says_what_to_install(monkeypatch):
    monkeypatch.setattr(vm, "SYSTEM_PATH", "/nonexistent")
    with pytest.raises(LabError, match=r"package qemu-system-.*make setup LEVEL=tests"):
        vm.program()
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(LabError, match="not vax"):
        vm.program()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo '[ 0.1] mip6lab: up' >&2", None),
        ("echo 'no such register' >&2; echo trace >&2; exit 1", "nothing boots by it: no such reg"),
        ("exit 3", "QEMU ended with status 3"),
        ("exec sleep 60", "nothing boots by it within"),
    ],
)
def test_kvm_is_tried_and_not_believed(kernel, tmp_path, monkeypatch, script, reason):
    stand_in = tmp_path / "qemu"
    stand_in.write_text(f"#!/bin/sh\n{script}\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(vm, "program", lambda: str(stand_in))
    monkeypatch.setattr(vm, "KVM", kernel.image)  # It is there, and may be opened.
    monkeypatch.setattr(vm, "PROOF_TIME", 0.5)
    vm.lacks_kvm.cache_clear()
    said = vm.lacks_kvm(kernel)
    vm.lacks_kvm.cache_clear()
    assert said is None if reason is None else reason in str(said)


def test_without_the_device_or_a_kernel_kvm_is_not_tried(kernel, tmp_path, monkeypatch):
    monkeypatch.setattr(vm, "program", lambda: pytest.fail("it was tried"))
    monkeypatch.setattr(vm, "KVM", kernel.image)
    vm.lacks_kvm.cache_clear()
    assert "no kernel" in str(vm.lacks_kvm(None))
    monkeypatch.setattr(vm, "KVM", tmp_path / "none")
    assert "no /" in str(vm.lacks_kvm(kernel))
    vm.lacks_kvm.cache_clear()
