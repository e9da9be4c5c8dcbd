"""What is spoken for training: our own sentences, numbers and invented words in many voices."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from tasks.training.voice.espeak import Utterance, Voice, speak

#: Written for this project; a language without sentences here speaks numbers and invented words.
SENTENCES: Final = {
    "en": (
        "My brother bought a big map before he moved to the mountains.",
        "People keep asking me what happened, but I am not able to explain it.",
        "We walked along the harbour, past the old boats, and had a warm apple pie.",
        "Open the window, please: the room is far too hot and the air does not move.",
        "She laughed out loud, shook her head, and put the empty cup back on the table.",
        "On Monday morning, about half past five, the baker brought fresh bread and jam.",
        "Would you mind speaking up? I can barely hear you above the pump.",
        "Yes. No. Maybe. Well, I thought so too, at first.",
    ),
    "de": (
        "Am Abend kam meine Mutter mit einem Korb voller Äpfel vom Markt.",
        "Bitte machen Sie das Fenster auf, es ist viel zu warm hier oben.",
        "Wir haben lange überlegt, ob wir mit dem Boot oder mit der Bahn fahren.",
        "Papa baute im Sommer ein Baumhaus, und alle Nachbarn halfen mit.",
    ),
    "fr": (
        "Ma mère m'a apporté un bon bol de soupe, et nous avons beaucoup parlé.",
        "Peut-être que le bateau partira demain, mais je ne peux pas l'affirmer.",
        "Ouvrez la fenêtre, s'il vous plaît, il fait vraiment trop chaud ici.",
        "Pourquoi pas ? On pourrait manger une pomme avant de monter au sommet.",
    ),
    "es": (
        "Mi abuela vive en un pueblo muy bonito, cerca de la playa.",
        "Abre la ventana, por favor, hace demasiado calor en esta habitación.",
        "También compramos pan, vino y un poco de jamón para el camino.",
        "El hombre subió al bus con una maleta enorme y un mapa viejo.",
    ),
    "it": (
        "La mamma ha comprato il pane e un po' di formaggio al mercato.",
        "Apri la finestra, per favore, fa troppo caldo in questa camera.",
        "Abbiamo camminato a lungo lungo il mare, parlando di tempi passati.",
    ),
    "pt": (
        "Minha mãe comprou pão e maçã na feira, bem perto da ponte.",
        "Abra a janela, por favor, está muito quente aqui em cima.",
        "Podemos caminhar um pouco mais e voltar antes da noite.",
    ),
    "nl": (
        "Mijn broer bouwde vorige maand een klein bootje van oud hout.",
        "Doe het raam open, alsjeblieft, het is hier boven veel te warm.",
        "We praatten over vroeger en aten een appel op de brug.",
    ),
    "sv": (
        "Min mamma köpte bröd och ost på torget tidigt på morgonen.",
        "Öppna fönstret, är du snäll, det är alldeles för varmt här uppe.",
    ),
    "pl": (
        "Moja babcia mieszka w małym domu pod lasem i piecze dobry chleb.",
        "Proszę otworzyć okno, bo w pokoju jest bardzo ciepło.",
    ),
    "tr": (
        "Annem bu sabah pazardan ekmek, peynir ve biraz elma aldı.",
        "Pencereyi açar mısın, burası çok sıcak oldu.",
    ),
    "fi": (
        "Mummo leipoi aamulla leipää ja ompeli punaisen puvun.",
        "Avaisitko ikkunan, täällä on aivan liian kuuma.",
    ),
    "id": (
        "Ibu membeli roti dan buah mangga di pasar pagi ini.",
        "Tolong buka jendela, di sini panas sekali.",
    ),
}
LANGUAGES: Final = (
    *("en-us", "en", "en-us", "de", "en-gb-scotland", "fr", "en-us", "es", "it", "pt-br", "nl", "en"),
    *("sv", "pl", "tr", "fi", "id", "cs", "hu", "ro", "sw", "cmn", "ja", "hi", "ru", "ar", "ko", "el", "vi"),
)
#: Voices that are told apart by formants and glottis, not by a spelling.
VARIANTS: Final = (
    *("", "+f1", "+m1", "+f2", "+m2", "+f3", "+m3", "+f4", "+m4", "+f5", "+m5", "+m6", "+m7", "+m8"),
    *("+klatt2", "+klatt4", "+linda", "+adam", "+steph2", "+zac", "+Alicia", "+grandpa", "+anika"),
)
_ONSETS: Final = (
    *("m", "b", "p", "m", "b", "p", "f", "v", "w", "t", "d", "k", "g", "s", "z", "l", "r", "n"),
    *("sh", "ch", "h", "y", "bl", "pr", "br", "pl", "sp", "sm", "tr", "st"),
)
_VOWELS: Final = ("a", "a", "e", "i", "o", "u", "ai", "au", "o", "a", "ee", "oo")
_CODAS: Final = ("", "", "", "m", "p", "b", "n", "s", "l", "t", "k", "mp", "st")


def utterances(count: int, seed: int) -> Iterator[Utterance]:
    """`count` utterances of about ten seconds; the same for the same seed."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        language = LANGUAGES[i % len(LANGUAGES)]
        name = language + VARIANTS[int(rng.integers(len(VARIANTS)))]
        pace, pitch, spread = (int(rng.integers(*span)) for span in ((115, 215), (20, 80), (20, 90)))
        yield speak(text(language, rng), Voice(name, pace, pitch, spread))


def text(language: str, rng: np.random.Generator) -> str:
    """About ten seconds of text that `language` can read out."""
    own = SENTENCES.get(language[:2], ())
    parts = [str(part) for part in rng.choice(own, size=min(2, len(own)), replace=False)] if own else []
    parts += [_numbers(rng)] if rng.random() < (0.3 if own else 0.7) else [_invented(rng)]
    return " ".join(str(part) for part in rng.permutation(parts))


def _numbers(rng: np.random.Generator) -> str:
    return ", ".join(str(int(rng.integers(10, 10 ** int(rng.integers(2, 5))))) for _ in range(4)) + "."


def _invented(rng: np.random.Generator) -> str:
    words = ["".join(_syllable(rng) for _ in range(int(rng.integers(1, 4)))) for _ in range(9)]
    return " ".join(words[:5]) + ", " + " ".join(words[5:]) + "."


def _syllable(rng: np.random.Generator) -> str:
    return "".join(str(rng.choice(sounds)) for sounds in (_ONSETS, _VOWELS, _CODAS))
