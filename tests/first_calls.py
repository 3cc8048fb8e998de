"""Shapes and types of ponita_edu, checked while tests run: in each test, the first calls of every function.

jaxtyping's import hook (tools/run_tests.sh) decorates them all, and a checked call costs more than many a function
itself: a third of the time of tests that call one a thousand times, and learn nothing from the last nine hundred.
`SHAPES=all` in the environment checks every call.
"""

import functools
import inspect
import math
import os
from collections import Counter

import jaxtyping

CALLS = math.inf if os.environ.get("SHAPES") == "all" else 3
calls = Counter()  # of each function in this test; conftest clears it
jaxtyped = jaxtyping.jaxtyped


def first_calls(*, typechecker):
    """Takes the place of ``jaxtyping.jaxtyped``, whose decorator it makes when the function is first called."""

    def decorate(fn):
        if not inspect.isfunction(fn):
            return jaxtyped(fn, typechecker=typechecker)
        key, checked = fn.__code__, None
        if calls[key] >= CALLS:  # a function inside a function, defined once more
            return fn

        @functools.wraps(fn)
        def call(*args, **kwargs):
            nonlocal checked
            __tracebackhide__ = True
            if calls[key] >= CALLS:
                return fn(*args, **kwargs)
            calls[key] += 1
            checked = checked or jaxtyped(fn, typechecker=typechecker)
            return checked(*args, **kwargs)

        return call

    return decorate


jaxtyping.jaxtyped = first_calls
