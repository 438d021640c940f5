"""Our cluster files obey every law, and each law refuses a file that breaks it and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.cluster.launch import mistakes, read_pins, unedited
from raytune_app.cluster.launch_commands import environment, options, starts

ROOT = Path(__file__).parents[2]
FILES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("cluster.yaml", "deploy/on-premises.yaml")}
AWS, HERE = FILES.values()
PINS = read_pins((ROOT / "requirements.lock").read_text(encoding="utf-8"))
PYTHON = (3, 11)

BROKEN = {
    "the head's type does not exist": (AWS, "head_node_type: head", "head_node_type: haed", "head_node_type"),
    "half a GPU": (AWS, "GPU: 1 ", "GPU: 0.5 ", "available_node_types.gpu_worker.resources.GPU"),
    "a truth instead of a number": (AWS, "CPU: 8", "CPU: true", "available_node_types.cpu_worker.resources.CPU"),
    "trials on the head": (AWS, "CPU: 0", "CPU: 4", "available_node_types.head.resources"),
    "trials on a head that is there already": (HERE, " --num-cpus=0", "", "head_start_ray_commands"),
    "the image's Ray": (AWS, "ray:2.60.0-py311-gpu", "ray:2.59.1-py311-gpu", "docker.image"),
    "the head's Python": (AWS, "ray:2.60.0-py311 ", "ray:2.60.0-py312 ", "docker.head_image"),
    "an image that changes": (HERE, "ray:2.60.0-py311-gpu", "ray:latest", "docker.image"),
    "another torch": (AWS, "--quiet boto3==", "--quiet torch==2.6.0 boto3==", "head set-up"),
    "another Ray, with extras": (AWS, "--quiet boto3==", "--quiet 'ray[serve]==2.59.1' boto3==", "head set-up"),
    "no lock": (AWS, "--requirement ~/raytune/requirements.lock", "torch", "setup_commands"),
    "more than this package": (HERE, "--no-deps", "", "setup_commands"),
    "the dashboard everywhere": (AWS, "--dashboard-host=127.0.0.1", "--dashboard-host 0.0.0.0", "head_start"),
    "storage of one machine": (AWS, "=s3://YOUR-BUCKET/raytune", "=/mnt/raytune", "docker.run_options"),
    "no storage": (AWS, "--env RAYTUNE_STORAGE=", "--env ELSE=", "docker.run_options"),
    "a home folder": (HERE, "RAYTUNE_STORAGE=/mnt/raytune", "RAYTUNE_STORAGE=/home/ray/out", "docker.run_options"),
    "a folder that is not mounted": (HERE, "/mnt/raytune:/mnt/raytune", "/mnt/raytune:/data", "docker.run_options"),
    "a slow front": (AWS, "RAY_SERVE_ENABLE_HA_PROXY=1", "RAY_SERVE_ENABLE_HA_PROXY=0", "docker.run_options"),
    "a fragile front": (HERE, "conn-failure empty-response", "conn-failure", "docker.run_options"),
    "an AWS key": (AWS, "# EDIT: your region", "# AKIAIOSFODNN7EXAMPLE", "line "),
    "the token itself": (HERE, "RAY_USAGE_STATS_ENABLED=0", "RAY_AUTH_TOKEN=abc", "line "),
    "a token that others read": (AWS, "chmod 600", "chmod 644", "setup_commands"),
    "no token": (AWS, "~/.ray/auth_token: ~/.ray/auth_token", "~/.other: ~/.other", "file_mounts"),
    "what Ray refuses": (AWS, "max_workers: 6", "max_workres: 6", "$"),
    "fewer machines than wanted": (AWS, "max_workers: 6", "max_workers: -1", "$"),
    "no YAML": (AWS, "cluster_name: raytune", "cluster_name: [", "the file"),
    "another form": (AWS, "docker: #", "docker: [a]\nx: #", "the file"),
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_our_files_obey_every_law(text: str) -> None:
    assert mistakes(text, PINS, PYTHON) == []


@pytest.mark.parametrize(("text", "right", "wrong", "where"), BROKEN.values(), ids=BROKEN)
def test_each_law_refuses_what_breaks_it(text: str, right: str, wrong: str, where: str) -> None:
    assert right in text
    found = mistakes(text.replace(right, wrong), PINS, PYTHON)
    assert any(problem.path.startswith(where) for problem in found), list(map(str, found))
    assert all(problem.rule and problem.remedy for problem in found)


@pytest.mark.parametrize("role", ["head", "worker"])
def test_a_start_without_the_token_is_refused_on_each_machine(role: str) -> None:
    config = yaml.safe_load(AWS.replace("--env RAY_AUTH_MODE=token", "--env ELSE=1"))
    assert mistakes(yaml.safe_dump(config), PINS, PYTHON) == [], "the start commands say it themselves"
    key = f"{role}_start_ray_commands"
    config[key] = [command.replace("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled") for command in config[key]]
    assert [problem.path for problem in mistakes(yaml.safe_dump(config), PINS, PYTHON)] == [key]


def test_all_mistakes_come_at_once() -> None:
    broken = AWS.replace("CPU: 0", "CPU: 4").replace("=127.0.0.1", "=0.0.0.0").replace("chmod 600", "chmod 644")
    assert len({problem.path for problem in mistakes(broken, PINS, PYTHON)}) == 3


def test_a_secret_is_never_shown() -> None:
    found = mistakes(AWS.replace("# EDIT: your region", "# AKIAIOSFODNN7EXAMPLE"), PINS, PYTHON)
    assert found
    assert not any("AKIA" in str(problem) for problem in found)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text("ab:-{"), st.lists, max_leaves=5))
def test_nothing_in_a_part_makes_the_validator_itself_fail(part: object) -> None:
    for key in ("docker", "available_node_types", "head_start_ray_commands", "file_mounts", "provider"):
        assert mistakes(yaml.safe_dump({**yaml.safe_load(AWS), key: part}), PINS, PYTHON)


def test_machines_without_containers_may_get_their_environment_from_the_start_itself() -> None:
    config = yaml.safe_load(HERE)
    docker = config.pop("docker")
    exports = "; ".join(option.replace("--env", "export") for option in docker["run_options"][1:])
    for role in ("head", "worker"):
        key = f"{role}_start_ray_commands"
        config[key] = [f"{exports}; {command}" for command in config[key]]
    found = mistakes(yaml.safe_dump(config), PINS, PYTHON)
    assert {problem.path for problem in found} == {"docker.run_options"}, "storage must be known to every process"


def test_what_is_left_to_fill_in_is_told() -> None:
    (number,) = unedited(AWS)
    assert "RAYTUNE_STORAGE" in AWS.splitlines()[number - 1]
    assert unedited(AWS.replace("YOUR-BUCKET", "a-bucket")) == []


def test_a_start_is_read_as_a_shell_reads_it() -> None:
    start = "ulimit -n 9; export A=1; B='2 3' /opt/bin/ray start --head --port 6379 --dashboard-host=::1 && C=4 true"
    assert starts({"head_start_ray_commands": ["ray stop", start]}, "head") == [start]
    assert options(start) == {"head": "", "port": "6379", "dashboard-host": "::1"}
    assert environment({}, "head", start) == {"A": "1", "B": "2 3"}


def test_the_environment_of_a_machine_is_its_containers_and_its_roles() -> None:
    docker = {"run_options": ["-e A=1 --env=B=2"], "head_run_options": ["--env 'B=3 4'"], "worker_run_options": []}
    assert environment({"docker": docker}, "head") == {"A": "1", "B": "3 4"}
    assert environment({"docker": docker}, "worker") == {"A": "1", "B": "2"}


class TestAccess:
    """`deploy/aws-access.yaml`: a worker, where users' code runs, reaches the bucket and nothing else."""

    RESOURCES = yaml.safe_load((ROOT / "deploy/aws-access.yaml").read_text(encoding="utf-8"))["Resources"]

    def _actions(self, role: str) -> set[str]:
        found = set()
        for resource in self.RESOURCES.values():
            if {"Ref": role} in resource["Properties"].get("Roles", ()) and "PolicyDocument" in resource["Properties"]:
                for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                    action = statement["Action"]
                    found |= {action} if isinstance(action, str) else set(action)
        return found

    def test_a_worker_has_the_bucket_only_and_the_head_more(self) -> None:
        worker, head = self._actions("Worker"), self._actions("Head")
        assert worker and all(action.startswith("s3:") for action in worker)
        assert {"ec2:RunInstances", "iam:PassRole"} <= head - worker
        assert not any("*" in action for action in head)

    def test_the_head_hands_on_the_workers_role_alone(self) -> None:
        statements = self.RESOURCES["ManageWorkers"]["Properties"]["PolicyDocument"]["Statement"]
        (passing,) = [each for each in statements if each["Action"] == "iam:PassRole"]
        assert passing["Resource"] == {"Fn::GetAtt": ["Worker", "Arn"]}

    def test_the_cluster_file_uses_these_profiles(self) -> None:
        config = yaml.safe_load(AWS)
        profiles = {
            name: each["node_config"]["IamInstanceProfile"]["Name"]
            for name, each in config["available_node_types"].items()
        }
        made = {
            name: self.RESOURCES[name]["Properties"]["InstanceProfileName"] for name in ("HeadProfile", "WorkerProfile")
        }
        assert profiles.pop(config["head_node_type"]) == made["HeadProfile"]
        assert set(profiles.values()) == {made["WorkerProfile"]}
