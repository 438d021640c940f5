"""What the documents say is so: commands parse, links lead somewhere, the file tree is the file tree."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

import raytune_app
from raytune_app.cli.main import build_parser
from raytune_app.spec import load

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
PACKAGES = ("raytune_app", "serving")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
BRANCH = re.compile(r"^(?P<indent>(?:[│|] {3}| {4})*)(?:[├└|`]──|[|`]--) (?P<name>[\w.*-]+)/?(?: .*)?$")
"""A line of the tree as `tree` draws it: `├── name   # what it is`."""
PLACEHOLDER = re.compile(r"\[[^\]]*\]|\.\.\.|<[^>]*>|\bVERB\b")


def _tracked() -> list[Path]:
    """The project's files: what git tracks or would, that is still there."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def _code_blocks(text: str) -> list[str]:
    return re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _drawn_tree() -> set[str]:
    """The paths of README's file tree, relative to the root."""
    drawn, above = set(), list[str]()
    for line in "\n".join(_code_blocks(README.read_text(encoding="utf-8"))).splitlines():
        if branch := BRANCH.match(line):
            depth = len(branch["indent"]) // 4
            above = [*above[:depth], branch["name"]]
            drawn.add("/".join(above))
    return drawn


def _real_tree() -> set[str]:
    """Every top-level entry, and every module and folder of the packages (a folder's own files: one level)."""
    parts = {path.relative_to(ROOT).parts for path in _tracked()}
    top = {part[0] for part in parts}
    inside = {"/".join(part[:2]) for part in parts if len(part) > 1 and part[0] in PACKAGES}
    return (top | inside) - {".gitignore"} - {f"{package}/{name}.py" for package in PACKAGES for name in _UNTOLD}


_UNTOLD = ("__init__", "__main__")


def _commands() -> list[str]:
    """Every `raytune ...` line in README's code blocks and in its inline code."""
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    lines = [line.strip().removeprefix("$ ") for block in _code_blocks(text) for line in block.splitlines()]
    inline = re.findall(r"`(raytune [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    found = [line.partition(" #")[0].strip() for line in [*lines, *inline] if line.startswith("raytune ")]
    return list(dict.fromkeys(command for command in found if not PLACEHOLDER.search(command)))


def test_the_readme_draws_the_file_tree_as_it_is() -> None:
    drawn, real = _drawn_tree(), _real_tree()
    assert len(real) > 30
    told = {path for path in drawn if path.count("/") < 2 and (path.count("/") == 0 or path.split("/")[0] in PACKAGES)}
    assert told == real
    assert not {path for path in drawn if not (ROOT / path).exists()}


def test_every_relative_link_leads_to_a_file() -> None:
    links = [
        (path, target.partition("#")[0])
        for path in _tracked()
        if path.suffix == ".md"
        for target in (match["target"] for match in LINK.finditer(path.read_text(encoding="utf-8")))
        if "://" not in target and not target.startswith(("#", "mailto:"))
    ]
    assert len(links) >= 4
    assert not [f"{path.name}: {target}" for path, target in links if not (path.parent / target).exists()]


def test_the_readme_shows_every_verb() -> None:
    verbs = next(action.choices for action in build_parser()._actions if action.choices and action.dest != "help")
    assert verbs
    shown = {command.split()[1] for command in _commands()}
    assert len(_commands()) >= 10
    assert set(verbs) <= shown


@pytest.mark.parametrize("command", _commands())
def test_every_command_of_the_readme_parses(command: str) -> None:
    parsed = build_parser().parse_args(shlex.split(command)[1:])
    assert callable(parsed.run)


def test_experiments_are_yaml_and_the_modules_that_it_names() -> None:
    modules = {path.stem for path in (ROOT / "experiments").glob("*.py")}
    others = {path.name for path in (ROOT / "experiments").iterdir() if path.is_file()} - {
        path.name for path in EXPERIMENTS
    }
    named = "".join(path.read_text(encoding="utf-8") for path in EXPERIMENTS)
    assert others == {f"{module}.py" for module in modules}
    assert all(f" {module}:" in named for module in modules)
    assert {"demo", "mnist_asha", "smoke", "tutorial"} <= {path.stem for path in EXPERIMENTS}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_loads_and_its_header_names_the_command_that_runs_it(path: Path) -> None:
    load(path)
    header = path.read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith("# ")
    assert f"raytune run experiments/{path.name}" in header


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == raytune_app.__version__


def test_no_file_names_a_package_index_or_a_path_of_some_machine() -> None:
    hosts = [
        ".".join(parts) for parts in (("pypi", "org"), ("files", "pythonhosted", "org"), ("registry", "npmjs", "org"))
    ]
    folders = [
        "/" + "/".join([*parts, ""]) for parts in (("work", "main"), ("work", "shared"), ("root",), ("opt", "wheels"))
    ]
    forbidden = re.compile("|".join(re.escape(text) for text in [*hosts, *folders]))
    texts = {path: path.read_bytes() for path in _tracked() if path.stat().st_size < 2_000_000}
    assert len(texts) >= 100
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, content in texts.items()
        if b"\0" not in content
        for match in forbidden.finditer(content.decode(errors="replace"))
    }
    assert not found


def test_the_lock_holds_names_and_versions_only() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 100
    assert not [line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[\w.]+( ; [\w .'<>=!()]+)?", line)]


def test_ci_types_what_people_type() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert [line for line in script.splitlines() if line.startswith("make")] == ["make test", "make test-slow"]
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test", "lint", "bench", "help"} <= targets


class TestClusterFile:
    """`cluster.yaml` is accepted by Ray's own validator, which does catch mistakes."""

    TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8") if (ROOT / "cluster.yaml").exists() else ""

    @staticmethod
    def _validate(text: str) -> None:
        from ray.autoscaler._private.util import prepare_config, validate_config

        validate_config(prepare_config(yaml.safe_load(text)))

    def test_rays_validator_accepts_it(self) -> None:
        assert self.TEXT
        self._validate(self.TEXT)

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [("max_workers:", "max_worker:"), ("head_node_type: head", "head_node_type: haed"), ("CPU: 0", "CPU: 0.5")],
    )
    def test_rays_validator_catches_a_typo(self, right: str, wrong: str) -> None:
        assert right in self.TEXT
        with pytest.raises(Exception, match=r"max_worker|head_node_type|0\.5"):
            self._validate(self.TEXT.replace(right, wrong))

    def test_no_trial_lands_on_the_head_and_tokens_are_on_everywhere(self) -> None:
        cluster = yaml.safe_load(self.TEXT)
        assert cluster["available_node_types"]["head"]["resources"]["CPU"] == 0
        starts = [*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]]
        commands = [command for command in starts if "ray start" in command]
        assert len(commands) == 2
        assert all("RAY_AUTH_MODE=token" in command for command in commands)

    def test_every_line_is_explained_and_two_are_marked_for_editing(self) -> None:
        lines = [line for line in self.TEXT.splitlines() if line.strip()]
        comments = [line for line in lines if "#" in line]
        assert len(comments) >= len(lines) / 2
        assert sum("EDIT" in line and not line.startswith("#") for line in lines) == 2
