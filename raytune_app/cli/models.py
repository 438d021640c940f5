"""Verbs of the registry: models, promote, rollback, export."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from raytune_app.cli.output import result
from raytune_app.cli.place import open_registry

if TYPE_CHECKING:
    from raytune_app.registry import Registry

ALIAS_HELP = "the alias to move (default: champion)"


def add(subparsers: Any) -> None:
    """Add the verbs of this group."""
    models = subparsers.add_parser("models", help="list the registered models, their versions and aliases")
    models.set_defaults(run=_models)
    promote = subparsers.add_parser("promote", help="point an alias (champion) to a version")
    promote.add_argument("model", metavar="MODEL@VERSION", help="such as mnist@2")
    promote.add_argument("--alias", default="champion", help=ALIAS_HELP)
    promote.set_defaults(run=_promote)
    rollback = subparsers.add_parser("rollback", help="undo the last promotion of an alias")
    rollback.add_argument("model", metavar="MODEL", help="such as mnist")
    rollback.add_argument("--alias", default="champion", help=ALIAS_HELP)
    rollback.set_defaults(run=_rollback)
    export = subparsers.add_parser("export", help="copy a verified model version to a folder")
    export.add_argument("model", metavar="MODEL", help="such as mnist, mnist@1 or mnist@champion")
    export.add_argument("folder", metavar="FOLDER", help="a local folder that does not exist yet")
    export.set_defaults(run=_export)


def _models(args: argparse.Namespace) -> int:
    registry = open_registry(args)
    rows = [_row(registry, name, number) for name in registry.models() for number in registry.versions(name)]
    for row in rows:
        row["aliases"] = [
            alias for alias, version in registry.aliases(row["name"]).items() if version == row["version"]
        ]
    if not rows:
        result(args, f"no models in {registry.storage.uri} yet", {"models": []}, ["raytune run SPEC", "raytune demo"])
        return 0
    name = rows[-1]["name"]
    then = [f"raytune serve {name}", f"raytune promote {name}@VERSION"]
    result(
        args,
        "\n".join([_line("model", "test accuracy", "registered", "aliases"), *map(_text, rows)]),
        {"models": rows},
        then,
    )
    return 0


def _promote(args: argparse.Namespace) -> int:
    registry = open_registry(args)
    found = registry.find(args.model)
    registry.promote(found.name, found.version, args.alias)
    return _moved(args, found.name, found.version)


def _rollback(args: argparse.Namespace) -> int:
    return _moved(args, args.model, open_registry(args).rollback(args.model, args.alias))


def _moved(args: argparse.Namespace, name: str, version: int) -> int:
    content = {"model": name, "alias": args.alias, "version": version}
    then = [f"raytune serve {name}@{args.alias}", f"raytune rollback {name}", "raytune models"]
    result(args, f"{name}@{args.alias} is version {version}", content, then)
    return 0


def _export(args: argparse.Namespace) -> int:
    from pathlib import Path

    found = open_registry(args).find(args.model)
    folder = Path(args.folder).expanduser()
    found.export(folder)
    content = {"model": found.name, "version": found.version, "folder": str(folder.absolute())}
    result(args, f"{found.ref} is in {folder}", content, [f"cat {folder}/MODEL_CARD.md"])
    return 0


def _row(registry: Registry, name: str, version: int) -> dict[str, Any]:
    """One version's line; a damaged one is listed as such, and hides none of the others."""
    from raytune_app.errors import CorruptModelError

    row = {"name": name, "version": version, "test_accuracy": None, "created_at": None}
    try:
        model = registry.find(f"{name}@{version}").model
    except CorruptModelError as error:
        return {**row, "created_at": "corrupt", "error": error.message}
    test = model.get("metrics", {}).get("test") or {}
    return {**row, "test_accuracy": test.get("accuracy"), "created_at": model.get("created_at")}


def _text(row: dict[str, Any]) -> str:
    accuracy = "-" if row["test_accuracy"] is None else f"{row['test_accuracy']:.4f}"
    return _line(f"{row['name']}@{row['version']}", accuracy, str(row["created_at"]), ", ".join(row["aliases"]))


def _line(model: str, accuracy: str, created_at: str, aliases: str) -> str:
    return f"{model:<24} {accuracy:>13}  {created_at:<25}  {aliases}".rstrip()
