"""Write the table of results/*.json between its marks in README.md and results/README.md; ``--check``: only compare."""

import sys
from pathlib import Path

from ponita_edu.tasks.results import markdown

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
    print(f"{'differ' if '--check' in argv else 'written'}: {', '.join(map(str, stale)) or 'none'}")
    return int(bool(stale) and "--check" in argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
