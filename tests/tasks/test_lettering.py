"""Accents over the built-in font's letters."""

import unicodedata

import cv2
import numpy as np
import pytest
from PIL import Image

from tasks.lettering import font_of, length, line_box, paint, unknown_letters


def ink(text: str, pixels: int = 40) -> np.ndarray:
    font = font_of(pixels)
    picture = Image.new("L", (round(length(text, font)) + 20, 2 * pixels))
    paint(picture, 10, pixels // 2, text, font)
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize("letter", "ÀÉÊÑÖÅŠŻÇàéêñöåšżçőíï")
@pytest.mark.parametrize("pixels", [11, 40])
def test_an_accent_adds_ink_beside_the_letter_and_keeps_its_width(letter: str, pixels: int) -> None:
    bare = unicodedata.normalize("NFD", letter)[0]
    plain, accented = ink(bare, pixels), ink(letter, pixels)
    assert plain.shape == accented.shape
    rows = np.nonzero((accented > plain + 40).any(axis=1))[0]
    body = np.nonzero((ink("x" if bare in "ij" else bare, pixels) > 40).any(axis=1))[0]
    assert len(rows)
    assert rows.max() > body.max() if letter in "Çç" else rows.max() < body.min()


@pytest.mark.parametrize("letter", "íìîĵ")
def test_an_i_loses_its_dot_under_an_accent(letter: str) -> None:
    background_and_pieces, _ = cv2.connectedComponents((ink(letter, 80) > 100).astype(np.uint8))
    assert background_and_pieces - 1 == 2  # the stem and its mark


@pytest.mark.parametrize("text", ["Généré par IA", "Ünïcödé ÀÈÌ", "plain gjpqy"])
def test_ink_stays_inside_the_box_of_its_line(text: str) -> None:
    top, bottom = line_box(text, font_of(40))
    rows = np.nonzero((ink(text) > 40).any(axis=1))[0] - 20
    assert top - 1 <= rows.min()
    assert rows.max() <= bottom + 1


def test_letters_that_the_font_lacks_are_found() -> None:
    assert unknown_letters("Généré ok, señor «1»™") == []
    assert unknown_letters("ß łódź 日本 aß") == ["ß", "ł", "日", "本"]
    assert unknown_letters("e\u0301") == []
