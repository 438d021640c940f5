"""The door from Python to studies, models and a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytune_app.client.model import Model
from raytune_app.client.study import Study
from raytune_app.errors import CorruptModelError
from raytune_app.manifest import MODEL, WEIGHTS
from raytune_app.registry import Registry
from raytune_app.spec import Experiment, load, parse
from raytune_app.spec.reading import merge
from raytune_app.storage import Storage, default_uri

if TYPE_CHECKING:
    from raytune_app.display.watching import Watching
    from raytune_app.jobs.client import Jobs
    from raytune_app.tuning.overview import Overview


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

    def resume(
        self,
        study: str | Study,
        changes: Mapping[str, Any] | None = None,
        *,
        folders: Sequence[str | Path] = (),
        priority: int = 0,
        retries: int = 2,
    ) -> Study:
        """Go on with a study as a new job. The arguments are those of `submit`; `changes` may be those of `resume`.

        Raises InputError: a change is refused by name, or as `submit`.
        """
        from raytune_app.jobs.submit import submit
        from raytune_app.tuning.edit import check_edit

        found = self.study(study)
        before = found.folder.experiment()
        check_edit(before, parse(merge(before.to_dict(), changes or {})))
        submit(
            self._jobs(),
            self.storage.uri,
            study=found.id,
            edits=[f"{path}={json.dumps(value)}" for path, value in (changes or {}).items()],
            folders=[Path(folder) for folder in folders],
            priority=priority,
            retries=retries,
        )
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
        found.appear()
        return watch_here(found.folder)

    def load_model(self, name: str) -> Model:
        """A registered model: `mnist` (its champion) or `mnist@3`, its files checked against their manifest.

        Raises:
            NotFoundError: there is none of this name.
            CorruptModelError: a file is not what was registered, or makes no network.
        """
        found = Registry(self.storage).find(name)
        files = found.read()
        try:
            return Model(found.name, found.version, json.loads(files[MODEL]), files[WEIGHTS])
        except Exception as error:
            raise CorruptModelError(f"{found.location} cannot be rebuilt: {error}", "register it again") from error

    def _jobs(self) -> Jobs:
        from raytune_app.jobs.client import connect_jobs, jobs_address

        return connect_jobs(jobs_address(self._address), insecure=self._insecure)


def _experiment(given: str | Path | Mapping[str, Any], changes: Mapping[str, Any]) -> Experiment:
    if isinstance(given, Mapping):
        return parse(merge(given, changes))
    return parse(merge(load(given).to_dict(), changes)) if changes else load(given)
