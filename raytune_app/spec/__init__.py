"""The experiment file: typed and validated as a whole before anything starts."""

from raytune_app.spec.grammar import Experiment
from raytune_app.spec.reading import load, parse, resolve

__all__ = ["Experiment", "load", "parse", "resolve"]
