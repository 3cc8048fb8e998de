"""Each widget of each notebook, moved as a person moves it: what must change on the page?

To add a widget, add its moves to the table. A widget without moves, or moves without a widget, fail the test.
"""

import pytest
from moves import Move, make

pytestmark = pytest.mark.browser


MOVES = {
    "00_start_here.ipynb": [
        Move("TurnMolecule", "angle", "ArrowRight"),
        Move("TurnMolecule", "tilt", "ArrowRight"),
        Move("TurnMolecule", "grid_too", says="0 % (rounding)"),
        Move("TurnMolecule", "network", "PONITA, distances only", says="no directions"),
        Move("TurnMolecule", "network", "plain network"),
        Move("TurnMolecule", "reset"),
    ],
    "01_groups_and_homogeneous_spaces.ipynb": [
        Move("PairExplorer", "x", "ArrowLeft"),
        Move("PairExplorer", "z", "ArrowRight"),
        Move("PairExplorer", "receiver_elevation", "ArrowLeft"),
        Move("PairExplorer", "show_orbit", changes=("picture",)),
        Move("PairExplorer", "show_orbit", changes=("picture",)),
        Move("PairExplorer", "motion", says="(rounding)"),
        Move("PairExplorer", "back"),
        Move("PairExplorer", "space", "R²"),
        Move("PairExplorer", "space", "SE(3)"),
        Move("PairExplorer", "sender_roll", "ArrowRight"),
        Move("PairExplorer", "reset"),
    ],
    "02_equivalence_classes_and_invariants.ipynb": [
        Move("PairExplorer", "space", "R²×S¹"),
        Move("PairExplorer", "numbers", "cosine only", changes=("report",)),
        Move("PairExplorer", "collide", says="Collision."),
        Move("PairExplorer", "numbers", "angle (complete)"),
        Move("PairExplorer", "collide", changes=("report",), says="48 random starts"),
        Move("PairExplorer", "reset"),
        Move("PairExplorer", "numbers", "four of E(3)", changes=("report",)),
        Move("PairExplorer", "collide", changes=("report",), says="No collision found"),
        Move("PairExplorer", "mirror", changes=("report",)),
        Move("PairExplorer", "collide", says="Seen by: det"),
        Move("PairExplorer", "numbers", "paper's three"),
        Move("PairExplorer", "spin", "ArrowRight", says="(rounding)"),
        Move("PairExplorer", "sender_azimuth", "ArrowRight", times=3),
        Move("PairExplorer", "collide", says="Collision."),
        Move("PairExplorer", "reset"),
    ],
    "03_spherical_grids.ipynb": [
        Move("GridExplorer", "left_n", "ArrowRight"),
        Move("GridExplorer", "left", "repulsion"),
        Move("GridExplorer", "right", "lebedev"),
        Move("GridExplorer", "right_n", "ArrowRight", times=6),  # the nearest rule changes from 26 to 26 + 12
        Move("GridExplorer", "angle", "ArrowRight", changes=("picture",)),
        Move("GridExplorer", "cells", changes=("picture",)),
        Move("GridExplorer", "cells", changes=("picture",)),
        Move("GridExplorer", "reset"),
    ],
    "04_lifting_and_readout.ipynb": [
        Move("LiftExplorer", "azimuth", "ArrowRight"),
        Move("LiftExplorer", "height", "ArrowRight"),
        Move("LiftExplorer", "n", "ArrowRight"),
        Move("LiftExplorer", "leak", "ArrowRight"),
        Move("LiftExplorer", "centred"),
        Move("LiftExplorer", "exact", says="0 (rounding)"),
        Move("LiftExplorer", "exact"),
        Move("LiftExplorer", "centred"),
        Move("LiftExplorer", "factor"),
        Move("LiftExplorer", "what", "the 4 bonds of methane"),
        Move("LiftExplorer", "channel", "vector 3"),
        Move("LiftExplorer", "family", "octahedron"),
        Move("LiftExplorer", "factor", says="0 (rounding)"),
        Move("LiftExplorer", "reset"),
    ],
    "05_separable_convolution.ipynb": [
        Move("KernelExplorer", "channel", "ArrowRight"),
        Move("KernelExplorer", "layer", "ArrowRight"),
        Move("KernelExplorer", "level", "ArrowRight", changes=("picture",)),
        Move("KernelExplorer", "reach", "ArrowLeft"),
        Move("KernelExplorer", "network", "untrained"),
        Move("KernelExplorer", "degree", "ArrowLeft"),
        Move("KernelExplorer", "seed", "ArrowRight"),
        Move("KernelExplorer", "reset"),
    ],
    "07_equivariance_in_numbers.ipynb": [
        Move("RotationCheck", "turn_z", "ArrowRight", says="approximate"),
        Move("RotationCheck", "tilt_x", "ArrowRight"),
        Move("RotationCheck", "move_grid", says="It holds."),
        Move("RotationCheck", "move_grid"),
        Move("RotationCheck", "snap", says="maps the grid on itself"),
        Move("RotationCheck", "family", "fibonacci"),
        Move("RotationCheck", "snap"),
        Move("RotationCheck", "n", "ArrowRight", times=5, says="fibonacci, 25 directions"),
        Move("RotationCheck", "trained_weights", says=", trained"),
        Move("RotationCheck", "magnify", "as it is", changes=("picture",)),
        Move("RotationCheck", "reflect"),
        Move("RotationCheck", "network", "full, signed", says="Claim: none"),
        Move("RotationCheck", "network", "lifted edges", says="It holds."),
        Move("RotationCheck", "network", "positions only", says="no grid"),
        Move("RotationCheck", "reflect"),
        Move("RotationCheck", "network", "bundle", says="Claim: approximate"),
        Move("RotationCheck", "magnify", "10 times longer", changes=("picture",)),
        Move("RotationCheck", "reset"),
    ],
    "06_the_ponita_architecture.ipynb": [
        Move("LayerExplorer", "step", "ArrowLeft"),
        Move("LayerExplorer", "channel", "ArrowRight"),
        Move("LayerExplorer", "particle", "ArrowLeft"),
        Move("LayerExplorer", "turn", "ArrowRight"),
        Move("LayerExplorer", "finer", changes=("picture",)),
        Move("LayerExplorer", "finer", changes=("picture",)),
        Move("LayerExplorer", "step", "End", says="readout"),
        Move("LayerExplorer", "turn", "Home", says="off by 0.0 %"),
        Move("LayerExplorer", "particle", "End"),
        Move("LayerExplorer", "reset"),
    ],
    "08_expressiveness_and_chirality.ipynb": [
        Move("PairOfStructures", "pair", "rings, L = 3", says="differ"),
        Move("PairOfStructures", "azimuth", "ArrowRight", changes=("picture",)),
        Move("PairOfStructures", "tilt", "ArrowRight", changes=("picture",)),
        Move("PairOfStructures", "lengths", changes=("picture",)),
        Move("PairOfStructures", "pair", "helix", says="the same"),
        Move("PairOfStructures", "reset"),
    ],
    "09_nbody.ipynb": [  # of the first of its two viewers; the numbers belong to the last frame, so they stay
        Move("TrajectoryViewer", "time", "ArrowRight", changes=("picture",)),
        Move("TrajectoryViewer", "trail", "Home", changes=("picture",)),
        Move("TrajectoryViewer", "prediction", "none", changes=("picture",)),
        Move("TrajectoryViewer", "prediction", "straight line", changes=("picture",), says="straight line: 0."),
        Move("TrajectoryViewer", "play", changes=("picture",)),
        Move("TrajectoryViewer", "trail", "End", changes=("picture",)),
        Move("TrajectoryViewer", "reset", changes=("picture",)),
    ],
    "10_rmd17.ipynb": [
        Move("MoleculePlayer", "frame", "ArrowRight"),
        Move("MoleculePlayer", "velocities", changes=("picture",)),
        Move("MoleculePlayer", "trail", "Home", changes=("picture",)),
        Move("MoleculePlayer", "play"),
        Move("MoleculePlayer", "reset", changes=("picture",)),
    ],
    "11_qm9_properties.ipynb": [
        Move("TurnMolecule", "angle", "ArrowRight"),
        Move("TurnMolecule", "tilt", "ArrowRight"),
        Move("TurnMolecule", "grid_too", says="0 % (rounding)"),
        Move("TurnMolecule", "network", "control: always up"),
        Move("TurnMolecule", "reset"),
    ],
    "12_qm9_generation.ipynb": [  # of the first of its two viewers: a molecule drowns
        Move("DiffusionViewer", "step", "ArrowRight", times=20, says="sigma = 0."),
        Move("DiffusionViewer", "still", changes=("report",)),
        Move("DiffusionViewer", "step", "End", says="sigma = 5.000"),
        Move("DiffusionViewer", "reset", says="sigma = 0.000"),
        Move("DiffusionViewer", "play"),
        Move("DiffusionViewer", "reset"),
    ],
}


def test_every_control_changes_what_it_should(ran):
    moves = MOVES.get(ran.name, [])
    assert set(ran.widget_names()) == {move.widget for move in moves}, "the table and the notebook differ"
    for move in moves:
        if move.control == "reset":  # the state that the moves led to tells more than the first one
            ran.widget(move.widget).settle()
            ran.screenshot(f"{ran.name.removesuffix('.ipynb')}_{move.widget}", widget=move.widget)
        make(ran.widget(move.widget), move)


def test_picture_stays_while_nobody_moves_anything(ran):
    """The negative control of `wait_for_change`: without a move, nothing changes."""
    for name in ran.widget_names():
        widget = ran.widget(name)
        widget.settle()
        with pytest.raises(AssertionError, match="did not change"):
            widget.wait_for_change("picture", widget.picture(), seconds=0.5)


def test_widgets_can_be_read_at_1280_by_800(ran):
    for name in dict.fromkeys(ran.widget_names()):
        box = ran.widget(name).box.bounding_box()
        assert box["width"] <= 1280 and box["height"] <= 800


def test_page_asks_nothing_outside_and_reports_no_error(ran):
    ran.check()
