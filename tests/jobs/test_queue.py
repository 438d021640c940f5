from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.jobs.queue import DEAD_S, Limits, Ticket, admitted, ahead, in_order

NOW_S = 1_000_000.0


def _ticket(study: str, user: str = "anna", priority: int = 0, *, runs: bool = False, age_s: float = 0.0) -> Ticket:
    return Ticket(study, user, priority, f"2026-01-01T00:00:{study:0>2}", runs, NOW_S - age_s)


def test_higher_priorities_go_first_then_the_earlier() -> None:
    tickets = [_ticket("3"), _ticket("1", priority=-1), _ticket("2"), _ticket("9", priority=5)]
    assert [ticket.study for ticket in in_order(tickets, NOW_S)] == ["9", "2", "3", "1"]
    assert [ahead(tickets, study, NOW_S) for study in ("9", "2", "3", "1", "none")] == [0, 1, 2, 3, 0]


def test_a_user_with_enough_running_lets_others_pass() -> None:
    tickets = [_ticket("1", runs=True), _ticket("2", runs=True), _ticket("3"), _ticket("4", "ben")]
    assert admitted(tickets, Limits(studies=8, per_user=2), NOW_S) == ["4"]


def test_who_is_dead_holds_no_place_and_waits_for_none() -> None:
    dead = DEAD_S + 1
    tickets = [_ticket("1", runs=True, age_s=dead), _ticket("2", age_s=dead), _ticket("3")]
    assert admitted(tickets, Limits(studies=1, per_user=1), NOW_S) == ["3"]
    assert ahead(tickets, "3", NOW_S) == 0


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(-2, 2), st.booleans()), max_size=12),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_limits_hold_and_no_place_stays_free_that_somebody_may_have(
    drawn: list[tuple[str, int, bool]], studies: int, per_user: int
) -> None:
    tickets = [_ticket(str(index), user, priority, runs=runs) for index, (user, priority, runs) in enumerate(drawn)]
    limits = Limits(studies, per_user)
    chosen = admitted(tickets, limits, NOW_S)
    running = [ticket for ticket in tickets if ticket.runs]
    after = running + [ticket for ticket in tickets if ticket.study in chosen]
    if chosen:
        assert len(after) <= studies
        of_user = Counter(ticket.user for ticket in after)
        assert all(of_user[ticket.user] <= per_user for ticket in tickets if ticket.study in chosen)
    left = [ticket for ticket in tickets if not ticket.runs and ticket.study not in chosen]
    if len(after) < studies:
        assert all(Counter(one.user for one in after)[ticket.user] >= per_user for ticket in left)


@pytest.mark.parametrize(
    ("environment", "limits"),
    [
        ({}, Limits(8, 2)),
        ({"RAYTUNE_STUDIES": "3", "RAYTUNE_STUDIES_PER_USER": "1"}, Limits(3, 1)),
        ({"RAYTUNE_STUDIES": "many", "RAYTUNE_STUDIES_PER_USER": "0"}, Limits(8, 2)),
    ],
)
def test_whoever_starts_the_head_sets_the_limits(environment: dict[str, str], limits: Limits) -> None:
    assert Limits.of(environment) == limits
