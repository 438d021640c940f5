"""Random and grid search depend on the experiment and the number alone."""

from collections.abc import Callable

from raytune_app.spec import Experiment
from raytune_app.tuning import space
from raytune_app.tuning.search.draws import GridSearch, RandomSearch

Make = Callable[..., Experiment]
GRID = {"lr": {"grid": [0.1, 0.01]}, "width": {"grid": [4, 8, 16]}}


def test_a_grid_has_every_combination_once_and_its_last_domain_changes_fastest(make_experiment: Make) -> None:
    search = GridSearch(make_experiment("grid", GRID))
    widths = [(0.1, 4), (0.1, 8), (0.1, 16), (0.01, 4), (0.01, 8), (0.01, 16)]
    assert [tuple(search.suggest(number).values()) for number in range(6)] == widths


def test_the_space_suggests_what_the_searches_do(make_experiment: Make) -> None:
    drawn, listed = make_experiment("random"), make_experiment("grid", GRID)
    for number in range(6):
        assert space.suggest(drawn, number) == RandomSearch(drawn).suggest(number)
        assert space.suggest(listed, number) == GridSearch(listed).suggest(number)


def test_two_parameters_with_the_same_domain_are_drawn_apart(make_experiment: Make) -> None:
    values = RandomSearch(make_experiment("random", {"a": {"uniform": [0, 1]}, "b": {"uniform": [0, 1]}})).suggest(0)
    assert values["params.a"] != values["params.b"]
