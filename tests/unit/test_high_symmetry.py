"""The command that writes down where numbers fail to name classes in symmetric molecules."""

import json

from ponita_edu.analysis import high_symmetry, molecule_collisions
from ponita_edu.geometry import make_grid


def test_complete_sets_have_no_unexplained_collision_and_the_triple_has_some(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(high_symmetry, "molecule_table", lambda: molecule_collisions.molecule_table(
        grid=make_grid("octahedron"), molecules=("methane", "SF6")))
    monkeypatch.setattr(high_symmetry, "rank_table", lambda degenerate, search: [])
    high_symmetry.main(["--out", str(tmp_path / "a.json")])
    rows = json.loads((tmp_path / "a.json").read_text())["molecules"]
    assert capsys.readouterr().out.count("\n") == len(rows) == 6
    assert {row["set"]: row["unexplained"] > 0 for row in rows} == {
        "r3s2_triple": True, "r3s2_e3": False, "r3s2_se3": False}
