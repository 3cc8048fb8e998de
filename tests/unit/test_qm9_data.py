"""QM9 against the numbers that an independent reading gave: counts, rows, hashes, units, statistics, baselines.

Tests of the whole set need the package qm9pack; the embedded subset is always tested.
"""

from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest

from ponita_edu.data import qm9
from ponita_edu.data.qm9 import EV_PER_HARTREE, PUBLISHED, UNITS, fingerprint, load_qm9, load_subset
from ponita_edu.data.qm9_csv import read_csv


def installed() -> bool:
    try:
        distribution("qm9pack")
    except PackageNotFoundError:
        return False
    return True


needs_qm9 = pytest.mark.skipif(not installed(), reason="qm9pack is not installed (pip install 'ponita_edu[chem]')")

# Mean and population standard deviation over the DimeNet training part, test MAE of predicting that mean.
STATISTICS = {
    "mu": ("2.673282", "1.502907", "1.185338"), "alpha": ("75.306183", "8.169676", "6.267867"),
    "homo": ("-6.535125", "0.597314", "0.445356"), "lumo": ("0.322321", "1.274065", "1.060013"),
    "gap": ("6.857441", "1.282911", "1.084076"), "r2": ("1189.890102", "280.592533", "201.808272"),
    "zpve": ("4.058687", "0.901702", "0.717427"), "U0_atom": ("-76.144324", "10.315197", "8.132435"),
    "U_atom": ("-76.609006", "10.406615", "8.206322"), "H_atom": ("-77.046942", "10.480683", "8.265328"),
    "G_atom": ("-70.863061", "9.490162", "7.476610"), "Cv": ("31.627607", "4.064002", "3.210011"),
}  # fmt: skip
SPLITS = {
    "dimenet": ((110000, 10000, 10831), ("f32a83bb33005217", "6217deac52bc48b4", "c1ad6c3aac4de86c"),
                ((112526, 100113, 55940, 12786), (90042, 89438), (24143, 20981))),
    "edm": ((100000, 17748, 13083), ("5347dea851fe63a5", "4a6b6f2529e02c7c", "6b2a97c86b37a248"),
            ((130195, 68784, 7957, 25911, 20168, 12658, 53330, 76489, 105074, 93662), (68751,), (115839,))),
}  # fmt: skip
EDM_SIZES = {3: 1, 4: 4, 5: 5, 6: 9, 7: 16, 8: 49, 9: 124, 10: 362, 11: 807, 12: 1689, 13: 3060, 14: 5136, 15: 7796,
             16: 10644, 17: 13025, 18: 13364, 19: 13832, 20: 9482, 21: 9970, 22: 3393, 23: 4848, 24: 539, 25: 1506,
             26: 48, 27: 266, 29: 25}  # fmt: skip


@pytest.fixture(scope="module")
def exact():
    return read_csv("float64", progress=False)  # once for all tests


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("qm9")


