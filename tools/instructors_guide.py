"""Fill docs/instructors.md from the notebooks: ``python tools/instructors_guide.py`` (``--check`` only compares).

For each notebook the question, objectives and minutes of its card, and for each exercise the mistakes that its check
names. They come from running the check on the wrong answers of tests/exercises/wrong_answers.
"""

import argparse
import importlib.util
import re
import sys
from pathlib import Path

import nbformat

from ponita_edu.course import check
from ponita_edu.course.cells import exercises
from ponita_edu.course.verdict import DIFFERS

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "instructors.md"
WRONG = ROOT / "tests" / "exercises" / "wrong_answers"
PLAIN = ("it raised", "it returns the wrong type", "it has the wrong", "it holds NaN", "it is right only up to")


def wrong_answers(folder: Path = WRONG) -> dict[str, list]:
    """check -> [(words of the verdict, answer)], of all files of the folder."""
    found = {}
    for path in sorted(folder.glob("nb*.py")):
        spec = importlib.util.spec_from_file_location(f"wrong_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= module.WRONG
    return found


def mistakes(name: str, wrong: dict[str, list]) -> list[str]:
    """What the check says of each wrong answer, once each; nothing that any exercise could be told (shape, type)."""
    judge = getattr(check, name)
    seeded = [(answer, {"seed": 0} if callable(answer) else {}) for _, answer in wrong[name]]
    causes = dict.fromkeys(judge(answer, **seed).cause for answer, seed in seeded)
    return [cause for cause in causes if cause != DIFFERS and not cause.startswith(PLAIN)]


def section(path: Path, wrong: dict[str, list]) -> str:
    """What the guide says of one notebook."""
    notebook = nbformat.read(path, as_version=4)
    question = notebook.cells[0].source.splitlines()[0].split("·")[1].strip()
    card = " ".join(re.sub(r"^> ?", "", line) for line in notebook.cells[1].source.splitlines())
    aims = re.search(r"you can\*\*\s*(.+?)\s*\*\*Needs", card)[1].strip(" .,").removeprefix("- ")
    aims = "; ".join(a.strip(" ,.") for a in re.split(r"\s- ", aims))
    needs, minutes = (re.search(rf"\*\*{word}\*\*: (.+?)\.? *(?=\*\*|$)", card)[1] for word in ("Needs", "Time"))
    lines = [f"*{question}* [Open](../notebooks/{path.name}). Time: {minutes}. Needs: {needs}.", "",
             f"**Objectives.** {aims[0].upper()}{aims[1:]}."]
    found = exercises(notebook)
    if found:
        lines += ["", "| exercise | minutes | points | the check names these mistakes |", "|---|---|---|---|"]
    for e in found:
        named = "; ".join(mistakes(e.name, wrong)).replace("|", "\\|")
        lines.append(f"| {e.number} {e.title} | {e.minutes} | {e.points} | {named} |")
    return "\n".join(lines)


def sections() -> dict[Path, str]:
    """All generated parts, as they are now: every check judges its wrong answers, which takes half a minute."""
    wrong = wrong_answers()
    return {path: section(path, wrong) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}


def filled(text: str, parts: dict[Path, str]) -> str:
    """The guide with these generated parts.

    Raises: ValueError if a notebook has no place in the guide.
    """
    for path, part in parts.items():
        number = path.stem[:2]
        marks = f"<!-- {number} -->", f"<!-- /{number} -->"
        if text.count(marks[0]) != 1 or text.count(marks[1]) != 1:
            raise ValueError(f"docs/instructors.md must hold {marks[0]} and {marks[1]} once each, for {path.name}.")
        before, rest = text.split(marks[0])
        text = f"{before}{marks[0]}\n{part}\n{marks[1]}{rest.split(marks[1])[1]}"
    return text


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the guide is out of date")
    args = parser.parse_args(argv)
    text = GUIDE.read_text()
    new = filled(text, sections())
    if args.check:
        print("up to date" if new == text else f"out of date: run python {Path(sys.argv[0])}")
        return int(new != text)
    GUIDE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
