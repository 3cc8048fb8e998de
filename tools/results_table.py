"""Write the table of results/*.json between its marks in README.md and results/README.md, and a learning curve
results/NAME.png for every run with a log NAME.csv; ``--check``: only compare the tables, and look for the pictures."""

import sys
from pathlib import Path

from ponita_edu.tasks.results import learning_curve, markdown, read

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results: tools/results_table.py -->", "<!-- /results -->"


def updated(text: str, table: str) -> str:
    """The text with the table between the marks."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main(argv: list[str]) -> int:
    """1 if a file differs and may not be written."""
    stale = []
    for path, folder in ((ROOT / "README.md", "results/"), (ROOT / "results" / "README.md", "")):
        old = path.read_text(encoding="utf-8")
        if BEGIN not in old or END not in old:
            raise ValueError(f"{path} must hold the lines {BEGIN} and {END}.")
        new = updated(old, markdown(ROOT / "results").replace("](", f"]({folder}"))
        if new != old:
            stale.append(path.relative_to(ROOT))
            if "--check" not in argv:
                path.write_text(new, encoding="utf-8")
    for name, result in read(ROOT / "results"):
        log, picture = (ROOT / "results" / f"{name}.{end}" for end in ("csv", "png"))
        if log.is_file() and "--check" not in argv:
            learning_curve(log, result).savefig(picture, dpi=100, metadata={"Software": None})
        elif log.is_file() and not picture.is_file():
            stale.append(picture.relative_to(ROOT))
    print(f"{'differ' if '--check' in argv else 'written'}: {', '.join(map(str, stale)) or 'none'}")
    return int(bool(stale) and "--check" in argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
