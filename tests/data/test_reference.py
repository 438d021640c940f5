"""Training statistics: histograms that hold every example, of features that say what they should."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from raytune_app.data.arrays import Arrays
from raytune_app.data.features import MAX_PIXELS, picture_features, text_features
from raytune_app.data.reference import BINS, MAX_EXAMPLES, Histogram, Reference, reference, sample
from raytune_app.data.texts import Texts

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200)


def test_brightness_and_contrast_are_mean_and_standard_deviation() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 28, 28), np.uint8)
    brightness, contrast = picture_features(picture)
    assert brightness == pytest.approx(picture.mean() / 255, rel=1e-5)
    assert contrast == pytest.approx(picture.std() / 255, rel=1e-5)
    assert picture_features(np.full((3, 5, 5), 255, np.uint8)) == pytest.approx((1, 0), abs=1e-3)
    assert picture_features(picture.astype(np.float32)) == pytest.approx((brightness, contrast))


def test_a_large_picture_is_looked_at_in_part_and_comes_out_about_the_same() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 500, 500), np.uint8)
    assert picture.size > 10 * MAX_PIXELS
    assert picture_features(picture) == pytest.approx((picture.mean() / 255, picture.std() / 255), rel=0.05)


def test_the_features_of_a_text() -> None:
    assert text_features("two words") == (9, 4.5, 1)
    assert text_features("да") == (2, 2, 2)
    assert text_features("") == (0, 1, 0)


@given(values)
def test_a_histogram_holds_every_value_once_in_the_bin_that_serving_would_choose(given_values: list[float]) -> None:
    from bisect import bisect_left

    histogram = Histogram.of(np.array(given_values))
    counts = [0] * len(histogram.counts)
    for value in given_values:
        counts[bisect_left(histogram.edges, value)] += 1
    assert tuple(counts) == histogram.counts


def test_the_bins_are_of_about_equal_counts_and_fewer_for_a_frequent_value() -> None:
    even = Histogram.of(np.random.default_rng(0).normal(size=1000))
    assert even.counts == (100,) * BINS
    assert Histogram.of(np.ones(1000)) == Histogram(edges=(1.0,), counts=(1000, 0))


@pytest.mark.parametrize("stored", [{"edges": [1, 2], "counts": [1, 2]}, {"edges": [2, 1], "counts": [1, 2, 3]}])
def test_a_damaged_histogram_is_refused(stored: dict[str, list[int]]) -> None:
    with pytest.raises(ValidationError, match="ascending edges"):
        Histogram.model_validate(stored)


def test_the_classes_are_those_the_model_answered_and_all_survives_json() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 4, 4), np.uint8)
    probabilities = np.eye(3, dtype=np.float32)[[0, 0, 0, 2, 2, 0]]
    found = reference(Arrays(images, np.zeros(6, np.int64)), probabilities)
    assert found.classes == (4, 0, 2), "its answers, not the labels"
    assert list(found.features) == ["brightness", "contrast"]
    assert Reference.model_validate(json.loads(found.model_dump_json())) == found
    texts = reference(Texts.of(["a", "bc", "d e"], [0, 1, 0]), probabilities[:3])
    assert list(texts.features) == ["characters", "characters_per_word", "bytes_per_character"]


def test_of_very_many_examples_a_part_is_drawn_the_same_each_time() -> None:
    few = Texts.of(["a"] * 10, [0] * 10)
    assert sample(few) is few
    many = Texts.of(list(map(str, range(MAX_EXAMPLES + 500))), [0] * (MAX_EXAMPLES + 500))
    drawn = sample(many)
    assert len(drawn) == MAX_EXAMPLES == len(set(drawn if isinstance(drawn, Texts) else ()))
    assert list(drawn if isinstance(drawn, Texts) else ()) == list(sample(many))  # type: ignore[arg-type]  # texts again
