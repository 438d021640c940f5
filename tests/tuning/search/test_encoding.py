"""Optuna's parameters stand for values of the domains, one for one."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.spec.domains import Domain, parse_domain
from raytune_app.tuning.search.encoding import Encoding

numbers = st.floats(-1e6, 1e6)
plain = st.none() | st.booleans() | st.integers(-3, 3) | numbers | st.text(max_size=3)


@st.composite
def domains(draw: st.DrawFn) -> Domain:
    kind = draw(st.sampled_from(["uniform", "loguniform", "quniform", "randint", "lograndint", "choice"]))
    if kind == "choice":
        return parse_domain({kind: draw(st.lists(plain, min_size=1, max_size=5))})
    if kind.endswith("int"):
        first = draw(st.integers(1, 1000))
        return parse_domain({kind: [first, first + draw(st.integers(1, 1000))]})
    low, width = draw(st.floats(1e-6, 1e3)), draw(st.floats(1e-3, 1e3))
    step = [width * draw(st.floats(0.01, 1))] if kind == "quniform" else []
    return parse_domain({kind: [low, low + width, *step]})


@given(domains(), st.integers(0, 2**32))
def test_a_value_comes_back_as_it_was_with_its_type(domain: Domain, seed: int) -> None:
    encoding = Encoding({"a": domain})
    value = domain.sample(random.Random(seed))
    (again,) = encoding.decode(encoding.encode({"a": value})).values()
    assert again == value
    assert type(again) is type(value)


@given(domains())
def test_the_ends_of_a_distribution_are_inside_the_domain(domain: Domain) -> None:
    encoding = Encoding({"a": domain})
    for distribution in encoding.distributions.values():
        ends = getattr(distribution, "choices", None) or (distribution.low, distribution.high)  # type: ignore[attr-defined]  # numbers have these
        for end in ends:
            (value,) = encoding.decode({"a": end}).values()
            assert domain.holds(value)
            assert domain.is_listed or domain.kind == "quniform" or value < domain.arguments[1]
            assert encoding.encode({"a": value}) == {"a": end}


@given(domains())
def test_a_distribution_reaches_both_ends_of_its_domain(domain: Domain) -> None:
    encoding = Encoding({"a": domain})
    reached = {
        repr(encoding.decode({"a": end})["a"])
        for each in encoding.distributions.values()
        for end in (getattr(each, "choices", None) or (each.low, each.high))  # type: ignore[attr-defined]  # as above
    } or {repr(encoding.decode({})["a"])}
    wanted = domain.edges() if domain.is_listed else (domain.nearest(-1e9), domain.nearest(1e9))
    assert {repr(value) for value in wanted} <= reached | ({"-0.0", "0.0"} if {"-0.0", "0.0"} & reached else set())


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        ({"choice": [7, 7]}, 7),
        ({"randint": [3, 4]}, 3),
        ({"quniform": [0.3, 0.4, 0.1]}, None),
        ({"choice": [None]}, None),
    ],
)
def test_a_domain_of_a_single_value_is_no_parameter(domain: dict[str, Any], value: Any) -> None:
    encoding = Encoding({"a": parse_domain(domain), "b": parse_domain({"choice": [1, True, 1.0, "1"]})})
    assert ("a" in encoding.distributions) == ("quniform" in domain)
    if "quniform" not in domain:
        assert encoding.decode({"b": 1}) == {"a": value, "b": True}
