from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.data.arrays import Examples, Training
from raytune_app.data.catalog import load_test, load_training
from raytune_app.data.texts import Texts, draw, folded
from raytune_app.data.user_texts import SEALED_SHARE, user_texts
from raytune_app.errors import DataError
from raytune_app.spec.grammar import DataSpec

Write = Callable[..., str]
ROWS = [(f"text number {number}", "np"[number % 2]) for number in range(200)]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(rows, name="my.csv", header="text,label", encoding="utf-8")`: the path of a table."""

    def write(
        rows: Iterable[tuple[str, str]], name: str = "my.csv", header: str = "text,label", encoding: str = "utf-8"
    ) -> str:
        path = tmp_path / name
        path.write_text("\n".join([header, *(f'"{text}",{label}' for text, label in rows)]) + "\n", encoding)
        return str(path)

    return write


def spec(path: str, **settings: Any) -> DataSpec:
    return DataSpec(name="text_file", path=path, **settings)


def texts(examples: Examples) -> set[str]:
    assert isinstance(examples, Texts)
    found = list(examples)
    assert len(set(found)) == len(found)
    return set(found)


def seen(training: Training) -> set[str]:
    """Of both parts."""
    assert not texts(training.train) & texts(training.validation)
    return texts(training.train) | texts(training.validation)


def labelled(examples: Examples, classes: tuple[str, ...]) -> dict[str, str]:
    assert isinstance(examples, Texts)
    return {text: classes[label] for text, label in zip(examples, examples.labels, strict=True)}


def sealed(text: str) -> bool:
    return draw(text) < SEALED_SHARE


def test_every_text_of_one_file_is_on_one_side_of_the_seal(write: Write) -> None:
    data = spec(write(ROWS))
    training, test = load_training(data, 0), load_test(data)
    assert not seen(training) & texts(test)
    assert seen(training) | texts(test) == {text for text, _ in ROWS}
    assert training.classes == ("n", "p")
    assert {text for text, _ in ROWS if sealed(text)} == texts(test)
    together = {**labelled(training.train, ("n", "p")), **labelled(training.validation, ("n", "p"))}
    assert together | labelled(test, ("n", "p")) == dict(ROWS)


def test_adding_texts_moves_none_across_the_seal(write: Write) -> None:
    before = texts(load_test(spec(write(ROWS[:100]))))
    after = texts(load_test(spec(write(ROWS[::-1]))))
    assert {text for text in after if text in dict(ROWS[:100])} == before
    assert after > before


@given(st.text(max_size=20))
def test_a_text_and_its_other_spellings_are_on_the_same_side(text: str) -> None:
    assert sealed(text) == sealed(folded(text)) == sealed(f"  {text}\n")


def test_about_a_tenth_is_sealed() -> None:
    assert 900 < sum(sealed(f"text {number}") for number in range(10_000)) < 1100


def test_every_class_has_a_sealed_text(write: Write) -> None:
    rare = next(text for number in range(99) if not sealed(text := f"rare {number}"))
    rarer = next(text for number in range(99) if not sealed(text := f"seldom {number}"))
    data = spec(write([*ROWS, (rare, "rare"), (rarer, "rare")]))
    assert set(load_test(data, ("n", "p", "rare")).labels.tolist()) == {0, 1, 2}


def test_a_class_with_no_text_left_to_learn_from_is_refused(write: Write) -> None:
    rows = [*ROWS[:100], ("only here", "z"), ("and here", "z")]
    files = {"test_path": write(rows[90:], "test.csv"), "validation_path": write(ROWS[100:120], "v.csv")}
    data = spec(write(rows), **files, leakage="drop")
    with pytest.raises(DataError, match="of class 'z' no text is left"):
        load_training(data, 0)


def test_a_part_that_lacks_a_class_is_told_of(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    one_class = [(text, label) for text, label in ROWS[100:] if label == "n"]
    load_training(spec(write(ROWS[:100]), test_path=write(one_class, "test.csv")), 0)
    assert "no text of 'p'" in caplog.text


def test_a_test_part_of_other_classes_than_the_models_is_refused(write: Write) -> None:
    data = spec(write(ROWS))
    assert len(load_test(data, ("n", "p")))
    with pytest.raises(DataError, match="the data have the classes n, p, the model p, n"):
        load_test(data, ("p", "n"))


def test_each_part_may_have_a_file_of_its_own(write: Write) -> None:
    parts = ROWS[:100], ROWS[100:130], ROWS[130:]
    train, validation, test = (write(rows, f"{index}.csv") for index, rows in enumerate(parts))
    data = spec(train, validation_path=validation, test_path=test)
    training = load_training(data, 0)
    found = training.train, training.validation, load_test(data)
    assert [labelled(part, training.classes) for part in found] == [dict(rows) for rows in parts]
    assert [list(part) for part in found if isinstance(part, Texts)] == [[text for text, _ in part] for part in parts]


def test_without_a_validation_file_a_share_is_held_out(write: Write) -> None:
    data = spec(write(ROWS[:100]), test_path=write(ROWS[100:], "test.csv"), validation=0.3)
    training = load_training(data, 0)
    assert (len(training.train), len(training.validation)) == (70, 30)
    assert seen(training) == {text for text, _ in ROWS[:100]}
    assert texts(load_training(data, 1).validation) != texts(training.validation)


def test_the_limit_cuts_the_training_file_alone(write: Write) -> None:
    parts = write(ROWS[:100]), write(ROWS[100:130], "validation.csv"), write(ROWS[130:], "test.csv")
    data = spec(parts[0], validation_path=parts[1], test_path=parts[2], train_limit=40)
    training = load_training(data, 0)
    assert (len(training.train), len(training.validation), len(load_test(data))) == (40, 30, 70)


LEAKY = [*ROWS[:50], (" TEXT  number 150", "n"), ("Text number 151", "p")]


@pytest.mark.parametrize("part", ["path", "validation_path"])
def test_leakage_is_an_error_a_warning_or_dropped(write: Write, caplog: pytest.LogCaptureFixture, part: str) -> None:
    files = {"path": write(ROWS[50:100]), "validation_path": write(ROWS[100:140], "validation.csv")}
    files |= {part: write(LEAKY, "leaky.csv"), "test_path": write(ROWS[150:], "test.csv")}

    def load(leakage: str) -> set[str]:
        training = load_training(DataSpec.model_validate({"name": "text_file", **files, "leakage": leakage}), 0)
        return texts(training.train if part == "path" else training.validation)

    with pytest.raises(DataError, match=r"2 of 52 \w+ texts .* ' TEXT  number 150'") as caught:
        load("error")
    assert "data.leakage: drop" in str(caught.value.remedy)
    assert load("drop") == {text for text, _ in LEAKY[:50]}
    assert not caplog.records
    assert load("warn") == {text for text, _ in LEAKY}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "2 of 52" in caplog.text


def test_a_training_text_in_the_validation_file_is_leakage_too(write: Write) -> None:
    files = {"path": write(ROWS[:60]), "validation_path": write(ROWS[50:100], "v.csv")}
    files["test_path"] = write(ROWS[100:150], "test.csv")
    with pytest.raises(DataError, match="10 of 60 training texts also stand in the validation part"):
        load_training(DataSpec.model_validate({"name": "text_file", **files}), 0)
    dropped = load_training(DataSpec.model_validate({"name": "text_file", **files, "leakage": "drop"}), 0)
    assert (len(dropped.train), len(dropped.validation)) == (50, 50)


def test_the_test_part_is_the_same_whatever_leaks(write: Write) -> None:
    data = {"name": "text_file", "path": write(LEAKY), "test_path": write(ROWS[150:], "test.csv")}
    for leakage in ("error", "warn", "drop"):
        assert texts(load_test(DataSpec.model_validate(data | {"leakage": leakage}))) == {t for t, _ in ROWS[150:]}


def test_duplicates_count_once_and_contradictions_not_at_all(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    more = [("TEXT number 1", "p"), ("text  number 1", "p"), ("text number 2", "p")]
    training = load_training(spec(write([*ROWS, *more])), 0)
    assert seen(training) == {text for text, _ in ROWS if not sealed(text)} - {"text number 2"}
    assert "my.csv: left out 2 texts that stand there more than once and 2 with different labels" in caplog.text


def test_distinct_texts_are_no_reason_to_warn(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    load_training(spec(write(ROWS)), 0)
    assert not caplog.records


@pytest.mark.parametrize("part", ["test_path", "validation_path"])
def test_a_label_that_no_training_text_has_is_named_with_its_line(write: Write, part: str) -> None:
    other = write([*ROWS[100:120], ("a new one", "neutral")], "other.csv")
    data = DataSpec.model_validate({"name": "text_file", "path": write(ROWS[:100]), part: other})
    with pytest.raises(DataError, match=r"other\.csv: 1 label of no known class.* 'neutral' in line 22") as caught:
        load_training(data, 0)
    assert "'n', 'p'" in str(caught.value.remedy)


def test_one_class_and_classes_of_one_text_are_refused(write: Write) -> None:
    with pytest.raises(DataError, match="every label is 'p'"):
        load_training(spec(write([(text, "p") for text, _ in ROWS])), 0)
    with pytest.raises(DataError, match=r"1 class with a single text.* 'lonely' in line 202"):
        load_training(spec(write([*ROWS, ("alone", "lonely")])), 0)


def test_a_class_whose_texts_all_contradict_is_refused(write: Write) -> None:
    gone = [("text number 0", "gone"), ("text number 1", "gone")]
    with pytest.raises(DataError, match="of class 'gone' no text is left") as caught:
        load_training(spec(write([*ROWS, *gone])), 0)
    assert caught.value.remedy


def test_columns_may_have_other_names(write: Write) -> None:
    data = spec(write(ROWS, header="review,stars"), text="review", label="stars")
    assert seen(load_training(data, 0)) | texts(load_test(data)) == {text for text, _ in ROWS}
    with pytest.raises(DataError, match=r"has no column 'text' and no column 'label', but 'review', 'stars'"):
        load_training(spec(data.path or ""), 0)


def test_a_file_may_have_another_encoding(write: Write) -> None:
    rows = [(f"été à la plage {number}", label) for number, (_, label) in enumerate(ROWS)]
    path = write(rows, encoding="latin-1")
    data = spec(path, encoding="latin-1")
    assert seen(load_training(data, 0)) | texts(load_test(data)) == {text for text, _ in rows}
    with pytest.raises(DataError, match=r"is not utf-8.* line 2, character 2") as caught:
        load_training(spec(path), 0)
    assert "data.encoding: latin-1" in str(caught.value.remedy)


def test_the_test_file_is_read_in_the_same_columns_and_encoding(write: Write) -> None:
    settings: dict[str, Any] = {"header": "review,stars", "encoding": "latin-1"}
    test = write([("été", "n"), ("à", "p")], "test.csv", **settings)
    data = spec(write(ROWS, **settings), test_path=test, text="review", label="stars", encoding="latin-1")
    assert labelled(load_test(data), load_training(data, 0).classes) == {"été": "n", "à": "p"}


def test_the_fingerprint_knows_every_training_and_validation_text(write: Write) -> None:
    test = write(ROWS[150:], "test.csv")

    def of(train: list[tuple[str, str]], validation: list[tuple[str, str]] | None = None, seed: int = 0) -> str:
        path = write(validation, "validation.csv") if validation else None
        return load_training(spec(write(train), validation_path=path, test_path=test), seed).fingerprint

    train, validation = ROWS[:100], ROWS[100:140]
    changed = [("another", "n"), *train[1:]]
    turned = [(train[0][0], "p"), *train[1:]]
    others = [of(train), of(changed), of(turned), of(train, validation), of(train, validation[1:]), of(train[1:])]
    assert len(set(others)) == len(others)
    assert of(train, validation) == of(train, validation, seed=1) == others[3]


def test_the_source_reads_the_sealed_part_only_when_asked_for(write: Write) -> None:
    source = user_texts(spec(write(ROWS)))
    assert source.validation is None
    assert texts(source.train()) == {text for text, _ in ROWS if not sealed(text)}
    assert texts(source.test()) == {text for text, _ in ROWS if sealed(text)}
