"""Malformed npz and extended XYZ files, wrong splits and names: refused, naming the field and the repair."""

import numpy as np
import pytest
import torch

from ponita_edu.data.md17 import Frames, load_md17, published_split, read_frames, read_split, split_by_numbers

GOOD = {"nuclear_charges": np.array([8, 1, 1]), "coords": np.arange(18.0).reshape(2, 3, 3),
        "energies": np.array([-1.0, -2.0]), "forces": np.ones((2, 3, 3))}  # fmt: skip


def with_value(array, index, value):
    copy = array.astype(float)
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coords": GOOD["coords"][:, :, :2]}, 
         r"coords must have shape \[frames, atoms, 3\], \[2, 3, 3\] here.*\[2, 3, 2\]"),
        ({"coords": GOOD["coords"][:1]}, r"coords must have shape .*\[1, 3, 3\]"),
        ({"coords": GOOD["coords"].reshape(2, 9)}, r"coords must have shape .*\[2, 9\]"),
        ({"forces": GOOD["forces"][:, :2]}, r"forces must have shape .*\[2, 2, 3\]"),
        ({"energies": np.ones((2, 2))}, r"energies must have shape \[frames\]"),
        ({"nuclear_charges": np.array([[8, 1, 1], [8, 1, 1]])}, r"nuclear_charges must have shape \[atoms\]"),
        ({"nuclear_charges": np.array([8.5, 1, 1])}, r"nuclear_charges must hold whole numbers, but holds float64"),
        ({"nuclear_charges": np.array([8, 1, 0])}, r"nuclear_charges must be atomic numbers from 1 to 118.*\[0\]"),
        ({"nuclear_charges": np.array([8, 1, 119])}, r"nuclear_charges must be atomic numbers.*\[119\]"),
        ({"energies": np.array(["a", "b"])}, r"energies must hold real numbers"),
        ({"energies": np.array([1j, 2j])}, r"energies must hold real numbers"),
        ({"energies": np.array([object(), object()])}, r"energies cannot be read .*without pickled objects"),
        ({"nuclear_charges": np.array(["O", "H", "H"], dtype=object)}, r"nuclear_charges cannot be read"),
        ({"energies": with_value(GOOD["energies"], 1, np.nan)}, r"energies must be finite, but is nan at \[1\]"),
        ({"forces": with_value(GOOD["forces"], (1, 2, 0), np.inf)}, r"forces must be finite, .* inf at \[1, 2, 0\]"),
        ({"coords": with_value(GOOD["coords"], (0, 0, 0), np.nan)}, r"coords must be finite"),
        ({"coords": np.ones((0, 3, 3)), "energies": np.ones(0), "forces": np.ones((0, 3, 3))}, "at least one frame"),
        ({"forces": None}, r"forces missing; found nuclear_charges, coords, energies"),
        ({"energies": None, "E": np.ones(2)}, r"energies missing; found .*E\."),
    ],
)
def test_malformed_npz_is_refused_by_its_field(tmp_path, change, message):
    arrays = {key: a for key, a in (GOOD | change).items() if a is not None}
    np.savez(tmp_path / "my.npz", **arrays)
    with pytest.raises(ValueError, match=rf"my\.npz: .*{message}"):
        read_frames(tmp_path / "my.npz")


XYZ = """2
Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 pbc="F F F"
O 0 0 0 1 0 0
H 0 0 1 -1 0 0
2
Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.25 pbc="F F F"
O 0 0 0 1 0 0
H 0 0 1.1 -1 0 0
"""


