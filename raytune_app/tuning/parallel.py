"""A trial of several processes: Ray Train's workers train it, and the trial's own process tells them what to do next.

The workers stay for all stints of the trial's process. They are started by a TorchTrainer in a thread, and between
epochs each waits for the next order of the Board, an actor that lives and dies with the trial's process.
"""

from __future__ import annotations

import itertools
import math
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

import ray
import torch
from ray.exceptions import GetTimeoutError, RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from raytune_app.errors import RaytuneError
from raytune_app.process import environment
from raytune_app.spec import parse, resolve
from raytune_app.training.state import State
from raytune_app.tuning.board import HELLO, POLL_S, Answer, Board, Order
from raytune_app.tuning.resources import TrialResources
from raytune_app.tuning.trainable import TrialInput, make_importable

if TYPE_CHECKING:
    from raytune_app.training.parallel import ParallelRun

START_S = 300.0
"""For the workers to begin: there may be nodes to start."""
STOP_S = 20.0
"""For the workers to end by themselves, and once more after their Board has gone."""
COLLECTIVE_S = 1800
"""For the slowest rank to catch up with the others."""
_TRAIN_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # how soon a dead worker, or the end, is noticed
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process more; the trial goes on from its checkpoint anyway
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


_LOSSES = (
    "workerhealthcheck",
    "actordied",
    "actorunavailable",
    "rayactorerror",
    "by peer",
    "connection refused",
    "nccl",
)
"""In the name or the words of a failure that another process's death explains."""


class WorkerLostError(RaytuneError):
    """A worker of a trial died or never began: another attempt may succeed."""


