"""The tree that people read is the tree that the program raises."""

import copy
import inspect
import pickle
import re

import pytest

from raytune_app import errors
from raytune_app.errors import Problem, RaytuneError, SpecError

CLASSES = [thing for thing in vars(errors).values() if inspect.isclass(thing) and issubclass(thing, RaytuneError)]
LINE = re.compile(r"^    (?P<branch>[| `-]*)(?P<name>\w+Error)\s+exit (?P<exit>\d), HTTP (?P<status>\d+)", re.MULTILINE)
ROWS = list(LINE.finditer(errors.__doc__ or ""))


def _error(kind: type[RaytuneError]) -> RaytuneError:
    problem = Problem("train.lr", "-1", "must be positive", "change it")
    return SpecError([problem], "again") if kind is SpecError else kind("what is wrong", "what to do")


def test_the_docstring_lists_every_class_once() -> None:
    assert len(CLASSES) >= 13
    assert sorted(row["name"] for row in ROWS) == sorted(kind.__name__ for kind in CLASSES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_the_docstring_gives_the_exit_code_and_status(row: re.Match[str]) -> None:
    kind = getattr(errors, row["name"])
    assert (kind.exit_code, kind.http_status) == (int(row["exit"]), int(row["status"]))


def test_the_docstring_draws_who_inherits_from_whom() -> None:
    above: dict[int, str] = {}
    for row in ROWS:
        depth = len(row["branch"]) // 4
        above[depth] = row["name"]
        if depth:
            assert getattr(errors, row["name"]).__base__.__name__ == above[depth - 1]


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_crosses_processes_whole(kind: type[RaytuneError]) -> None:
    error = _error(kind)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301  # as Ray sends it
        assert type(twin) is kind
        assert (twin.message, twin.remedy, vars(twin)) == (error.message, error.remedy, vars(error))


@pytest.mark.parametrize("kind", CLASSES)
def test_bad_input_exits_with_2_and_answers_4xx_all_else_with_1_and_5xx(kind: type[RaytuneError]) -> None:
    is_input = issubclass(kind, errors.InputError)
    assert kind.exit_code == (2 if is_input else 1)
    assert kind.http_status // 100 == (4 if is_input else 5)


def test_all_the_problems_of_a_file_are_in_the_message() -> None:
    problems = [Problem(f"train.key{number}", "0", "rule", "remedy") for number in range(3)]
    assert str(SpecError(problems)).splitlines()[1:] == [f"  {problem}" for problem in problems]
