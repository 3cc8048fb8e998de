"""All checks of the exercises by name: `check.move(move)` in a notebook. They live in nb01.py, nb02.py, …"""

import difflib
import pkgutil
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType


def modules() -> list[ModuleType]:
    """The modules nb01, nb02, … in order."""
    found = sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return [import_module(f"ponita_edu.course.{name}") for name in found if re.fullmatch(r"nb\d\d", name)]


def __getattr__(name: str) -> Callable:
    if name.startswith("_"):
        raise AttributeError(name)
    for module in modules():
        if name in module.__all__:
            return getattr(module, name)
    close = difflib.get_close_matches(name, __dir__(), 1)
    hint = f"Did you mean check.{close[0]}?" if close else "dir(check) lists all."
    raise AttributeError(f"there is no check named {name!r}. {hint}")


def __dir__() -> list[str]:
    return sorted(name for module in modules() for name in module.__all__)
