"""Results that took long are written somewhere, and said to be there."""

import errno
import os
import shlex
import signal

import pytest

from bcnmf.files import atomic_path
from bcnmf.saving import save
from bcnmf.stopping import Stop, ended_by_sigterm, noted


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Return the folder of the shell, home and that for temporary files."""
    folders = [tmp_path / name for name in ("here", "home", "temporary")]
    for folder in folders:
        folder.mkdir()
    monkeypatch.chdir(folders[0])
    monkeypatch.setenv("HOME", str(folders[1]))
    monkeypatch.setattr("tempfile.tempdir", str(folders[2]))
    return folders


def unless_in(*full):
    """Return what writes a result, but into no folder of `full`."""

    def write(path):
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            if path.absolute().parent in full:
                raise OSError(errno.ENOSPC, "No space left on device")
            temporary.write_text("result")

    return write


def test_a_result_goes_where_it_belongs(tmp_path, capsys):
    assert save(unless_in(), tmp_path / "a.tsv")
    assert (tmp_path / "a.tsv").read_text() == "result"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", [0, 1, 2])
def test_where_there_is_no_room_it_goes_elsewhere(tmp_path, places, capsys, number):
    path = tmp_path / "name with space.tsv"
    path.write_text("earlier")
    os.umask(before := os.umask(0))
    assert not save(unless_in(tmp_path, *places[:number]), path)
    error, place = capsys.readouterr().err.splitlines()
    assert error == f"error: {path}: could not be written (No space left on device)"
    (other,) = places[number].iterdir()
    assert place.startswith(f"It is in {other} instead.")
    assert (other.read_text(), path.read_text()) == ("result", "earlier")
    assert other.stat().st_mode & 0o777 == 0o666 & ~before
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == [path.name]
    # What it says to do does it.
    os.system(place.partition("then ")[2])
    assert path.read_text() == "result"
    assert shlex.split(place)[-1] == str(path)


def test_where_there_is_no_room_anywhere_that_is_said(tmp_path, places, capsys):
    assert not save(unless_in(tmp_path, *places), tmp_path / "a.tsv")
    assert "it is lost. Make room, or get permission, and run again" in capsys.readouterr().err
    assert not [one for one in tmp_path.rglob("*") if one.is_file()]


def test_what_hdf5_says_is_made_short(tmp_path, places, capsys):
    def write(path):
        if path.parent == tmp_path:
            raise OSError(
                "Can't write data (error message = 'No space left on device', buf = 0x7f)"
            )

    assert not save(write, tmp_path / "a.h5ad")
    assert "a.h5ad: could not be written (No space left on device)\n" in capsys.readouterr().err


def test_ctrl_c_waits_for_a_result(tmp_path, capsys):
    def write(path):
        signal.raise_signal(signal.SIGINT)
        path.write_text("result")

    with pytest.raises(KeyboardInterrupt):
        save(write, tmp_path / "a.tsv")
    assert (tmp_path / "a.tsv").read_text() == "result"
    assert "stopping when" in capsys.readouterr().err


def test_a_second_ctrl_c_does_not(tmp_path):
    def write(path):
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    # A shell that starts the tests in the background has them ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            save(write, tmp_path / "a.tsv")
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []


def test_sigterm_ends_a_command_with_its_cleaning_up(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    path = tmp_path / "a"
    with pytest.raises(SystemExit) as ended, ended_by_sigterm(), atomic_path(path):
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_noted_signal_acts_when_it_is_asked_to():
    stop = Stop()
    stop.act()
    with noted(stop, "later"):
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        stop.act()
