"""What travels to the cluster with a study: this package as it is here, and the user's own modules. Nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import raytune_app
from raytune_app.errors import InputError

LIMIT_MB = 200.0
LEFT_OUT = (".git", ".hg", ".svn", ".venv", "venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
SECRET_NAMES = (
    "*.env", ".env.*", ".git-credentials", ".s3cfg", ".boto", ".dockerconfigjson", ".dockercfg", "access_tokens.db",
    "application_default_credentials.json", "terraform.tfstate*", ".vault-token",
    "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx", "id_rsa*", "id_ed25519*", "id_ecdsa*",
    "id_dsa*", ".netrc", ".pgpass", ".npmrc", ".pypirc", ".htpasswd", "credentials", "credentials.*", "auth_token",
    "secrets.*",
    "*service-account*.json", "*service_account*.json", "kubeconfig",
)  # fmt: skip
SECRET_FOLDERS = (".aws", ".ssh", ".gnupg", ".kube", ".docker", ".ray", ".azure", "gcloud")
SECRET_TEXT = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    rb"|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20}|\bhf_[A-Za-z0-9]{34}\b|\bsk-[\w-]{32,}"
    rb"|(?i:aws_secret_access_key|secret_key|client_secret)['\"]?\s*[=:]\s*['\"]?[A-Za-z0-9/+]{20,}"
)
LOOKED_THROUGH = 1_000_000
"""Bytes of each file."""
RESERVED = ("raytune_app", "serving", "start.py")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder that is ready to travel; `own` are the user's files, relative to their folder."""

    folder: Path
    own: tuple[str, ...]
    mb: float


def make_bundle(target: Path, folders: Sequence[Path] = ()) -> Bundle:
    """Copy this package, and what is in the user's folders, into `target`.

    Raises:
        InputError: a folder is none, holds what looks like a secret, a link that leads out of it or a name that is
            ours, two of them hold the same file, or all is more than LIMIT_MB.
    """
    package = Path(raytune_app.__file__).parent
    shutil.copytree(package, target / package.name, ignore=shutil.ignore_patterns(*LEFT_OUT, "*.pyc"))
    shutil.copy(Path(__file__).with_name("start.py"), target / "start.py")
    own: list[str] = []
    for folder in folders:
        own += _copy_own(folder, target)
    mb = sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) / 2**20
    _check_size(mb)
    return Bundle(target, tuple(own), mb)


def _check_size(mb: float) -> None:
    if mb > LIMIT_MB:
        remedy = "put data on the shared storage and name the path in the experiment; `--with` is for modules"
        raise InputError(f"{mb:,.0f} MB are too much to send, {LIMIT_MB:g} MB may be", remedy)


def _copy_own(folder: Path, target: Path) -> Iterator[str]:
    if not folder.is_dir():
        raise InputError(f"--with {folder}: there is no such folder", "name the folder that holds your modules")
    files = sorted(_files(folder))
    if secret := [path for path in files if _is_secret(folder, path)]:
        remedy = "move them out of the folder: everybody with access to the cluster could read them"
        raise InputError(f"--with {folder}: looks like a secret: {', '.join(map(str, secret))}", remedy)
    _check_size(sum((folder / path).stat().st_size for path in files) / 2**20)
    for path in files:
        if path.parts[0] in RESERVED or (target / path).exists():
            raise InputError(f"--with {folder}: {path} is there already", "rename it")
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, target / path)
        yield str(path)


def _files(folder: Path) -> Iterator[Path]:
    """Relative to the folder, without caches, environments and histories."""
    root = folder.resolve()
    for file in folder.rglob("*"):
        path = file.relative_to(folder)
        if file.suffix == ".pyc" or any(part in LEFT_OUT for part in path.parts):
            continue
        if (file.is_symlink() and file.is_dir()) or not file.resolve().is_relative_to(root):
            raise InputError(f"--with {folder}: {path} is a link, which does not travel", "copy what it leads to")
        if not file.is_file():
            continue
        yield path


def _is_secret(folder: Path, path: Path) -> bool:
    if any(fnmatch(path.name.lower(), pattern) for pattern in SECRET_NAMES):
        return True
    if any(part.lower() in SECRET_FOLDERS for part in path.parts[:-1]):
        return True
    with (folder / path).open("rb") as content:
        return SECRET_TEXT.search(content.read(LOOKED_THROUGH)) is not None
