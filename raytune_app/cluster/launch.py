"""Cluster files for `ray up`, judged before they cost money: by Ray's own validator, and then by stricter laws.

    for problem in mistakes(text, pins):
        print(problem)

Ray accepts a file whose cluster is open to the network, or whose studies are lost with a machine. This does not.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import yaml

from raytune_app.cluster.launch_commands import ROLES, environment, mounted, options, setup, starts
from raytune_app.endpoint.fastpath import FAST_SERVE
from raytune_app.endpoint.lock import is_here
from raytune_app.errors import Problem

PLACEHOLDER = "YOUR-"
TOKEN_FILE = "~/.ray/auth_token"  # noqa: S105  # where it lies, not what it is
STORAGE = "RAYTUNE_STORAGE"
_SHARED = re.compile(r"(s3|gs|gcs|abfs|abfss|hdfs)://[^/\s]+")
_OWN_TO_A_MACHINE = ("/tmp", "/var/tmp", "/root", "/home", "/dev", "/run")  # noqa: S108  # refused, not used
_PIN = re.compile(r"(?<![\w.-])([A-Za-z][\w.-]*?)(?:\[[\w,]+\])?==([\w.!+]+)")
_IMAGE = re.compile(r"(?P<name>[\w.:/-]*?[\w.-]+)(?::(?P<tag>[\w.-]+))?(?P<digest>@sha256:[0-9a-f]{64})?")
_RAY_TAG = re.compile(r"(?P<ray>\d+\.\d+\.\d+)(?:\.\w+)?-py(?P<python>\d{2,3})(?:-[\w.]+)*")
_SECRETS = {
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a token": r"\bRAY_AUTH_TOKEN\s*[=:]\s*['\"]?[^\s'\"$]",
    "a secret": r"(?i)\b(?:aws_secret_access_key|password|passwd|api_?key|secret_?key)\b\s*[=:]\s*['\"]?[^\s'\"$]",
    "a key of a model hub or a code host": r"\b(?:hf_|ghp_|github_pat_|glpat-)\w{20,}",
}

Config = Mapping[str, Any]


def read_pins(text: str) -> dict[str, str]:
    """Versions by package, as `requirements.lock` pins them."""
    return {name.lower(): version for name, version in _PIN.findall(text)}


def unedited(text: str) -> list[int]:
    """Numbers, from 1, of the lines that still have a placeholder where something of the user's belongs."""
    lines = enumerate(text.splitlines(), start=1)
    return [number for number, line in lines if PLACEHOLDER in line and not line.lstrip().startswith("#")]


def mistakes(text: str, pins: Mapping[str, str], python: tuple[int, int] = sys.version_info[:2]) -> list[Problem]:
    """Everything that is wrong with a cluster file, each with its remedy; nothing is started and no cloud is asked.

    Args:
        text: the file.
        pins: versions that the project is tested with, by package; `read_pins` reads them.
        python: the version of Python here.
    """
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [Problem("the file", _first_line(error), "is no YAML", "correct its indentation and quotes")]
    if not isinstance(config, dict) or not isinstance(config.get("provider"), dict):
        rule = "a cluster file is a mapping with a provider"
        return [Problem("the file", _shown(config), rule, "begin with a copy of cluster.yaml")]
    laws: list[Callable[[Config], Iterator[Problem]]] = [_head, _resources, _idle_head, _token, _dashboard, _storage]
    laws += [_fast_path, _set_up]
    try:
        found = [problem for law in laws for problem in law(config)]
        found += [*_images(config, pins, python), *_versions(config, pins), *_secrets(text)]
    except (AttributeError, TypeError, ValueError) as error:
        found = [Problem("the file", _first_line(error), "a part has another form", "compare it with cluster.yaml")]
    structure = any(problem.path.startswith(("head_node_type", "available_node_types")) for problem in found)
    return found if structure else [*_ray(config), *found]


