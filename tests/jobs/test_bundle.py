import subprocess
import sys
from pathlib import Path

import pytest

from raytune_app.errors import InputError
from raytune_app.jobs import bundle
from raytune_app.jobs.bundle import make_bundle
from raytune_app.jobs.start import interpreter


def test_this_package_and_the_users_modules_travel_and_run_there(tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "nets" / "__pycache__").mkdir(parents=True)
    (own / "nets" / "small.py").write_text("WIDTH = 3")
    (own / "nets" / "__pycache__" / "small.pyc").write_text("stale")
    (own / ".git").mkdir()
    (own / ".git" / "config").write_text("history")
    made = make_bundle(tmp_path / "bundle", [own])
    assert made.own == ("nets/small.py",)
    script = "import raytune_app.spec, nets.small; print(raytune_app.__file__)"
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, cwd=made.folder, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(made.folder / "raytune_app" / "__init__.py")
    assert (made.folder / "raytune_app" / "data" / "builtin").is_dir()
    assert made.mb == pytest.approx(
        sum(file.stat().st_size for file in made.folder.rglob("*") if file.is_file()) / 2**20, rel=0.01
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", "A=1"),
        ("deploy/server.pem", "x"),
        ("id_rsa", "x"),
        (".aws/config", "x"),
        ("nets/.SSH/known", "x"),
        ("prod.env", "x"),
        (".git-credentials", "x"),
        ("conf.yaml", "aws_secret_access_key: " + "a" * 40),
        ("notes.txt", "-----BEGIN RSA PRIVATE KEY-----"),
        ("settings.py", "KEY = 'AKIA" + "ABCDEFGHIJKLMNOP'"),
    ],
)
def test_what_looks_like_a_secret_stays_here(name: str, content: str, tmp_path: Path) -> None:
    file = tmp_path / "own" / name
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(InputError, match="looks like a secret") as refused:
        make_bundle(tmp_path / "bundle", [tmp_path / "own"])
    assert name in refused.value.message
    assert content not in refused.value.message


def test_folders_that_cannot_travel_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "data.py").symlink_to("/etc/hostname")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "start.py").write_text("")
    for folder, told in (("none", "no such folder"), ("linked", "does not travel"), ("ours", "is there already")):
        with pytest.raises(InputError, match=told):
            make_bundle(tmp_path / f"bundle-{folder}", [tmp_path / folder])
    monkeypatch.setattr(bundle, "LIMIT_MB", 1.0)
    with pytest.raises(InputError, match="too much to send"):
        make_bundle(tmp_path / "bundle")


def test_two_folders_with_the_same_file_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text("")
    with pytest.raises(InputError, match=r"net\.py is there already"):
        make_bundle(tmp_path / "bundle", [tmp_path / "a", tmp_path / "b"])


def test_a_job_runs_with_the_clusters_own_python() -> None:
    raylet = ["/x/raylet", "--node_ip=1", "--python_worker_command=/venv/bin/python /x/setup_worker.py --a=b"]
    assert interpreter([["sh", "-c", "python3 start.py"], ["ray::JobSupervisor"], raylet]) == "/venv/bin/python"
    assert interpreter([["sh"]]) == sys.executable
