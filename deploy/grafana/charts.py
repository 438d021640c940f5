"""What the Grafana dashboard shows: every row, chart and query, as data."""

from __future__ import annotations

from dataclasses import dataclass

from raytune_app.tuning import metrics as ours

_OF_STUDY = '{study=~"$study"}'
_OF_MODEL = '{model=~"$model"}'
_RATE = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Curve:
    """One query of a chart, in PromQL, and what its curves are called."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel.

    Attributes:
        unit: as Grafana spells it.
        stacked: the curves are shares of a whole.
    """

    title: str
    meaning: str
    unit: str
    curves: tuple[Curve, ...]
    stacked: bool = False


def _study(measure: ours.Measure, function: str, by: str = "study") -> str:
    return f"{function} by ({by}) ({measure.exported}{_OF_STUDY})"


def _pace(measure: ours.Measure) -> str:
    return f"sum by (study) (rate({measure.exported}{_OF_STUDY}{_RATE}))"


def _version(metric: str) -> str:
    return f"sum by (model, version) (rate({metric}{_OF_MODEL}{_RATE}))"


def _quantile(share: float, metric: str, by: str, labels: str = "") -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{labels}{_RATE})))"


_DONE = f'{ours.TRIALS.exported}{{study=~"$study", state=~"finished|stopped|diverged|failed"}}'
_VERSION = "{{model}} {{version}}"
_DEPLOYMENT = "{{application}} {{deployment}}"

_STUDIES = (
    Chart(
        "Best score",
        ours.BEST.meaning,
        "none",
        (Curve(_study(ours.BEST, "max", "study, metric"), "{{study}} {{metric}}"),),
    ),
    Chart(
        "Trials by state", ours.TRIALS.meaning, "none", (Curve(_study(ours.TRIALS, "sum", "state"), "{{state}}"),), True
    ),
    Chart(
        "Trials done",
        "Trials that are over, as a share of those planned; trials that confirm the winner count too, up to the whole.",
        "percentunit",
        (Curve(f"clamp_max(sum by (study) ({_DONE}) / {_study(ours.PLANNED, 'max')}, 1)", "{{study}}"),),
    ),
    Chart("Epochs a second", ours.EPOCHS.meaning, "none", (Curve(_pace(ours.EPOCHS), "{{study}}"),)),
    Chart(
        "Seconds an epoch",
        "Mean wall time of an epoch, validation included.",
        "s",
        (Curve(f"{_pace(ours.EPOCH_SECONDS)} / {_pace(ours.EPOCHS)}", "{{study}}"),),
    ),
    Chart("Examples a second", ours.SPEED.meaning, "none", (Curve(_study(ours.SPEED, "sum"), "{{study}}"),)),
    Chart("Peak GPU memory", ours.GPU_MEMORY.meaning, "bytes", (Curve(_study(ours.GPU_MEMORY, "max"), "{{study}}"),)),
    Chart("Faults", ours.FAULTS.meaning, "none", (Curve(_study(ours.FAULTS, "max"), "{{study}}"),)),
)

_NODES = (
    Chart(
        "GPU use", "Of each GPU of each node.", "percent", (Curve("ray_node_gpus_utilization", "{{ip}} {{GpuIndex}}"),)
    ),
    Chart("GPU memory used", "Of each GPU.", "mbytes", (Curve("ray_node_gram_used", "{{ip}} {{GpuIndex}}"),)),
    Chart("CPU use", "Of each node.", "percent", (Curve("ray_node_cpu_utilization", "{{ip}}"),)),
    Chart("Memory used", "Of each node.", "percentunit", (Curve("ray_node_mem_used / ray_node_mem_total", "{{ip}}"),)),
)

_VERSIONS = (
    Chart(
        "Requests a second", "Answered, by version.", "reqps", (Curve(_version("raytune_requests_total"), _VERSION),)
    ),
    Chart(
        "Errors a second",
        "Good requests without an answer.",
        "reqps",
        (Curve(_version("raytune_errors_total"), _VERSION),),
    ),
    Chart(
        "Latency",
        "Time a request took in the server.",
        "s",
        tuple(
            Curve(
                _quantile(share, "raytune_request_seconds", "model, version", _OF_MODEL), f"p{share * 100:g} {_VERSION}"
            )
            for share in (0.5, 0.99)
        ),
    ),
    Chart(
        "Traffic",
        "Share of the requests that name no version.",
        "percentunit",
        (Curve(f"max by (model, version, role) (raytune_traffic_share{_OF_MODEL})", _VERSION + " {{role}}"),),
    ),
    Chart(
        "Drift",
        "Population stability index against the training part; over the threshold is a drift.",
        "none",
        (
            Curve(f"max by (model, version, of) (raytune_drift_psi{_OF_MODEL})", _VERSION + " {{of}}"),
            Curve("max(raytune_drift_threshold)", "threshold"),
        ),
    ),
    Chart(
        "Right answers",
        "Share of the answers whose true label came back.",
        "percentunit",
        (
            Curve(
                'sum by (model, version) (raytune_feedback_total{model=~"$model", outcome="right"})'
                f" / sum by (model, version) (raytune_feedback_total{_OF_MODEL})",
                _VERSION,
            ),
        ),
    ),
)

_SERVE = (
    Chart(
        "Requests a second",
        "By deployment.",
        "reqps",
        (
            Curve(
                f"sum by (application, deployment) (rate(ray_serve_deployment_request_counter_total{_RATE}))",
                _DEPLOYMENT,
            ),
        ),
    ),
    Chart(
        "Errors a second",
        "Exceptions of a deployment.",
        "reqps",
        (
            Curve(
                f"sum by (application, deployment) (rate(ray_serve_deployment_error_counter_total{_RATE}))", _DEPLOYMENT
            ),
        ),
    ),
    Chart(
        "Latency",
        "Time in the replica.",
        "ms",
        tuple(
            Curve(
                _quantile(share, "ray_serve_deployment_processing_latency_ms", "application, deployment"),
                f"p{share * 100:g} {_DEPLOYMENT}",
            )
            for share in (0.5, 0.99)
        ),
    ),
    Chart(
        "Waiting and running",
        "Requests in a queue and in the replicas.",
        "none",
        (
            Curve("sum by (application, deployment) (ray_serve_deployment_queued_queries)", f"waiting {_DEPLOYMENT}"),
            Curve("sum by (application, deployment) (ray_serve_replica_processing_queries)", f"running {_DEPLOYMENT}"),
        ),
    ),
    Chart(
        "Healthy replicas",
        "By deployment.",
        "none",
        (Curve("sum by (application, deployment) (ray_serve_deployment_replica_healthy)", _DEPLOYMENT),),
    ),
)

ROWS = (
    ("Studies", _STUDIES),
    ("Nodes", _NODES),
    ("Endpoint: versions, from its own /metrics", _VERSIONS),
    ("Endpoint: Ray Serve", _SERVE),
)
CHOICES = (("study", ours.TRIALS.exported), ("model", "raytune_requests_total"))
"""What the person who looks may choose: a label, and a metric that has all its values."""
