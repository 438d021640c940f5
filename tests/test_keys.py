"""Keys: made once, kept as hashes, refused when anything about the file is doubtful."""

import json
import stat
from pathlib import Path

import pytest

from raytune_app.endpoint.keys import MAX_KEYS, PREFIX, Key, Scope, digest, new_key, read_keys
from raytune_app.errors import InputError, NotFoundError


def test_a_new_key_is_found_by_its_hash_and_is_nowhere_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    secret = new_key(file, "phone", Scope.INFER, "100/s")
    other = new_key(file, "ops", Scope.ADMIN)
    phone, ops = read_keys(file)
    assert (phone.name, phone.scope, phone.sha256, phone.limit) == ("phone", Scope.INFER, digest(secret), (100, 1.0))
    assert (ops.name, ops.scope, ops.sha256, ops.limit) == ("ops", Scope.ADMIN, digest(other), None)
    assert secret.startswith(PREFIX)
    assert len(secret) > 50
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["keys"]


def line(**changes: object) -> str:
    return json.dumps({"name": "a", "scope": "infer", "sha256": "0" * 64, **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "raytune_secret",
        line(scope="root"),
        line(sha256="raytune_secret"),
        line(rate="100"),
        line(rate="0/s"),
        line(rate="1/d"),
        line(name="A b"),
        line(more=1),
        f"{line()}\n{line()}",
        "\n".join(line(name=f"k{number}") for number in range(MAX_KEYS + 1)),
        "\udcff",
    ],
)
def test_a_wrong_file_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text, errors="surrogateescape")
    file.chmod(0o600)
    with pytest.raises(InputError) as caught:
        read_keys(file)
    assert "raytune_secret" not in str(caught.value)


def test_as_many_keys_as_may_be_are_read(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("\n".join(line(name=f"k{number}") for number in range(MAX_KEYS)))
    assert len(read_keys(file)) == MAX_KEYS
    with pytest.raises(InputError, match=f"has {MAX_KEYS} keys"):
        new_key(file, "more", Scope.INFER)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    new_key(file, "a", Scope.INFER)
    file.chmod(0o620)
    with pytest.raises(InputError, match="others may write"):
        read_keys(file)


def test_what_cannot_be_made_says_why_and_leaves_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    with pytest.raises(NotFoundError):
        read_keys(file)
    new_key(file, "a", Scope.INFER)
    before = file.read_bytes()
    for name, rate in (("a", None), ("B", None), ("b", "fast")):
        with pytest.raises(InputError):
            new_key(file, name, Scope.INFER, rate)
    with pytest.raises(InputError, match="cannot be written"):
        new_key(tmp_path / "none" / "keys", "a", Scope.INFER)
    assert file.read_bytes() == before


def test_a_rate_is_so_many_in_so_many_seconds() -> None:
    limits = [Key.model_validate_json(line(rate=rate)).limit for rate in ("5/s", "60/m", "7/h")]
    assert limits == [(5, 1.0), (60, 60.0), (7, 3600.0)]
