"""Every stored figure of the course as a slide: ``python tools/make_slides.py`` (what ``make slides`` runs).

One HTML file that needs no internet: a title slide for each notebook, then its figures with the words that stand for
them. Arrow keys and clicks turn the page; printing gives one slide a page.
"""

import argparse
import html
import os
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
IMAGE = re.compile(r'<img\b[^>]*?\balt="(?P<alt>[^"]+)"[^>]*?\bsrc="(?P<src>data:image/[^"]+)"', re.IGNORECASE)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ponita_edu: figures</title>
<style>
body {{ margin: 0; font-family: sans-serif; color: #222; background: #fff }}
section {{ box-sizing: border-box; width: 100vw; height: 100vh; padding: 3vh 4vw; display: none; flex-direction: column;
  align-items: center; justify-content: center; text-align: center }}
section.now {{ display: flex }}
h1 {{ font-size: 5vh }} p {{ font-size: 2.6vh; max-width: 80ch }} small {{ color: #666 }}
img {{ max-width: 92vw; max-height: 70vh; object-fit: contain; flex: 1 1 auto; min-height: 0 }}
@media print {{ section {{ display: flex; page-break-after: always }} }}
</style></head><body>
{slides}
<script>
const slides = document.querySelectorAll("section");
let now = Math.min(Math.max(parseInt(location.hash.slice(1)) || 1, 1), slides.length);
function show(k) {{
  now = Math.min(Math.max(k, 1), slides.length);
  slides.forEach((s, i) => s.classList.toggle("now", i + 1 === now));
  history.replaceState(null, "", "#" + now);
}}
addEventListener("keydown", e => {{
  const step = {{ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1}}[e.key];
  if (step) {{ e.preventDefault(); show(now + step); }}
  if (e.key === "Home") show(1);
  if (e.key === "End") show(slides.length);
}});
addEventListener("click", () => show(now + 1));
show(now);
</script></body></html>
"""


def figures(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """(words, data URL) of each picture that the notebook stores, in order."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            found += [(m["alt"], m["src"]) for m in IMAGE.finditer("".join(data.get("text/html", "")))]
            for kind in {"image/png", "image/jpeg"} & data.keys():
                words = output.metadata.get(kind, {}).get("alt", "")
                found.append((words, f"data:{kind};base64,{''.join(data[kind]).strip()}"))
    return found


def deck(paths: list[Path]) -> tuple[str, int]:
    """The page and its number of slides."""
    slides = []
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        title = html.escape(notebook.cells[0].source.splitlines()[0].lstrip("# "))
        slides.append(f"<section><h1>{title}</h1></section>")
        for words, source in figures(notebook):
            words = html.escape(html.unescape(words))
            slides.append(f'<section><img alt="{words}" src="{source}"><p>{words}</p><small>{title}</small></section>')
    return PAGE.format(slides="\n".join(slides)), len(slides)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "slides" / "index.html")
    args = parser.parse_args(argv)
    page, count = deck(args.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(page, encoding="utf-8")
    print(f"{count} slides, {len(page) / 1e6:.1f} MB: {os.path.relpath(args.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