class Workers:
    """The processes that train this slot's trials, one trial after the other.

    Args:
        shared: of the study; its `cpus` and `gpus` are one worker's.
    """

    def __init__(self, shared: TrialInput) -> None:
        share = _share(shared)
        self._folder = tempfile.mkdtemp(prefix="raytune-train-")
        self._board = ray.remote(num_cpus=0, max_concurrency=2 * share.workers + 8)(Board).remote()
        self._ended: Future[None] = Future()
        self._is_there = False
        self._thread = threading.Thread(target=self._fit, args=(ray.put(shared), share), daemon=True)
        self._thread.start()

    def ask(self, order: Order) -> Answer:
        """Have an order carried out and wait for it, as long as the workers live.

        Raises:
            WorkerLostError: a worker died, or they did not begin within START_S.
            Exception: what the training raised.
        """
        if not self._is_there:
            self._answer(HELLO, time.monotonic() + START_S)
            self._is_there = True
        return self._answer(self._get(self._board.order.remote(order)))

    def stop(self) -> None:
        """End the workers and all that was started for them. Safe to call twice, and after a failure."""
        if self._thread.is_alive():
            self._board.order.remote(Order(ends=True))
            self._thread.join(STOP_S)
        ray.kill(self._board)  # whoever still waits for it fails now
        self._thread.join(STOP_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _fit(self, shared: Any, share: TrialResources) -> None:
        try:
            with environment(_TRAIN_ENVIRONMENT):
                _trainer({"shared": [shared], "board": self._board}, share, self._folder).fit()
            self._ended.set_result(None)
        except BaseException as error:  # noqa: BLE001  # it is raised where the trial waits
            self._ended.set_exception(error)

    def _answer(self, number: int, deadline: float = math.inf) -> Answer:
        while (reference := self._get(self._board.answered.remote(number))) is None:
            if self._ended.done():
                self._fail()
            if time.monotonic() > deadline:
                raise WorkerLostError("the trial's workers did not begin", "is the cluster busy with other work?")
        answer: Answer = self._get(reference[0])
        return answer

    def _get(self, reference: Any) -> Any:
        while True:
            try:
                return ray.get(reference, timeout=2 * POLL_S)
            except GetTimeoutError:
                if self._ended.done():
                    self._fail()
            except RayError:  # what rank 0 had to say is lost with it
                self._thread.join(STOP_S)
                self._fail()

    def _fail(self) -> NoReturn:
        """The trainer has ended though the trial has not."""
        error = self._ended.exception(timeout=POLL_S)
        failures: dict[int, Exception] = getattr(error, "worker_failures", {})
        for failure in failures.values():
            if not _is_loss(failure):
                raise failure from error
        who = f"worker {min(failures)}" if failures else "the workers"
        last = (str(error).strip().splitlines() or [""])[-1]
        raise WorkerLostError(f"{who} of the trial died: {last}", "Ray's logs of the node say more") from error


class TrainedInParallel:
    """The Learner of a trial with `parallel`: each epoch is an order to the workers.

    Args:
        workers: of the trial's process.
        values: the trial's configuration by dotted path.
        seed: of the trial.
    """

    def __init__(self, workers: Workers, values: Mapping[str, Any], seed: int) -> None:
        self._workers, self._begin = workers, (dict(values), seed)
        self._state: State | None = None
        self._has_begun = False

    def train_epoch(self) -> dict[str, Any]:
        answer = self._ask(epochs=1)
        assert answer.row is not None
        return answer.row

    def state(self) -> State:
        state = self._state or self._ask(epochs=0).state
        assert state is not None
        return state

    def load_state(self, state: State) -> None:
        self._state, self._has_begun = state, False

    def _ask(self, epochs: int) -> Answer:
        if self._has_begun:
            order = Order(epochs=epochs)
        else:
            order = Order(self._begin, self._state and [ray.put(self._state)], epochs)
        answer = self._workers.ask(order)
        self._has_begun, self._state = True, answer.state
        return answer


def work(config: dict[str, Any]) -> None:
    """One worker's program: carry out the Board's orders, in step with the other ranks, until one ends it."""
    shared: TrialInput = ray.get(config["shared"][0])
    make_importable(shared.code_paths)
    torch.set_num_threads(shared.cpus)
    board, rank, run = config["board"], get_context().get_world_rank(), None
    if rank == 0:
        _put_up(board, HELLO, Answer(None, None))
    for number in itertools.count():
        order = _next_order(board, number)
        if order.ends:
            return
        run = _begun(order, shared) if order.begin is not None else run
        assert run is not None
        row = asdict(run.train_epoch()) if order.epochs else None
        state = None if row and row["diverged"] else State(*run.state(), {})
        if rank == 0:
            _put_up(board, number, Answer(row, state))


def _begun(order: Order, shared: TrialInput) -> ParallelRun:
    from raytune_app.training.parallel import ParallelRun  # slow to import, and the trial's own process needs none

    assert order.begin is not None
    values, seed = order.begin
    experiment = resolve(parse(shared.experiment), values)
    run = ParallelRun(experiment, shared.data, seed=seed, device=get_device(), speed=shared.speed)
    if order.state is not None:
        state: State = ray.get(order.state[0])
        run.load_state(state.tensors, state.values)
    return run


def _next_order(board: Any, number: int) -> Order:
    """Raises RayActorError once the Board is gone."""
    while True:
        with suppress(GetTimeoutError):
            order: Order | None = ray.get(board.ordered.remote(number), timeout=2 * POLL_S)
            if order is not None:
                return order


def _put_up(board: Any, number: int, answer: Answer) -> None:
    ray.get(board.answer.remote(number, [ray.put(answer)]), timeout=STOP_S)


def _share(shared: TrialInput) -> TrialResources:
    """What one worker takes."""
    experiment = parse(shared.experiment)
    asked, parallel = experiment.resources, experiment.parallel
    assert parallel is not None
    return TrialResources(
        shared.cpus, shared.gpus, 1, asked.memory_mb, asked.custom, asked.labels, workers=parallel.workers
    )


def _trainer(config: dict[str, Any], share: TrialResources, folder: str) -> TorchTrainer:
    return TorchTrainer(
        work,
        train_loop_config=config,
        torch_config=TorchConfig(timeout_s=COLLECTIVE_S),
        scaling_config=ScalingConfig(
            num_workers=share.workers,
            use_gpu=share.gpus > 0,
            resources_per_worker=share.bundle(),
            label_selector=dict(share.labels) or None,
        ),
        run_config=RunConfig(name="trial", storage_path=folder, failure_config=FailureConfig(max_failures=0)),
    )


def _is_loss(failure: Exception) -> bool:
    """Whether a worker's failure tells that it, or another one, has died, or that the trial's process has."""
    text = f"{type(failure).__name__} {failure}".lower()
    return any(sign in text for sign in _LOSSES)
