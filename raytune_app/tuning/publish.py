"""Makes a model version of a champion: weights, golden samples, card, and model.json with where it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as save_arrays
from safetensors.torch import save as save_tensors

from raytune_app.data.arrays import Arrays, Training
from raytune_app.data.reference import Reference, reference, sample
from raytune_app.models.graph import onnx_graph
from raytune_app.models.picture_classifier import PictureClassifier
from raytune_app.registry import Draft, Registry
from raytune_app.spec.grammar import RegisterSpec
from raytune_app.training.predict import answers
from raytune_app.tuning.crown import Champion
from raytune_app.tuning.folder import StudyFolder

GOLDEN_SAMPLES = 16
GOLDEN_TOLERANCE = 1e-4
"""Largest difference of a probability a server may show on the golden samples: processors round differently."""


def publish(folder: StudyFolder, champion: Champion, data: Training, target: RegisterSpec) -> int:
    """Register the champion under `target.model`, point `target.alias` to it, and return the version's number.

    Raises:
        StorageError: the registry cannot be written.
    """
    registry = Registry(folder.storage)
    draft = Draft(
        model=_description(folder, champion, data),
        weights=save_tensors({name: value.contiguous() for name, value in champion.classifier.state_dict().items()}),
        golden=_golden(champion, data),
        card=_card(folder, champion, target),
        graph=_graph(champion, data),
    )
    version = registry.register(target.model, draft)
    if target.alias:
        registry.promote(target.model, version, alias=target.alias)
    return version


def _description(folder: StudyFolder, champion: Champion, data: Training) -> dict[str, Any]:
    record = folder.record()
    experiment, winner = champion.experiment, champion.winner
    return {
        "network": experiment.to_dict()["model"],
        "signature": champion.classifier.signature.to_dict(),
        **({"inputs": list(data.train.images.shape[1:])} if isinstance(data.train, Arrays) else {}),
        "labels": list(data.classes),
        "parameters": winner.parameters,
        "golden_tolerance": GOLDEN_TOLERANCE,
        "reference": _reference(champion, data).model_dump(mode="json"),
        "metrics": {"validation": {str(experiment.objective.metric): winner.score}, "test": champion.test},
        "lineage": {
            "study": folder.study,
            "trial": winner.trial,
            "epoch": winner.epoch,
            "config": winner.config,
            "data": experiment.data.name,
            **{key: record[key] for key in ("seed", "data_fingerprint", "code_fingerprint", "versions", "speed")},
        },
    }


def _reference(champion: Champion, data: Training) -> Reference:
    """What an endpoint compares its requests with: the validation part, and this network's own answers to it."""
    examples = sample(data.validation)
    return reference(examples, answers(champion.classifier, examples, device=torch.device("cpu")))


def _graph(champion: Champion, data: Training) -> bytes | None:
    if not isinstance(champion.classifier, PictureClassifier) or not isinstance(data.train, Arrays):
        return None
    channels, height, width = data.train.images.shape[1:]
    return onnx_graph(champion.classifier, (channels, height, width))


def _golden(champion: Champion, data: Training) -> bytes:
    """Real examples of the validation part with the probabilities that a faithful server gives for them."""
    samples = data.validation.take(np.arange(min(GOLDEN_SAMPLES, len(data.validation))))
    probabilities = answers(champion.classifier, samples, device=torch.device("cpu"))
    if isinstance(samples, Arrays):
        return save_arrays({"inputs": samples.images, "probabilities": probabilities})
    return save_arrays({"utf8": samples.utf8, "offsets": samples.offsets, "probabilities": probabilities})


def _card(folder: StudyFolder, champion: Champion, target: RegisterSpec) -> str:
    test, winner, experiment = champion.test, champion.winner, champion.experiment
    settings = "\n".join(f"| `{path}` | {value} |" for path, value in winner.config.items())
    per_class = "\n".join(
        f"| {row['label']} | {row['precision']:.4f} | {row['recall']:.4f} | {row['f1']:.4f} | {row['support']} |"
        for row in test["per_class"]
    )
    takes = (
        "Takes raw text in UTF-8; its tokenizer is part of the model."
        if experiment.data.is_text
        else "Takes raw pixels 0 to 255; normalisation is part of the model."
    )
    return f"""# {target.model}

Network `{experiment.model.name}`, {winner.parameters:,} parameters, trained on `{experiment.data.name}` by study
`{folder.study}`, trial {winner.trial}, epoch {winner.epoch}.

{takes} Answers one of {len(test["labels"])} labels.

Sealed test part, n = {test["n"]}: accuracy {test["accuracy"]:.4f} (95 % interval {test["accuracy_low"]:.4f} to
{test["accuracy_high"]:.4f}), macro F1 {test["macro_f1"]:.4f}. Validation {experiment.objective.metric}:
{winner.score:.4f}; the best of several looks, so it is optimistic.

| setting | value |
|---|---|
{settings}

| label | precision | recall | F1 | support |
|---|---|---|---|---|
{per_class}
"""