@pytest.fixture(scope="module")
def whole(exact, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(qm9, "read_csv", lambda dtype, progress: exact | {"pos": exact["pos"].astype(dtype)})
        return load_qm9(folder, progress=False)


# ---------------------------------------------------------------- the whole set


@needs_qm9
def test_counts_of_molecules_atoms_and_elements(whole):
    assert (len(whole), len(whole.numbers)) == (130_831, 2_359_210)
    assert (whole.sizes.min(), whole.sizes.max()) == (3, 29)
    assert whole.index[:3].tolist() == [1, 2, 3] and (np.diff(whole.index) > 0).all()
    train = whole.splits("edm")["train"]
    assert whole.counts[train].sum(0).tolist() == [923_537, 635_559, 101_476, 140_202, 2_323]
    sizes, times = np.unique(whole.sizes[train], return_counts=True)
    assert dict(zip(sizes.tolist(), times.tolist(), strict=True)) == EDM_SIZES
    share = times / times.sum()
    assert f"{-(share * np.log(share)).sum():.6f} {whole.sizes[train].mean():.3f}" == "2.475701 18.031"


@needs_qm9
@pytest.mark.parametrize("name", SPLITS)
def test_splits_have_the_published_rows(whole, name):
    sizes, hashes, starts = SPLITS[name]
    parts = list(whole.splits(name).values())
    assert tuple(map(len, parts)) == sizes
    assert tuple(map(fingerprint, parts)) == hashes
    assert all(tuple(part[: len(start)]) == start for part, start in zip(parts, starts, strict=True))
    assert len(np.unique(np.concatenate(parts))) == len(whole)
    assert fingerprint(np.sort(parts[0])) != hashes[0]  # control: the hash sees the order


@needs_qm9
def test_methane_in_published_units(whole):
    first = {name: whole.targets[name][0] for name in UNITS}
    assert [f"{first[f'{e}_atom']:.6f}" for e in qm9.ENERGIES] == ["-17.172181", "-17.286822", "-17.389654",
                                                                  "-16.151917"]
    assert first["U0_total"] == -40.47893 * EV_PER_HARTREE  # the other kind of energy, sixty times as large
    assert (first["mu"], first["alpha"], first["r2"], first["Cv"]) == (0.0, 13.21, 35.3641, 6.469)
    assert first["homo"] == pytest.approx(-10.5498544, abs=1e-7)
    symbols, pos = whole.molecule(0)
    assert symbols == ("C", "H", "H", "H", "H")
    np.testing.assert_allclose(pos[0], [-0.0126981359, 1.0858041578, 0.0080009958], rtol=0, atol=1e-7)


@needs_qm9
@pytest.mark.parametrize("name", PUBLISHED)
def test_statistics_and_mean_predictor_to_all_printed_digits(whole, name):
    parts, y = whole.splits("dimenet"), whole.targets[name]
    train, test = y[parts["train"]], y[parts["test"]]
    found = train.mean(), train.std(), np.abs(test - train.mean()).mean()
    assert tuple(f"{value:.6f}" for value in found) == STATISTICS[name]


@needs_qm9
def test_float64_positions_are_those_of_the_file_and_round_to_the_cached_ones(exact, whole):
    assert exact["pos"].dtype == np.float64 and exact["pos"][0, 0] == -0.0126981359
    assert whole.pos.dtype == np.float32 and np.array_equal(exact["pos"].astype(np.float32), whole.pos)
    assert not np.array_equal(exact["pos"], whole.pos)


# ---------------------------------------------------------------- the cache


@needs_qm9
def test_cache_is_small_and_read_back_exactly(whole, folder, monkeypatch):
    path = folder / f"qm9_v{qm9.VERSION}.npz"
    assert path.stat().st_size < 60e6 and [p.name for p in folder.iterdir()] == [path.name]

    def must_not(*_):
        raise AssertionError("the CSV files were read although there is a cache")

    monkeypatch.setattr(qm9, "read_csv", must_not)
    cached = load_qm9(folder, progress=False)
    for name in ("index", "sizes", "numbers", "pos", "charges"):
        assert np.array_equal(getattr(cached, name), getattr(whole, name))
    assert all(np.array_equal(cached.targets[name], whole.targets[name]) for name in UNITS)


def small_csv(monkeypatch):
    # ten molecules in place of the CSV files; returns how often they were read
    arrays = {k: a for k, a in qm9._subset_file().items() if k not in ("rows", "about")}
    atoms = int(arrays["sizes"][:10].sum())
    part = {k: a[: atoms if k in ("numbers", "pos", "charges") else 10] for k, a in arrays.items()}
    part |= {k: part[k].astype(np.float32) for k in ("pos", "charges")}
    reads = []

    def read(dtype, progress):
        reads.append(dtype)
        return part

    monkeypatch.setattr(qm9, "read_csv", read)
    return reads


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(path.read_bytes()[:-500]),
    lambda path: path.write_bytes(b""),
    lambda path: qm9.write_npz(path, {"index": np.arange(3)}),  # of some other version
    lambda path: qm9.write_npz(path, dict(np.load(path)) | {"mu": np.zeros(10)}),
], ids=["cut short", "empty", "other arrays", "edited"])
def test_damaged_cache_is_reported_and_made_anew(tmp_path, monkeypatch, damage):
    reads = small_csv(monkeypatch)
    right = load_qm9(tmp_path)
    load_qm9(tmp_path)
    assert len(reads) == 1
    damage(tmp_path / f"qm9_v{qm9.VERSION}.npz")
    with pytest.warns(RuntimeWarning, match="is damaged .*reading QM9 again"):
        repaired = load_qm9(tmp_path)
    assert len(reads) == 2 and np.array_equal(repaired.targets["mu"], right.targets["mu"])
    load_qm9(tmp_path)
    assert len(reads) == 2


