from __future__ import annotations

import dataclasses
import functools
import json
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.data import tokens
from raytune_app.data.tokens import Kind, Tokenizer, TokenizerSettings, build_tokenizer
from raytune_app.data.vocabulary import UNKNOWN
from raytune_app.errors import DataError

TRAINING = (
    "The cat sat on the mat; the DOG didn't.",
    "Don’t panic — it's 42 o'clock, naïve café owner!",
    "今日は東京で猫を見ました。",
    "我喜欢这只猫，它很可爱。",
    "ฉันชอบแมวตัวนี้",
    "मुझे हिन्दी पसंद है",
    "שלום עולם، مرحبا بالعالم",
    "I ❤️ this 👍🏽 \N{NULL} end",
)
NASTY = st.text(st.sampled_from("aB'’ \n\t.\0_é\u0301\u0323\u200d\ufe0f\ud800\udc00猫ก็י😀İΣﬁ가ᄀ"), max_size=30)
TEXTS = st.lists(st.sampled_from(TRAINING) | NASTY | st.text(st.characters()), max_size=8)
KINDS = st.sampled_from(list(Kind))


@functools.cache
def tokenizer(kind: Kind, *, lower: bool = True, max_length: int = 12, ngram: int = 3) -> Tokenizer:
    settings = TokenizerSettings(kind=kind, lower=lower, ngram=ngram, max_size=300, max_length=max_length)
    return build_tokenizer(settings, TRAINING)


