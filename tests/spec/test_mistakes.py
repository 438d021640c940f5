"""Every mistake is reported with path, value, rule and remedy, all in one go."""

from typing import Any

import pytest

from raytune_app.errors import Problem, SpecError
from raytune_app.spec import Experiment, parse, resolve
from raytune_app.spec.reading import merge

GOOD: dict[str, Any] = {
    "name": "x",
    "data": {"name": "mnist"},
    "model": {"name": "conv_net"},
    "scheduler": {"name": "asha"},
}


LR = {"loguniform": [1e-4, 1e-1]}
FIFO, PBT = {"name": "fifo"}, {"name": "pbt"}
TWO = [{"metric": "accuracy"}, {"metric": "parameters"}]


def _problems(changes: dict[str, Any]) -> dict[str, Problem]:
    with pytest.raises(SpecError) as caught:
        parse(merge(GOOD, changes))
    assert caught.value.remedy
    return {problem.path: problem for problem in caught.value.problems}


CASES: list[tuple[dict[str, Any], str, str, str, str]] = [
    # changes, path, value, rule, remedy (parts of them)
    ({"tarin": {}}, "tarin", "tarin", "unknown key", "did you mean 'train'"),
    ({"train.epoch": 3}, "train.epoch", "epoch", "unknown key", "did you mean 'epochs'"),
    ({"model.widht": 3}, "model.widht", "widht", "unknown key", "did you mean 'width'"),
    ({"scheduler.grase": 3}, "scheduler.grase", "grase", "unknown key", "did you mean 'grace'"),
    ({"xyzzy": 1}, "xyzzy", "xyzzy", "unknown key", "known keys: name, seed"),
    ({"register_as": {"model": "m"}}, "register_as", "register_as", "unknown key", "did you mean 'register'"),
    ({"train.optimizer": "adm"}, "train.optimizer", "adm", "should be 'adam'", "did you mean 'adam'"),
    ({"model.name": "convnet"}, "model.name", "convnet", "must be one of tutorial_cnn", "did you mean 'conv_net'"),
    ({"data.name": "mnits"}, "data.name", "mnits", "should be 'mnist'", "did you mean 'mnist'"),
    ({"scheduler.name": "asa"}, "scheduler.name", "asa", "must be one of fifo, asha", "did you mean 'asha'"),
    ({"objective": {"metric": "acuracy"}}, "objective.metric", "acuracy", "'accuracy'", "did you mean 'accuracy'"),
    ({"resources": {"gpus": "atuo"}}, "resources.gpus", "atuo", "'auto'", "did you mean 'auto'"),
    ({"train.lr": {"logunifrom": [1, 2]}}, "train.lr", "logunifrom", "unknown domain", "did you mean 'loguniform'"),
    ({"train.lr": {"loguniform": [0, 1]}}, "train.lr", "[0, 1]", "logarithm of 0", "change"),
    ({"train.lr": {"uniform": [2, 1]}}, "train.lr", "[2, 1]", "low 2 must be below high 1", "change"),
    ({"train.lr": {"choice": []}}, "train.lr", "[]", "choice of nothing", "change"),
    ({"train.lr": 0}, "train.lr", "0", "greater than 0", "change"),
    ({"train.lr": float("nan")}, "train.lr", "nan", "finite", "change"),
    ({"train.lr": True}, "train.lr", "True", "not a boolean", "change"),
    ({"train.lr": {"choice": [0.1, -1]}}, "train.lr", "-1", "greater than 0", "change"),
    ({"augment": {"flip": {"uniform": [0, 2]}}}, "augment.flip", "2", "less than or equal to 1", "change"),
    ({"train.epochs": {"randint": [1, 3]}}, "train.epochs", "randint", "takes no search domain", "one value"),
    ({"train.epochs": 2.5}, "train.epochs", "2.5", "integer", "change"),
    ({"model.kernel": 4}, "model.kernel", "4", "1, 3, 5 or 7", "change"),
    ({"model.kernel": True}, "model.kernel", "True", "not a boolean", "change"),
    ({"scheduler.grace": 11}, "scheduler.grace", "11", "more than train.epochs (10)", "lower grace"),
    ({"objective": {"metric": "loss", "mode": "max"}}, "objective", "loss", "worst loss", "change"),
    ({"name": "../x"}, "name", "'../x'", "safe name", "change"),
    ({"name": "a/b"}, "name", "'a/b'", "safe name", "change"),
    ({"register": {"model": "../x"}}, "register.model", "'../x'", "safe name", "change"),
    ({"register": {"model": "m", "alias": ".."}}, "register.alias", "'..'", "safe name", "change"),
    ({"register": {}}, "register.model", "missing", "required", "add `model:`"),
    ({"model": {"width": 3}}, "model.name", "missing", "required", "add `name:`"),
    ({"train": "fast"}, "train", "fast", "must be a mapping", "key: value"),
    ({"train": {1: 2}}, "train.1", "1", "keys should be strings", "change"),
    ({"resources": {"gpus": 1.5}}, "resources", "1.5", "spans GPUs", "change"),
    ({"data.name": "image_folder", "data.path": "p"}, "data.image_size", "missing", "common", "image_size: 64"),
    ({"data.name": "image_folder", "data.image_size": 8}, "data.path", "missing", "needs the folder", "add `path:`"),
    ({"search": {"name": "grid"}, "train.lr": {"uniform": [1, 2]}}, "train.lr", "uniform", "listed values", "grid"),
    ({"train.lr": {"grid": [1, 2]}}, "train.lr", "grid", "does not enumerate", "choice"),
    ({"search": {"name": "grid"}, "train.lr": {"grid": [1, 2]}, "trials": 3}, "trials", "3", "2 combinations", "out"),
    ({"train.nesterov": True}, "train.nesterov", "true", "momentum above 0", "momentum: 0.9"),
    ({"seed": -1}, "seed", "-1", "greater than or equal to 0", "change"),
    ({"search": {"name": "tpee"}}, "search.name", "tpee", "should be 'random'", "did you mean 'tpe'"),
    ({"search": {"name": "tpe"}}, "search.name", "tpe", "nothing to search", "give a domain"),
    (
        {"search": {"name": "cmaes"}, "train.optimizer": {"choice": ["adam", "sgd"]}},
        "train.optimizer", "choice", "numbers", "tpe",
    ),
    ({"search": {"warm_start": "old"}, "train.lr": LR}, "search.warm_start", "old", "learns nothing", "tpe"),
    ({"search": {"startup_trials": 5}, "train.lr": LR}, "search.startup_trials", "5", "no model", "tpe"),
    (
        {"search": {"points": [{"train.l": 1}]}, "train.lr": LR},
        "search.points.0", "train.l", "not searched", "'train.lr'",
    ),
    ({"search": {"points": [{"train.lr": 2}]}, "train.lr": LR}, "search.points.0", "2", "lies outside", "widen"),
    ({"train.lr": LR | {"perturb": True}}, "train.lr.perturb", "true", "only pbt and pb2", "remove"),
    ({"scheduler": PBT, "trials": 8}, "scheduler.name", "pbt", "nothing to perturb", "perturb: true"),
    ({"scheduler": PBT, "train.lr": LR | {"perturb": True}, "trials": 3}, "trials", "3", "at least 4", "trials: 8"),
    ({"scheduler": PBT, "train.lr": LR | {"perturb": True}}, "trials", "None", "at least 4", "trials: 8"),
    (
        {"scheduler": PBT, "model.width": {"randint": [2, 9], "perturb": True}, "trials": 8},
        "model.width.perturb", "true", "cannot change while", "train.lr",
    ),
    (
        {"scheduler": {"name": "pb2"}, "train.lr": {"choice": [0.1, 0.2], "perturb": True}, "trials": 8},
        "train.lr.perturb", "true", "numbers only", "use pbt",
    ),
    (
        {"objective": [{"metric": "accuracy"}, {"metric": "accuracy"}], "scheduler": FIFO},
        "objective", "accuracy", "twice", "two",
    ),
    ({"objective": {"metric": "parameters"}}, "objective.metric", "parameters", "what an answer costs", "second"),
    ({"objective": TWO}, "scheduler.name", "asha", "there are two", "fifo"),
    ({"objective": TWO, "scheduler": FIFO, "confirm": {}}, "confirm", "given", "there are two", "remove"),
    ({"folds": 1}, "folds.k", "1", "greater than or equal to 2", "change"),
    ({"folds": 200}, "folds", "200", "200 whole trainings", "limit"),
    ({"confirm": {"seeds": 1}}, "confirm.seeds", "1", "greater than or equal to 2", "change"),
    ({"trial": "mine:train"}, "model", "given", "does not go with `trial:`", "remove"),
    ({"trial": "mine.train", "model.name": "none"}, "trial", "mine.train", "should match pattern", "change"),
    ({"params": {"a": 1}}, "params", "given", "own training only", "trial: module:function"),
    ({"failures": {"max_failed": 1}}, "failures.max_failed", "max_failed", "unknown key", "'max_failed_trials'"),
    ({"budget": {"device_hours": 0}}, "budget.device_hours", "0", "greater than 0", "change"),
    ({"keep": {"top_k": 0}}, "keep.top_k", "0", "greater than or equal to 1", "change"),
    ({"resources": {"memory_mb": 0}}, "resources.memory_mb", "0", "greater than or equal to 1", "change"),
    ({"parallel": {"workers": 1}}, "parallel.workers", "1", "greater than or equal to 2", "change"),
    ({"parallel": {"workers": 2, "kind": "dp"}}, "parallel.kind", "dp", "should be 'ddp'", "did you mean 'ddp'"),
    ({"parallel": {"workers": 2}, "folds": 5}, "folds", "5", "does not go with `parallel`", "remove"),
    ({"parallel": {"workers": 2}, "resources": {"gpus": 0.5}}, "resources.gpus", "0.5", "cannot share", "gpus: 1"),
    ({"parallel": {"workers": 8}, "train.batch_size": 7}, "train.batch_size", "7", "without a picture", "workers"),
    ({"parallel": {"workers": 8}, "train.batch_size": {"choice": [64, 7]}}, "train.batch_size", "7", "8", "raise"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "path", "value", "rule", "remedy"), CASES, ids=[str(case[0]) for case in CASES])
