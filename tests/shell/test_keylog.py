"""The files of keys: for their owner alone, and complete at any moment."""

import stat

from agents.shell.keylog import key_log


def test_a_line_is_in_its_file_at_once_and_for_its_owner_alone(tmp_path):
    log = key_log(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    for number in range(3):
        log.tls(f"LINE {number}")
        lines = (tmp_path / "tls.keys").read_text().splitlines()
        assert lines == [f"LINE {n}" for n in range(number + 1)]
    assert stat.S_IMODE((tmp_path / "tls.keys").stat().st_mode) == 0o600


def test_two_programs_share_a_file(tmp_path):
    one, other = key_log(str(tmp_path)), key_log(str(tmp_path))
    for log, line in ((one, "a"), (other, "b"), (one, "c")):
        log.tls(line)
    assert (tmp_path / "tls.keys").read_text().splitlines() == ["a", "b", "c"]


def test_what_cannot_be_written_is_missing(tmp_path, capsys):
    (tmp_path / "tls.keys").symlink_to("/dev/full")
    log = key_log(str(tmp_path))
    for _ in range(2):
        log.tls("LINE")
    assert capsys.readouterr().err == ""
    key_log(str(tmp_path / "elsewhere")).tls("LINE")
    assert "elsewhere/tls.keys: No such file or directory" in capsys.readouterr().err


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key_log(None).tls("LINE")
    assert list(tmp_path.iterdir()) == []
