"""Where the ten molecules of rMD17 are published, and how they get here.

Christensen and von Lilienfeld 2020, doi:10.6084/m9.figshare.12672038, CC0; mirror doi:10.24435/materialscloud:wy-kn.
"""

from pathlib import Path

from ponita_edu.data.download import Remote, check_file, extract_member, fetch
from ponita_edu.paths import data_dir

LARGEST = 300_000_000  # bytes of one npz; azobenzene's has about 176 million
# Number on figshare and MD5 of each single file. Secondary sources: the numbers stand in two public projects, the
# MD5s in one; nobody here has compared them with the files yet. A wrong one would show as a refused download.
_SINGLE = {
    "aspirin": ("62265757", "17fd6fb69066888613f7e16b358a7553"),
    "azobenzene": ("62265754", "be79df918468eb3579aa73a0becf7390"),
    "benzene": ("62265739", "18c9242bc90fbf28215f6dd81e650f16"),
    "ethanol": ("62265733", "eb837fb8deb27d4e0d52f71a03aff776"),
    "malonaldehyde": ("62265736", "cdc1d70c0c34062ddde6e5071eb6fe21"),
    "naphthalene": ("62265751", "0efba19c9907e3852318b1e6008b3b9e"),
    "paracetamol": ("62265760", "ba10784f7b67635427085f6d7ec2dd97"),
    "salicylic": ("62265748", "900fedf242da438400fa4293348d7dd1"),
    "toluene": ("62265742", "0f2913d51f8149c90ab28d697a076f64"),
    "uracil": ("62265745", "992a4479c28a07e0cce6da964805be31"),
}
SINGLE = {
    name: Remote(f"rmd17_{name}.npz", (f"https://figshare.com/ndownloader/files/{number}",), f"md5:{md5}", LARGEST)
    for name, (number, md5) in _SINGLE.items()
}
MOLECULES = tuple(SINGLE)
# All ten in one, with the authors' splits. SHA-256 from secondary sources: its first twelve digits stand in two
# public projects; MD5 (four projects) cb1a927628d96f2e966025da4fb63d18.
ARCHIVE = Remote(
    "rmd17.tar.bz2",
    ("https://figshare.com/ndownloader/files/23950376",
     "https://archive.materialscloud.org/records/pfffs-fff86/files/rmd17.tar.bz2"),
    "sha256:cddeea2ec2c4b22a9de16a9a65a3eeedac5b29da9c99c20bbff0153912bf922b", 1_066_301_513,
)  # fmt: skip


def rmd17_file(molecule: str, folder: Path | None = None, progress: bool = True) -> Path:
    """The npz of one molecule: from ``folder``, or else downloaded.

    In this order: ``npz_data/rmd17_NAME.npz``, where the unpacked archive has it; the single file
    ``rmd17_NAME.npz``; the archive ``rmd17.tar.bz2``, of which only this molecule is unpacked; then downloads of the
    single file, and of the archive (1.1 GB, kept for the other molecules) where that fails. Checksums of the single
    file and of the archive are verified, whoever put them there.

    Args:
        molecule: one of ``MOLECULES``.
        folder: ``None`` for the folder rmd17 in :func:`ponita_edu.paths.data_dir`.
        progress: whether to show progress bars.

    Raises:
        ValueError: if a file in the folder is not the published one.
        ConnectionError: if nothing can be downloaded; says which file to put where.
    """
    folder = data_dir() / "rmd17" if folder is None else folder
    single, member = SINGLE[molecule], f"rmd17/npz_data/rmd17_{molecule}.npz"
    unpacked, archive = folder / "npz_data" / single.file, folder / ARCHIVE.file
    if unpacked.exists():
        return unpacked
    if archive.exists() and not (folder / single.file).exists():
        return extract_member(check_file(archive, ARCHIVE.checksum), member, unpacked, LARGEST)
    try:
        return fetch(single, folder, progress)
    except ConnectionError as first:
        try:
            return extract_member(fetch(ARCHIVE, folder, progress), member, unpacked, LARGEST)
        except ConnectionError as second:
            raise ConnectionError(f"{first} Or the whole archive: {second}") from second