def test_a_mistake_has_path_value_rule_and_remedy(
    changes: dict[str, Any], path: str, value: str, rule: str, remedy: str
) -> None:
    problems = _problems(changes)
    assert list(problems) == [path]
    assert value in problems[path].value
    assert rule in problems[path].rule
    assert remedy in problems[path].remedy


def test_all_mistakes_come_at_once_also_those_between_sections() -> None:
    problems = _problems(
        {
            "tarin": 1,
            "train.lr": -1,
            "train.optimizer": "adm",
            "train.epochs": 2,
            "scheduler.grace": 5,
            "augment": {"flip": 2},
            "data.name": "image_folder",
        }
    )
    assert set(problems) == {
        "tarin", "train.lr", "train.optimizer", "augment.flip", "scheduler.grace", "data.path", "data.image_size",
    }  # fmt: skip


def test_a_rule_between_sections_is_silent_about_a_value_that_is_wrong_by_itself() -> None:
    assert list(_problems({"train.epochs": 0, "scheduler.grace": 20})) == ["train.epochs"]


def test_the_message_counts_and_lists_them() -> None:
    with pytest.raises(SpecError, match="2 mistakes") as caught:
        parse({**GOOD, "seed": -1, "trials": 0})
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "domain", [{"randint": [1, 8]}, {"quniform": [1, 7, 2]}, {"uniform": [1, 7]}, {"choice": [1, 2]}]
)
def test_a_domain_whose_inner_values_are_not_allowed_is_refused_before_a_trial_draws_them(
    domain: dict[str, Any],
) -> None:
    assert list(_problems({"model.kernel": domain})) == ["model.kernel"]


