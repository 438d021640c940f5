"""Model versions: numbered folders that prove their own integrity, and aliases that say which version is in use.

    models/mnist/3/model.json            network, signature, labels, metrics, lineage
                   weights.safetensors
                   golden.safetensors    `inputs` uint8 [N, C, H, W] and their `probabilities` float32 [N, K]
                   MODEL_CARD.md
                   model.onnx            the same network and weights for another engine than torch; may be missing
                   manifest.json         sha256 and size of each file above, written last: it makes the version exist
    models/mnist/aliases.jsonl           one line a promotion, rollback or rollout; what is in use follows by replay

Nothing here imports torch or ray, so a version can be found, checked and copied anywhere.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raytune_app import aliases, manifest
from raytune_app.aliases import CHAMPION
from raytune_app.errors import InputError, NotFoundError, StorageError
from raytune_app.manifest import CARD, GOLDEN, GRAPH, MANIFEST, MODEL, SCHEMA_VERSION, WEIGHTS
from raytune_app.names import check_name, is_name
from raytune_app.rollout.traffic import Rollout
from raytune_app.storage import Storage

MAX_DIGITS = 10  # of a version
CLAIM_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Draft:
    """What becomes a version.

    Attributes:
        model: JSON values: `network` (a ModelSpec as dict), `signature` (a Signature as dict), `inputs` ([C, H, W]: the
            size of the stored pictures), `golden_tolerance` (largest allowed difference of a probability), and freely
            `metrics`, `lineage`, ...; the registry adds `schema_version`, `name`, `version` and `created_at`.
        weights, golden: safetensors files as bytes.
        card: markdown for people.
        graph: the network and its weights as ONNX, if it can be expressed so.
    """

    model: Mapping[str, Any]
    weights: bytes
    golden: bytes
    card: str
    graph: bytes | None = None


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version. `model` is the content of model.json."""

    storage: Storage = field(repr=False)
    name: str
    version: int
    model: Mapping[str, Any] = field(repr=False)

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def path(self) -> str:
        return _folder(self.name, self.version)

    @property
    def location(self) -> str:
        return self.storage.location(self.path)

    def verify(self) -> None:
        """Raises CorruptModelError, naming the first file that differs from the manifest."""
        self.read()

    def read(self) -> dict[str, bytes]:
        """Every file by name, each equal to its sha256. Raises CorruptModelError naming the file that is not."""
        return manifest.read(self.storage, self.path)

    def export(self, folder: Path) -> None:
        """Copy the verified version to a new local folder. Raises InputError if the folder exists."""
        if folder.exists():
            raise InputError(f"{folder} exists already", "give a folder that does not exist")
        files = {**self.read(), MANIFEST: self.storage.read(f"{self.path}/{MANIFEST}")}
        target = Storage(str(folder.absolute().parent))
        partial = f".{folder.name}.{secrets.token_hex(4)}"
        for name, content in files.items():
            target.write(f"{partial}/{name}", content)
        target.move(partial, folder.name)


