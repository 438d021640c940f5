"""What each network for texts can learn, and what it cannot: on texts made for the purpose."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from raytune_app.data.arrays import Training
from raytune_app.training.run import Run, fit

MakeRun = Callable[..., Run]
MakeTraining = Callable[..., Training]
Rows = list[tuple[str, int]]

FILLER = ["the", "film", "was", "and", "we", "saw", "it", "there", "then", "again"]
CNN: dict[str, Any] = {"name": "text_cnn", "dimension": 12, "widths": (2, 3), "maps": 8, "dropout": 0.0}
LANGUAGES = {
    "Chinese": """
        这部电影非常好看 这部电影非常难看
        我很喜欢这家餐厅 我很讨厌这家餐厅
        服务态度好极了 服务态度差极了
        今天心情很愉快 今天心情很糟糕
        这本书写得真精彩 这本书写得真无聊
        味道很好我很喜欢 味道很差我很讨厌
        质量非常好很满意 质量非常差很失望
        演员演得真精彩 演员演得真糟糕
        酒店很好我很满意 酒店很差我很失望
        音乐好听极了 音乐难听极了
        这里风景真好看 这里风景真难看
        老师讲得非常好 老师讲得非常差
        价格便宜我很满意 价格太贵我很失望
    """,
    "Japanese": """
        この映画はとても面白い この映画はとてもつまらない
        料理がおいしくて大好きです 料理がまずくて大嫌いです
        サービスが最高でした サービスが最悪でした
        今日はとても楽しい 今日はとても悲しい
        この本は本当に面白い この本は本当につまらない
        味がおいしくて最高 味がまずくて最悪
        品質が良くて満足です 品質が悪くて不満です
        音楽が楽しくて大好き 音楽が悲しくて大嫌い
        ホテルは最高で満足した ホテルは最悪で不満だった
        旅行はとても楽しかった 旅行はとても悲しかった
        景色が良くて大好きです 景色が悪くて大嫌いです
        先生の話は面白い 先生の話はつまらない
        値段も良くて満足です 値段も悪くて不満です
    """,
    "Thai": """
        หนังเรื่องนี้สนุกมาก หนังเรื่องนี้น่าเบื่อมาก
        อาหารอร่อยมากชอบมาก อาหารแย่มากเกลียดมาก
        บริการดีเยี่ยม บริการแย่ที่สุด
        วันนี้มีความสุขมาก วันนี้เศร้ามาก
        หนังสือเล่มนี้สนุกจริง หนังสือเล่มนี้น่าเบื่อจริง
        รสชาติอร่อยดีเยี่ยม รสชาติแย่ที่สุด
        คุณภาพดีประทับใจ คุณภาพแย่ผิดหวัง
        เพลงเพราะชอบมาก เพลงน่าเกลียดมาก
        โรงแรมดีประทับใจมาก โรงแรมแย่ผิดหวังมาก
        เที่ยวสนุกมีความสุข เที่ยวน่าเบื่อเศร้ามาก
        วิวสวยชอบมาก วิวน่าเกลียดมาก
        ครูสอนสนุกดี ครูสอนน่าเบื่อแย่
        ราคาดีประทับใจ ราคาแพงผิดหวัง
    """,
}
"""On each line a text that praises, and its counterpart."""


def best(run: Run) -> float:
    return max(result.accuracy for result in fit(run))


def split(rows: Rows, held_out: int) -> tuple[Rows, Rows]:
    return rows[held_out:], rows[:held_out]


def test_a_bag_learns_words_that_tell_the_class(make_text_run: MakeRun, text_training: MakeTraining) -> None:
    rng = random.Random(0)
    telling = (["bad", "awful", "dull"], ["good", "lovely", "great"])
    rows = [(" ".join([*rng.sample(FILLER, 5), rng.choice(telling[index % 2])]), index % 2) for index in range(60)]
    run = make_text_run(text_training(*split(rows, 20)), lr=0.05, epochs=8)
    assert best(run) == 1


def test_where_the_order_alone_decides_a_cnn_learns_it_and_a_bag_guesses(
    make_text_run: MakeRun, text_training: MakeTraining
) -> None:
    """Every text has a twin of the same words and the other class."""
    rng, rows = random.Random(0), Rows()
    for _ in range(60):
        before, after = rng.sample(FILLER, 2), rng.sample(FILLER, 3)
        rows += [(" ".join([*before, *pair, *after]), label) for label, pair in enumerate((("x", "y"), ("y", "x")))]
    data = text_training(*split(rows, 40))
    assert best(make_text_run(data, CNN, lr=0.02, epochs=10)) == 1
    assert best(make_text_run(data, {"dimension": 12}, lr=0.02, epochs=10)) <= 0.55


def misspelt(word: str, rng: random.Random) -> str:
    """One character is doubled, left out, or another."""
    place = rng.randrange(1, len(word) - 1)
    changed = rng.choice([word[place] * 2, "", rng.choice("qxz")])
    return word[:place] + changed + word[place + 1 :]


def test_characters_tell_misspelt_words_that_no_vocabulary_has(
    make_text_run: MakeRun, text_training: MakeTraining
) -> None:
    rng, telling = random.Random(0), ("disappointing", "wonderfully")
    words = [dict.fromkeys(misspelt(word, rng) for _ in range(400)) for word in telling]
    rows = [(word, label) for group in zip(*words, strict=False) for label, word in enumerate(group)][:80]
    train, validation = split(rows, 20)
    assert not {text for text, _ in train} & {text for text, _ in validation}
    model = {"name": "text_char_cnn", "dimension": 8, "maps": 16, "blocks": 2, "kernel": 3, "dropout": 0.0}
    assert best(make_text_run(text_training(train, validation), model, lr=0.01, epochs=8)) == 1
    assert best(make_text_run(text_training(train, validation), lr=0.05, epochs=8)) == 0.5, "words are all unknown"


@pytest.mark.parametrize("language", LANGUAGES)
def test_characters_are_tokens_enough_for_scripts_without_spaces(
    make_text_run: MakeRun, text_training: MakeTraining, language: str
) -> None:
    rows = [(text, number % 2) for number, text in enumerate(LANGUAGES[language].split())]
    train, validation = split(rows[::-1], 6)
    model = {**CNN, "maps": 16, "tokens": {"kind": "char"}}
    results = list(fit(make_text_run(text_training(train, validation), model, lr=0.02, epochs=20, batch_size=5)))
    assert results[-1].train_accuracy == 1
    assert results[-1].accuracy >= 5 / 6, "the texts that were held out"
