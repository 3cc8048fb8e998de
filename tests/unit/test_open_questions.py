"""The table of open questions says what the files in results/ say, and nothing else."""

import json
import shutil

import pytest

from ponita_edu.analysis import open_questions
from ponita_edu.analysis.open_questions import (
    MISSING,
    PARTS,
    RESULTS,
    as_markdown,
    load,
    table,
    times,
    with_interval,
)
from ponita_edu.viz.open_questions import plot_classes, plot_degree, plot_groups

THERE = [name for name in PARTS if (RESULTS / f"{name}.json").exists()]


def test_every_question_has_a_command_that_exists_and_its_minutes(tmp_path):
    found, nothing = table(), table(tmp_path)
    assert [row.answer != MISSING for row in found] == [name in THERE for name in PARTS] and len(THERE) >= 6
    assert [row.command.split("--out")[1] for row in nothing] == [f" results/{name}.json" for name in PARTS]
    for row in found + nothing:
        assert (row.minutes is None) == (row.answer == MISSING) and row.minutes != 0
        word = row.command.split()
        path = word[2].replace(".", "/") + ".py" if word[1] == "-m" else word[1]
        assert (RESULTS.parent / path).is_file()


@pytest.mark.parametrize("name", THERE)
def test_answer_changes_with_the_numbers_of_its_file(name, tmp_path):
    """The control: every number of a file is doubled; an answer that was typed would stay."""
    def doubled(value):
        if isinstance(value, dict):
            return {key: doubled(v) for key, v in value.items()}
        if isinstance(value, list):
            return [doubled(v) for v in value]
        return value * 2 if isinstance(value, float) or (isinstance(value, int) and value > 1000) else value

    data = load(name)
    assert PARTS[name](data).answer == PARTS[name](json.loads(json.dumps(data))).answer
    if name in ("separability", "polynomial_degree"):  # rows are chosen by their rate and errors come as ratios
        for row in data["summary"] + data.get("networks", []):
            row["error"] *= 2
            row |= {key: 3 * row[key] for key in ("ratio", "ratio_low", "ratio_high") if row.get(key)}
        assert PARTS[name](data).answer != PARTS[name](load(name)).answer
    elif name == "other_groups":
        data["rows"][0]["collisions"] = 7
        assert PARTS[name](data).answer.startswith("Not for all")
    else:
        assert PARTS[name](doubled(data)).answer != PARTS[name](data).answer


def test_a_missing_file_is_said(tmp_path):
    shutil.copy(RESULTS / "scale.json", tmp_path)
    rows = table(tmp_path)
    assert sum(row.answer == MISSING for row in rows) == len(PARTS) - 1
    assert as_markdown(rows).count(MISSING) == len(PARTS) - 1 and as_markdown(rows).count("\n") == len(PARTS) + 1


def test_one_seed_has_no_interval():
    arms = {"PONITA, 12": {"mse": 0.016, "half_width": 0.001, "seeds": 3, "equivariance": 0.07},
            "band-limited, 38": {"mse": 0.02, "half_width": None, "seeds": 1, "equivariance": 1e-7}}
    said = PARTS["band_limited"]({"command": "x", "processor_minutes": 2.0, "steps": 5, "summary": arms}).answer
    assert "0.0160 ± 0.0010, error of equivariance at most 7e-02" in said and "0.0200, error" in said


def test_intervals_are_those_of_student_over_seeds():
    values = [0.1, 0.2, 0.3]
    assert with_interval(values, ".3f") == "0.200 ± 0.248"  # t = 4.303 for two degrees of freedom, times 0.1 / sqrt(3)
    assert with_interval(values[:1], ".1f") == "0.1" and times([4.0], [2.0]) == "2.0"
    assert times([2.0, 8.0], [1.0, 1.0]) == "4.0 (0.0 to 26731)"  # 4 exp(± 12.706 ln 2)
    assert times([3.0, 6.0, 9.0], [1.0, 2.0, 3.0]) == "3.0 (3.0 to 3.0)"
    for name in ("band_limited", "large_systems", "other_groups", "separability"):
        answer = PARTS[name](load(name))
        assert "95 % intervals" in answer.measured and ("±" in answer.answer or " to " in answer.answer)


def test_every_row_of_the_table_has_five_cells():
    for line in as_markdown(table()).splitlines():
        assert line.replace("\\|", "").count("|") == 6, line


def test_command_prints_the_table(capsys):
    open_questions.main([])
    assert capsys.readouterr().out.strip() == as_markdown(table())


def test_figures_show_every_row():
    groups, classes = load("other_groups")["rows"], load("kernel_classes")["rows"]
    axes, = plot_groups(groups).axes
    assert [t.get_text() for t in axes.get_xticklabels()] == [row["group"] for row in groups]
    seeds = len(groups[0]["network"]["error"]["values"])
    assert sum(len(line.get_xdata()) for line in axes.lines) == 4 * seeds * len(groups) + 2  # and the line at 1
    axes, = plot_classes(classes).axes
    shown = [row for row in classes if row["grid"] == "icosahedron" and not row["turned"]]
    assert [list(line.get_xdata()) for line in axes.lines[:3]] == [[row["evaluations"][way] for row in shown]
                                                                  for way in ("all", "library", "classes")]


def test_degree_figure_draws_means_and_intervals():
    summary = [{"task": task, "rate": 0.01, "features": name, "error": 0.1 * k, "error_half": 0.01}
               for task in ("N-body", "forces") for k, name in enumerate(("distinct 1", "ordered 2", "bessel 8"), 1)]
    condition = [{"task": task, "features": f"distinct {d}", "condition": 10.0**d, "condition_scaled": 2.0**d}
                 for task in ("N-body", "forces") for d in (1, 2)]
    left, middle, right = plot_degree(summary, condition).axes
    assert left.get_title() == "N-body" and middle.get_title() == "forces"
    assert [list(c.lines[0].get_ydata()) for c in left.containers] == [[0.1], [0.2]]
    assert len(right.lines) == 4 and list(right.lines[0].get_ydata()) == [10.0, 100.0]