def as_lists(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    encoded = tokenizer.encode(texts)
    return [encoded[index].tolist() for index in range(len(encoded))]


def one_by_one(tokenizer: Tokenizer, text: str) -> list[str]:
    """The tokens of one text by a loop over its characters."""
    folded = unicodedata.normalize("NFC", text.lower())
    if tokenizer.settings.kind is Kind.CHAR:
        return list(folded)
    words, n = words_one_by_one(folded.replace("’", "'")), tokenizer.settings.ngram
    if tokenizer.settings.kind is Kind.WORD:
        return words
    return [f"<{word}>"[start : start + n] for word in words for start in range(max(1, len(word) + 3 - n))]


def words_one_by_one(text: str) -> list[str]:
    found, last = list[str](), "space"
    for character, following in zip(text, f"{text} "[1:], strict=True):
        kind = kind_of(character)
        if kind == "mark":
            kind, joins = ("word", False) if last == "space" else (last, True)
        else:
            if character == "'" and last == "word" and kind_of(following) == "word":
                kind = "word"
            joins = kind == last == "word"
        if joins:
            found[-1] += character
        elif kind != "space":
            found.append(character)
        last = kind
    return found


def kind_of(character: str) -> str:
    if character.isspace():
        return "space"
    if character in "\u200c\u200d":
        return "mark"
    return {"L": "word", "N": "word", "M": "mark"}.get(unicodedata.category(character)[0], "sign")


@given(KINDS, TEXTS)
def test_any_texts_give_known_rows_and_none_is_empty_or_too_long(kind: Kind, texts: list[str]) -> None:
    encoded = tokenizer(kind).encode(texts)
    assert len(encoded) == len(texts) == len(encoded.lengths)
    assert np.all((encoded.lengths >= 1) & (encoded.lengths <= 12))
    assert np.all((encoded.ids >= UNKNOWN) & (encoded.ids < len(tokenizer(kind).vocabulary)))


@given(KINDS, st.integers(2, 5), TEXTS)
def test_the_ids_are_those_of_the_tokens_that_a_loop_over_characters_finds(
    kind: Kind, ngram: int, texts: list[str]
) -> None:
    ours = tokenizer(kind, ngram=ngram)
    expected = [one_by_one(ours, text)[:12] for text in texts]
    assert [ours.tokens(text) for text in texts] == expected
    assert as_lists(ours, texts) == [ours.vocabulary.ids(found).tolist() or [UNKNOWN] for found in expected]


@given(KINDS, TEXTS)
def test_a_text_is_encoded_the_same_alone_and_among_others(kind: Kind, texts: list[str]) -> None:
    assert as_lists(tokenizer(kind), texts) == [as_lists(tokenizer(kind), [text])[0] for text in texts]


def test_the_borders_of_blocks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {kind: as_lists(tokenizer(kind), list(TRAINING) * 2) for kind in Kind}
    monkeypatch.setattr(tokens, "_BLOCK", 30)
    assert whole == {kind: as_lists(tokenizer(kind), list(TRAINING) * 2) for kind in Kind}


@given(KINDS, st.booleans(), TEXTS)
def test_a_tokenizer_rebuilt_from_json_gives_the_same_ids(kind: Kind, lower: bool, texts: list[str]) -> None:
    ours = tokenizer(kind, lower=lower)
    stored = json.loads(json.dumps(ours.to_dict(), ensure_ascii=False).encode())
    rebuilt = Tokenizer.from_dict(stored)
    assert as_lists(rebuilt, texts) == as_lists(ours, texts)
    assert rebuilt.settings == ours.settings
    assert rebuilt.to_dict() == stored


@given(KINDS, st.integers(1, 12), TEXTS)
def test_a_shorter_limit_only_cuts(kind: Kind, limit: int, texts: list[str]) -> None:
    ours = tokenizer(kind)
    settings = dataclasses.replace(ours.settings, max_length=limit)
    cut = as_lists(Tokenizer(settings, ours.vocabulary), texts)
    assert cut == [ids[:limit] for ids in as_lists(ours, texts)]


@given(KINDS, TEXTS)
def test_composed_and_decomposed_spellings_are_one(kind: Kind, texts: list[str]) -> None:
    one, other = ([unicodedata.normalize(form, text) for text in texts] for form in ("NFC", "NFD"))
    assert as_lists(tokenizer(kind), one) == as_lists(tokenizer(kind), other)


@given(KINDS, st.lists(st.text(), min_size=1), st.integers(3, 9), st.integers(1, 3))
def test_a_tokenizer_can_be_built_of_any_texts_that_have_tokens(
    kind: Kind, texts: list[str], max_size: int, min_count: int
) -> None:
    settings = TokenizerSettings(kind=kind, max_size=max_size, min_count=min_count)
    try:
        built = build_tokenizer(settings, iter(texts))
    except DataError as error:
        assert f"occurs {min_count} times" in error.message  # noqa: PT017 - either outcome may be right
    else:
        assert len(built.vocabulary) <= max_size
        assert np.any(built.encode(texts).ids > UNKNOWN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop—believin' 3 times!", "don't stop — believin ' 3 times !"),
        ("rock’n’roll isn’t 'quoted'", "rock'n'roll isn't ' quoted '"),
        ("3.14 snake_case a--b", "3 . 14 snake _ case a - - b"),
        ("I❤️you 👍🏽", "i ❤️ you 👍 🏽"),
        ("हिन्दी में", "हिन्दी में"),
        ("می‌خواهم", "می‌خواهم"),
        ("nai\u0308ve CAFÉ", "naïve café"),
        ("tab\tand\u3000wide\x85spaces\u2029", "tab and wide spaces"),
        ("ΟΔΟΣ", "οδος"),
    ],
)
def test_words_are_what_a_reader_takes_for_words(text: str, expected: str) -> None:
    assert tokenizer(Kind.WORD, max_length=50).tokens(text) == expected.split(" ")


def test_case_is_kept_where_it_is_asked_for() -> None:
    assert tokenizer(Kind.WORD, lower=False).tokens("The DOG") == ["The", "DOG"]
    assert tokenizer(Kind.CHAR, lower=False).tokens("Dog") == ["D", "o", "g"]


def test_n_grams_know_where_a_word_begins_and_ends() -> None:
    assert tokenizer(Kind.CHAR_NGRAM).tokens("word!") == ["<wo", "wor", "ord", "rd>", "<!>"]
    assert tokenizer(Kind.CHAR_NGRAM, ngram=2).tokens("a bé") == ["<a", "a>", "<b", "bé", "é>"]
    assert tokenizer(Kind.CHAR_NGRAM, ngram=5).tokens("a word") == ["<a>", "<word", "word>"]


