"""The words of Markdown: what a reader reads, and what rules for words look at."""

import re

_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`+)[^`](?:.*?[^`])?\1(?!`)", re.DOTALL)
_FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)


def without_code(text: str, inline: bool = True) -> str:
    """Markdown without its blocks of code and, unless told otherwise, without code within lines."""
    text = _FENCE.sub("", text)
    return _CODE.sub("", text) if inline else text


def prose(text: str) -> str:
    """Words alone: no code, formulas, link targets, HTML tags."""
    text = _FORMULA.sub("", without_code(text))
    return re.sub(r"<[^>\n]*>", "", re.sub(r"\]\([^)]*\)", "]", text))
