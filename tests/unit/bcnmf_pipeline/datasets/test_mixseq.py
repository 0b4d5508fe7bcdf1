"""The MIX-seq study from files in the published formats."""

import io
import zipfile

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.io

import miniatures
from bcnmf import BCNMF, InputError
from bcnmf_pipeline.datasets.mixseq import N_BY_TP53, changed, read_mixseq
from bcnmf_pipeline.evaluate.metrics import adjusted_rand
from bcnmf_pipeline.pair.pairing import make_pair, pair_record

STUDY = {
    "study": "mixseq", "target": "arm=idasanutlin", "background": "arm=dmso", "label": "TP53",
    "unit": "line", "values": "counts", "n_top_features": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return miniatures.mixseq(tmp_path_factory.mktemp("mixseq"))


@pytest.fixture(scope="module")
def data(original):
    return read_mixseq(*original)


def test_cells_genes_and_labels_are_those_of_the_files(original, data):
    assert data.shape == (90 + 70, 240)
    assert data.X.format == "csr"
    assert data.X.dtype == np.float32
    assert list(data.obs) == [
        "arm", "line", "tissue", "depmap_id", "TP53", "TP53_calls", "cell_quality",
        "percent_mito", "n_counts", "n_genes",
    ]  # fmt: skip
    at = 0
    for arm, path in original[0].items():
        folder = miniatures.MIXSEQ_FOLDERS[arm]
        with zipfile.ZipFile(path) as archive:
            counts = scipy.io.mmread(io.BytesIO(archive.read(f"{folder}/matrix.mtx")))
            table = pd.read_csv(io.BytesIO(archive.read(f"{folder}/classifications.csv")))
        here = data[at : at + len(table)]
        np.testing.assert_array_equal(here.X.toarray(), counts.toarray().T)
        assert here.obs_names.tolist() == [f"{arm}_{code}" for code in table["barcode"]]
        assert here.obs["line"].tolist() == table["singlet_ID"].tolist()
        assert here.obs["cell_quality"].tolist() == table["cell_quality"].tolist()
        at += len(table)
    assert set(data.obs["tissue"]) == {"LUNG"}
    wild_type = data.obs["line"].isin(miniatures.WILD_TYPE)
    assert (data.obs["TP53"] == np.where(wild_type, "wild-type", "mutant")).all()
    assert set(data.obs["TP53_calls"]) == {"called"}
    assert data.var_names[7] == "GENE3_ENSG00000000007"
    assert data.uns["warnings"].tolist() == [
        "1 symbols stand for several genes: their Ensembl ids were added"
    ]
    quality = data.uns["qc"]
    classes = ["normal", "doublet", "empty_droplet", "low_quality"]
    assert quality["cells"].tolist() == quality[classes].sum(axis=1).tolist() == [90, 70]
    assert quality["genes_kept"].tolist() == [240, 240]


def test_barcodes_in_another_order_are_put_right(original, data, tmp_path):
    zips, mutations, lines = original
    members = miniatures.mixseq_members("dmso", 70, 11)
    key = "DMSO_24hr_expt1/classifications.csv"
    head, *rows = members[key].splitlines(keepends=True)
    members[key] = head + b"".join(reversed(rows))
    miniatures.zipped(tmp_path / "dmso.zip", members)
    again = read_mixseq(zips | {"dmso": tmp_path / "dmso.zip"}, mutations, lines)
    pd.testing.assert_frame_equal(again.obs, data.obs)


def test_protein_coding_genes_can_be_selected(original, data, tmp_path):
    miniatures.gtf(tmp_path / "genes.gtf.gz")
    coding = read_mixseq(*original, tmp_path / "genes.gtf.gz")
    assert coding.shape == (160, 200)
    np.testing.assert_array_equal(coding.X.toarray(), data.X.toarray()[:, :200])
    assert coding.uns["qc"]["genes_kept"].tolist() == [200, 200]
    (tmp_path / "mouse.gtf").write_text(
        'chr1\tx\tgene\t1\t2\t.\t+\t.\tgene_id "ENSMUSG1.1"; gene_type "protein_coding";\n'
    )
    with pytest.raises(InputError, match="none of its protein-coding genes is among"):
        read_mixseq(*original, tmp_path / "mouse.gtf")


def test_all_cells_and_normal_ones_pair_and_p53_is_found(data, tmp_path):
    data.write_h5ad(tmp_path / "data.h5ad")
    again = ad.read_h5ad(tmp_path / "data.h5ad")
    target, background = make_pair(again, STUDY, "sheet")
    assert (target.n_obs, background.n_obs) == (90, 70)
    assert set(pair_record(target)["labels"]) == {"wild-type", "mutant"}
    normal = {side: f"{STUDY[side]};cell_quality=normal" for side in ("target", "background")}
    cells = data.obs["arm"][data.obs["cell_quality"] == "normal"].value_counts()
    kept = make_pair(again, STUDY | normal, "sheet")
    assert [side.n_obs for side in kept] == [cells["idasanutlin"], cells["dmso"]]
    model = BCNMF(n_components=2, alpha=2.0, random_state=0)
    usage = model.fit_transform(target.X, background=background.X)
    found = usage.argmax(axis=1)
    assert adjusted_rand(target.obs["TP53"].to_numpy(), found) > 0.8


def test_what_is_not_as_published_is_said(data):
    found = changed(data)
    assert found[0] == "idasanutlin: 90 cells, the published file has 3097"
    assert "240 genes, the published files have 32738" in found
    assert "idasanutlin: 6 lines, the published file has 24" in found
    wild_type = data.obs["line"].isin(miniatures.WILD_TYPE) & (data.obs["arm"] == "idasanutlin")
    assert (
        f"idasanutlin, TP53 wild-type: {wild_type.sum()} cells of 3 lines, the paper has 671 of 7"
        in found
    )


@pytest.mark.shared
def test_the_real_tables(shared_data, tmp_path):
    *files, wild_type = miniatures.mixseq_with_real_tables(tmp_path, shared_data / "mixseq")
    data = read_mixseq(*files)
    assert data.shape == (3097 + 2831, 32738)
    assert changed(data) == []
    treated = data[data.obs["arm"] == "idasanutlin"]
    assert treated.obs["TP53"].value_counts().to_dict() == N_BY_TP53
    assert data.obs["cell_quality"].value_counts().to_dict() == {
        "normal": 5431, "doublet": 282, "empty_droplet": 123, "low_quality": 92,
    }  # fmt: skip
    assert "91 symbols stand for several genes" in data.uns["warnings"][0]
    assert data.var_names.is_unique
    mdm2 = treated[:, "MDM2"].X.toarray().ravel() >= 5
    assert (treated.obs["line"].isin(wild_type) == mdm2).all()
    target, background = make_pair(data, STUDY | {"n_top_features": "1000"}, "sheet")
    assert (target.shape, background.shape) == ((3097, 1000), (2831, 1000))


# --- TP53 --------------------------------------------------------------------


def test_lines_without_any_call_are_said(original, tmp_path):
    zips, _, _ = original
    fewer = {name: i for name, i in miniatures.LINES.items() if name != "LINE0_LUNG"}
    mutations, lines = miniatures.depmap(tmp_path, fewer)
    data = read_mixseq(zips, mutations, lines)
    about = data.obs[data.obs["line"] == "LINE0_LUNG"]
    assert set(about["TP53"]) == {"wild-type"}
    assert set(about["TP53_calls"]) == {"absent"}
    assert "no mutation of any gene for LINE0_LUNG" in data.uns["warnings"][0]


def test_calls_are_joined_by_the_name_in_the_cell_line_table(original, tmp_path):
    zips, _, _ = original
    renamed = miniatures.LINES | {"LINE5_LUNG": "ACH-000777"}
    data = read_mixseq(zips, *miniatures.depmap(tmp_path, renamed))
    assert set(data.obs["TP53"][data.obs["line"] == "LINE5_LUNG"]) == {"mutant"}
    assert data.uns["warnings"][0] == (
        "LINE5_LUNG: the classifications have ACH-000005, DepMap ACH-000777; the latter was taken"
    )


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (0, (b"Hugo_Symbol", b"Gene"), "CCLE_mutations.csv: no column Hugo_Symbol; found 10"),
        (0, (b",TP53,", b",TP54,"), "CCLE_mutations.csv: names no mutation of TP53 in 7 lines"),
        (0, (b"ACH-00000", b"ACH-10000"), "no mutation of any of the 6 lines"),
        (1, (b"CCLE Name", b"Line"), "sample_info.csv: no column CCLE Name or CCLE_Name"),
    ],
)
def test_other_tables_of_depmap_are_refused(original, tmp_path, file, change, message):
    zips, *tables = original
    path = tmp_path / tables[file].name
    path.write_bytes(tables[file].read_bytes().replace(*change))
    tables[file] = path
    with pytest.raises(InputError, match=message):
        read_mixseq(zips, *tables)


