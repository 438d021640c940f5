from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.data.text_file import read_texts
from raytune_app.data.texts import TextTable
from raytune_app.errors import DataError

ROWS = [
    ("good, very good", "pos"),
    ('he said "no"\nand left', "neg"),
    ("  \u4e0d\u9519 \U0001f600 ", "pos"),
    ("-", "neg"),
]
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

Write = Callable[[str, "str | bytes"], str]

anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(name, content)` gives the path of a file with that content."""

    def _write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return _write


def read(path: str, **changes: Any) -> TextTable:
    return read_texts(path, **{"text": "text", "label": "label", **changes})


def refused(path: str, **changes: Any) -> DataError:
    """The error, which names the file and has a remedy."""
    with pytest.raises(DataError) as error:
        read(path, **changes)
    assert error.value.remedy
    return error.value


def save(path: Path, rows: Sequence[tuple[object, object]]) -> str:
    """The rows as another program would write them, with a column beside."""
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="," if path.suffix == ".csv" else "\t")
            writer.writerows([("id", "text", "label"), *((index, *row) for index, row in enumerate(rows))])
    elif path.suffix == ".parquet":
        texts, labels = zip(*rows, strict=True)
        pq.write_table(pa.table({"id": list(range(len(rows))), "text": list(texts), "label": list(labels)}), path)
    else:
        path.write_text("".join(json.dumps({"id": 0, "text": text, "label": name}) + "\n" for text, name in rows))
    return str(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_kind_of_file_gives_the_same_texts_and_labels(tmp_path: Path, suffix: str) -> None:
    table = read(save(tmp_path / f"my{suffix}", ROWS))
    assert list(zip(table.texts, table.labels, strict=True)) == ROWS
    lines = {".csv": [2, 3, 5, 6], ".tsv": [2, 3, 5, 6]}
    assert list(table.lines) == lines.get(suffix, [1, 2, 3, 4])
    assert table.place == ("row" if suffix == ".parquet" else "line")


@given(rows=st.lists(st.tuples(anything, st.sampled_from(["a", "b"])), min_size=1, max_size=6))
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_any_text_that_a_program_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: list[tuple[str, str]]
) -> None:
    path = save(tmp_path_factory.getbasetemp() / f"any{suffix}", rows)
    assert list(zip(read(path).texts, read(path).labels, strict=True)) == rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whole_numbers_are_labels_and_blanks_around_labels_do_not_count(tmp_path: Path, suffix: str) -> None:
    assert list(read(save(tmp_path / f"my{suffix}", [("a", 1), ("b", 0), ("c", 1)])).labels) == ["1", "0", "1"]
    assert list(read(save(tmp_path / f"my{suffix}", [("a", "pos "), ("b", " pos")])).labels) == ["pos", "pos"]


def test_true_and_false_and_dictionary_columns_are_labels(tmp_path: Path, write: Write) -> None:
    assert list(read(write("my.jsonl", '{"text": "a", "label": true}\n\n{"label": false, "text": "b"}')).labels) == [
        "true",
        "false",
    ]
    encoded = pa.array(["x", "y", "x"]).dictionary_encode()
    pq.write_table(pa.table({"text": encoded, "label": encoded}), tmp_path / "my.parquet")
    table = read(str(tmp_path / "my.parquet"))
    assert list(table.texts) == list(table.labels) == ["x", "y", "x"]


def test_a_uri_a_relative_path_and_other_columns_are_read(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("my reviews.csv", "kind,review\na,one\n")
    monkeypatch.chdir(tmp_path)
    for name in (path, "my reviews.csv", Path(path).as_uri()):
        assert list(read(name, text="review", label="kind").texts) == ["one"]


@pytest.mark.parametrize("name", ["my.csv", "my.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_other_encodings_are_read_and_byte_order_marks_skipped(write: Write, name: str, encoding: str) -> None:
    content = "text,label\ncaf\u00e9,a\n" if name == "my.csv" else '{"text": "caf\u00e9", "label": "a"}\n'
    path = write(name, content.encode(encoding))
    assert list(read(path, encoding="utf-8" if encoding == "utf-8-sig" else encoding).texts) == ["caf\u00e9"]


def test_bytes_of_another_encoding_are_told_by_byte_line_and_character(write: Write) -> None:
    error = refused(write("my.csv", "text,label\nfine,a\ncaf\u00e9,b\n".encode("cp1252")))
    assert "my.csv is not utf-8: byte 21 (0xe9), in line 3, character 4" in error.message
    assert error.remedy == "set data.encoding: latin-1 or cp1252, or save the file as UTF-8"
    utf16 = refused(write("my.csv", "text,label\nfine,a\n".encode("utf-16")))
    assert utf16.remedy is not None and "data.encoding: utf-16" in utf16.remedy


@pytest.mark.parametrize("encoding", ["utf-99", "base64", "idna\0"])
def test_an_encoding_that_is_none_is_refused(write: Write, encoding: str) -> None:
    assert "data.encoding" in refused(write("my.csv", "text,label\na,b\n"), encoding=encoding).message


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('text,label\na,p\n"b, unclosed,p\nc,n\nd,p\n', "line 3, character 1"),
        ('label,text\np,a\nn,"b unclosed\np,c\n', "line 3, character 3"),
        ('text,label\n"a\nb",p\n"two\nlines","b\n', "line 5, character 8"),
        ('text,label\n"a "quoted" word",p\nc,n\n', "line 2, character 1"),
        ('text,label\na,p\n"I will go,p\nhe is here",n\nc,n\nd,p\n', "line 3"),
        ('label,text\np,a\nn,"I will go\nn,he is here"\np,c\n', "line 3"),
        ('text,label\n"fine\nlines",p\n"I go,p\nx, y,p,\nhe",n\nc,n\nd,p\n', "line 4"),
    ],
)
def test_a_quote_that_swallows_lines_is_told_by_where_it_opened(write: Write, content: str, place: str) -> None:
    error = refused(write("my.csv", content))
    assert "not closed where it should be" in error.message
    assert error.message.endswith(f"opens in {place}")


def test_an_unclosed_quote_before_a_megabyte_is_found_and_the_limit_on_fields_is_put_back(write: Write) -> None:
    limit = csv.field_size_limit()
    error = refused(write("my.csv", 'text,label\n"unclosed,a\n' + "a line,b\n" * 120_000))
    assert error.message.endswith("opens in line 2, character 1")
    long = "word " * 40_000 + "end"
    assert read(write("my.csv", f'text,label\n"{long}",a\n')).texts == [long]
    assert csv.field_size_limit() == limit


def test_a_text_of_many_lines_with_commas_is_no_fault(write: Write) -> None:
    text = "\n".join(f"Paragraph {number}, which says little, or nothing" for number in range(500))
    assert read(write("my.csv", f'text,label\n"{text}",a\nb,b\n')).texts == [text, "b"]


def test_a_missing_column_is_told_with_those_there_are_and_the_nearest(tmp_path: Path, write: Write) -> None:
    paths = [
        write("my.csv", "id,texts,stars\n1,a,b\n"),
        write("my.jsonl", '{"id": 1, "texts": "a"}\n{"stars": "b"}\n'),
        str(tmp_path / "my.parquet"),
    ]
    pq.write_table(pa.table({"id": [1], "texts": ["a"], "stars": ["b"]}), paths[2])
    for path in paths:
        error = refused(path)
        assert error.message == f"{path} has no column 'text' and no column 'label', but 'id', 'texts', 'stars'"
        assert error.remedy == "set data.text to 'texts'; set data.label to one of these"


def test_a_column_that_stands_twice_or_is_wanted_twice_is_refused(write: Write) -> None:
    path = write("my.csv", "text,label,text\na,b,c\n")
    assert "2 columns 'text'" in refused(path).message
    assert "both 'label'" in refused(path, text="label").message


def test_a_table_with_another_separator_is_told(write: Write) -> None:
    assert "no ',' separates columns in 'text;label'" in refused(write("my.csv", "text;label\na;b\n")).message


def test_rows_of_other_lengths_are_counted_and_the_first_is_told(write: Write) -> None:
    error = refused(write("my.csv", "text,label\na,b\n\none, two, b\nc,b\nlonely\n"))
    assert "2 rows with too few or too many fields, the first in line 4" in error.message
    assert error.message.endswith("line 4: 3 fields below 2 columns")


def test_all_that_is_wrong_with_rows_is_told_at_once_each_kind_with_count_and_first_place(write: Write) -> None:
    lines = [
        '{"text": "fine", "label": "a"}',
        '{"text": "", "label": "a"}',
        '{"text": " \\n", "label": null}',
        '{"text": 5, "label": "a"}',
        '{"text": "fine", "label": 1.5}',
        '{"text": "half \\ud83d", "label": "a"}',
        "{'text': 1}",
        '["text"]',
        "[" * 100_000,
    ]
    error = refused(write("my.jsonl", "\n".join(lines)))
    path, _, found = error.message.partition(": ")
    assert path.endswith("my.jsonl")
    assert [kind.split(" ", 1)[0] for kind in found.split("; ")] == ["2", "1", "1", "1", "1", "2", "1"]
    for told in (
        "2 rows with nothing in column 'text', the first in line 2",
        "1 row with nothing in column 'label', the first in line 3",
        "1 row whose 'text' is not text, the first in line 4: 5",
        "1 row whose 'label' is not text or a whole number, the first in line 5: 1.5",
        "1 row with a lone surrogate in column 'text', the first in line 6: 'half \\ud83d'",
        "2 rows of invalid JSON, the first in line 7, column 2:",
        "1 row without a JSON object, the first in line 8: ['text']",
    ):
        assert told in found


def test_what_is_wrong_in_a_parquet_file_is_told_by_row_and_a_damaged_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "my.parquet"
    pq.write_table(pa.table({"text": ["a", None, ""], "label": [0.5, 1.0, None]}), path)
    error = refused(str(path))
    assert "2 rows with nothing in column 'text', the first in row 2" in error.message
    assert "2 rows whose 'label' is not text or a whole number, the first in row 1: 0.5" in error.message
    path.write_bytes(path.read_bytes()[:-20])
    assert "is not a Parquet file that can be read" in refused(str(path)).message


@pytest.mark.parametrize("name", ["my.csv", "my.tsv", "my.jsonl", "my.parquet"])
def test_an_empty_file_and_a_missing_one_and_a_folder_are_told(tmp_path: Path, write: Write, name: str) -> None:
    assert refused(write(name, b"")).message.endswith("is empty")
    (tmp_path / name).unlink()
    assert refused(str(tmp_path / name)).message.endswith("does not exist")
    (tmp_path / name).mkdir()
    assert refused(str(tmp_path / name)).message.endswith("is not a file")


def test_a_file_of_blanks_or_with_a_header_alone_has_no_rows(write: Write) -> None:
    assert refused(write("my.csv", "\ufeff\n \n")).message.endswith("is empty")
    assert refused(write("my.csv", "text,label\n")).message.endswith("has no rows")
    assert refused(write("my.jsonl", "\n\n")).message.endswith("is empty")


@pytest.mark.parametrize("name", ["my.xlsx", "my.json", "my"])
def test_other_kinds_of_files_are_refused_with_those_that_are_read(write: Write, name: str) -> None:
    error = refused(write(name, "text"))
    assert all(suffix in str(error.remedy) for suffix in (".csv", ".tsv", ".jsonl", ".parquet"))


@pytest.mark.parametrize("path", ["nosuch://bucket/my.csv", "bad\0name.csv"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    assert refused(path).message


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_alike_for_every_kind_of_line_end(write: Write, end: str) -> None:
    content = end.join(["text,label", "a,x", '"b', 'b",y', "", "c\u2028d,x", ""])
    assert list(read(write("my.csv", content)).lines) == [2, 3, 6]
