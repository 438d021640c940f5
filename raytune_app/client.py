"""raytune from Python: ten lines in a notebook or a script.

```
from raytune_app import Client

client = Client("s3://bucket/raytune", "http://127.0.0.1:8265")
study = client.submit("experiment.yaml", {"trials": 24})
client.watch(study)
print(study.wait().best())
study.figure("parallel").show()
model = client.load_model("mnist")
model.probabilities(pictures)
```
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytune_app.errors import DeadlineError, NotFoundError, StudyError
from raytune_app.spec import Experiment, load, parse
from raytune_app.spec.reading import merge
from raytune_app.storage import Storage, StudyPaths, default_uri

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray
    from ray.job_submission import JobSubmissionClient

    from raytune_app.display.watching import Watching
    from raytune_app.tuning.folder import StudyFolder
    from raytune_app.tuning.overview import Overview

LOOK_S = 0.5
BEGIN_S = 120.0
"""For a submitted study to show up in the storage."""
END_S = 90.0
"""For a study that was asked to end."""


@dataclass(frozen=True)
class Study:
    """One study in a storage, wherever it runs.

    Attributes:
        storage: where it is.
        id: of the study.
    """

    storage: Storage
    id: str

    @property
    def folder(self) -> StudyFolder:
        """Its folder. Raises NotFoundError before a submitted one has come to the storage."""
        from raytune_app.tuning.folder import open_study

        return open_study(self.storage, self.id)

    @property
    def state(self) -> str:
        """`queued`, `running`, `paused`, `stopped`, `finished` or `failed`; `submitted` before it has begun at all."""
        if not self.storage.exists(StudyPaths(self.id).state):
            return "submitted"
        return str(self.folder.record()["state"])

    def wait(self, timeout_s: float | None = None) -> Study:
        """Block until it has ended, and return it.

        Raises:
            DeadlineError: it has not ended after `timeout_s`.
            StudyError: it failed, or its driver is lost; the message says why.
        """
        from raytune_app.display.watching import Watching

        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._appear(deadline_s)
        watching = Watching(self.folder)
        while True:
            watching.poll()
            if watching.is_over:
                break
            _check_time(deadline_s, f"study {self.id} has not ended")
            time.sleep(LOOK_S)
        if watching.is_lost or self.state == "failed":
            raise StudyError(f"study {self.id}: {watching.alarm or watching.headline}", f"raytune logs {self.id}")
        return self

    def best(self) -> dict[str, Any]:
        """The content of winner.json: which trial, its values, its scores, the model's version.

        Raises NotFoundError while nothing has been chosen.
        """
        winner = self.folder.winner()
        if winner is None:
            raise NotFoundError(f"study {self.id} is {self.state} and has no winner yet", "wait for it: study.wait()")
        return winner

    def stop(self, trial: int | None = None) -> None:
        """End it in good order, or only one trial of it. Raises InputError if it does not run, DeadlineError."""
        from raytune_app.jobs.stop import end_study, end_trial

        if trial is not None:
            end_trial(self.folder, trial)
        else:
            end_study(self.folder, pause=False, wait_s=END_S)

    def pause(self) -> None:
        """End it in good order, to go on later. Raises as `stop`."""
        from raytune_app.jobs.stop import end_study

        end_study(self.folder, pause=True, wait_s=END_S)

    def frame(self) -> pd.DataFrame:
        """One row a trial; see `tuning.frame.trials_frame` for the columns."""
        from raytune_app.tuning.frame import trials_frame

        return trials_frame(self.folder.view(), self.folder.experiment())

    def epochs(self) -> pd.DataFrame:
        """One row an epoch; see `tuning.frame.epochs_frame`."""
        from raytune_app.tuning.frame import epochs_frame

        return epochs_frame(self.folder.view())

    def figure(self, name: str, **choice: Any) -> go.Figure:
        """A plotly figure by its name: `parallel`, `importance`, ...; see `board.figures`. Raises InputError."""
        from raytune_app.board.figures import figure

        return figure(name, self.folder.experiment(), self.folder.view(), **choice)

    def _appear(self, deadline_s: float | None = None) -> None:
        """Wait until a submitted study is in the storage."""
        latest_s = time.monotonic() + BEGIN_S
        until_s = latest_s if deadline_s is None else min(latest_s, deadline_s)
        while not self.storage.exists(StudyPaths(self.id).state):
            _check_time(until_s, f"study {self.id} has not come to {self.storage.uri}")
            time.sleep(LOOK_S)


class Model:
    """A registered version in this process.

    Attributes:
        name, version: of the registry.
        labels: the classes, in the order of the probabilities.
        classifier: the torch module: raw pixels or ids in, logits out.
    """

    def __init__(self, name: str, version: int, content: Mapping[str, Any], weights: bytes) -> None:
        from raytune_app.models.stored import rebuild

        self.name, self.version = name, version
        self.classifier = rebuild(content, weights)
        self.labels: tuple[str, ...] = self.classifier.signature.classes

    def probabilities(self, examples: Any) -> NDArray[Any]:
        """Probabilities float32 [N, K] of pictures uint8 [N, C, H, W], 0 to 255, or of N texts."""
        import torch

        from raytune_app.models.text_classifier import TextClassifier
        from raytune_app.training.predict import predict

        if isinstance(self.classifier, TextClassifier):
            return self.classifier.probabilities(list(examples))
        return predict(self.classifier, examples, device=torch.device("cpu"))

    def __repr__(self) -> str:
        return f"<Model {self.name} version {self.version}, {len(self.labels)} classes>"


class Client:
    """Studies and models of a storage, and the cluster that new studies are submitted to.

    Args:
        storage: a folder or URI; default `RAYTUNE_STORAGE`, else `~/.raytune`.
        address: the cluster's dashboard, `http://host:8265`; default `RAY_API_SERVER_ADDRESS`. Only `submit` and
            `resume` need it.
        insecure: take a cluster that asks nobody for a token.

    Raises:
        StorageError: the storage cannot be used.
    """

    def __init__(self, storage: str | None = None, address: str | None = None, *, insecure: bool = False) -> None:
        self.storage = Storage(storage or default_uri())
        self._address, self._insecure = address, insecure

    def submit(
        self,
        experiment: str | Path | Mapping[str, Any],
        changes: Mapping[str, Any] | None = None,
        *,
        folders: Sequence[str | Path] = (),
        priority: int = 0,
        retries: int = 2,
    ) -> Study:
        """Run an experiment on the cluster, as a job of its own; returns at once.

        Args:
            experiment: a file, or its content.
            changes: values that override it, by dotted path.
            folders: of your own modules, which travel with it.
            priority: higher ones leave the cluster's queue first.
            retries: how often a driver that died is started again.

        Raises:
            SpecError: all mistakes of the experiment.
            InputError: the cluster does not answer or refuses us, or a folder cannot be sent.
        """
        from raytune_app.jobs.submit import submit

        sent = submit(
            self._jobs(),
            self.storage.uri,
            experiment=_experiment(experiment, changes or {}),
            folders=[Path(folder) for folder in folders],
            priority=priority,
            retries=retries,
        )
        return Study(self.storage, sent.study)

    def resume(self, study: str | Study, changes: Mapping[str, Any] | None = None) -> Study:
        """Go on with a study as a new job; `changes` as `raytune resume --set`. Raises InputError."""
        import json

        from raytune_app.jobs.submit import submit

        found = self.study(study)
        edits = [f"{path}={json.dumps(value)}" for path, value in (changes or {}).items()]
        submit(self._jobs(), self.storage.uri, study=found.id, edits=edits)
        return found

    def studies(self) -> list[Overview]:
        """One line of facts a study, the newest first."""
        from raytune_app.tuning.overview import overviews

        return overviews(self.storage)

    def study(self, name: str | Study) -> Study:
        """The study of this id, or the newest whose id begins so. Raises NotFoundError."""
        if isinstance(name, Study):
            return name
        from raytune_app.tuning.folder import open_study

        return Study(self.storage, open_study(self.storage, name).study)

    def wait(self, study: str | Study, timeout_s: float | None = None) -> Study:
        """See `Study.wait`."""
        return self.study(study).wait(timeout_s)

    def best(self, study: str | Study) -> dict[str, Any]:
        """See `Study.best`."""
        return self.study(study).best()

    def watch(self, study: str | Study) -> Watching:
        """Show the study in place, in a notebook's cell or on the terminal, until it is over or interrupted."""
        from raytune_app.display.watching import watch_here

        found = self.study(study)
        found._appear()  # noqa: SLF001  # of this module
        return watch_here(found.folder)

    def load_model(self, name: str) -> Model:
        """A registered model: `mnist` (its champion) or `mnist@3`, its files checked against their manifest.

        Raises:
            NotFoundError: there is none of this name.
            CorruptModelError: a file is not what was registered, or makes no network.
        """
        import json

        from raytune_app.errors import CorruptModelError
        from raytune_app.manifest import MODEL, WEIGHTS
        from raytune_app.registry import Registry

        found = Registry(self.storage).find(name)
        files = found.read()
        try:
            return Model(found.name, found.version, json.loads(files[MODEL]), files[WEIGHTS])
        except Exception as error:
            raise CorruptModelError(f"{found.location} cannot be rebuilt: {error}", "register it again") from error

    def _jobs(self) -> JobSubmissionClient:
        from raytune_app.jobs.client import connect_jobs, jobs_address

        return connect_jobs(jobs_address(self._address), insecure=self._insecure)


def _experiment(given: str | Path | Mapping[str, Any], changes: Mapping[str, Any]) -> Experiment:
    if isinstance(given, Mapping):
        return parse(merge(given, changes))
    return parse(merge(load(given).to_dict(), changes)) if changes else load(given)


def _check_time(deadline_s: float | None, said: str) -> None:
    if deadline_s is not None and time.monotonic() > deadline_s:
        raise DeadlineError(f"{said} in time", "wait longer, or look with `raytune watch`")
