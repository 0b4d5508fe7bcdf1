"""The registry of downloads: its rows, which alternative is taken, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.acquire.registry import Entry, load_registry, local_folder
from bcnmf_pipeline.record.provenance import file_digest

ROOT = Path(__file__).resolve().parents[4]
COLUMNS = ("dataset", "file", "url", "mirror", "sha256", "bytes", "licence", "citation", "part")
ROW = {
    "dataset": "mice", "file": "table.zip", "url": "https://example.org/table.zip", "mirror": "",
    "sha256": "ab" * 32, "bytes": "10", "licence": "CC BY 4.0", "citation": "A paper",
    "part": "table",
}  # fmt: skip
OLDER = ROW | {"file": "table.xls", "url": "", "mirror": "http://example.org/table.xls"}
BY_HAND = ROW | {"file": "table.csv", "url": "", "mirror": ""}


def write_registry(tmp_path, *rows):
    path = tmp_path / "datasets.tsv"
    lines = ["# a comment", "\t".join(COLUMNS), *("\t".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def registry(tmp_path):
    return load_registry(write_registry(tmp_path, ROW, OLDER, BY_HAND))


def put(folder, file):
    (folder / "mice").mkdir(parents=True, exist_ok=True)
    (folder / "mice" / file).write_text("content")


def test_rows_become_entries(tmp_path):
    pending = ROW | {
        "file": "b.zip",
        "sha256": "pending",
        "bytes": "pending",
        "mirror": "file:///b",
    }
    registry = load_registry(write_registry(tmp_path, ROW, pending))
    assert registry.entry("mice", "table.zip") == Entry(**{**ROW, "bytes": 10})
    entry = registry.entry("mice", "b.zip")
    assert (entry.sha256, entry.bytes) == (None, None)
    assert entry.addresses == ["https://example.org/table.zip", "file:///b"]
    assert entry.name == "mice/b.zip"


def test_a_sheet_without_rows_is_a_registry_without_files(tmp_path):
    with pytest.raises(InputError, match="no row for data set 'mice'; known: none"):
        load_registry(write_registry(tmp_path)).entry("mice", "table.zip")


def test_the_mouse_table_of_the_repository():
    registry = load_registry(ROOT / "config" / "datasets.tsv")
    files = [entry.file for entry in registry.entries if entry.part == "table"]
    assert files == [
        "mice_protein_expression.zip", "Data_Cortex_Nuclear.xls", "Data_Cortex_Nuclear.csv",
    ]  # fmt: skip
    chosen = registry.choose("mice_protein", "table", Path("nowhere"), "")
    assert chosen.file == "mice_protein_expression.zip"
    table = registry.entry("mice_protein", "Data_Cortex_Nuclear.csv")
    assert (table.bytes, table.addresses) == (1_010_613, [])


@pytest.mark.shared
def test_the_registered_checksum_is_that_of_the_table(shared_data):
    entry = load_registry(ROOT / "config" / "datasets.tsv").entry(
        "mice_protein", "Data_Cortex_Nuclear.csv"
    )
    assert file_digest(shared_data / entry.dataset / entry.file) == entry.sha256


@pytest.mark.parametrize("mirror", [None, ""])
def test_without_a_mirror_the_first_with_an_address_is_chosen(tmp_path, registry, mirror):
    assert registry.choose("mice", "table", tmp_path, mirror).file == "table.zip"
    by_hand_first = load_registry(write_registry(tmp_path, BY_HAND, OLDER, ROW))
    assert by_hand_first.choose("mice", "table", tmp_path, mirror).file == "table.xls"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_lies_in_the_mirror_folder_is_chosen(tmp_path, registry, scheme):
    put(tmp_path / "mirror", "table.csv")
    mirror = f"{scheme}{tmp_path}/mirror/"
    assert registry.choose("mice", "table", tmp_path / "downloads", mirror).file == "table.csv"
    put(tmp_path / "mirror", "table.xls")
    assert registry.choose("mice", "table", tmp_path / "downloads", mirror).file == "table.xls"


def test_a_mirror_in_the_home_folder(tmp_path, registry, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / "mirror", "table.csv")
    assert registry.choose("mice", "table", tmp_path / "x", "~/mirror").file == "table.csv"


def test_an_empty_mirror_folder_leaves_the_internet(tmp_path, registry):
    (tmp_path / "mirror").mkdir()
    chosen = registry.choose("mice", "table", tmp_path / "downloads", str(tmp_path / "mirror"))
    assert chosen.file == "table.zip"


def test_what_is_downloaded_already_is_chosen(tmp_path, registry):
    put(tmp_path / "downloads", "table.csv")
    assert registry.choose("mice", "table", tmp_path / "downloads").file == "table.csv"
    # A mirror that is not mounted on this machine does not matter then.
    assert registry.choose("mice", "table", tmp_path / "downloads", "/gone").file == "table.csv"


def test_a_folder_of_that_name_is_no_file(tmp_path, registry):
    (tmp_path / "downloads" / "mice" / "table.csv").mkdir(parents=True)
    assert registry.choose("mice", "table", tmp_path / "downloads").file == "table.zip"


def test_with_a_base_url_the_first_is_chosen(tmp_path):
    registry = load_registry(write_registry(tmp_path, BY_HAND, ROW))
    chosen = registry.choose("mice", "table", tmp_path, "https://mirror.example.org/data")
    assert chosen.file == "table.csv"


def test_what_cannot_be_had_says_what_may_be_put_where(tmp_path):
    other = BY_HAND | {"file": "table.tsv"}
    registry = load_registry(write_registry(tmp_path, BY_HAND, other))
    with pytest.raises(InputError) as caught:
        registry.choose("mice", "table", Path("resources/downloads"))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/datasets.tsv: ")
    assert "none of the files table.csv, table.tsv is in resources/downloads/mice;" in message
    assert "<mirror>/mice/<file> and name that folder with --config mirror=<mirror>" in message
    with pytest.raises(InputError, match=f"put one of them there: {tmp_path}/mice/<file>"):
        registry.choose("mice", "table", Path("resources/downloads"), str(tmp_path))


MIRRORS = [
    ("/no/such/folder", r"key mirror: '/no/such/folder' does not exist .* allowed: a folder, or"),
    (__file__, "is not a folder"),
    ("ftp://example.org/data", "has the scheme 'ftp'; allowed: a folder, or a base URL"),
    ("https://", "names no host"),
    ("https://me:secret@example.org", "holds a user name, which is not supported"),
]


@pytest.mark.parametrize(("mirror", "message"), MIRRORS)
def test_a_mirror_that_cannot_be_used_is_named(tmp_path, registry, mirror, message):
    with pytest.raises(InputError, match=message):
        registry.choose("mice", "table", tmp_path, mirror)


def test_unknown_names_come_with_those_known(tmp_path, registry):
    with pytest.raises(InputError, match=r"'mcie' \(did you mean 'mice'\?\); known: mice"):
        registry.entry("mcie", "table.zip")
    with pytest.raises(InputError, match=r"no file 'tabel\.zip' \(did you mean 'table\.zip'\?\)"):
        registry.entry("mice", "tabel.zip")
    with pytest.raises(InputError, match=r"no part 'tables' \(did you mean 'table'\?\)"):
        registry.choose("mice", "tables", tmp_path)
    with pytest.raises(InputError, match="no row for data set 'mcie'"):
        registry.choose("mcie", "table", tmp_path)


FAULTS = [
    ([ROW, OLDER, ROW], r"line 5: mice/table\.zip stands in line 3 already"),
    ([ROW, ROW | {"file": "table.zip.json"}], r"line 4: .* where the origin of mice/table\.zip is"),
    ([BY_HAND | {"sha256": "pending"}], r"line 3 .*sha256: pending, and the row has no address"),
    ([ROW | {"sha256": "AB" * 32}], "line 3 .*column sha256: .*64 hexadecimal digits, or pen"),
    (
        [ROW | {"bytes": "1e6"}],
        "column bytes: found '1e6'; allowed: the size in bytes",
    ),
    ([ROW | {"bytes": "0"}], "column bytes: found '0'"),
    ([ROW | {"file": "../up"}], "column file: .*a plain file name"),
    ([ROW | {"url": "ftp://example.org/a"}], "column url: found 'ftp"),
    ([ROW | {"url": "https://example.org/a b"}], "column url: .* percent-encode them; allowed:"),
    ([ROW | {"mirror": "https://example.org/ä"}], "column mirror: .* percent-encode"),
    ([ROW | {"url": "file://table.zip"}], "column url: .* by its full path"),
    ([ROW | {"url": "http:///table.zip"}], "column url: .* names no host"),
    ([ROW | {"url": "http://a..b/c"}], "column url: .* is not an address"),
    ([ROW | {"url": "http://example.org:http/c"}], "column url: .* is not an address"),
    ([ROW | {"licence": ""}], "column licence: is missing or empty"),
]


@pytest.mark.parametrize(("rows", "message"), FAULTS)
def test_a_row_that_cannot_be_used_is_named(tmp_path, rows, message):
    with pytest.raises(InputError, match=message) as caught:
        load_registry(write_registry(tmp_path, *rows))
    assert str(caught.value).startswith(f"{tmp_path}/datasets.tsv")


def test_a_missing_sheet_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.tsv: no such file; set its path under `sheets`"):
        load_registry(tmp_path / "none.tsv")


def test_importing_the_registry_is_cheap():
    """The workflow does it at every start."""
    code = (
        "import sys, bcnmf_pipeline.acquire.registry\n"
        "sys.exit('torch' in sys.modules or 'scanpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "workflow", check=False)
    assert done.returncode == 0


def test_a_file_may_be_packed_in_several_ways(tmp_path):
    both = ROW | {"sha256": f"{'ab' * 32},{'cd' * 32}"}
    entry = load_registry(write_registry(tmp_path, both)).entry("mice", "table.zip")
    assert entry.checksums == ("ab" * 32, "cd" * 32)
    with pytest.raises(InputError, match="column sha256: found"):
        load_registry(write_registry(tmp_path, ROW | {"sha256": f"{'ab' * 32},pending"}))


def test_what_is_at_hand(tmp_path, registry):
    put(tmp_path / "mirror", "table.csv")
    assert registry.at_hand("mice", "table", str(tmp_path), str(tmp_path / "mirror"))
    assert not registry.at_hand("mice", "table", str(tmp_path))
    assert not registry.at_hand("mice", "table")


def test_a_folder_can_be_looked_into_and_an_address_cannot(tmp_path):
    assert local_folder(str(tmp_path))
    assert local_folder(f"file://{tmp_path}")
    for other in ("", None, "https://example.org/data", str(tmp_path / "none")):
        assert not local_folder(other)


def test_the_images_and_digits_of_the_repository():
    registry = load_registry(ROOT / "config" / "datasets.tsv")
    parts = [entry.part for entry in registry.entries if entry.dataset == "mnist"]
    assert parts == ["train_images", "train_labels", "test_images", "test_labels"]
    chosen = registry.choose("grass", "images", Path("nowhere"), "")
    assert chosen.file == "bcnmf-e1be4b1.zip"
    assert registry.entry("grass", "grass28.npz").addresses == []


@pytest.mark.shared
def test_the_registered_checksums_are_those_of_images_and_digits(shared_data):
    registry = load_registry(ROOT / "config" / "datasets.tsv")
    for dataset, file in (
        ("mnist", "t10k-images-idx3-ubyte.gz"),
        ("mnist", "t10k-labels-idx1-ubyte.gz"),
        ("grass", "grass28.npz"),
    ):
        entry = registry.entry(dataset, file)
        path = shared_data / dataset / file
        assert file_digest(path) in entry.checksums
        assert path.stat().st_size == entry.bytes
