import json
import os
import resource
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents import approaches
from testbed.cli import main
from testbed.lab import LabError, NativeLab, SimLab, UmlLab, VmLab, choice, doctor, vm, vm_kernel
from testbed.lab.caller import caller, give
from testbed.lab.choice import choose
from testbed.lab.doctor import FEATURES, PACKAGES, Finding, examine
from testbed.lab.vm_kernel import Kernel

LEVELS = ("main", "approaches", "daemons", "tests")


def found(name: str, *, here: bool) -> Finding:
    feature = FEATURES[name]
    return Finding(name, feature.kind, feature.purpose, feature.labs, here, "tried", "do this")


def lacks(monkeypatch, **labs: list[str]) -> None:
    monkeypatch.setattr(
        choice, "lacking", lambda lab, _: [found(name, here=False) for name in labs.get(lab, [])]
    )


def virtual(monkeypatch, *, kernel: bool = True, kvm: bool) -> list[str]:
    """Pretend that the vm lab's kernel is at hand, and KVM works; return what is fetched."""
    fetched: list[str] = []
    one = Kernel(Path("/boot/vmlinuz-1"), Path("/lib/modules/1"))

    def fetch() -> Kernel:
        fetched.append("kernel")
        return one

    monkeypatch.setattr(vm_kernel, "find", lambda: one if kernel else None)
    monkeypatch.setattr(vm_kernel, "fetch", fetch)
    monkeypatch.setattr(vm, "lacks_kvm", lambda _: None if kvm else "no /dev/kvm")
    return fetched


def test_every_feature_has_a_finding_that_json_can_carry():
    findings = examine()
    assert [finding.name for finding in findings] == list(FEATURES)
    for finding in findings:
        assert json.loads(json.dumps(finding.as_json()))["name"] == finding.name
        assert finding.purpose
        assert finding.remedy if finding.here is not True else not finding.remedy


def test_every_tool_has_a_package_that_the_set_up_installs(request):
    setup = request.config.rootpath / "setup"
    levels = {level: (setup / f"packages-{level}.txt").read_text().split() for level in LEVELS}
    levels["main"].append("tcc")
    for name, package in PACKAGES.items():
        feature = FEATURES[name]
        usual = "tests" if feature.labs == ("vm",) else "main"
        assert package in levels[feature.level or usual]
        assert feature.level or feature.always or feature.labs == ("vm",)
    tools = {name for name, feature in FEATURES.items() if feature.kind == "tool"}
    assert tools == set(PACKAGES)


def test_no_package_is_named_twice(request):
    lists = sorted((request.config.rootpath / "setup").glob("*.txt"))
    named = [package for one in lists for package in one.read_text().split()]
    assert named == list(dict.fromkeys(named))


