"""Files are whole or absent; links are followed, and permissions stay."""

import errno
import os
import stat

import pytest

from bcnmf.errors import InputError
from bcnmf.files import atomic_path, check_writable


@pytest.fixture(autouse=True)
def usual_umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def write(path, text="new"):
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_permissions_that_new_files_have(tmp_path):
    write(tmp_path / "folder" / "a.txt")
    assert mode(tmp_path / "folder" / "a.txt") == 0o640


@pytest.mark.parametrize("before", [0o600, 0o664, 0o444])
def test_a_file_that_is_replaced_hands_on_its_permissions(tmp_path, before):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(before)
    with atomic_path(path) as temporary:
        assert mode(temporary) == 0o600  # what is private is never seen by others
        temporary.write_text("new")
    assert (path.read_text(), mode(path)) == ("new", before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_that_is_replaced_hands_on_group_and_owner(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    os.chown(path, 12345, 23456)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_a_group_that_may_not_be_kept_loses_no_result(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fchown", refuse)
    write(path)
    assert path.read_text() == "new"


def test_a_link_is_followed_and_stays(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    link = tmp_path / "out.txt"
    link.symlink_to(scratch / "real.txt")
    for text in ("first", "second"):  # the link leads nowhere at first
        assert check_writable(link) == link
        write(link, text)
        assert (scratch / "real.txt").read_text() == text
    assert link.is_symlink()
    assert [one.name for one in scratch.iterdir()] == ["real.txt"]


def test_a_folder_that_is_a_link_is_written_into(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "results").symlink_to("scratch")
    write(check_writable(tmp_path / "results" / "mine" / "a.txt"))
    assert (tmp_path / "scratch" / "mine" / "a.txt").read_text() == "new"
    assert (tmp_path / "results").is_symlink()


def test_the_other_names_of_a_file_keep_what_it_held(tmp_path):
    path, other = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_text("old")
    other.hardlink_to(path)
    write(path)
    assert (path.read_text(), other.read_text()) == ("new", "old")


def link_to_folder(folder):
    (folder / "to").mkdir()
    (folder / "out").symlink_to("to")
    return "is a folder"


def loop(folder):
    (folder / "out").symlink_to("back")
    (folder / "back").symlink_to("out")
    return "leads back to itself"


def pipe(folder):
    os.mkfifo(folder / "out")
    return "is a device or pipe"


@pytest.mark.parametrize("make", [link_to_folder, loop, pipe])
@pytest.mark.parametrize("write_or_check", [write, check_writable])
def test_what_is_no_file_is_refused_and_stays(tmp_path, make, write_or_check):
    fault = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=fault):
        write_or_check(tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["n" * 300, "m" * 300 + "/n"])
def test_names_that_are_too_long_are_found_before(tmp_path, name):
    with pytest.raises(InputError, match="File name too long"):
        check_writable(tmp_path / "new" / name)


def test_a_name_as_long_as_names_may_be_can_be_written(tmp_path):
    path = tmp_path / ("ü" * 125 + ".h5ad")  # 255 bytes
    write(check_writable(path))
    assert path.read_text() == "new"


def test_a_protected_file_is_refused_before(tmp_path, monkeypatch):
    (tmp_path / "a.txt").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(InputError, match=r"is write-protected; .*chmod u\+w"):
        check_writable(tmp_path / "a.txt")


def test_a_folder_that_may_not_be_looked_into_is_said(tmp_path, monkeypatch):
    def refuse(self, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.stat", refuse)
    with pytest.raises(InputError, match=r"cannot be written.*\(Permission denied\); give another"):
        check_writable(tmp_path / "a.txt")


def test_a_full_disk_is_found_before(tmp_path, monkeypatch):
    original = os.open

    def full(path, flags, mode=0o777, **options):
        # As a disk does that is full: an empty file can be made.
        os.close(original(path, flags, mode, **options))
        return original("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(InputError, match="No space left on device"):
        check_writable(tmp_path / "a.txt")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "full")])
def test_what_ends_a_writing_leaves_what_was_there_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error) if isinstance(error, OSError) else error):  # noqa: SIM117, PT012
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_disk_that_is_full_only_at_the_end_leaves_what_was_there(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"