# --- what is refused in the zips ---------------------------------------------

FOLDER = "Idasanutlin_24hr_expt1"


def with_members(original, tmp_path, members):
    zips, mutations, lines = original
    path = tmp_path / "idasanutlin.zip"
    miniatures.zipped(path, members)
    return zips | {"idasanutlin": path}, mutations, lines


def change(member, *replaced):
    def changed_members(members):
        key = f"{FOLDER}/{member}"
        members[key] = members[key].replace(*replaced, 1) if replaced else b""
        return members

    return changed_members


def drop(member):
    return lambda members: {k: v for k, v in members.items() if k != f"{FOLDER}/{member}"}


def twice(member):
    return lambda members: members | {f"a/{FOLDER}/{member}": b"x"}


MATRIX = [
    (drop("matrix.mtx"), f"lacks {FOLDER}/matrix.mtx; found: {FOLDER}/, {FOLDER}/genes.tsv"),
    (lambda members: {"readme.txt": b"x"}, f"lacks {FOLDER}/matrix.mtx, .*found: .*readme.txt"),
    (lambda _: miniatures.mixseq_members("dmso"), "is it the zip of the other arm"),
    (twice("genes.tsv"), f"holds {FOLDER}/genes.tsv more than once"),
    (change("classifications.csv", b"singlet_ID", b"line"), "no column singlet_ID; found 17"),
    (change("classifications.csv", b"normal", b"fine"), "column cell_quality: 'fine'; allowed: no"),
    (change("classifications.csv"), "classifications.csv: the file is empty"),
    (change("classifications.csv", b"-1,", b"-2,"), "1 are not classified and 1 not there"),
    (change("barcodes.tsv", b"-1", b"-3"), "1 are not classified and 1 not there"),
    (change("barcodes.tsv", b"-1\n", b""), "has 90 barcodes, barcodes.tsv names 89"),
    (change("genes.tsv", b"\tGENE0\n", b"\n"), "genes.tsv: a line 'ENSG00000000000'; expected"),
    (change("genes.tsv", b"ENSG00000000000\tGENE0\n", b""), "has 240 genes, genes.tsv names 239"),
    (change("genes.tsv", b"GENE0", b"\xff"), "genes.tsv: is no text"),
    (change("genes.tsv", b"ENSG00000000002", b"ENSG1"), "has other genes, or in another order"),
    (change("matrix.mtx", b"240 90 ", b"240 89 "), "matrix.mtx: an entry at row .*column 90"),
    (change("matrix.mtx", b"240 90 ", b"240 90 1"), "entries, its header states 1|which no matrix"),
    (change("matrix.mtx", b" 1\n", b" -1\n"), "1 entries are no counts, for instance -1"),
    (change("matrix.mtx", b" 1\n", b" 0.7\n"), "for instance 0.7; expected whole numbers"),
]