def test_the_xyz_that_is_spoilt_below_is_good(tmp_path):
    pytest.importorskip("ase")
    (tmp_path / "my.xyz").write_text(XYZ)
    assert len(read_frames(tmp_path / "my.xyz")) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("energy=-1.25", "", r"energy missing in frame 1; found .*Rename what holds it to energy"),
        ("energy=-1.25", "REF_energy=-1.25", r"energy missing in frame 1; found REF_energy"),
        ("energy=-1.25", "energy=nan", r"energy must be finite, but is nan at \[1\]"),
        ("energy=-1.25", "energy=low", r"energy must hold real numbers"),
        ("energy=-1.25", 'energy="1 2"', r"energy must have shape \[\] in frame 1, but has \[2\]"),
        ("forces:R:3 energy=-1.25", "forces:R:2:q:R:1 energy=-1.25", r"forces must have shape \[2, 3\] .*\[2, 2\]"),
        (":forces:R:3 energy=-1.25", ":dft_forces:R:3 energy=-1.25", r"forces missing in frame 1; found .*dft_forces"),
        ("H 0 0 1.1 -1 0 0", "H 0 0 1.1 nan 0 0", r"forces must be finite, but is nan at \[1, 1, 0\]"),
        ("H 0 0 1.1 -1 0 0", "H 0 0 inf -1 0 0", r"pos must be finite"),
        ("H 0 0 1.1 -1 0 0", "H 0 0 far -1 0 0", r"frame 1 cannot be read .*'far'"),
        ("H 0 0 1.1 -1 0 0", "H 0 0 1.1", r"frame 1 cannot be read"),
        ("H 0 0 1.1 -1 0 0\n", "", r"frame 1 cannot be read .*Frame has 1 atoms, expected 2"),
        ("H 0 0 1.1", "Qq 0 0 1.1", r"frame 1 cannot be read .*species 'Qq' is no element"),
        ("H 0 0 1.1", "X 0 0 1.1", r"species .*change at frame 1|species must be atomic numbers"),
        ("H 0 0 1.1", "F 0 0 1.1", r"species must be the same in every frame, .* change at frame 1"),
        ('energy=-1.25 pbc="F F F"', 'energy=-1.25 Lattice="9 0 0 0 9 0 0 0 9"', r"pbc must be F F F.*frame 1"),
        ('pbc="F F F"', 'Lattice="9 0 0 0 9 0 0 0 9" pbc="F T F"', r"pbc must be F F F.*frame 0"),
        (XYZ[XYZ.index("\n2\n") :], "\n3\nenergy=1\nO 0 0 0\n", r"frame 1 cannot be read"),
        (XYZ, "once upon a time\n", r"frame 0 cannot be read"),
        (XYZ, "\n\n", r"cannot be read|holds no frame"),
        (XYZ, "", r"is empty; expected"),
        (XYZ, "\x00\xff\xfe binary", r"frame 0 cannot be read"),
    ],
)
def test_malformed_xyz_is_refused_by_its_field(tmp_path, old, new, message):
    pytest.importorskip("ase")
    assert old in XYZ
    (tmp_path / "my.xyz").write_text(XYZ.replace(old, new), encoding="latin-1")
    with pytest.raises(ValueError, match=rf"my\.xyz:? .*{message}|my\.xyz {message}"):
        read_frames(tmp_path / "my.xyz")


def test_damaged_and_missing_files_are_refused(tmp_path):
    np.savez(tmp_path / "my.npz", **GOOD)
    whole = (tmp_path / "my.npz").read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(whole) // 3] ^= 255
    for content in (whole[:-200], bytes(spoilt), b"not a zip file"):
        (tmp_path / "my.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"my\.npz: "):
            read_frames(tmp_path / "my.npz")
    with pytest.raises(ValueError, match=r"cannot be read \(No such file.*ethanol_xtb, aspirin_xtb, .*uracil"):
        load_md17("etanol")
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory"):
        load_md17(tmp_path)


@pytest.mark.parametrize("count", [1000, 99_900])
def test_published_split_needs_the_whole_file(count):
    with pytest.raises(ValueError, match=r"count must be over 99,900 .*Use split_by_numbers"):
        published_split(count)


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [(0, 5, "train must be a whole number"), (5, -1, "val must be"), (5.0, 5, "train must be .*5.0"),
     (True, 5, "train must be"), (6, 5, r"at most the 10 frames there are, but 6 \+ 5 = 11")],
)  # fmt: skip
def test_split_by_numbers_refuses_impossible_sizes(train, val, message):
    with pytest.raises(ValueError, match=message):
        split_by_numbers(10, train, val)


@pytest.mark.parametrize("content", ["", "1\ntwo\n", "1\n1\n", "-1\n", "10\n", "1.5\n"])
def test_read_split_refuses_what_is_no_list_of_rows(tmp_path, content):
    (tmp_path / "index.csv").write_text(content)
    with pytest.raises(ValueError, match=r"index\.csv must hold"):
        read_split(tmp_path / "index.csv", 10)


def test_frames_refuse_float32_and_numpy():
    zeros = torch.zeros(1, 2, 3, dtype=torch.float64)
    good = {"numbers": torch.tensor([8, 1]), "pos": zeros, "energy": zeros[:, 0, 0], "forces": zeros}
    frames = Frames(**good, name="x")
    with pytest.raises(ValueError, match=r"energy must be a tensor of torch.float64, but is torch.float32"):
        Frames(**good | {"energy": torch.zeros(1)}, name="x")
    with pytest.raises(ValueError, match=r"pos must be a tensor of torch.float64, but is float64"):
        Frames(**good | {"pos": good["pos"].numpy()}, name="x")
    with pytest.raises(ValueError, match="at least one frame"):
        frames[:0]
