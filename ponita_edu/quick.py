"""A quicker start: other packages' optional modules that take seconds to load and that nothing here calls."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# jsonschema, which plotly and jupyter_server load, would build 35 parsers of international addresses: 2 to 6 s
IDLE = ("rfc3987_syntax",)


@contextmanager
def quick_start() -> Iterator[None]:
    """Inside, the modules in ``IDLE`` seem not to be installed, which their importers allow for."""
    hidden = [name for name in IDLE if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # None: an import of it fails
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
