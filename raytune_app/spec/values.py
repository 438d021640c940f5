"""The kinds of values in an experiment file, and `Tunable`: a value, or a search domain in its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, WrapValidator

from raytune_app.names import REMEDY as NAME_REMEDY
from raytune_app.names import is_name
from raytune_app.spec.domains import Domain, parse_domain

T = TypeVar("T")


def _value_or_domain(value: Any, validate: Callable[[Any], Any]) -> Any:
    domain = value if isinstance(value, Domain) else parse_domain(value) if isinstance(value, Mapping) else None
    if domain is None:
        return validate(value)
    valid = tuple(validate(edge) for edge in domain.edges())
    return replace(domain, arguments=valid) if domain.is_listed else domain


def no_bool(value: Any) -> Any:
    """Python's True is 1; an experiment file's is not. Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not a boolean")
    return value


def _plain(value: Any) -> Any:
    """Only what JSON and YAML keep as it is."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("must be a finite number, a string, a boolean, null, or a list of these")
    return value


def _name(value: str) -> str:
    if not is_name(value):
        raise ValueError(f"must be a safe name: {NAME_REMEDY}")
    return value


Name = Annotated[str, BeforeValidator(str), WrapValidator(lambda value, validate: _name(validate(value)))]
Integer = Annotated[int, BeforeValidator(no_bool)]
Number = Annotated[float, BeforeValidator(no_bool), Field(allow_inf_nan=False)]
FACTORY = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
"""Something in a user's own module: `module:name`."""
Keyword = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
Option = Annotated[Any, BeforeValidator(_plain)]
Tunable = Annotated[T, WrapValidator(_value_or_domain)]
"""A value of type T, or a search domain all of whose values would be valid as T."""

Fraction = Annotated[Number, Field(ge=0, lt=1)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
