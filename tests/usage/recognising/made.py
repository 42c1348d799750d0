"""Prompts of a few made-up templates, with the truth beside them."""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

from weighbridge.usage.recognising.importing import PromptHasher

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
CITIES = (
    "Lisbon",
    "Oslo",
    "Nairobi",
    "Kyoto",
    "Ghent",
    "Tampere",
    "Quito",
    "Hanoi",
    "Izmir",
    "Cork",
    "Riga",
)
PEOPLE = [
    f"{a} {b}" for a in ("Amara", "Goran", "Ilse", "Noor") for b in ("Silva", "Quist", "Rahman")
]
WORDS = (
    "boat",
    "tea",
    "snow",
    "bees",
    "jazz",
    "salt",
    "maps",
    "tram",
    "kiln",
    "moss",
    "oars",
    "reed",
    "silk",
    "yarn",
)
HOUSE = "You are the assistant of a shop. Be brief.\nNever promise a refund, ever."
NAMED = (
    "You are on duty for {person} in {city}. Greet politely.\nKeep each answer below fifty words."
)
USERS = (
    "Summarise the following complaint in two sentences: {text}",
    "Translate the text below into French and keep names. {text}",
    "Which of our departments should read this message? {text}",
)


class Made(NamedTuple):
    system: str
    user: str
    label: int


def free(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(8, 30)))


def prompts(n: int = 400, seed: int = 1) -> list[Made]:
    """Three templates under one system prompt, one with names in it, and one of the user alone."""
    rng = random.Random(seed)
    made = []
    for _ in range(n):
        label = rng.randrange(5)
        text, person, city = free(rng), rng.choice(PEOPLE), rng.choice(CITIES)
        if label < 3:
            made.append(Made(HOUSE, USERS[label].format(text=text), label))
        elif label == 3:
            made.append(Made(NAMED.format(person=person, city=city), text, label))
        else:
            made.append(
                Made("", f"Please tell {person} from {city} how a parcel is sent back", label)
            )
    return made


def hashed(made: list[Made], key: bytes = KEY) -> tuple[list[str], Counter[str], dict[str, bytes]]:
    """Names in order, requests of each, and sketches."""
    hasher = PromptHasher(key)
    names, sketches = [], {}
    for one in made:
        found = hasher.hash(one.system, one.user)
        names.append(found.template or "")
        sketches |= {sketch.fingerprint: sketch.segments for sketch in found.sketches}
    return names, Counter(names), sketches