def test_a_half_step_for_whole_numbers_is_refused() -> None:
    assert list(_problems({"model.width": {"quniform": [8, 64, 0.5]}})) == ["model.width"]
    parse(merge(GOOD, {"model.width": {"quniform": [8, 64, 8]}}))


def test_nesterov_without_momentum_is_refused_even_if_only_one_trial_in_many_would_meet_it() -> None:
    changes: dict[str, Any] = {"train.nesterov": {"choice": [True, False]}, "train.momentum": {"choice": [0.0, 0.9]}}
    assert list(_problems(changes)) == ["train.nesterov"]
    parse(merge(GOOD, {**changes, "train.momentum": {"uniform": [0.1, 0.9]}}))


def test_a_trial_of_a_grid_resolves_though_it_has_no_grid_left() -> None:
    grid = {"search": {"name": "grid"}, "trials": 2, "train.lr": {"grid": [0.1, 0.2]}}
    assert resolve(parse(merge(GOOD, grid)), {"train.lr": 0.2}).train.lr == 0.2


def test_a_domain_left_without_a_value_is_named() -> None:
    experiment = parse(merge(GOOD, {"train.lr": {"uniform": [1, 2]}}))
    with pytest.raises(SpecError, match=r"train\.lr: a domain: needs a value"):
        resolve(experiment, {})


@pytest.mark.parametrize("options", [{"a": {"choice": [1, 2]}}, {"a": [1, "b", None]}, {}])
def test_a_factory_takes_options_and_domains_in_them(options: dict[str, Any]) -> None:
    experiment: Experiment = parse({**GOOD, "model": {"name": "custom", "factory": "m.n:f", "options": options}})
    assert experiment.to_dict()["model"]["options"] == options


@pytest.mark.parametrize("options", [{"a.b": 1}, {"a": [{"b": 1}]}, {"a": float("inf")}, {"a b": 1}, 3])
def test_an_option_that_json_or_a_call_cannot_carry_is_refused(options: Any) -> None:
    _problems({"model": {"name": "custom", "factory": "m:f", "options": options}})
