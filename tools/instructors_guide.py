"""Fill docs/instructors.md from the notebooks: ``python tools/instructors_guide.py`` (``--check`` only compares).

For each notebook the question, objectives and minutes of its card, and for each exercise the mistakes that its check
names. They come from running the check on the wrong answers of tests/exercises/wrong_answers.
"""

import argparse
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import nbformat

from ponita_edu.course import check
from ponita_edu.course.cells import Exercise, exercises
from ponita_edu.course.verdict import DIFFERS

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "instructors.md"
WRONG = ROOT / "tests" / "exercises" / "wrong_answers"
PLAIN = ("it raised", "it returns the wrong type", "it has the wrong", "it holds NaN", "it is right only up to")


def wrong_answers(folder: Path = WRONG) -> dict[str, list]:
    """check -> [(words of the verdict, answer)], of all files of the folder.

    Raises: ValueError if two files hold answers to the same check.
    """
    found = {}
    for path in sorted(folder.glob("nb*.py")):
        spec = importlib.util.spec_from_file_location(f"wrong_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if twice := found.keys() & module.WRONG.keys():
            raise ValueError(f"{path.name} must hold no check of another file, but has {', '.join(sorted(twice))}.")
        found |= module.WRONG
    return found


def named(causes: Iterable[str]) -> str:
    """A guide's cell: these causes once each, without those that any exercise could be told (shape, type)."""
    kept = [cause for cause in dict.fromkeys(causes) if cause != DIFFERS and not cause.startswith(PLAIN)]
    return "; ".join(kept).replace("|", "\\|")


def mistakes() -> dict[str, str]:
    """check -> what it says of its wrong answers, which takes half a minute for all."""

    def causes(name: str, answers: list) -> Iterator[str]:
        for _, answer in answers:
            yield getattr(check, name)(answer, **({"seed": 0} if callable(answer) else {})).cause

    return {name: named(causes(name, answers)) for name, answers in wrong_answers().items()}


def mistakes_in(text: str) -> dict[str, str]:
    """Exercise's number -> what the guide says now that its check names."""
    return dict(re.findall(r"^\| (\d\d\.\d) .+? \| \d+ \| \d+ \| (.*) \|$", text, re.MULTILINE))


def section(path: Path, told: Callable[[Exercise], str]) -> str:
    """What the guide says of one notebook; ``told`` gives the mistakes of an exercise."""
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
        lines.append(f"| {e.number} {e.title} | {e.minutes} | {e.points} | {told(e)} |")
    return "\n".join(lines)


def sections(told: Callable[[Exercise], str]) -> dict[Path, str]:
    """All generated parts, as they are now."""
    return {path: section(path, told) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}


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
    text = GUIDE.read_text(encoding="utf-8")
    now = mistakes()
    new = filled(text, sections(lambda e: now[e.name]))
    if args.check:
        print("up to date" if new == text else f"out of date: run python {Path(sys.argv[0])}")
        return int(new != text)
    GUIDE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