def _ray(config: Config) -> Iterator[Problem]:
    """What Ray's own validator says, which stops at the first mistake."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            validate_config(prepare_config(dict(config)))
    except Exception as error:  # noqa: BLE001  # Ray raises whatever it meets; all of it means no
        where = getattr(error, "json_path", "the file")  # a violation of its schema knows its place
        shown = _first_line(error) or type(error).__name__
        yield Problem(where, shown, "Ray refuses it", "see Ray's description of cluster files")


def _is_local(config: Config) -> bool:
    return bool(config["provider"].get("type") == "local")


def _head(config: Config) -> Iterator[Problem]:
    types, head = config.get("available_node_types") or {}, config.get("head_node_type")
    if not _is_local(config) and head not in types:
        rule = f"the head is one of available_node_types: {', '.join(types) or 'none'}"
        yield Problem("head_node_type", _shown(head), rule, "name one of them")


def _resources(config: Config) -> Iterator[Problem]:
    for name, kind in (config.get("available_node_types") or {}).items():
        for resource, amount in (kind.get("resources") or {}).items():
            if isinstance(amount, bool) or not isinstance(amount, int) or amount < 0:
                where = f"available_node_types.{name}.resources.{resource}"
                yield Problem(where, _shown(amount), "a machine has whole ones", "trials may ask for parts of one")


def _idle_head(config: Config) -> Iterator[Problem]:
    """A trial that takes too much memory must not take the head with it."""
    if _is_local(config):
        wanted = {"num-cpus": "0", "num-gpus": "0"}
        given = {name: options(start).get(name) for start in starts(config, "head") for name in wanted}
        remedy = "start the head with --num-cpus=0 --num-gpus=0"
        where = "head_start_ray_commands"
    else:
        head = config.get("head_node_type")
        declared = ((config.get("available_node_types") or {}).get(head) or {}).get("resources") or {}
        wanted = {"CPU": "0", "GPU": "0"}
        given = {"CPU": str(declared.get("CPU")), "GPU": str(declared.get("GPU", 0))}
        remedy, where = "give it resources CPU: 0 and no GPU", f"available_node_types.{head}.resources"
    if given != wanted:
        yield Problem(where, _shown(given), "no trial may land on the head", remedy)


def _token(config: Config) -> Iterator[Problem]:
    for role in ROLES:
        commands = starts(config, role)
        where = f"{role}_start_ray_commands"
        if not commands:
            yield Problem(where, "nothing", "Ray must be started", "add `RAY_AUTH_MODE=token ray start ...`")
        for command in commands:
            mode = environment(config, role, command).get("RAY_AUTH_MODE")
            if mode != "token":
                rule = "without a token everyone who reaches the cluster runs code on it"
                yield Problem(
                    where, f"RAY_AUTH_MODE={mode or ''}", rule, "write RAY_AUTH_MODE=token before `ray start`"
                )
    if (config.get("file_mounts") or {}).get(TOKEN_FILE) is None:
        remedy = f"add `{TOKEN_FILE}: {TOKEN_FILE}`; `ray get-auth-token --generate` makes it"
        yield Problem("file_mounts", "no token", "every machine needs the cluster's token", remedy)
    elif not any(re.search(r"chmod\s+0?600\s+\S*auth_token", each) for each in setup(config, "worker")):
        rule = "others on the machine could read the token"
        yield Problem("setup_commands", "no chmod", rule, f"add `chmod 600 {TOKEN_FILE}`")


def _dashboard(config: Config) -> Iterator[Problem]:
    for command in starts(config, "head"):
        host = options(command).get("dashboard-host", "127.0.0.1")
        if not is_here(host):
            remedy = "use --dashboard-host=127.0.0.1 and reach it by `ray dashboard`"
            rule = "the dashboard listens on the loopback interface alone"
            yield Problem("head_start_ray_commands", f"--dashboard-host={host}", rule, remedy)


def _storage(config: Config) -> Iterator[Problem]:
    found = {role: environment(config, role).get(STORAGE) for role in ROLES}
    where, rule = "docker.run_options", "studies and models lie where every machine reaches them"
    name = "/mnt/raytune, an NFS folder" if _is_local(config) else "s3://YOUR-BUCKET/raytune"
    remedy = f"set {STORAGE}={name} on every machine"
    if len(set(found.values())) > 1 or None in found.values():
        yield Problem(where, ", ".join(f"{role}: {uri or 'none'}" for role, uri in found.items()), rule, remedy)
        return
    uri = str(found["head"])
    if _SHARED.match(uri):
        return
    if not _is_local(config) or not uri.startswith("/") or uri.startswith(_OWN_TO_A_MACHINE):
        yield Problem(where, uri, rule, remedy)
    elif config.get("docker") and not mounted(config, uri):
        yield Problem(where, uri, "the container sees only what is mounted into it", f"add --volume {uri}:{uri}")


def _fast_path(config: Config) -> Iterator[Problem]:
    for role in ROLES:
        for command in starts(config, role):
            given = environment(config, role, command)
            for name, value in FAST_SERVE.items():
                if given.get(name) != value:
                    rule = f"Serve reads it once, when Ray starts on a {role}, and is slow or fragile without"
                    yield Problem("docker.run_options", f"{name}={given.get(name, '')}", rule, f"set it to {value!r}")


def _set_up(config: Config) -> Iterator[Problem]:
    """The tested versions, and this package and nothing that would bring others."""
    for role in ROLES:
        commands = setup(config, role)
        if not any("requirements.lock" in each and "install" in each for each in commands):
            rule = f"a {role} has the versions that the tests ran with"
            yield Problem("setup_commands", "no requirements.lock", rule, "install it with --requirement")
        if not any("--no-deps" in each and "install" in each for each in commands):
            remedy = "install this package with --no-deps, after the lock"
            yield Problem("setup_commands", "no --no-deps", f"a {role} has exactly this package", remedy)


def _images(config: Config, pins: Mapping[str, str], python: tuple[int, int]) -> Iterator[Problem]:
    docker = config.get("docker") or {}
    for key in ("image", "head_image", "worker_image"):
        if not (image := docker.get(key)):
            continue
        where, found = f"docker.{key}", _IMAGE.fullmatch(image)
        tag = found["tag"] if found else None
        if found is None or (not found["digest"] and (tag or "latest").startswith(("latest", "nightly"))):
            remedy = "name a version, such as rayproject/ray:2.60.0-py311"
            yield Problem(where, image, "an image that changes by itself was never tested", remedy)
        elif tag and (told := _RAY_TAG.fullmatch(tag)):
            ray, here = pins.get("ray"), "{}{}".format(*python)
            if told["ray"] != ray:
                yield Problem(where, image, f"requirements.lock has Ray {ray}", "make them equal")
            if told["python"] != here:
                yield Problem(where, image, "Python here is {}.{}".format(*python), f"use the image with -py{here}")


def _versions(config: Config, pins: Mapping[str, str]) -> Iterator[Problem]:
    for role in ROLES:
        for command in setup(config, role):
            for name, version in _PIN.findall(command):
                if pins.get(name.lower(), version) != version:
                    rule = f"requirements.lock has {name} {pins[name.lower()]}"
                    yield Problem(f"{role} set-up", f"{name}=={version}", rule, "leave it to the lock")


def _secrets(text: str) -> Iterator[Problem]:
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in _SECRETS.items():
            if re.search(pattern, line):
                rule = f"looks like {what}, and this file is shared and copied to every machine"
                yield Problem(f"line {number}", "not shown", rule, "take it out and make a new one; use roles or files")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _shown(value: object) -> str:
    return json.dumps(value, default=str)[:80]