@pytest.mark.parametrize("text", ["今日は猫", "我喜欢这只猫", "แมวตัวนี้", "👍🏽 end"])
def test_scripts_without_spaces_are_known_by_their_characters(text: str) -> None:
    ids = tokenizer(Kind.CHAR, max_length=50).encode([text]).ids
    assert len(ids) == len(text)
    assert np.all(ids > UNKNOWN)


def test_spaces_are_characters() -> None:
    assert tokenizer(Kind.CHAR).tokens("a  b") == ["a", " ", " ", "b"]


@pytest.mark.parametrize("kind", Kind)
def test_no_text_has_length_zero(kind: Kind) -> None:
    encoded = tokenizer(kind).encode(["", "the cat", ""])
    assert encoded[0].tolist() == encoded[2].tolist() == [UNKNOWN]
    assert len(tokenizer(kind).encode([])) == 0


@pytest.mark.parametrize("kind", Kind)
def test_a_lone_surrogate_is_unknown_even_if_trained_on(kind: Kind) -> None:
    built = build_tokenizer(TokenizerSettings(kind=kind), ["a \ud800 b \udfff\ud83d", "\ud83d"] * 3)
    assert set(built.encode(["\ud800", "\udfff\ud83d", "\ud83d"]).ids) == {UNKNOWN}
    assert UNKNOWN not in built.encode(["a b"]).ids


def test_nul_and_higher_code_points_than_any_known_are_characters_like_others() -> None:
    built = build_tokenizer(TokenizerSettings(kind=Kind.CHAR), ["a\0b"])
    assert built.tokens("\0") == ["\0"]
    assert UNKNOWN not in built.encode(["\0ab"]).ids
    assert set(built.encode(["c\U0010ffff猫"]).ids) == {UNKNOWN}


@pytest.mark.timeout(20)  # what is not linear takes minutes
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "unit",
    ["a", "'", "a'", "\u0301", "\u0301\u0316", "a\u0301\u0316", "กำ", "猫", "\u200d", "_", "\0", "\ud800", "a ", " "],
)
def test_a_megabyte_of_anything_takes_linear_time(kind: Kind, unit: str) -> None:
    settings = TokenizerSettings(kind=kind, max_length=1_000_000)
    text = unit * (1_000_000 // len(unit))
    encoded = Tokenizer(settings, tokenizer(kind).vocabulary).encode([text])
    assert 1 <= len(encoded.ids) <= 1_000_002


def test_marks_past_the_thirtieth_are_left_out() -> None:
    assert tokenizer(Kind.WORD).tokens("x" + "\u0323" * 99 + "y") == ["x\u0323".ljust(31, "\u0323") + "y"]


def test_settings_out_of_bounds_are_named() -> None:
    wrong: list[tuple[str, Any]] = [
        ("kind", "word"), ("lower", 1), ("ngram", 1), ("ngram", 6), ("ngram", True), ("max_size", 2),
        ("min_count", 0), ("max_length", 0), ("max_length", 5.0),
    ]  # fmt: skip
    for name, value in wrong:
        with pytest.raises(DataError, match=f"{name} is"):
            TokenizerSettings(**{name: value})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "bpe"}, {"kind": []}, {"lower": "yes"}, {"ngram": 9}, {"ngram": "3"}, {"max_size": None},
        {"max_length": -1}, {"max_size": 3}, {"vocabulary": None}, {"vocabulary": ["a", "a"]}, {"vocabulary": ["ab"]},
        {"vocabulary": []}, {"vocabulary": [1]}, {"surplus": 1},
    ],
)  # fmt: skip
def test_a_stored_tokenizer_that_is_damaged_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match="stored tokenizer") as refused:
        Tokenizer.from_dict({**tokenizer(Kind.CHAR).to_dict(), **change})
    assert "restore" in str(refused.value.remedy)


def test_a_stored_tokenizer_that_is_none_is_refused() -> None:
    whole = tokenizer(Kind.WORD).to_dict()
    garbages: list[object] = [None, [], "word", {}, {key: value for key, value in whole.items() if key != "lower"}]
    for garbage in garbages:
        with pytest.raises(DataError, match="exactly the entries"):
            Tokenizer.from_dict(garbage)
