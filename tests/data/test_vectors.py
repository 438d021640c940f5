from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from raytune_app.data.vectors import read_vectors
from raytune_app.errors import DataError

WORDS = {"the": [0.5, -1.25, 3.0], "Apple": [1.0, 2.0, -3.5], "élan": [0.0, 1e-3, -7.0], ",": [9.0, 8.0, 7.5]}
VOCABULARY = {"<pad>": 0, "<unk>": 1, "élan": 2, "the": 3, "absent": 4}

Words = Mapping[str, list[float]]


def glove(words: Words) -> bytes:
    return "".join(f"{word} {' '.join(map(str, numbers))}\n" for word, numbers in words.items()).encode()


def word2vec_text(words: Words) -> bytes:
    return f"{len(words)} {len(next(iter(words.values())))}\n".encode() + glove(words)


def fasttext(words: Words) -> bytes:
    return word2vec_text(words).replace(b"\n", b" \n").replace(b" \n", b"\n", 1)


def word2vec_binary(words: Words, end: bytes = b"\n") -> bytes:
    packed = [word.encode() + b" " + np.array(numbers, "<f4").tobytes() + end for word, numbers in words.items()]
    return f"{len(words)} {len(next(iter(words.values())))}\n".encode() + b"".join(packed)


def gensim_binary(words: Words) -> bytes:
    return word2vec_binary(words, b"")


FORMATS: list[Callable[[Words], bytes]] = [glove, word2vec_text, fasttext, word2vec_binary, gensim_binary]


def read(folder: Path, content: bytes, vocabulary: Mapping[str, int] = VOCABULARY) -> NDArray[np.float32]:
    path = folder / "vectors"
    path.write_bytes(content)
    matrix, known = read_vectors(path, vocabulary, 5)
    assert matrix.dtype == np.float32
    assert np.array_equal(known, matrix.any(axis=1))
    return matrix


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_vectors_in_the_vocabularys_rows(
    tmp_path: Path, form: Callable[[Words], bytes], pack: Callable[[bytes], bytes]
) -> None:
    expected = np.zeros((5, 3), np.float32)
    expected[2], expected[3] = WORDS["élan"], WORDS["the"]
    assert np.array_equal(read(tmp_path, pack(form(WORDS))), expected)


numbers = st.floats(-(2.0**99), 2.0**99, width=32).filter(bool)
tables = st.integers(8, 12).flatmap(
    lambda dimension: st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1),
        st.lists(numbers, min_size=dimension, max_size=dimension),
        min_size=1,
        max_size=20,
    )
)


