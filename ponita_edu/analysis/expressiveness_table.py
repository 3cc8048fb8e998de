"""What the table of networks and structures should show, what it shows, and where the two disagree (notebook 08)."""

import statistics
from collections.abc import Iterable

from ponita_edu.analysis.network_kinds import KINDS
from ponita_edu.analysis.structure_pairs import StructurePair, agreement, all_pairs

LEARNT, CHANCE = 0.9, 0.75  # accuracies from which, and up to which (4 sd of 64 guesses), a seed did and did not learn
NEAR = 1e-11  # a relative gap that training may bring down to rounding


def summarise(rows: Iterable[dict]) -> list[dict]:
    """Over the seeds of each kind, pair and number of layers: medians, and the share of seeds with verdict yes.

    Accuracies are over those seeds that were trained.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["kind"], row["pair"], row["layers"]), []).append(row)
    found = []
    for (kind, pair, layers), group in groups.items():
        accuracy = [r["accuracy"] for r in group if "accuracy" in r]
        found.append({
            "kind": kind, "pair": pair, "family": group[0]["family"], "layers": layers, "seeds": len(group),
            **{name: statistics.median(r[name] for r in group) for name in ("gap", "noise", "sigmas")},
            "separates": sum(r["verdict"] == "yes" for r in group) / len(group),
            "trained": len(accuracy), "accuracy": statistics.fmean(accuracy) if accuracy else None,
            "worst": min(accuracy, default=None), "best": max(accuracy, default=None),
        })
    return found


def forbidden(kind: str, pair: StructurePair) -> str | None:
    """Why a network of this kind cannot separate the pair, in words; None if nothing known forbids it.

    For a kind that is not ``exact`` this holds in the limit of a fine grid.
    """
    k, leaves_only = KINDS[kind], not bool(((pair.first.source > 0) & (pair.first.target > pair.first.source)).any())
    if agreement(pair)[k.bound]:
        return f"same {k.bound}"
    if kind == "EGNN" and leaves_only:
        return "same distances, wherever its points move"
    if k.l_max and pair.family == "rotational symmetry" and (pair.first.num_nodes - 1) // 2 > k.l_max:
        return f"order {k.l_max} below L"
    if k.l_max == 1 and leaves_only and all(float(g.pos.sum(0).norm()) < 1e-9 for g in (pair.first, pair.second)):
        return "directions sum to 0"  # and so does every vector that equal leaves send to the centre
    return None


def disagreements(rows: Iterable[dict]) -> list[dict]:
    """Every cell of the table with seeds that are not as they should be, untrained and trained, and why.

    A forbidden pair should be separated by no seed, and not learnt; any other one by every seed, and learnt. ``why`` is
    None where nothing known explains the seeds in question; a forbidden pair that is separated is never explained.
    """
    pairs, cells, found = all_pairs(), {}, []
    for row in rows:
        cells.setdefault((row["kind"], row["pair"]), []).append(row)
    for (kind, pair), group in cells.items():
        no = forbidden(kind, pairs[pair]) is not None
        trained = [r for r in group if "accuracy" in r]
        for what, seeds, bad in (
            ("untrained", group, [r for r in group if (r["verdict"] == "yes") == no]),
            ("trained", trained, [r for r in trained if (r["accuracy"] > CHANCE if no else r["accuracy"] < LEARNT)]),
        ):
            if bad:
                found.append({"kind": kind, "pair": pair, "what": what, "seeds": f"{len(bad)} of {len(seeds)}",
                              "why": None if no else _reason(KINDS[kind].exact, what, bad)})
    return found


def _reason(exact: bool, what: str, bad: list[dict]) -> str | None:
    if not exact and all(r["verdict"] == "noise" for r in bad):
        return "no gap above the rotation noise" if what == "untrained" else "training did not lift it above the noise"
    if exact and what == "untrained" and all(r["verdict"] == "no" and r.get("accuracy", 0) >= LEARNT for r in bad):
        return "below rounding, but learnt when trained"
    if exact and what == "trained" and all(r["accuracy"] == 0.5 and r["gap"] < NEAR for r in bad):
        return "near rounding at first, and below it when trained"
    return None


def as_text(summary: Iterable[dict]) -> str:
    """The table of kinds by pairs: seeds separated untrained, of all; accuracy trained. () where it is forbidden.

    Behind a kind: how many of its seeds were trained, at least.
    """
    pairs, cells, trained = all_pairs(), {}, dict.fromkeys(KINDS, 10**9)
    for row in summary:
        text = f"{row['separates'] * row['seeds']:.0f}/{row['seeds']}"
        text += f" {row['accuracy']:.2f}" if row["trained"] else " -"
        trained[row["kind"]] = min(trained[row["kind"]], row["trained"])
        cells[row["kind"], row["pair"]] = f"({text})" if forbidden(row["kind"], pairs[row["pair"]]) else text
    short = {name: name.replace("rings, ", "").replace("icosahedron, ", "icosa. ").replace("all joined", "all")
             .replace("centre only", "centre") for name in pairs}
    lines = [f"{'':28}" + "".join(f"{short[name]:>14}" for name in pairs)]
    lines += [f"{kind:24}{trained[kind]:3} " + "".join(f"{cells.get((kind, name), ''):>14}" for name in pairs)
              for kind in KINDS]
    return "\n".join(lines)
