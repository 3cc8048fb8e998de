"""Equations as MathML, which browsers draw without any script; docstrings as the plain text that they are."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

# what docutils does not know: sizes of brackets, which MathML chooses by itself, and one name
UNKNOWN = [(re.compile(r"\\[bB]igg?[lrm]?(?![a-zA-Z])"), ""), (re.compile(r"\\dots(?![a-zA-Z])"), r"\\ldots")]
KEPT = re.compile(r"(:\w+:`[^`]+`|``.+?``|`[^`]+`|\*\*[^*]+\*\*|(?<!\w)\*\w(?:[\w ]*\w)?\*(?!\w)|^\s*\* )")
SPECIAL = re.compile(r"([\\*|]|_(?!\w))")
LABEL = re.compile(r"(Args|Returns|Raises|Sources?): (?=\S)")  # in one line, which napoleon does not know
CONTENTS: dict[tuple, str] = {}  # of pages of source code, by depth and options
ARGUMENTS = re.compile(r"<dl>\s*(?:<dd>.*?</dd>\s*)+</dl>", re.DOTALL)


def mathml(tex: str, block: bool) -> str:
    """An equation in TeX as MathML; raises docutils' MathError on a command that it does not know."""
    for pattern, replacement in UNKNOWN:
        tex = pattern.sub(replacement, tex)
    return tex2mathml(tex, as_block=block)


def inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="equation">{mathml(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def plain(line: str) -> str:
    """A line of a docstring for reStructuredText: code in either kind of quotes stays code, `|r|` is no mark."""
    parts = KEPT.split(line)
    parts[::2] = [SPECIAL.sub(r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"`{part}`" if re.fullmatch("`[^`]+`", part) else part for part in parts[1::2]]
    return "".join(parts)


def docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    spaced: list[str] = []
    for line in lines:
        label = LABEL.match(line)
        if label:
            spaced += ["", f"**{label[1]}**: {plain(line[label.end():])}"]
        else:
            spaced.append(plain(line))
    lines[:] = spaced


def accessible(app: Sphinx, page: str, template: str, context: dict, tree: object) -> None:
    """What axe finds wrong with Sphinx's pages: headings without a level, arguments in a list of no terms."""
    context["furo_navigation_tree"] = context.get("furo_navigation_tree", "").replace(
        'role="heading"', 'role="heading" aria-level="2"')
    if "body" in context:
        context["body"] = ARGUMENTS.sub(lambda rows: re.sub("<(/?)d[ld]>", r"<\1span>", rows[0]), context["body"])


def contents_once(app: Sphinx, page: str, template: str, context: dict, tree: object) -> None:
    """Pages of source code are in no table of contents, so that all of one depth show the same one: made once."""
    make, depth = context["toctree"], page.count("/")

    def kept(**how: object) -> str:
        key = depth, *how.items()
        if key not in CONTENTS:
            CONTENTS[key] = make(**how)
        return CONTENTS[key]

    if page.startswith("_modules/"):
        context["toctree"] = kept


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.connect("autodoc-process-docstring", docstring, priority=400)  # before napoleon, at 500
    app.connect("html-page-context", contents_once, priority=400)  # before furo, at 500
    app.connect("html-page-context", accessible, priority=900)  # after furo
    return {"parallel_read_safe": True}