@pytest.mark.parametrize(("change", "message"), MATRIX)
def test_zips_that_are_not_as_published_are_refused(original, tmp_path, change, message):
    members = change(miniatures.mixseq_members("idasanutlin", 90, 10))
    with pytest.raises(InputError, match=f"(idasanutlin|dmso).zip.*{message}"):
        read_mixseq(*with_members(original, tmp_path, members))


def test_a_barcode_that_stands_twice(original, tmp_path):
    members = miniatures.mixseq_members("idasanutlin", 90, 10)
    key = f"{FOLDER}/barcodes.tsv"
    first, _, *rest = members[key].split(b"\n")
    members[key] = b"\n".join([first, first, *rest])
    with pytest.raises(InputError, match=r"barcodes.tsv: barcode .* stands more than once"):
        read_mixseq(*with_members(original, tmp_path, members))


def test_zips_that_are_damaged_missing_or_too_large(original, tmp_path):
    zips, mutations, lines = original
    path = tmp_path / "idasanutlin.zip"
    changed_zips = zips | {"idasanutlin": path}
    with pytest.raises(InputError, match="no such file; expected a zip with Idasanutlin"):
        read_mixseq(changed_zips, mutations, lines)
    content = zips["idasanutlin"].read_bytes()
    spoilt = bytearray(content)
    spoilt[400:420] = bytes(20)
    for wrong in (content[: len(content) // 2], b"<html>403</html>", bytes(spoilt)):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match=r"idasanutlin.zip.*(damaged|not 'row column)"):
            read_mixseq(changed_zips, mutations, lines)
    flagged = bytearray(content)
    for at, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := content.find(at, start)) >= 0:
            flagged[start + flag] |= 1
            start += 4
    path.write_bytes(bytes(flagged))
    with pytest.raises(InputError, match="is encrypted"):
        read_mixseq(changed_zips, mutations, lines)
    with pytest.raises(InputError, match=r"matrix.mtx: unpacks to [0-9]+ bytes, more than the 99"):
        read_mixseq(zips, mutations, lines, largest=99)
