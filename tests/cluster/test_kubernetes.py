# ruff: noqa: N815  # the fields are spelt as KubeRay spells them
"""The files for Kubernetes: what KubeRay and Kubernetes accept, what the product says elsewhere, and what is safe.

`RayJob`, `RayService` and their parts have the fields of KubeRay 1.7.0's reference of `ray.io/v1`; fields that
we do not use stand here by name only. Pods and the rest are held against Kubernetes' own schemas.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from kubernetes_validate import ValidationError as SchemaError
from kubernetes_validate import validate
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from raytune_app.cluster.launch import read_pins
from raytune_app.endpoint.fastpath import FAST_SERVE
from raytune_app.endpoint.plan import Plan, traffic_of
from serving.versions.replica import Arguments, UserConfig

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
RELEASE = "1.37"
PINS = read_pins((ROOT / "requirements.lock").read_text(encoding="utf-8"))
Document = dict[str, Any]


def _pod(template: Document) -> Document:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **template.get("metadata", {})}}
    try:
        validate({**pod, "spec": template["spec"]}, RELEASE, strict=True)
    except SchemaError as error:
        raise ValueError(f"{'.'.join(map(str, error.path))}: {error.message}") from error
    return template


PodTemplate = Annotated[Document, AfterValidator(_pod)]
Whole = Annotated[int, Field(strict=True, ge=0)]


def _with(base: type[BaseModel], unused: str) -> type[BaseModel]:
    """The model with fields that exist and may have any form."""
    fields: dict[str, Any] = dict.fromkeys(unused.split(), (Any, None))
    return create_model(base.__name__, __base__=base, **fields)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AuthOptions(Strict):
    mode: Literal["disabled", "token"] = "token"
    secretName: str | None = None
    enableK8sTokenAuth: bool = False


class _HeadGroup(Strict):
    rayStartParams: dict[str, str]
    template: PodTemplate


HeadGroup = _with(_HeadGroup, "headService enableIngress ingressOptions resources labels serviceType")


class _WorkerGroup(Strict):
    groupName: str
    rayStartParams: dict[str, str]
    template: PodTemplate
    replicas: Whole = 0
    minReplicas: Whole
    maxReplicas: Whole


WorkerGroup = _with(_WorkerGroup, "suspend idleTimeoutSeconds priority resources labels scaleStrategy numOfHosts")


class _Autoscaler(Strict):
    idleTimeoutSeconds: Whole = 60


Autoscaler = _with(
    _Autoscaler,
    "resources image imagePullPolicy securityContext upscalingMode version env envFrom volumeMounts command",
)


class _Cluster(Strict):
    rayVersion: str
    authOptions: AuthOptions
    enableInTreeAutoscaling: bool = False
    autoscalerOptions: Autoscaler | None = None  # type: ignore[valid-type]  # made at run time
    headGroupSpec: HeadGroup  # type: ignore[valid-type]
    workerGroupSpecs: list[WorkerGroup]  # type: ignore[valid-type]


Cluster = _with(
    _Cluster,
    "upgradeStrategy suspend managedBy headServiceAnnotations gcsFaultToleranceOptions historyServerOptions"
    " networkPolicy tlsOptions",
)


class _JobSpec(Strict):
    entrypoint: str
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]
    backoffLimit: Whole = 0
    shutdownAfterJobFinishes: bool = False
    ttlSecondsAfterFinished: Whole = 0
    runtimeEnvYAML: str
    rayClusterSpec: Cluster  # type: ignore[valid-type]


JobSpec = _with(
    _JobSpec,
    "activeDeadlineSeconds submitterPodTemplate metadata clusterSelector submitterConfig managedBy deletionStrategy"
    " jobId entrypointResources entrypointNumCpus entrypointNumGpus preRunningDeadlineSeconds suspend",
)


class _ServiceSpec(Strict):
    serveConfigV2: str
    rayClusterConfig: Cluster  # type: ignore[valid-type]
    excludeHeadPodFromServeSvc: bool = False


ServiceSpec = _with(_ServiceSpec, "rayClusterDeletionDelaySeconds serveService upgradeStrategy managedBy suspend")


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Document
    spec: JobSpec  # type: ignore[valid-type]


class RayService(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayService"]
    metadata: Document
    spec: ServiceSpec  # type: ignore[valid-type]


def _read(name: str) -> list[Document]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


STUDY, ENDPOINT, COMMON = _read("study.yaml")[0], _read("endpoint.yaml")[0], _read("common.yaml")
CLUSTERS = {"study": STUDY["spec"]["rayClusterSpec"], "endpoint": ENDPOINT["spec"]["rayClusterConfig"]}


def _pods(cluster: Document) -> Iterator[Document]:
    yield cluster["headGroupSpec"]["template"]
    yield from (group["template"] for group in cluster["workerGroupSpecs"])


def test_kuberay_accepts_them() -> None:
    RayJob.model_validate(STUDY)
    RayService.model_validate(ENDPOINT)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("entrypoint:", "entryPoint:"),
        ("submissionMode: K8sJobMode", "submissionMode: Job"),
        ("mode: token", "mode: tokens"),
        ('num-cpus: "0"', "num-cpus: 0"),
        ("minReplicas: 0", "minReplicas: none"),
        ("mountPath: /storage", "mount: /storage"),
        ("runAsUser: 1000", "runAsUser: ray"),
    ],
)
def test_a_mistake_is_seen(right: str, wrong: str) -> None:
    text = (FOLDER / "study.yaml").read_text(encoding="utf-8")
    assert right in text
    with pytest.raises(ValidationError):
        RayJob.model_validate(next(yaml.safe_load_all(text.replace(right, wrong))))


@pytest.mark.parametrize("document", COMMON, ids=lambda document: document["metadata"]["name"])
def test_kubernetes_accepts_the_rest(document: Document) -> None:
    assert validate(document, RELEASE, strict=True) == RELEASE


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
class TestClusters:
    def test_only_who_has_the_token_runs_anything(self, cluster: Document) -> None:
        assert cluster["authOptions"] == {"mode": "token", "secretName": "raytune-token"}

    def test_nothing_lands_on_the_head(self, cluster: Document) -> None:
        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"

    def test_versions_are_those_of_the_lock(self, cluster: Document) -> None:
        assert cluster["rayVersion"] == PINS["ray"]

    def test_every_node_has_the_fast_path_and_the_storage(self, cluster: Document) -> None:
        for pod in _pods(cluster):
            (container,) = pod["spec"]["containers"]
            given = {each["name"]: each["value"] for each in container["env"]}
            assert FAST_SERVE.items() <= given.items()
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
            claim = volumes[mounts[given["RAYTUNE_STORAGE"]]]["persistentVolumeClaim"]["claimName"]
            assert claim == COMMON[0]["metadata"]["name"]
            assert "ReadWriteMany" in COMMON[0]["spec"]["accessModes"]

    def test_no_pod_has_more_rights_than_it_needs(self, cluster: Document) -> None:
        head, *workers = _pods(cluster)
        assert all(worker["spec"]["automountServiceAccountToken"] is False for worker in workers)
        for pod in (head, *workers):
            assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
            assert all(
                each["securityContext"]["allowPrivilegeEscalation"] is False for each in pod["spec"]["containers"]
            )

    def test_the_rules_of_the_network_hold_for_every_pod(self, cluster: Document) -> None:
        wanted = COMMON[1]["spec"]["podSelector"]["matchLabels"]
        assert all(wanted.items() <= pod["metadata"]["labels"].items() for pod in _pods(cluster))


def test_the_entrypoint_is_a_fixed_command_that_exists() -> None:
    from raytune_app.cli.main import build_parser

    program, *words = STUDY["spec"]["entrypoint"].split()
    assert program == "raytune"
    assert not re.search(r"[$;&|<>`\n]", STUDY["spec"]["entrypoint"])
    assert build_parser().parse_args(words).run


def test_a_stop_lets_the_study_write_down_where_it_is() -> None:
    variables = yaml.safe_load(STUDY["spec"]["runtimeEnvYAML"])["env_vars"]
    assert variables["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    assert int(variables["RAY_JOB_STOP_WAIT_TIME_S"]) >= 30


def test_the_endpoint_is_what_raytune_serve_would_deploy() -> None:
    config = yaml.safe_load(ENDPOINT["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    (deployment,) = application["deployments"]
    arguments = Arguments.model_validate(application["args"])
    models = UserConfig.model_validate(deployment["user_config"]).models
    plan = Plan(traffic_of(models), arguments.storage, host="0.0.0.0", replicas=1, most=8)  # noqa: S104  # a pod's own
    (planned,) = plan.config()["applications"]
    (wanted,) = planned.pop("deployments")
    assert {**deployment, "user_config": None} == {**wanted, "user_config": None}
    assert {name: application[name] for name in ("name", "route_prefix", "import_path")} == {
        name: planned[name] for name in ("name", "route_prefix", "import_path")
    }
    assert arguments.threads == deployment["ray_actor_options"]["num_cpus"]


def test_serve_accepts_the_endpoint() -> None:
    with warnings.catch_warnings():  # Serve's own, at import
        warnings.simplefilter("ignore")
        from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(yaml.safe_load(ENDPOINT["spec"]["serveConfigV2"]))


def test_nobody_is_answered_without_a_key_and_the_keys_are_where_the_endpoint_looks() -> None:
    file = Path(yaml.safe_load(ENDPOINT["spec"]["serveConfigV2"])["applications"][0]["args"]["door"]["keys_file"])
    for pod in _pods(CLUSTERS["endpoint"]):
        (name,) = [
            each["name"]
            for each in pod["spec"]["containers"][0]["volumeMounts"]
            if each["mountPath"] == str(file.parent)
        ]
        (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == name]
        assert volume["secret"]["defaultMode"] & 0o022 == 0, "the endpoint refuses keys that others may write"


def test_no_secret_stands_in_a_file() -> None:
    for path in [*(ROOT / "deploy").glob("*"), *FOLDER.glob("*")]:
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"kind: Secret|stringData|[0-9a-f]{32}|AKIA", text), path


def test_the_image_has_the_locks_ray_and_this_package_alone() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    (ray, python) = re.findall(r"^ARG BASE=rayproject/ray:([\d.]+)-py(\d+)", text, re.MULTILINE)[0]
    assert (ray, python) == (PINS["ray"], "311")
    assert "--requirement /home/ray/raytune/requirements.lock" in text
    assert "--no-deps" in text
    copied = re.findall(r"^COPY \S+ (.*) \S+$", text, re.MULTILINE)
    assert all((ROOT / name).exists() for names in copied for name in names.split())
