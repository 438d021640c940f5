"""What can never be given is refused at once; what can is packed."""

from typing import Any

import pytest

from raytune_app.errors import ResourceError
from raytune_app.spec.grammar import ResourcesSpec
from raytune_app.tuning.resources import MAX_PER_GPU, TrialResources, allot, gpu_share


@pytest.mark.parametrize(
    ("asked", "cluster", "given"),
    [
        ({"gpus": "auto"}, {"CPU": 2}, TrialResources(1, 0, 2)),
        ({"gpus": "auto"}, {"CPU": 8, "GPU": 2}, TrialResources(1, 1, 2)),
        ({"gpus": 0.25}, {"CPU": 16, "GPU": 2}, TrialResources(1, 0.25, 8)),
        ({"gpus": 0.1}, {"CPU": 16, "GPU": 1}, TrialResources(1, 0.1, 10)),
        ({"gpus": 0.4}, {"CPU": 16, "GPU": 2}, TrialResources(1, 0.4, 4)),  # a fraction never spans two GPUs
        ({"gpus": 0, "cpus": 3}, {"CPU": 8}, TrialResources(3, 0, 2)),
        ({"gpus": 0, "concurrent": 1}, {"CPU": 8}, TrialResources(1, 0, 1)),
    ],
)
def test_trials_are_packed(asked: dict[str, Any], cluster: dict[str, float], given: TrialResources) -> None:
    assert allot(ResourcesSpec.model_validate(asked), [cluster], trials=100) == given


def test_no_more_slots_than_trials() -> None:
    assert allot(ResourcesSpec(), [{"CPU": 8}], trials=3).slots == 3


@pytest.mark.parametrize("asked", [{"gpus": 1}, {"gpus": 0.1}, {"cpus": 9}])
def test_too_much_is_refused_with_what_there_is(asked: dict[str, Any]) -> None:
    with pytest.raises(ResourceError, match="the cluster has"):
        allot(ResourcesSpec.model_validate(asked), [{"CPU": 8}], trials=1)


def test_a_trial_never_spans_two_nodes() -> None:
    nodes = [{"CPU": 4, "GPU": 1}, {"CPU": 4, "GPU": 1}]
    assert allot(ResourcesSpec.model_validate({"gpus": 0.5, "cpus": 3}), nodes, trials=9).slots == 2
    with pytest.raises(ResourceError, match="the cluster has 1 on a node"):
        allot(ResourcesSpec.model_validate({"gpus": 2}), nodes, trials=9)
    with pytest.raises(ResourceError, match="together"):
        allot(ResourcesSpec.model_validate({"gpus": 1}), [{"CPU": 4}, {"CPU": 0, "GPU": 1}], trials=9)


@pytest.mark.parametrize(
    ("nodes", "slots"),
    [([{"CPU": 4}], 1), ([{"CPU": 8}], 2), ([{"CPU": 3}, {"CPU": 3}, {"CPU": 6}], 2)],  # two CPUs a worker
)
def test_the_workers_of_a_trial_count_one_by_one_and_may_be_on_several_nodes(
    nodes: list[dict[str, float]], slots: int
) -> None:
    share = allot(ResourcesSpec.model_validate({"cpus": 2}), nodes, trials=9, workers=2)
    assert (share.cpus, share.workers, share.slots) == (2, 2, slots)


def test_more_workers_than_all_nodes_hold_are_refused() -> None:
    with pytest.raises(ResourceError, match="takes 3 workers, the cluster has room for 2"):
        allot(ResourcesSpec(), [{"CPU": 1}, {"CPU": 1}], trials=9, workers=3)


@pytest.mark.parametrize(
    ("peak_mb", "share"),
    [
        (1000.0, 0.1428),  # 2,100 MB each with margin and context: seven in 16,000
        (12_000.0, 1.0),  # two would not fit
        (50_000.0, 1.0),  # one will not fit either: it is tried, and its error says so
        (1.0, 1 / MAX_PER_GPU),
    ],
)
def test_as_many_trials_share_a_gpu_as_fit(peak_mb: float, share: float) -> None:
    assert gpu_share(peak_mb, 16_000) == pytest.approx(share, abs=1e-4)
    assert gpu_share(peak_mb, 16_000) * int(1 / gpu_share(peak_mb, 16_000) + 1e-9) <= 1