def test_a_package_that_two_lists_name_is_not_missing_for_that(request, tmp_path):
    setup = tmp_path / "setup"
    shutil.copytree(request.config.rootpath / "setup", setup)
    for level in LEVELS:
        (setup / f"packages-{level}.txt").write_text("dpkg\n")
    finds, _, _ = (setup / "install").read_text().partition("restore_policy() {")
    command = ["sh", "-c", f"{finds}\nmissing_packages", str(setup / "install"), "tests"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "dpkg" not in done.stdout.split()


def test_without_root_the_kernel_is_not_judged(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert {f.here for f in examine() if f.kind == "kernel"} == {None}
    native = [finding.name for finding in doctor.lacking("native", ["mip6"])]
    assert "root" in native
    assert "mip6" not in native


def test_auto_takes_native_if_all_is_there(monkeypatch):
    lacks(monkeypatch, native=[], uml=[])
    lab, why = choose("auto", ["mip6"])
    assert isinstance(lab, NativeLab)
    assert why == "lab: native (this kernel has all that is needed)"


def test_auto_takes_vm_where_kvm_works(monkeypatch):
    lacks(monkeypatch, native=["mip6"])
    virtual(monkeypatch, kvm=True)
    lab, why = choose("auto", ["mip6"])
    assert isinstance(lab, VmLab)
    assert not lab.emulated
    assert why == "lab: vm (native lacks mip6)"


@pytest.mark.parametrize("kernel", [True, False])
def test_auto_takes_an_emulated_processor_last_and_says_so(monkeypatch, kernel):
    lacks(monkeypatch, native=["mip6"], uml=["linux.uml"])
    fetched = virtual(monkeypatch, kernel=kernel, kvm=False)
    lab, why = choose("auto", ["mip6"])
    assert isinstance(lab, VmLab)
    assert lab.emulated
    assert why.startswith("lab: vm (native lacks mip6); its processor is emulated")
    assert "no /dev/kvm" in why
    assert bool(fetched) is not kernel


def test_root_is_given_up_before_a_lab_is_looked_at_that_needs_none(monkeypatch):
    lacks(monkeypatch, native=["mip6"])
    virtual(monkeypatch, kvm=True)
    given_up: list[str] = []
    real = choice.lacking
    monkeypatch.setattr(
        choice,
        "lacking",
        lambda lab, needs: [*real(lab, needs)] if lab == "native" or given_up else pytest.fail(lab),
    )
    choose("auto", ["mip6"], give_up_root=lambda: given_up.append("root"))
    assert given_up == ["root"]
    lacks(monkeypatch)
    choose("native", ["mip6"], give_up_root=lambda: pytest.fail("the native lab needs root"))


def test_auto_takes_uml_and_says_why(monkeypatch):
    lacks(monkeypatch, native=["mip6", "esp6"], uml=[])
    fetched = virtual(monkeypatch, kernel=False, kvm=False)
    lab, why = choose("auto", ["mip6"])
    assert isinstance(lab, UmlLab)
    assert why == "lab: uml (native lacks mip6, esp6)"
    assert not fetched


def test_what_is_asked_for_is_taken_or_refused(monkeypatch):
    lacks(monkeypatch, native=["mip6"], uml=[])
    virtual(monkeypatch, kvm=True)
    assert choose("uml")[1] == "lab: uml (as asked)"
    assert choose("vm")[1] == "lab: vm (as asked)"
    assert choose("uml", asked="as before")[1] == "lab: uml (as before)"
    with pytest.raises(LabError, match=r"native lab lacks:\n  mip6 .*: tried; do this"):
        choose("native")


def test_what_to_do_about_a_missing_qemu_is_said_once(monkeypatch):
    monkeypatch.setattr(vm, "SYSTEM_PATH", "/nonexistent")
    with pytest.raises(LabError) as refused:
        choose("vm", ["mip6"])
    told = str(refused.value)
    assert "qemu (the vm lab's machine): QEMU is not installed; " in told
    assert told.count(PACKAGES["qemu"]) == 1
    (kvm,) = examine(["kvm"])
    assert kvm.remedy == "not tried: that needs QEMU; without KVM the processor is emulated"


def test_if_none_can_be_had_all_reasons_are_given(monkeypatch):
    lacks(monkeypatch, native=["root"], vm=["qemu"], uml=["linux.uml"])
    told = r"(?s)native lab lacks.*root.*vm lab lacks.*qemu.*uml lab lacks.*linux.uml"
    with pytest.raises(LabError, match=told):
        choose()


def test_unknown_names_are_refused():
    with pytest.raises(LabError, match="auto, native, vm, uml"):
        choose("moon")


def test_what_no_feature_is_called_is_a_program_of_another_package():
    [warp] = [one for one in doctor.lacking("uml", ["sh", "warp"]) if one.purpose == doctor.OTHERS]
    assert (warp.name, warp.how, warp.remedy) == ("warp", "not found", "install the program warp")


def test_what_our_own_approaches_need_are_features():
    assert {need for name in approaches.names() for need in approaches.load(name).NEEDS} <= {
        *doctor.FEATURES
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_caller_is_the_user_behind_sudo_who_owns_the_project(tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert caller(project) is None
    monkeypatch.setenv("SUDO_UID", "1")
    assert caller(project) is None
    os.chown(project, 1, 1)
    user = caller(project)
    assert user is not None
    assert user.pw_uid == 1
    (project / "made").touch()
    (project / "link").symlink_to("/etc/passwd")
    give(project, user)
    for path in (project, project / "made", project / "link"):
        assert path.lstat().st_uid == 1
    assert os.stat("/etc/passwd").st_uid == 0
    assert stat.S_ISLNK((project / "link").lstat().st_mode)


def test_the_uml_lab_wants_files(monkeypatch):
    for hard, here in ((20, False), (1024, True), (resource.RLIM_INFINITY, True)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, hard=hard: (20, hard))
        [finding] = examine(["uml_files"])
        assert finding.here is here
        assert ("ulimit -n" in finding.remedy) is not here
        assert here or finding in doctor.lacking("uml", ())


@pytest.mark.parametrize(
    ("missing", "said", "status"),
    [
        ((), "lab uml: usable\n", 0),
        (("nsd",), "lab uml: usable, except for the approach dns-ikev2\n", 0),
        (("linux.uml", "nsd"), "lab uml: lacks linux.uml\n", 0),
        (("linux.uml", "nsd", "qemu"), "lab vm: lacks qemu\n", 2),
        (("linux.uml", "kvm"), "lab vm: usable, except for the speed of the vm lab\n", 0),
    ],
)
def test_the_command_says_which_lab_can_be_used(monkeypatch, missing, said, status):
    without = {*missing, "esp6"}
    found = [replace(one, here=one.name not in without) for one in examine()]
    monkeypatch.setattr(doctor, "examine", lambda: found)
    monkeypatch.setenv("COLUMNS", "200")

    done = CliRunner().invoke(main, ["doctor"])

    assert said in done.output
    assert "lab native: lacks esp6\n" in done.output
    assert done.exit_code == status


def test_labs_that_keep_out_of_each_others_way(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert choice.side_by_side(UmlLab())[1] == 2
    native = NativeLab()
    assert choice.side_by_side(native) == (native, 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert choice.side_by_side(UmlLab())[1] == 1


def test_the_simulator_is_taken_by_its_name_alone_and_lacks_nothing(monkeypatch):
    lacks(monkeypatch, native=["root"], uml=["linux.uml"], vm=["qemu"])
    gave_up: list[str] = []
    lab, line = choose("sim", at_once=99, give_up_root=lambda: gave_up.append("root"))
    assert isinstance(lab, SimLab)
    assert line.startswith("lab: sim (as asked)")
    assert gave_up == ["root"]
    assert choice.side_by_side(lab) == (lab, len(os.sched_getaffinity(0)))
    with pytest.raises(LabError):
        choose("auto")


def test_doctor_names_the_simulator():
    done = CliRunner().invoke(main, ["doctor"])
    assert "lab sim: usable" in done.output
