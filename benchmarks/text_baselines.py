"""What a tuned text_cnn is worth: macro F1 on the sealed test part beside text_bag and TF-IDF with logistic regression.

    python benchmarks/text_baselines.py [--experiment text_sentiment] [--trials 12]

The experiment file is run as it stands; once more with `text_bag` in the place of its network, searched by as many
trials; and scikit-learn's logistic regression on TF-IDF of words, or words and pairs, learns the same training part,
its penalty and its features chosen by the same validation part. Intervals are bootstraps of 2,000 over the test texts;
the difference of two contenders is taken on the same texts.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from raytune_app.cluster import connect
from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_test, load_training
from raytune_app.spec import Experiment, load, parse
from raytune_app.spec.reading import merge
from raytune_app.storage import Storage
from raytune_app.tuning.crown import crown
from raytune_app.tuning.study import prepare, tune

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
RESAMPLES = 2000
BAG = {
    "name": "text_bag",
    "dimension": {"choice": [64, 128]},
    "dropout": {"uniform": [0.0, 0.5]},
    "tokens": {"min_count": {"choice": [1, 2]}, "lower": {"choice": [True, False]}, "max_length": 64},
}

Labels = NDArray[np.int64]


def study(experiment: Experiment) -> tuple[Labels, float]:
    """The winner's answers to the sealed test part, and the seconds until they were there."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcome = tune(prepared := prepare(experiment, Storage(folder)))
        assert outcome.winner is not None
        champion = crown(outcome.folder, experiment, outcome.winner, prepared.data)
    return champion.predictions, time.perf_counter() - started


def regression(data: Training, test: list[str]) -> Labels:
    """Of all features and penalties, those that are best on the validation part."""
    train, validation = data.texts
    best = (0.0, None, None)
    for grams in ((1, 1), (1, 2)):
        vectors = TfidfVectorizer(ngram_range=grams, sublinear_tf=True)
        learnt, chosen_by = vectors.fit_transform(list(train)), vectors.transform(list(validation))
        for strength in (1, 3, 10, 30, 100):
            model = LogisticRegression(C=strength, max_iter=5000).fit(learnt, train.labels)
            score = f1_score(validation.labels, model.predict(chosen_by), average="macro")
            best = max(best, (score, vectors, model), key=lambda one: one[0])
    _, vectors, model = best
    assert vectors is not None and model is not None
    answers: Labels = model.predict(vectors.transform(test)).astype(np.int64)
    return answers


def macro_f1(truth: Labels, answers: Labels, classes: int) -> float:
    """Mean over the classes, from the confusion table: quick enough for a bootstrap."""
    table = np.bincount(truth * classes + answers, minlength=classes**2).reshape(classes, classes)
    return float(np.mean(2 * np.diag(table) / (table.sum(0) + table.sum(1))))


def interval(values: list[float]) -> str:
    """The middle 95 %."""
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{100 * low:6.2f} to {100 * high:6.2f}"


def main() -> None:
    """Print each contender's macro F1 with its interval, and the difference of text_cnn from each other one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--experiment", nargs="+", default=["text_sentiment", "text_topic"])
    parser.add_argument("--trials", type=int, help="of text_bag (default: as many as the experiment has)")
    args = parser.parse_args()
    processor = torch.cpu.get_capabilities().get("cpu_name") or platform.machine()
    print(
        f"{processor}, {torch.get_num_threads()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    )
    with connect():
        for name in args.experiment:
            compare(load(EXPERIMENTS / f"{name}.yaml"), args.trials)


def compare(experiment: Experiment, trials: int | None) -> None:
    """One data set."""
    plain = experiment.to_dict()
    bag = parse(merge({**plain, "model": BAG}, {"trials": trials or experiment.trials}))
    data, test = load_training(experiment.data, experiment.seed), load_test(experiment.data)
    assert not hasattr(test, "images")
    truth, classes = test.labels, len(data.classes)
    answers: dict[str, Labels] = {}
    for contender, one in (("text_cnn", experiment), ("text_bag", bag)):
        answers[contender], seconds = study(one)
        print(f"{experiment.data.name}: {contender} took {seconds:.0f} s", flush=True)
    answers["TF-IDF"] = regression(data, list(test))
    rng = np.random.default_rng(0)
    draws = [rng.integers(len(truth), size=len(truth)) for _ in range(RESAMPLES)]
    resampled = {
        contender: [macro_f1(truth[draw], given[draw], classes) for draw in draws]
        for contender, given in answers.items()
    }
    print(f"{experiment.data.name}, n = {len(truth):,}, macro F1 in %, 95 % intervals")
    for contender, given in answers.items():
        less = [ours - theirs for ours, theirs in zip(resampled["text_cnn"], resampled[contender], strict=True)]
        beside = "" if contender == "text_cnn" else f"   text_cnn is better by {interval(less)}"
        score = 100 * macro_f1(truth, given, classes)
        print(f"  {contender:<9} {score:6.2f}  ({interval(resampled[contender])}){beside}")


if __name__ == "__main__":
    main()
