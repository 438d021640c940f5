"""No file can stall or crash the program, and nothing in a file is lost silently."""

from pathlib import Path

import pytest

from raytune_app.errors import InputError
from raytune_app.spec import load, parse
from raytune_app.spec.document import MAX_BYTES, MAX_VALUES

GOOD = "name: x\ndata: {name: mnist}\nmodel: {name: tutorial_cnn}\n"
LAUGHS = "a: &a [ha, ha, ha, ha, ha, ha, ha, ha]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 8)}]"
    for below, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


def _load(folder: Path, text: str | bytes) -> None:
    file = folder / "experiment.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    load(file)


def test_a_plain_file_loads(tmp_path: Path) -> None:
    _load(tmp_path, GOOD)


@pytest.mark.parametrize(
    "text",
    ["name: [", "a: b: c", "name: \x07", b"\xff\xfe\x00", b"\x00", "a: !!python/object/apply:os.getcwd []",
     "? [a]\n: b", "? {a: 1}\n: b", "name: 2024-99-99", "trials: !!timestamp x",
     "seed: !!int x", "seed: " + "9" * 5000],
)  # fmt: skip
def test_what_is_not_yaml_is_one_clear_error(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"experiment\.yaml is not YAML: ") as caught:
        _load(tmp_path, text)
    assert caught.value.remedy


def test_the_error_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 4: mapping values"):
        _load(tmp_path, GOOD + "trials: a: b\n")


@pytest.mark.parametrize("text", ["", "- 1", "just text", "1: 2", "true: 1"])
def test_yaml_that_is_no_mapping_of_names_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a YAML mapping"):
        _load(tmp_path, text)


@pytest.mark.parametrize("text", [GOOD + "name: y\n", GOOD.replace("{name: mnist}", "{name: mnist, name: kmnist}")])
def test_a_key_that_stands_twice_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the key 'name' stands twice"):
        _load(tmp_path, text)


def test_over_a_megabyte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is over 1 MB"):
        _load(tmp_path, GOOD + "#" * MAX_BYTES)


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(InputError, match="is over 1 MB"):
        load("/dev/zero")


@pytest.mark.parametrize("text", [LAUGHS, "a: &a [*a]", "a: &a {b: *a}"], ids=["laughs", "endless list", "endless map"])
def test_aliases_that_unfold_without_end_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"more than {MAX_VALUES} values"):
        _load(tmp_path, text)


@pytest.mark.parametrize("bracket", ["[", "{a: "])
def test_endless_nesting_is_refused(bracket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is nested too deeply"):
        _load(tmp_path, bracket * 5000)


def test_a_number_too_long_to_print_is_refused() -> None:
    with pytest.raises(InputError, match="over 64 bits"):
        parse({"seed": 16**6000})


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.yaml", "No such file"), (".", "Is a directory"), ("a\0b", "null byte")]
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        load(tmp_path / name)
    assert str(tmp_path) in caught.value.message


def test_merge_keys_are_yaml_and_stay_so(tmp_path: Path) -> None:
    _load(
        tmp_path,
        "name: x\ndata: &d {name: mnist}\nmodel: {name: tutorial_cnn}\naugment: {<<: {flip: 0.5}, shift: 0.1}\n",
    )