@given(words=tables, form=st.sampled_from(FORMATS))
def test_what_is_written_is_read_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, words: Words, form: Callable[[Words], bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(form(words))
    matrix, known = read_vectors(path, {word: row for row, word in enumerate(words)}, len(words))
    assert np.array_equal(matrix, np.array(list(words.values()), np.float32))
    assert known.all()


def test_an_upper_case_word_may_take_its_lower_case_forms_vector_but_its_own_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(b"us 1\nUS 2\napple 3\nTHE 4\nIt 5\nit 6\n")
    vocabulary = {"US": 0, "Us": 1, "Apple": 2, "apple": 3, "the": 4, "It": 5}
    strict, lower = (read_vectors(path, vocabulary, 6, lower_fallback=fallback) for fallback in (False, True))
    assert strict[0].ravel().tolist() == [2, 0, 0, 3, 0, 5]
    assert lower[0].ravel().tolist() == [2, 1, 3, 3, 0, 5]
    assert lower[1].tolist() == [True, True, True, True, False, True]


def test_of_a_word_that_stands_there_twice_the_first_vector_counts(tmp_path: Path) -> None:
    assert read(tmp_path, b"the 1 2\nthe 3 4\n")[3].tolist() == [1, 2]


def test_tabs_blank_lines_and_words_with_spaces_are_read(tmp_path: Path) -> None:
    content = b"the\t1\t2\n\n. . . 5 6\nat name@domain.com 7 8\n\xc3\xa9lan  3  4\r\n"
    vocabulary = {**VOCABULARY, ". . .": 1}
    assert read(tmp_path, content, vocabulary)[1:4].tolist() == [[5, 6], [3, 4], [1, 2]]


def test_a_word_that_is_no_utf8_is_skipped_in_a_binary_file(tmp_path: Path) -> None:
    content = word2vec_binary(WORDS).replace(b"Apple", b"\xff\xfe\xc3")
    assert read(tmp_path, content)[3].tolist() == WORDS["the"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (gzip.compress(b""), "is empty"),
        (gzip.compress(glove(WORDS))[:-9], "truncated or corrupt"),
        (b"\x1f\x8bnonsense", "vectors: "),
        (b"PK\x03\x04rest", "ZIP archive"),
        (b"\x80\x04\x95rest", "pickle"),
        ("the 1 2".encode("utf-16"), "UTF-16"),
        (b"\xef\xbb\xbfthe 1 2", "byte order mark"),
        (b"hello\n", "line 1 is 'hello'"),
        (b"dear all\n", "line 1, column 2: 'all' is not a finite number"),
        (b"0 3\n", "line 1 is '0 3'"),
        (b"3 99999\n", "line 1 is '3 99999'"),
        (b"3 0\nthe\n", "line 1 is '3 0'"),
        (b"of 1 2\nthe 1\n", "line 2 has 2 columns, not a word and 2 numbers"),
        (b"of 1 2\nthe 1 2 3\n", "line 2 has 4 columns"),
        (b"2 3\nof 1 2\nthe 1 2\n", "line 2 has 3 columns, not a word and 3 numbers"),
        (b"of 1 2\n\nthe 1 x2\n", "line 3, column 3: 'x2' is not"),
        (b"of 1 2\nthe nan 2\n", "line 2, column 2: 'nan' is not"),
        (b"of 1 2\nthe 1 1e99\n", "line 2, column 3: '1e99' is not"),
        (b"the 1 2\n\xe9lan 1 2\n", "line 2, column 1: .* is not UTF-8 at its byte 1"),
        (b"3 2\nthe 1 2\nof 1 2\n", "promises 3 vectors, it has 2"),
        (b"1 2\nthe 1 2\nof 1 2\n", "promises 1 vectors, it has 2"),
        (word2vec_binary({"the": [1.0, np.inf]}), "byte 4: the vector of 'the' is not finite"),
        (word2vec_binary(WORDS) + b"more", r"goes on at byte 73, after its 4 vectors"),
        (word2vec_binary(WORDS).replace(b"4 3", b"5 3", 1), "byte 73: vector 5 of 5 is not whole"),
        (word2vec_binary(WORDS).replace(b"4 3", b"4 9", 1), "vector 2 of 4 is not whole"),
        (glove({",": [1.0], "of": [2.0]}), r"begins with ',', 'of', the vocabulary with '<pad>', '<unk>', 'élan'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_place_and_a_remedy(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert caught.value.message.startswith(str(tmp_path / "vectors"))
    assert caught.value.remedy


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", [word2vec_text, word2vec_binary, gensim_binary])
def test_no_truncation_goes_unnoticed(
    tmp_path: Path, form: Callable[[Words], bytes], pack: Callable[[bytes], bytes]
) -> None:
    content = form(WORDS)
    whole = content.rstrip(b"\n") if form is not gensim_binary else content
    for length in range(len(whole)) if pack is bytes else range(len(pack(content))):
        cut = content[:length] if pack is bytes else pack(content)[:length]
        if form is word2vec_text and length > whole.rfind(b" ") + 1 and pack is bytes:
            continue  # a shorter last number is a number
        with pytest.raises(DataError):
            read(tmp_path, cut)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        read_vectors(tmp_path / "gone", VOCABULARY, 5)
    with pytest.raises(DataError, match=tmp_path.name):
        read_vectors(tmp_path, VOCABULARY, 5)


@pytest.mark.parametrize("form", [glove, word2vec_binary])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, form: Callable[[Words], bytes]) -> None:
    path = tmp_path / "large"
    path.write_bytes(form({f"word{index}": [index + 0.5] * 100 for index in range(20_000)}))
    assert path.stat().st_size > 8e6
    tracemalloc.start()
    matrix, known = read_vectors(path, {f"word{index}": index // 1000 for index in range(0, 20_000, 1000)}, 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(matrix, np.repeat(np.arange(0, 20_000, 1000)[:, None] + 0.5, 100, axis=1))
    assert known.all()
    assert peak < 5 * 2**20
