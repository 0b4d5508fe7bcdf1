"""The leukemia study from files in the published formats."""

import gzip
import tarfile

import numpy as np
import pytest

import miniatures
from bcnmf import InputError
from bcnmf_pipeline.datasets.gencode import protein_coding
from bcnmf_pipeline.datasets.leukemia import changed, read_leukemia
from bcnmf_pipeline.datasets.tenx import read_10x
from bcnmf_pipeline.pair.pairing import make_pair

STUDY = {
    "study": "leukemia", "target": "sample=pre,post", "background": "sample=healthy",
    "label": "stage", "unit": "", "values": "counts", "n_top_features": "150",
}  # fmt: skip


@pytest.fixture
def files(tmp_path):
    return miniatures.leukemia(tmp_path)


def test_cells_genes_and_labels_are_those_of_the_files(files):
    paths, gencode = files
    data = read_leukemia(paths, gencode)
    assert data.shape == (60 + 70 + 50, 200)
    assert data.X.format == "csr"
    assert data.X.dtype == np.float32
    assert data.obs["sample"].value_counts().to_dict() == {"pre": 60, "post": 70, "healthy": 50}
    assert set(data.obs["stage"][data.obs["sample"] == "healthy"]) == {"none"}
    post = data[data.obs["sample"] == "post"].X.toarray()
    np.testing.assert_array_equal(post, miniatures.counts(70, 1, seed=2).toarray()[:, :200])
    assert data.obs_names[0] == f"pre_{miniatures.barcodes(1, 0)[0]}"
    assert data.obs["n_counts"].iloc[0] == data.X[0].sum()
    assert data.uns["qc"].loc["pre", ["cells", "genes", "protein_coding"]].tolist() == [
        60,
        240,
        200,
    ]
    assert "aml027_pre_transplant (60 cells)" in data.uns["source"]["description"]


def test_repeated_symbols_are_told_apart_by_their_ids(files):
    paths, gencode = files
    data = read_leukemia(paths, gencode)
    assert data.var_names.is_unique
    assert data.var_names[3] == "GENE3_ENSG00000000003"
    assert data.var_names[7] == "GENE3_ENSG00000000007"
    assert data.var_names[8] == "GENE8"


def test_the_pairing_takes_it_from_there(files):
    paths, gencode = files
    target, background = make_pair(read_leukemia(paths, gencode), STUDY, "sheet")
    assert target.shape == (130, 150)
    assert background.shape == (50, 150)
    assert set(target.obs["stage"]) == {"pre", "post"}


def test_what_changed_at_the_source_is_said(files):
    paths, gencode = files
    found = changed(paths, read_leukemia(paths, gencode))
    assert found[0] == "aml027_pre_transplant: 60 cells, the published file has 3933"
    assert found[-1] == "240 genes, the published files have 32738"
    other = paths | {"pre": paths["pre"].rename(paths["pre"].with_name("aml035_pre_transplant_x"))}
    assert len(changed(other, read_leukemia(other, gencode))) == 3


def written(tmp_path, **changes):
    members = miniatures.tenx_members(miniatures.counts(20, None))
    for name, content in changes.items():
        key = f"filtered_matrices_mex/hg19/{name.replace('_', '.')}"
        if content is None:
            del members[key]
        else:
            members[key] = content
    path = tmp_path / "x_filtered_gene_bc_matrices.tar.gz"
    miniatures.tar(path, members)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"barcodes_tsv": None}, "lacks hg19/barcodes.tsv; found: filtered_matrices_mex"),
        ({"genes_tsv": b"ENSG1\n"}, "genes.tsv: a line 'ENSG1'; expected an Ensembl id"),
        ({"genes_tsv": b"ENSG1\tA\n"}, "the matrix has 240 genes, genes.tsv names 1"),
        ({"barcodes_tsv": b"AAA-1\n"}, "the matrix has 20 barcodes, barcodes.tsv names 1"),
        ({"matrix_mtx": b"no matrix\n"}, "matrix.mtx: begins with b'no matrix"),
        ({"barcodes_tsv": b"\xff\xfe\n"}, "barcodes.tsv: is no text"),
    ],
)
def test_archives_that_are_not_as_published_are_refused(tmp_path, changes, message):
    path = written(tmp_path, **changes)
    with pytest.raises(InputError, match=f"x_filtered.*{message}"):
        read_10x(path)


def test_damaged_and_missing_archives_are_refused(tmp_path):
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="cut short"):
        read_10x(path)
    path.write_bytes(b"<html>403</html>")
    with pytest.raises(InputError, match=r"not a \.tar\.gz"):
        read_10x(path)
    with pytest.raises(InputError, match="no such file"):
        read_10x(tmp_path / "absent.tar.gz")


def test_a_matrix_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = written(tmp_path)
    monkeypatch.setattr("bcnmf_pipeline.datasets.tenx._LARGEST_MATRIX", 1000)
    with pytest.raises(InputError, match=r"matrix.mtx: unpacks to \d+ bytes, more than the 1000"):
        read_10x(path)


def test_links_and_members_elsewhere_are_passed_over_and_nothing_is_unpacked(tmp_path):
    path = written(tmp_path)
    hostile = tmp_path / "hostile.tar.gz"
    with tarfile.open(path) as source, tarfile.open(hostile, "w:gz") as archive:
        for name, kind in (
            ("filtered_matrices_mex/hg19/matrix.mtx", tarfile.SYMTYPE),
            ("../../hg19/genes.tsv", tarfile.LNKTYPE),
            ("hg19/barcodes.tsv", tarfile.CHRTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        for member in source:
            content = source.extractfile(member) if member.isfile() else None
            archive.addfile(member, content)
    before = sorted(tmp_path.iterdir())
    assert read_10x(hostile).barcodes == read_10x(path).barcodes
    assert sorted(tmp_path.iterdir()) == before


def test_samples_with_other_genes_are_refused(files):
    paths, gencode = files
    members = miniatures.tenx_members(miniatures.counts(20, None))
    key = "filtered_matrices_mex/hg19/genes.tsv"
    members[key] = members[key].replace(b"ENSG00000000005", b"ENSG00000999999")
    miniatures.tar(paths["healthy"], members)
    with pytest.raises(InputError, match=r"healthy_donor1.*has other genes"):
        read_leukemia(paths, gencode)


def test_protein_coding_genes_are_matched_without_versions(files, tmp_path):
    _, gencode = files
    genes = protein_coding(gencode)
    assert len(genes) == 200
    assert genes["ENSG00000000008"] == "GENE8"
    plain = tmp_path / "plain.gtf"
    plain.write_bytes(gzip.decompress(gencode.read_bytes()))
    assert protein_coding(plain) == genes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"chr1\tx\texon\t1\t2\n", "names no gene of type protein_coding"),
        (gzip.compress(b"chr1\n" * 999, mtime=0)[:-20], "cut short"),
    ],
)
def test_files_that_are_no_annotation_are_refused(tmp_path, content, message):
    path = tmp_path / "genes.gtf.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        protein_coding(path)


def test_another_species_is_refused(files, tmp_path):
    paths, _ = files
    path = tmp_path / "mouse.gtf"
    path.write_text(
        "chr1\tx\tgene\t1\t2\t.\t+\t.\t"
        'gene_id "ENSMUSG1.1"; gene_type "protein_coding"; gene_name "A";\n'
    )
    with pytest.raises(InputError, match="none of its protein-coding genes is among"):
        read_leukemia(paths, path)