def test_cache_of_another_version_is_not_read(tmp_path, monkeypatch):
    reads = small_csv(monkeypatch)
    load_qm9(tmp_path)
    monkeypatch.setattr(qm9, "VERSION", qm9.VERSION + 1)
    load_qm9(tmp_path)
    assert len(reads) == 2 and len(list(tmp_path.iterdir())) == 2


def test_read_only_disk_is_reported_and_data_come_all_the_same(tmp_path, monkeypatch):
    small_csv(monkeypatch)

    def read_only(path, arrays):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(qm9, "write_npz", read_only)
    with pytest.warns(RuntimeWarning, match="could not be kept .*Read-only file system.*PONITA_EDU_DATA"):
        assert len(load_qm9(tmp_path)) == 10


# ---------------------------------------------------------------- the embedded subset


def test_subset_is_small_and_labelled():
    file = qm9.files("ponita_edu").joinpath(qm9.SUBSET)
    assert len(file.read_bytes()) < 400_000
    about = str(qm9._subset_file()["about"])
    assert "10.1038" in about or "Scientific Data 1, 140022" in about
    assert "CC0" in about


def test_subset_keeps_each_molecule_in_its_part():
    subset = load_subset()
    parts, rows = subset.splits(), qm9._subset_file()["rows"]
    assert {name: len(part) for name, part in parts.items()} == {"train": 1200, "val": 200, "test": 600}
    assert len(np.unique(np.concatenate(list(parts.values())))) == len(subset)
    in_whole = np.random.RandomState(42).permutation(130_831)
    assert np.isin(rows[parts["test"]], in_whole[120_000:]).all()
    assert not np.isin(rows[parts["train"]], in_whole[120_000:]).any()


@needs_qm9
def test_subset_has_the_numbers_of_the_whole(whole):
    subset = load_subset()
    rows = np.searchsorted(whole.index, subset.index)
    assert all(np.array_equal(subset.targets[name], whole.targets[name][rows]) for name in UNITS)
    assert np.array_equal(subset.counts, whole.counts[rows])
    atoms = np.isin(np.repeat(np.arange(len(whole)), whole.sizes), rows)
    assert np.abs(subset.pos - whole.pos[atoms]).max() < 0.00051
    assert np.abs(subset.charges - whole.charges[atoms]).max() < 0.00051


def test_counts_and_sizes_agree():
    subset = load_subset()
    assert np.array_equal(subset.counts.sum(1), subset.sizes) and subset.offsets[-1] == len(subset.numbers)
    symbols, pos = subset.molecule(5)
    assert len(symbols) == len(pos) == subset.sizes[5]


def test_totals_and_atomisation_energies_differ_by_free_atoms():
    subset = load_subset()
    free = subset.counts @ qm9.FREE_ATOMS[0] * EV_PER_HARTREE
    np.testing.assert_allclose(subset.targets["U0_total"] - free, subset.targets["U0_atom"], rtol=0, atol=1e-9)
    assert subset.targets["U0_total"].mean() < 50 * subset.targets["U0_atom"].mean()