class Registry:
    """The model versions of one storage.

    Several processes may register, promote and roll back at once.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def register(self, name: str, draft: Draft) -> int:
        """Store `draft` as the next version of `name` and return its number (1, 2, ...; one may be skipped).

        Raises:
            InputError: the name is not allowed.
            StorageError: the storage cannot be written; no version then appears.
        """
        check_name(name, "model")
        version, claim = self._claim(name)
        folder = _folder(name, version)
        try:
            manifest.write(self.storage, folder, _files(name, version, draft))
            self._remove(claim)
        except BaseException:
            self._abandon(folder)
            raise
        return version

    def models(self) -> list[str]:
        """Names that have at least one version, sorted."""
        return [name for name in self.storage.folders("models") if is_name(name) and self.versions(name)]

    def versions(self, name: str) -> list[int]:
        """Numbers of the complete versions, ascending; empty if there is no such model."""
        found = self.storage.folders(f"models/{check_name(name, 'model')}")
        numbers = sorted(int(folder) for folder in found if folder.isdecimal())
        return [number for number in numbers if self.storage.exists(f"{_folder(name, number)}/{MANIFEST}")]

    def find(self, ref: str) -> ModelVersion:
        """The version `mnist@3` or `mnist@champion` names; plain `mnist` is the champion, else the newest version.

        Raises:
            NotFoundError: no such model, version or alias; the remedy lists what there is.
            CorruptModelError: its model.json cannot be read.
        """
        name, _, tag = ref.partition("@")
        versions = self.versions(name)
        if not versions:
            raise NotFoundError(f"no model {name!r} in {self.storage.uri}", _choice("models", self.models()))
        if tag.isdecimal():
            version = int(tag) if len(tag) < MAX_DIGITS else None
        else:
            version = self.aliases(name).get(tag or CHAMPION, None if tag else versions[-1])
        if version not in versions:
            known = _choice("versions", [*map(str, versions), *self.aliases(name)])
            raise NotFoundError(f"model {name!r} has no version or alias {tag or version!r}", known)
        return ModelVersion(self.storage, name, version, self._model(name, version))

    def aliases(self, name: str) -> dict[str, int]:
        """The version each alias points to now."""
        return {alias: stack[-1] for alias, stack in aliases.stacks(self.storage, name).items()}

    def promote(self, name: str, version: int, alias: str = CHAMPION, reason: str = "") -> None:
        """Point `alias` to `version`, after checking the version's integrity; of the champion this ends a rollout.

        Raises:
            NotFoundError: no such version.
            CorruptModelError: the version does not match its manifest.
            InputError: the alias is not a name, or is a number.
        """
        if check_name(alias, "alias").isdecimal():
            raise InputError(f"alias {alias!r} looks like a version", "choose a name with a letter, such as champion")
        self.find(f"{name}@{version}").verify()
        if self.aliases(name).get(alias) != version or (alias == CHAMPION and self.rollout(name) is not None):
            aliases.log(self.storage, name, alias, aliases.PROMOTE, version, reason=reason)

    def rollback(self, name: str, alias: str = CHAMPION) -> int:
        """Undo the last promotion of `alias` and return the version it points to again; this too ends a rollout.

        Raises:
            NotFoundError: no such model, or the alias has no earlier version.
            CorruptModelError: the earlier version does not match its manifest.
        """
        self.find(name)
        stack = aliases.stacks(self.storage, name).get(alias, [])
        if len(stack) < 2:
            raise NotFoundError(
                f"alias {alias!r} of {name!r} has no earlier version", f"use: raytune promote {name}@VERSION"
            )
        self.find(f"{name}@{stack[-2]}").verify()
        aliases.log(self.storage, name, alias, aliases.ROLLBACK, stack[-2])
        return stack[-2]

    def start_rollout(self, name: str, rollout: Rollout) -> None:
        """Try a challenger beside the champion, instead of the one tried now if there is one.

        Raises:
            NotFoundError: no such version, or the model has no champion.
            CorruptModelError: the version does not match its manifest.
            InputError: it is the champion itself.
        """
        challenger = rollout.challenger
        champion = self.aliases(name).get(CHAMPION)
        self.find(f"{name}@{challenger}").verify()
        if champion is None:
            raise NotFoundError(f"{name!r} has no champion to compare with", f"use: raytune promote {name}@VERSION")
        if champion == challenger:
            raise InputError(f"{name}@{challenger} is the champion itself", "name another version")
        aliases.log(self.storage, name, CHAMPION, aliases.ROLLOUT, challenger, rollout=rollout.model_dump(mode="json"))

    def end_rollout(self, name: str, reason: str) -> int:
        """Take the challenger back and return its number. Raises NotFoundError if none is being tried."""
        rollout = self.rollout(name)
        if rollout is None:
            raise NotFoundError(f"no version of {name!r} is being tried", f"use: raytune rollout {name}@VERSION")
        aliases.log(self.storage, name, CHAMPION, aliases.END, rollout.challenger, reason=reason)
        return rollout.challenger

    def rollout(self, name: str) -> Rollout | None:
        """The challenger being tried beside the champion."""
        return aliases.rollout(self.storage, name)

    def add_to_card(self, ref: str, section: str) -> None:
        """Append markdown to a version's card. Raises NotFoundError, CorruptModelError, StorageError."""
        manifest.add_to_card(self.storage, self.find(ref).path, section)

    def history(self, name: str) -> list[dict[str, Any]]:
        """See `aliases.history`."""
        return aliases.history(self.storage, name)

    def _model(self, name: str, version: int) -> dict[str, Any]:
        path = f"{_folder(name, version)}/{MODEL}"
        try:
            model = json.loads(self.storage.read(path))
        except (NotFoundError, ValueError) as error:
            raise manifest.corrupt(self.storage.location(path), "is missing or not JSON") from error
        if not isinstance(model, dict) or model.get("schema_version") != SCHEMA_VERSION:
            raise manifest.corrupt(self.storage.location(path), f"is not of schema version {SCHEMA_VERSION}")
        return model

    def _claim(self, name: str) -> tuple[int, str]:
        """Take the next number without a lock, on any storage whose listing shows what was written before.

        Of two writers in one folder at least one sees the other's claim and withdraws; a number may so be skipped.
        """
        token, deadline = f".claim-{secrets.token_hex(8)}", time.monotonic() + CLAIM_DEADLINE_S
        while time.monotonic() < deadline:
            version = self._next(name)
            claim = f"{_folder(name, version)}/{token}"
            self.storage.write(claim, b"")
            if self.storage.files(_folder(name, version)) == [token]:
                return version, claim
            self._remove(claim)
            time.sleep(secrets.randbelow(50) / 1000)  # so that two who withdrew do not meet again for ever
        raise StorageError(f"no free version number for {name!r} in {CLAIM_DEADLINE_S:.0f} s", "try again")

    def _next(self, name: str) -> int:
        numbers = sorted(int(each) for each in self.storage.folders(f"models/{name}") if each.isdecimal())
        taken = [number for number in numbers if self.storage.files(_folder(name, number))]
        return max(taken, default=0) + 1

    def _remove(self, path: str) -> None:
        try:
            self.storage.fs.delete_file(self.storage.full(path))
        except OSError as error:
            raise StorageError(
                f"{self.storage.location(path)} cannot be deleted: {error}", "check permissions"
            ) from error

    def _abandon(self, folder: str) -> None:
        try:
            self.storage.delete(folder)
        except StorageError:
            return  # what remains has no manifest, so it is not a version


def _folder(name: str, version: int) -> str:
    return f"models/{name}/{version}"


def _files(name: str, version: int, draft: Draft) -> dict[str, bytes]:
    stamp = {"schema_version": SCHEMA_VERSION, "name": name, "version": version, "created_at": _now()}
    text = json.dumps({**draft.model, **stamp}, indent=2, sort_keys=True, allow_nan=False)
    graph = {} if draft.graph is None else {GRAPH: draft.graph}
    return {
        MODEL: text.encode() + b"\n",
        WEIGHTS: draft.weights,
        GOLDEN: draft.golden,
        **graph,
        CARD: draft.card.encode(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _choice(noun: str, names: list[str]) -> str:
    return (
        f"{noun} there are: {', '.join(names)}"
        if names
        else f"there are no {noun} yet; make one with: raytune run SPEC"
    )
