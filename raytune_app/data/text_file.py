"""A user's own labelled texts: one table of CSV, TSV, JSON lines or Parquet, on a disk or in an object store."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from raytune_app.data.texts import TextTable, has_surrogates, listed, several
from raytune_app.errors import DataError

Row = tuple[int, object, object]
"""The line (of a Parquet file the row) a record begins at, from 1; its text; its label."""

_LINE_END = re.compile(r"\r\n?|\n")
_NO_FIELD_LIMIT = 2**31 - 1


def read_texts(path: str, *, text: str, label: str, encoding: str = "utf-8") -> TextTable:
    """Read a table of texts and labels; all that is wrong with its rows is told at once, by kind and first place.

    Args:
        path: a path, or a URI that pyarrow knows (`s3://bucket/reviews.csv`), to a .csv, .tsv, .jsonl, .ndjson or
            .parquet file.
        text: the column of the texts; in JSON lines the key.
        label: the column of the labels, which are text, whole numbers, or true and false.
        encoding: of all but Parquet; a byte order mark is skipped.

    Raises:
        DataError: the file cannot be read, has no such columns, or some of its rows cannot be used.
    """
    if text == label:
        raise DataError(f"data.text and data.label are both {text!r}", "name two columns")
    suffix = PurePosixPath(urlsplit(path).path if "://" in path else path).suffix.lower()
    table = _Table(path, "row" if suffix == ".parquet" else "line", text, label)
    match suffix:
        case ".csv" | ".tsv":
            return table.checked(table.delimited(table.content(encoding), "," if suffix == ".csv" else "\t"))
        case ".jsonl" | ".ndjson":
            return table.checked(table.json_lines(table.content(encoding)))
        case ".parquet":
            return table.checked(table.parquet())
    said = f"{path}: {suffix or 'a name without extension'} is no kind of table that is read"
    raise DataError(said, "save it as .csv, .tsv, .jsonl (an object a line) or .parquet, and name it so")


@dataclass(slots=True)
class _Fault:
    """One kind of thing that is wrong with rows: where first, what stands there, what to do; how many rows."""

    line: int
    found: str
    remedy: str
    count: int = 0


@dataclass(slots=True)
class _Table:
    """A file on its way to rows: where it is, the columns that are wanted, what is wrong so far."""

    path: str
    place: str
    text: str
    label: str
    faults: dict[str, _Fault] = field(default_factory=dict)

    def checked(self, rows: Iterator[Row]) -> TextTable:
        """The table, if every row can be used; else DataError."""
        texts: list[str] = []
        labels: list[str] = []
        lines: list[int] = []
        for line, text, label in rows:
            texts.append(self._value(line, text, self.text, str))
            labels.append(self._value(line, label, self.label, str | int).strip())
            lines.append(line)
        if self.faults:
            raise self._faulty()
        if not lines:
            raise DataError(f"{self.path} has no rows", "give at least two classes of two texts")
        return TextTable(self.path, self.place, texts, labels, lines)

    def content(self, encoding: str) -> str:
        """The whole file as text, without a byte order mark."""
        raw = self._read()
        try:
            content = raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise self._undecodable(raw, encoding, error) from error
        except (LookupError, ValueError) as error:
            remedy = "use utf-8, utf-16, latin-1, cp1252 or another that Python knows"
            raise DataError(f"data.encoding: {encoding!r} is no encoding of texts", remedy) from error
        if not content.strip("\ufeff \t\r\n"):
            raise self._empty()
        return content.removeprefix("\ufeff")

    def delimited(self, content: str, delimiter: str) -> Iterator[Row]:
        """The rows of CSV or TSV, in the quoting of RFC 4180."""
        lines = io.StringIO(content, newline="").readlines()
        records, broken = _records(lines, delimiter)
        if broken:
            line, character = _open_quote(lines, broken[0], delimiter)
            raise self._quotes(len(broken), f"line {line}, character {character}")
        header = [name.strip() for name in records[0][1]]
        if len(header) == 1 and re.search(r"[;\t,|]", header[0]):
            said = f"{self.path}, line {records[0][0]}: no {delimiter!r} separates columns in {listed(header)}"
            raise DataError(said, "save it with commas as .csv or with tabs as .tsv")
        text, label = self._columns(header)
        swallowing = _swallowing(records[1:], len(header), label, delimiter)
        if swallowing:
            raise self._quotes(len(swallowing), f"line {swallowing[0]}")
        for line, fields in records[1:]:
            if len(fields) == len(header):
                yield line, fields[text], fields[label]
            else:
                found = f": {len(fields)} fields below {len(header)} columns"
                self._fault("with too few or too many fields", line, found, f"quote fields that hold {delimiter!r}")

    def json_lines(self, content: str) -> Iterator[Row]:
        """The rows of JSON lines; blank lines are skipped."""
        keys: dict[str, None] = {}
        for line, source in enumerate(content.split("\n"), 1):
            record = self._record(source, line) if source.strip() else None
            if record is not None:
                keys |= dict.fromkeys(record)
                yield line, record.get(self.text), record.get(self.label)
        if keys:
            self._columns(list(keys))

    def parquet(self) -> Iterator[Row]:
        """The rows of a Parquet file, of which only the two columns are read."""
        system, path = self._locate()
        try:
            with pq.ParquetFile(path, filesystem=system) as file:
                self._columns(file.schema_arrow.names)
                table = file.read(columns=[self.text, self.label])
            columns = [table.column(name).to_pylist() for name in (self.text, self.label)]
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            said = f"{self.path} is not a Parquet file that can be read: {error}"
            raise DataError(said, "write it again, or use CSV or JSON lines") from error
        yield from zip(range(1, table.num_rows + 1), *columns, strict=True)

    def _value(self, line: int, value: object, column: str, kinds: type | UnionType) -> str:
        """The value as text; "" and its fault noted if it cannot be used."""
        if value is None or (isinstance(value, str) and not value.strip()):
            self._fault(f"with nothing in column {column!r}", line, "", "fill these in or remove them")
        elif not isinstance(value, kinds):
            either = "text" if kinds is str else "text or a whole number"
            self._fault(f"whose {column!r} is not {either}", line, f": {reprlib.repr(value)}", f"make it {either}")
        elif not isinstance(value, str):
            return str(value).lower()
        elif has_surrogates(value):
            remedy = "remove it: it is half of a character"
            self._fault(f"with a lone surrogate in column {column!r}", line, f": {value[:60]!a}", remedy)
        else:
            return value
        return ""

    def _record(self, source: str, line: int) -> dict[str, Any] | None:
        """A line of JSON as a dict; None and its fault noted if it is not one."""
        remedy = "write one JSON object a line"
        try:
            record = json.loads(source)
        except (ValueError, RecursionError) as error:
            where = f", column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else f": {error}"
            self._fault("of invalid JSON", line, where, remedy)
            return None
        if isinstance(record, dict):
            return record
        self._fault("without a JSON object", line, f": {reprlib.repr(record)}", remedy)
        return None

    def _columns(self, names: Sequence[str]) -> tuple[int, int]:
        """Where the two columns stand. Raises DataError if one is missing or stands there twice."""
        wanted = {"data.text": self.text, "data.label": self.label}
        missing = {key: name for key, name in wanted.items() if name not in names}
        if missing:
            lacking = " and no column ".join(map(repr, missing.values()))
            near = {key: get_close_matches(name, names, 1) for key, name in missing.items()}
            remedy = (f"set {key} to " + (repr(near[key][0]) if near[key] else "one of these") for key in missing)
            raise DataError(f"{self.path} has no column {lacking}, but {listed(names)}", "; ".join(remedy))
        for name in wanted.values():
            if names.count(name) > 1:
                raise DataError(f"{self.path} has {names.count(name)} columns {name!r}", "rename all but one")
        return names.index(self.text), names.index(self.label)

    def _fault(self, kind: str, line: int, found: str, remedy: str) -> None:
        self.faults.setdefault(kind, _Fault(line, found, remedy)).count += 1

    def _faulty(self) -> DataError:
        said = (
            f"{several(fault.count, 'row', 'rows')} {kind}, the first in {self.place} {fault.line}{fault.found}"
            for kind, fault in self.faults.items()
        )
        remedies = dict.fromkeys(fault.remedy for fault in self.faults.values())
        return DataError(f"{self.path}: {'; '.join(said)}", "; ".join(remedies))

    def _quotes(self, count: int, place: str) -> DataError:
        rows = several(count, "row", "rows")
        said = f'{self.path}: {rows} with a " that is not closed where it should be, the first opens in {place}'
        return DataError(said, 'write "" for a quote inside a quoted field, or use JSON lines')

    def _undecodable(self, raw: bytes, encoding: str, error: UnicodeDecodeError) -> DataError:
        before = _LINE_END.split(raw[: error.start].decode(encoding, "ignore"))
        place = f"line {len(before)}, character {len(before[-1]) + 1}"
        said = (
            f"{self.path} is not {encoding}: byte {error.start} (0x{raw[error.start]:02x}), in {place}: {error.reason}"
        )
        utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        guess = "utf-16" if utf16 else "latin-1 or cp1252"
        return DataError(said, f"set data.encoding: {guess}, or save the file as UTF-8")

    def _read(self) -> bytes:
        system, path = self._locate()
        try:
            with system.open_input_stream(path, compression=None) as stream:
                return bytes(stream.read())
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}", "check its permissions") from error

    def _locate(self) -> tuple[pafs.FileSystem, str]:
        """The file system and the path in it of a file that is there and not empty."""
        try:
            local = pafs.LocalFileSystem(), str(Path(self.path).expanduser())
            system, path = pafs.FileSystem.from_uri(self.path) if "://" in self.path else local
            info = system.get_file_info(path)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"{self.path} cannot be reached: {error}", "check data.path and your credentials"
            ) from error
        if info.type == pafs.FileType.NotFound:
            raise DataError(f"{self.path} does not exist", "check data.path")
        if not info.is_file:
            raise DataError(f"{self.path} is not a file", "name the file itself in data.path")
        if not info.size:
            raise self._empty()
        return system, path

    def _empty(self) -> DataError:
        return DataError(f"{self.path} is empty", "put a header and rows into it, or check data.path")


def _records(lines: Sequence[str], delimiter: str) -> tuple[list[tuple[int, list[str]]], list[int]]:
    """The records, each with the line it begins in; and the lines where those begin whose quotes do not match."""
    records: list[tuple[int, list[str]]] = []
    broken: list[int] = []
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(_NO_FIELD_LIMIT)
    try:
        while reader.line_num < len(lines):
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except csv.Error:
                broken.append(line)
            else:
                records += [(line, fields)] if fields else []
    finally:
        csv.field_size_limit(limit)
    return records, broken


def _open_quote(lines: Sequence[str], start: int, delimiter: str) -> tuple[int, int]:
    """Line and character, from 1, of the first quote from line `start` on that opens a field and never closes it."""
    content = "".join(lines[start - 1 :])
    closed = rf'"[^"]*+(?:""[^"]*+)*+"|[^"{delimiter}\r\n][^{delimiter}\r\n]*+'
    whole = re.compile(rf"(?:{closed})?(?:[{delimiter}\r\n]|\Z)")
    position = 0
    while position < len(content) and (match := whole.match(content, position)):
        position = match.end()
    before = _LINE_END.split(content[:position])
    return start + len(before) - 1, len(before[-1]) + 1


def _swallowing(records: Sequence[tuple[int, list[str]]], width: int, label: int, delimiter: str) -> list[int]:
    """The lines where quoted fields open that hold a row: a line of `width` fields with a label that occurs."""
    labels = {fields[label].strip() for _, fields in records if len(fields) == width}
    found: list[int] = []
    for line, fields in records:
        opens = line
        for value in fields:
            pieces = _LINE_END.split(value)
            rows = [row for piece in pieces if len(row := piece.split(delimiter)) == width] if len(pieces) > 1 else []
            found += [opens] if any(row[label].strip() in labels for row in rows) else []
            opens += len(pieces) - 1
    return found
