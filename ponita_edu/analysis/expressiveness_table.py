"""What the table of networks and structures should show, what it shows, and where the two disagree (notebook 08)."""

import statistics
from collections.abc import Iterable

from ponita_edu.analysis.network_kinds import KINDS
from ponita_edu.analysis.structure_pairs import StructurePair, agreement, all_pairs


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


def as_text(summary: Iterable[dict]) -> str:
    """The table of kinds by pairs: seeds separated untrained, of all; accuracy trained. () where it is forbidden.

    Behind a kind: how many seeds of it were trained.
    """
    pairs, cells, trained = all_pairs(), {}, dict.fromkeys(KINDS, 0)
    for row in summary:
        text = f"{row['separates'] * row['seeds']:.0f}/{row['seeds']}"
        text += f" {row['accuracy']:.2f}" if row["trained"] else " -"
        trained[row["kind"]] = max(trained[row["kind"]], row["trained"])
        cells[row["kind"], row["pair"]] = f"({text})" if forbidden(row["kind"], pairs[row["pair"]]) else text
    short = {name: name.replace("rings, ", "").replace("icosahedron, ", "icosa. ").replace("all joined", "all")
             .replace("centre only", "centre") for name in pairs}
    lines = [f"{'':28}" + "".join(f"{short[name]:>14}" for name in pairs)]
    lines += [f"{kind:24}{trained[kind]:3} " + "".join(f"{cells.get((kind, name), ''):>14}" for name in pairs)
              for kind in KINDS]
    return "\n".join(lines)
