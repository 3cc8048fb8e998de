"""Settings as nested frozen dataclasses: from text, YAML or JSON, with errors that name the setting and the repair."""

import dataclasses
import difflib
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def setting(default: Any, help: str) -> Any:
    """A field of a settings dataclass, with one line of help for the command line."""
    return dataclasses.field(default=default, metadata={"help": help})


def replaced(base: T, changes: Mapping[str, Any], prefix: str = "") -> T:
    """``base`` with some settings changed; nested mappings, or names with dots, change nested settings.

    Text is read as the setting's type ("1e-3", "true", "none"), as YAML and command lines need it.

    Raises:
        ValueError: on an unknown setting (with the nearest known one), one that is given twice, a value of another
            type, or one out of range.
    """
    fields = {f.name: f for f in dataclasses.fields(base)}
    types_of = typing.get_type_hints(type(base))
    new: dict[str, Any] = {}
    for name, value in _nested(changes, prefix).items():
        if name not in fields:
            close = nearest(prefix + name, (prefix + n for n in fields))
            raise ValueError(f"{prefix}{name:.100} is not a setting{close} "
                             f"Known: {', '.join(prefix + n for n in fields)}.")
        old = getattr(base, name)
        if dataclasses.is_dataclass(old):
            if not isinstance(value, Mapping):
                shown = value if isinstance(value, str) else reprlib.repr(value)
                raise ValueError(f"{prefix}{name} must hold settings of its own ({', '.join(to_dict(old))}), "
                                 f"but is {shown:.100}.")
            new[name] = replaced(old, value, f"{prefix}{name}.")
        else:
            new[name] = convert(prefix + name, value, types_of[name])
    try:
        return dataclasses.replace(base, **new)
    except ValueError as error:
        if prefix and not str(error).startswith(prefix):
            raise ValueError(prefix + str(error)) from None
        raise


def convert(name: str, value: Any, wanted: Any) -> Any:
    """``value`` as the type ``wanted``: int, float, bool, str, or one of them ``| None``.

    Raises:
        ValueError: if it is not one.
    """
    if not isinstance(value, str | int | float | None):
        value = reprlib.repr(value)  # no setting is a list; one made of references may be exponentially long
    allowed = wanted.__args__ if isinstance(wanted, types.UnionType) else (wanted,)
    if types.NoneType in allowed and (value is None or str(value).lower() in ("none", "null")):
        return None
    kind = next(t for t in allowed if t is not types.NoneType)
    if kind is bool and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    if kind is str and isinstance(value, str) and value:
        return value
    if kind in (int, float) and isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
            if kind is float and number == number:
                return number
            if kind is int and number == int(number):
                return int(value) if isinstance(value, str) and value.lstrip("+-").isdigit() else int(number)
        except (ValueError, OverflowError):
            pass
    what = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
    repair = " Write it without a colon, such as 1.5." if kind in (int, float) and ":" in str(value) else ""
    raise ValueError(f"{name} must be {what}{' or none' if types.NoneType in allowed else ''}, but is "
                     f"{value!r:.100}.{repair}")


def options(base: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Name with dots, present value and help of every setting."""
    for f in dataclasses.fields(base):
        value = getattr(base, f.name)
        if dataclasses.is_dataclass(value):
            yield from options(value, f"{prefix}{f.name}.")
        else:
            yield prefix + f.name, value, f.metadata.get("help", "")


def to_dict(settings: Any) -> dict[str, Any]:
    """The settings as nested dictionaries of plain values."""
    return dataclasses.asdict(settings)


def differences(a: Any, b: Any) -> list[str]:
    """What differs, as "name old -> new"."""
    old, new = ({name: value for name, value, _ in options(s)} for s in (a, b))
    return [f"{name} {old.get(name)} -> {new[name]}" for name in new if old.get(name) != new[name]]


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file; numbers are text as written, which ``replaced`` reads as the setting's type.

    Raises:
        ValueError: if the file cannot be read, is not YAML, is not a list of ``name: value``, has a name twice, or a
            number that versions of YAML read differently.
    """
    import yaml

    try:
        loader = _loader()(Path(path).read_text(encoding="utf-8"))
        content = loader.get_single_data()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise ValueError(f"the config file {path} cannot be read: {why}. Give the path of a YAML file.") from None
    except Exception as error:  # beside YAMLError, PyYAML lets ValueError, KeyError and more through
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        if type(error) is yaml.MarkedYAMLError:  # PyYAML's own are of its subclasses
            raise ValueError(f"the config file {path} {error.problem}{where}. {error.note}") from None
        raise ValueError(f"the config file {path} is not YAML{where}. "
                         "Write one `name: value` a line, with nested settings indented.") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(k, str) for k in content):
        raise ValueError(f"the config file {path} must hold `name: value` lines, but is a {type(content).__name__}. "
                         "See the files in configs/.")
    return content


def _loader() -> type:
    """PyYAML's safe loader without its surprises: it takes the last of equal names, 1:30 as 90 and 010 as 8."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
            node, seen = super().compose_mapping_node(anchor), set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue  # refused later: no name of ours is a list
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"has {key.value:.100} twice", problem_mark=key.start_mark,
                                               note="Write each name once, with all that belongs to it below it.")
                seen.add(key.value)
            return node

    def as_written(loader: Loader, node: yaml.ScalarNode) -> str | int:
        text = str(loader.construct_scalar(node))
        if re.match("[-+]?0[xb]", text):  # no decimal number that ``convert`` would know
            return loader.construct_yaml_int(node)
        if re.fullmatch("[-+]?0[0-7_]+", text):
            raise yaml.MarkedYAMLError(problem=f"has the number {text:.100}", problem_mark=node.start_mark,
                                       note="Some read it as octal: leave the 0 in front out (or quote it, as text).")
        return text

    for kind in ("int", "float", "timestamp"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", as_written)
    return Loader


def nearest(name: str, known: Iterable[str]) -> str:
    """"; did you mean ...?" if a known name resembles ``name``, else a full stop."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "."


def choose(what: str, name: object, known: Iterable[str]) -> str:
    """``name`` if it is known.

    Raises:
        ValueError: if not, with the nearest known name and all of them.
    """
    known = list(known)
    if name not in known:
        text = name if isinstance(name, str) else reprlib.repr(name)
        raise ValueError(f"{what} {text!r:.100} is not known{nearest(text, known)} Known: {', '.join(known)}.")
    return str(name)


def _nested(changes: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    # {"model.hidden": 64, "model": {"layers": 3}} -> {"model": {"hidden": 64, "layers": 3}}
    result: dict[str, Any] = {}
    for name, value in changes.items():
        if not isinstance(name, str):
            raise ValueError(f"{name!r:.100} is not a setting. Write `name: value`, the name as text.")
        head, dot, rest = name.partition(".")
        value, before = {rest: value} if dot else value, result.get(head, {})
        if not (isinstance(value, Mapping) and isinstance(before, Mapping)):
            if head in result:
                raise ValueError(f"{prefix}{head:.100} is given twice. Write it once.")
            result[head] = value
            continue
        for inner in value:
            if inner in before:
                raise ValueError(f"{prefix}{head:.100}.{inner!s:.100} is given twice. Write it once.")
        result[head] = {**before, **value}
    return result
