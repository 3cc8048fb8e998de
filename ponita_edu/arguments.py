"""How the command line is read: a parser with friendly errors, settings after preset, file and options."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from ponita_edu.paths import expanded
from ponita_edu.tasks.presets import PRESETS
from ponita_edu.tasks.settings import choose, convert, nearest, options, read_yaml, replaced

USAGE = {
    "train": "TASK [options]",
    "sweep": "TASK --vary NAME=A,B [options] | table DIR",
    "evaluate": "CHECKPOINT [options]",
    "sample": "CHECKPOINT --out FILE [options]",
    "simulate": "nbody --out FILE [options]",
    "queue": "[list | run] [options]",
}


class Parser(argparse.ArgumentParser):
    """argparse whose errors are exceptions, with the nearest known option."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message[:1].lower()}{message[1:]}. See `{self.prog} --help`.")

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """The options; unlike ``parse_args``, an unknown one is reported with the nearest known."""
        found, unknown = self.parse_known_args(argv)
        if unknown:
            name = unknown[0].split("=")[0]
            known = [o for action in self._actions for o in action.option_strings]
            raise ValueError(f"{name} is not an option of `{self.prog}`{nearest(name, known)} "
                             f"See `{self.prog} --help`.")
        return found


def parser_of(command: str, description: str) -> Parser:
    """The parser of a command."""
    return Parser(prog=f"ponita-edu {command}", usage=f"ponita-edu {command} {USAGE.get(command, '[options]')}",
                  description=description, allow_abbrev=False)


def read_settings(parser: Parser, argv: list[str]) -> tuple[str, Any, dict[str, Any]]:
    """Task, its settings after preset, file and options, and all options that were given."""
    task = next((a for a in argv if a in PRESETS), next(iter(PRESETS)))
    group = parser.add_argument_group("settings (default of the paper preset)")
    for name, value, text in options(PRESETS[task]["paper"]):
        if name != "preset":
            group.add_argument(f"--{name}", metavar="X", dest=f"={name}", help=f"{text} ({value})".replace("%", "%%"))
    given = vars(parser.read(argv))
    task = choose("task", given["task"], PRESETS)

    changes = {name[1:]: value for name, value in given.items() if name[0] == "=" and value is not None}
    for short, name in (("data", "data.source"), ("seed", "train.seed"), ("max_minutes", "train.max_minutes")):
        if given.get(short) is not None:
            if name in changes:
                raise ValueError(f"--{short.replace('_', '-')} and --{name} are the same setting. Give one of them.")
            changes[name] = given[short]
    from_file = {} if given["config"] is None else read_yaml(expanded(given["config"], "--config"))
    preset = choose("preset", given["preset"] or from_file.pop("preset", "quick"), PRESETS[task])
    from_file.pop("preset", None)
    if from_file.pop("task", task) != task:
        raise ValueError(f"the config file {given['config']} is not for the task {task}. Name its task instead.")
    return task, replaced(replaced(PRESETS[task][preset], from_file), changes), given


def pairs_of(option: str, given: list[str]) -> dict[str, str]:
    """``["a=1", "b=2"]`` as ``{"a": "1", "b": "2"}``.

    Raises:
        ValueError: if one is not of this form, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in pairs:
            raise ValueError(f"{option} {text} must be NAME=VALUE, each name once.")
        pairs[name] = value
    return pairs


def number(name: str, text: str, kind: type, least: int | float | None = None, above: int | None = None) -> Any:
    """The text of an option as a number within its bounds.

    Raises:
        ValueError: if it is none.
    """
    value = convert(name, text, kind)
    if (least is not None and value < least) or (above is not None and not value > above):
        raise ValueError(f"{name} must be {f'at least {least}' if above is None else f'above {above}'}, but is {text}.")
    return value
