"""Labelled mixes of prompts: which template each was made from, for `bench_recognition.py`.

`everyday` is what the recogniser was adjusted on. `awkward` and `scrambled` were written and
committed before any parameter of the grouping was chosen and are left as they are; the
recogniser's author did not adjust anything to them:

- `awkward`: families hypothesised to be hard. Other languages and scripts, prompts that are JSON,
  the history of a chat inside the prompt, few-shot examples in another order each time, a variable
  as the first words, the instruction after the document, templates that differ in one sentence.
- `scrambled`: nobody wrote its templates. They are drawn at random, as words of made-up syllables
  from a seed: how many sentences, where the variables stand, who shares a system prompt with whom.

All text is our own.
"""

# ruff: noqa: E501, PLW0108, RUF001, SIM108 - texts read best as one line each; frozen as committed

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import NamedTuple

Fill = Callable[[random.Random], str]


class Prompt(NamedTuple):
    """One prompt, and the number of the template that it was made from."""

    system: str
    user: str
    label: int


class Template(NamedTuple):
    """Texts with slots; a slot names a kind of filling."""

    system: str
    user: str


NAMES = [
    "Amara",
    "Beatriz",
    "Caleb",
    "Dagny",
    "Emeka",
    "Farida",
    "Goran",
    "Hanneke",
    "Ilse",
    "Jomo",
    "Katarzyna",
    "Luca",
    "Mirela",
    "Noor",
    "Oskar",
    "Priya",
    "Quentin",
    "Rosalind",
    "Sven",
    "Tomasz",
    "Ulrike",
    "Vikram",
    "Wanda",
    "Ximena",
    "Yusuf",
    "Zofia",
]
SURNAMES = [
    "Abara",
    "Brandt",
    "Castellano",
    "Dvorak",
    "Eriksen",
    "Fontaine",
    "Grigoryan",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Lindqvist",
    "Moreau",
    "Nakamura",
    "Okafor",
    "Petrov",
    "Quist",
    "Rahman",
    "Silva",
    "Tanaka",
    "Urquhart",
    "Varga",
    "Weber",
    "Young",
]
FIRMS = [
    "Northwind",
    "Bluebird",
    "Harbor",
    "Kestrel",
    "Lumen",
    "Meridian",
    "Orchard",
    "Pinecone",
    "Quarry",
    "Riverside",
    "Saffron",
    "Tidewater",
    "Umbra",
    "Vantage",
    "Willow",
    "Yarrow",
    "Zephyr",
    "Anchor",
    "Beacon",
    "Cinder",
]
PLACES = [
    "Lisbon",
    "Oslo",
    "Nairobi",
    "Kyoto",
    "Ghent",
    "Tampere",
    "Valparaiso",
    "Quito",
    "Hanoi",
    "Izmir",
    "Cork",
    "Basel",
    "Porto",
    "Riga",
    "Dakar",
    "Lagos",
    "Perth",
    "Graz",
    "Turin",
    "Bergen",
]
WORDS = [
    "time",
    "person",
    "year",
    "way",
    "day",
    "thing",
    "man",
    "world",
    "life",
    "hand",
    "part",
    "child",
    "eye",
    "woman",
    "place",
    "work",
    "week",
    "case",
    "point",
    "company",
    "number",
    "group",
    "problem",
    "fact",
    "order",
    "invoice",
    "parcel",
    "delay",
    "battery",
    "screen",
    "garden",
    "boat",
    "light",
    "winter",
    "market",
    "price",
    "meeting",
    "report",
    "engine",
    "window",
    "bread",
    "river",
    "station",
    "doctor",
    "school",
    "letter",
    "music",
    "paper",
    "house",
    "street",
    "coffee",
    "table",
    "water",
    "train",
    "summer",
    "mountain",
    "colour",
    "engine",
    "signal",
    "repair",
    "broken",
    "arrived",
    "missing",
    "ordered",
    "wanted",
    "found",
    "asked",
    "paid",
    "sent",
    "called",
    "opened",
    "closed",
    "changed",
    "quickly",
    "slowly",
    "badly",
    "early",
    "late",
    "never",
    "often",
    "again",
    "still",
    "maybe",
    "very",
    "rather",
    "much",
    "more",
    "less",
    "new",
    "old",
    "small",
    "large",
    "cheap",
    "loud",
    "warm",
    "cold",
    "bright",
    "empty",
    "heavy",
    "soft",
]
SMALL = [
    "the",
    "a",
    "of",
    "to",
    "in",
    "and",
    "that",
    "it",
    "was",
    "for",
    "on",
    "with",
    "as",
    "at",
    "by",
    "from",
    "but",
    "not",
    "this",
    "we",
    "they",
    "I",
]


def name(rng: random.Random) -> str:
    """A person's full name."""
    return f"{rng.choice(NAMES)} {rng.choice(SURNAMES)}"


def sentence(rng: random.Random) -> str:
    """Free text that no template holds."""
    n = rng.randint(5, 16)
    words = [rng.choice(SMALL) if rng.random() < 0.4 else rng.choice(WORDS) for _ in range(n)]
    if rng.random() < 0.2:
        words.insert(rng.randrange(n), name(rng))
    if rng.random() < 0.2:
        words.insert(rng.randrange(n), str(rng.randint(1, 9999)))
    text = " ".join(words)
    return text[0].upper() + text[1:] + rng.choice((".", ".", ".", "?", "!"))


def text(rng: random.Random, least: int = 1, most: int = 12) -> str:
    """Some sentences of free text, at times in paragraphs."""
    found = [sentence(rng) for _ in range(rng.randint(least, most))]
    return ("\n" if rng.random() < 0.2 else " ").join(found)


def rows(rng: random.Random) -> str:
    """An array in JSON with data."""
    made = [
        {"id": rng.randint(1, 10**6), "customer": name(rng), "note": sentence(rng)}
        for _ in range(rng.randint(1, 4))
    ]
    return json.dumps(made)


FILLINGS: dict[str, Fill] = {
    "name": name,
    "first": lambda rng: rng.choice(NAMES),
    "firm": lambda rng: f"{rng.choice(FIRMS)} {rng.choice(('Ltd', 'Group', 'Foods', 'Labs'))}",
    "place": lambda rng: rng.choice(PLACES),
    "thing": lambda rng: " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 3))),
    "date": lambda rng: f"{rng.randint(1, 28)} {rng.choice(('March', 'June', 'October'))} 2026",
    "number": lambda rng: str(rng.randint(1, 100_000)),
    "short": lambda rng: sentence(rng),
    "text": text,
    "long": lambda rng: text(rng, 10, 60),
    "rows": rows,
}


def fill(template: str, rng: random.Random) -> str:
    """A template with each slot filled in anew."""
    parts = template.split("<<")
    made = [parts[0]]
    for part in parts[1:]:
        slot, rest = part.split(">>", 1)
        made += [FILLINGS[slot](rng), rest]
    return "".join(made)


def drawn(templates: list[Template], n: int, seed: int) -> list[Prompt]:
    """Prompts of templates, some of them asked for forty times as often as others."""
    rng = random.Random(seed)
    weights = [1.0 / (1 + rank) ** 0.8 for rank in range(len(templates))]
    rng.shuffle(weights)
    chosen = rng.choices(range(len(templates)), weights, k=n)
    return [
        Prompt(fill(templates[one].system, rng), fill(templates[one].user, rng), one)
        for one in chosen
    ]


HOUSE = (
    "You are the assistant of our company. Be brief and friendly. Never invent facts.\n"
    "If you are not sure, say that you do not know. Answer in the language of the question."
)
SUPPORT = (
    "You work in customer support at <<firm>>. You speak with <<name>> from <<place>>.\n"
    "Be polite and keep every answer below a hundred words. Never promise a refund."
)
ANALYST = "You are a careful data analyst. Think step by step and show the result last."
WRITER = (
    "You are an experienced copywriter. Write in plain words, short sentences and the active "
    "voice. Avoid adjectives. Do not use emoji."
)

EVERYDAY = [
    *(Template(HOUSE, user) for user in (
        "Summarise the following ticket in two sentences:\n\n<<text>>",
        "Translate the text below into French. Keep names as they are.\n\n<<text>>",
        "Which department should handle this message? Answer with one word.\n\n<<text>>",
        "List the action items of this meeting as bullet points:\n<<long>>",
        "Write a reply to <<name>> who asks about <<thing>>. Mention that we open at nine.",
        "Rate how urgent this is from one to five: <<text>>",
    )),
    *(Template(SUPPORT, user) for user in (
        "The customer writes: <<text>>\nDraft an answer.",
        "Check whether this draft is polite enough and return a better one.\n<<text>>",
        "Does the customer want to cancel? Reply yes or no.\nMessage: <<text>>",
        "Find the order number in this message, or reply none.\n\n<<text>>",
    )),
    *(Template(ANALYST, user) for user in (
        "Here are the sales of <<place>> for <<date>>: <<rows>>. What changed most?",
        "Write a SQL query that answers: <<short>>",
        "Explain this outlier to a manager. Value <<number>>, expected <<number>>. <<short>>",
        "Turn these notes into a table with the columns name, amount and date.\n<<text>>",
    )),
    *(Template(WRITER, user) for user in (
        "Write a product description for <<thing>> in eighty words.",
        "Write three subject lines for a newsletter about <<thing>>.",
        "Shorten this paragraph by half without losing a fact:\n<<text>>",
        "Write a post that announces <<firm>> opening in <<place>>.",
    )),
    *(Template(system, "<<text>>") for system in (
        "You classify e-mails as spam or not spam. Answer with one of these two words.",
        "Extract every person, firm and place from the text. Answer as JSON with three lists.",
        "You are a tutor of mathematics for pupils of ten. Never give the answer away at once.",
        "Moderate the comment. Allowed are criticism and jokes; forbidden are insults and threats.",
        "You rewrite text so that a child of eight understands it. Keep all facts.",
        "You are a travel guide for <<place>>. Recommend three sights. Today is <<date>>.",
        "You help <<name>> at <<firm>> with questions on payroll. Quote the rule that applies.",
        "You are a code reviewer. Point out faults and risks first, style last. Be concrete.",
        "Correct spelling and grammar. Change nothing else. Return the text alone.",
        "You answer questions of new employees of <<firm>> from the handbook.\n\n<<long>>",
        "Detect the language of the text and reply with its ISO code.",
        "You are a sommelier. Recommend one wine with the meal and explain why in a sentence.",
    )),
    *(Template("", user) for user in (
        "Answer the question using only the context.\nContext: <<long>>\nQuestion: <<short>>",
        "Is the following review positive, negative or mixed? Review: <<text>>",
        "Write a cover letter for <<name>>, who applies as a nurse at <<firm>>.",
        "Give me ten names for a shop that sells <<thing>>.",
        "Explain <<thing>> to me as if I were five years old.",
        "Generate five quiz questions with answers about this text.\n<<long>>",
        "Compare <<firm>> with <<firm>> in a table of strengths and weaknesses.",
        "What is the sentiment of this tweet? Tweet: <<short>> Sentiment:",
        "Dear assistant, please make minutes from this transcript:\n<<long>>",
        "Convert this recipe for <<number>> people to metric units. <<text>>",
        "Create a workout plan for <<first>>, who has <<number>> minutes a day.",
        "Name the capital, the currency and the language of the country where <<place>> lies.",
    )),
    *(Template("You judge answers of another model. Be strict.\n" + rule, form) for rule, form in (
        ("Judge whether the answer is faithful to its source.", "Source: <<text>>\nAnswer: <<text>>"),
        ("Judge whether the answer is helpful to a beginner.", "Question: <<short>>\nAnswer: <<text>>"),
        ("Judge which of two answers is better, A or B.", "A: <<text>>\nB: <<text>>"),
        ("Judge whether the tone is professional.", "Text: <<text>>"),
    )),
    *(Template(HOUSE + "\nYou can use these tools: search, calendar.", user) for user in (
        "Find a slot for a meeting of <<name>> and <<name>> on <<date>>.",
        "Search our documents for <<thing>> and give me the three best passages.",
        "Remind <<first>> to call <<firm>> about <<thing>>.",
        "Plan my day. These are my tasks:\n<<text>>",
    )),
]  # fmt: skip


def everyday(n: int, seed: int = 1) -> list[Prompt]:
    """Fifty templates of an office's assistants: shared system prompts, names filled in."""
    return drawn(EVERYDAY, n, seed)


ASK_JSON = "Return valid JSON and nothing else. Follow the schema that the request names."
AGENT = (
    "You are an agent that works in steps. In each step think, choose one tool and wait.\n"
    "Tools: search(query), open(url), calculate(expression), finish(answer).\n"
    "Never call a tool twice with the same argument. Stop after eight steps.\n"
    "The user's name is <<name>> and it is <<date>> in <<place>>."
)
CHAT = "User: <<short>>\nAssistant: <<short>>\nUser: <<short>>\nAssistant: <<text>>\n"

AWKWARD = [
    *(Template("", user) for user in (
        "Fasse den folgenden Text in drei Sätzen zusammen:\n<<text>>",
        "Übersetze ins Englische und achte auf die Höflichkeitsform. <<text>>",
        "Schreibe eine Absage an <<name>> für die Stelle als Buchhalterin bei <<firm>>.",
        "Résume ce compte rendu pour la direction :\n<<long>>",
        "Rédige une réponse à <<name>> au sujet de sa commande numéro <<number>>.",
        "Clasifica el mensaje como queja, pregunta o elogio.\n\n<<text>>",
        "次の文章を三行で要約してください。\n<<text>>",
        "次のレビューは肯定的ですか、否定的ですか。一語で答えてください。\n<<text>>",
        "请把下面的文字翻译成英文，不要解释。\n<<text>>",
        "请从下面的文字中提取所有人名和地名。\n<<text>>",
        "Определи тему письма и ответь одним словом.\n<<text>>",
    )),
    *(Template(ASK_JSON, user) for user in (
        '{"task": "classify", "labels": ["a", "b"], "ticket": {"from": "<<name>>", "body": "<<short>>"}}',
        '{"task": "extract", "fields": ["iban", "amount"], "invoice_text": "<<short>>"}',
        '{"customer": "<<name>>", "history": <<rows>>, "instruction": "predict churn"}',
        '{"rows": <<rows>>, "question": "<<short>>", "format": "chart"}',
        '{"query": "<<short>>", "documents": <<rows>>, "rerank": true}',
        '{\n  "source_lang": "en",\n  "target_lang": "pt",\n  "segments": <<rows>>\n}',
    )),
    *(Template("", CHAT + user) for user in (
        "Write the assistant's next reply. Stay in character as a pirate.",
        "Rewrite the last question so that it can be understood without the conversation.",
        "Has the user's problem been solved? Answer yes or no.",
        "Give the conversation a title of at most five words.",
    )),
    *(Template("Continue the conversation as a helpful clerk of the town hall.", user) for user in (
        "Conversation so far:\n" + CHAT + "Reply to the last message.",
        "Conversation so far:\n" + CHAT + "Decide which form the citizen needs.",
    )),
    *(Template("", "<<text>>\n\n" + user) for user in (
        "Summarise the text above in one paragraph.",
        "Which questions does the text above leave open? List at most five.",
        "Turn the text above into a press release by <<firm>>.",
        "Who is named in the text above, and in what role?",
        "Is anything in the text above confidential? Explain in one sentence.",
    )),
    *(Template("", user) for user in (
        "<<name>> wants to know how to file a complaint. Explain the process in five steps.",
        "<<firm>> is looking for an engineer in <<place>>. Write the advertisement.",
        "<<thing>>: write a haiku about it.",
        "<<first>> and <<first>> argue about <<thing>>. Write their dialogue in ten lines.",
        "<<short>> Decide if the sentence before is a fact or an opinion.",
    )),
    *(Template(AGENT, user) for user in (
        "Goal: find the cheapest train from <<place>> to <<place>>.",
        "Goal: check if <<firm>> was mentioned in the news this week.",
        "Goal: calculate the tax on <<number>> for a resident of <<place>>.",
        "<<short>>",
    )),
    *(Template(
        "You are a reviewer of grant proposals. Score from one to ten.\n"
        "Weigh novelty, method and team. Do not reward length.\n" + rule + "\n"
        "Answer with the score on the first line and a reason on the second.", "<<long>>",
      ) for rule in (
        "Score the novelty of the idea alone.",
        "Score the soundness of the method alone.",
        "Score the experience of the team alone.",
    )),
    *(Template("", rule + "\n\n{shots}\n\n" + last) for rule, last in (
        ("Label each sentence with its tense, as the examples show.", "Sentence: <<short>>\nLabel:"),
        ("Turn questions into search queries, as the examples show.", "Question: <<short>>\nQuery:"),
        ("Write the plural of the noun phrase, as the examples show.", "Phrase: <<thing>>\nPlural:"),
        ("Pick the emoji that fits best, as the examples show.", "Text: <<short>>\nEmoji:"),
    )),
    *(Template("You are a helpful assistant.", user) for user in (
        "Write a poem about <<thing>> for <<first>>.",
        "Write a speech about <<thing>> for the birthday of <<first>>.",
        "Write a rule for a game about <<thing>> with <<number>> players.",
        "Explain what this error means: <<short>>",
        "Improve this prompt: <<text>>",
        "<<text>>",
    )),
]  # fmt: skip

SHOTS = [
    (
        [f"Sentence: {a}\nLabel: {b}" for a, b in (
            ("The bus left at dawn.", "past"), ("She sings in a choir.", "present"),
            ("They will paint the fence.", "future"), ("He had forgotten the key.", "past perfect"),
        )]
    ),
    (
        [f"Question: {a}\nQuery: {b}" for a, b in (
            ("How far is the moon?", "distance moon"), ("Who makes glass eels?", "glass eel trade"),
            ("Why is my tap loud?", "tap noise cause"), ("When do swifts leave?", "swift migration"),
        )]
    ),
    (
        [f"Phrase: {a}\nPlural: {b}" for a, b in (
            ("red ox", "red oxen"), ("old wife", "old wives"), ("grey goose", "grey geese"),
            ("field mouse", "field mice"),
        )]
    ),
    (
        [f"Text: {a}\nEmoji: {b}" for a, b in (
            ("It is snowing!", "snowflake"), ("We won the cup.", "trophy"),
            ("Dinner is ready.", "plate"), ("I lost my cat.", "sad face"),
        )]
    ),
]  # fmt: skip


def awkward(n: int, seed: int = 2) -> list[Prompt]:
    """Fifty templates hypothesised to be hard; not adjusted to."""
    rng = random.Random(seed + 1000)
    shot_labels = [i for i, one in enumerate(AWKWARD) if "{shots}" in one.user]
    made = []
    for one in drawn(AWKWARD, n, seed):
        user = one.user
        if one.label in shot_labels:
            shots = list(SHOTS[shot_labels.index(one.label)])
            rng.shuffle(shots)
            user = user.replace("{shots}", "\n\n".join(shots[: rng.randint(2, 4)]))
        made.append(Prompt(one.system, user, one.label))
    return made


def scrambled(n: int, seed: int = 3) -> list[Prompt]:
    """Fifty templates that nobody wrote: drawn from a seed, of made-up words; not adjusted to."""
    rng = random.Random(seed)
    onsets, vowels = (
        [
            "b",
            "c",
            "d",
            "f",
            "g",
            "h",
            "j",
            "k",
            "l",
            "m",
            "n",
            "p",
            "r",
            "s",
            "t",
            "v",
            "w",
            "z",
            "st",
            "tr",
            "pl",
        ],
        ["a", "e", "i", "o", "u", "ai", "ou"],
    )
    made_up = sorted(
        {"".join(rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.randint(1, 3)))
         for _ in range(900)}
    )  # fmt: skip
    slots = ["name", "firm", "place", "thing", "number", "short", "first"]

    def clause() -> str:
        words = [rng.choice(made_up) for _ in range(rng.randint(4, 14))]
        if rng.random() < 0.35:
            words.insert(rng.randrange(len(words) + 1), f"<<{rng.choice(slots)}>>")
        return " ".join(words).capitalize() + "."

    def passage(least: int, most: int) -> str:
        return rng.choice((" ", "\n")).join(clause() for _ in range(rng.randint(least, most)))

    systems = [passage(1, 12) for _ in range(12)]
    templates = []
    for _ in range(50):
        kind = rng.random()
        if kind < 0.5:
            system = rng.choice(systems)
        else:
            system = passage(1, 12) if kind < 0.75 else ""
        pieces = [passage(1, 3), f"<<{rng.choice(('text', 'long', 'short', 'rows'))}>>"]
        if rng.random() < 0.3:
            pieces.reverse()
        if rng.random() < 0.3:
            pieces.append(clause())
        templates.append(Template(system, rng.choice(("\n", "\n\n", " ")).join(pieces)))
    return drawn(templates, n, seed + 1)


MIXES: dict[str, Callable[..., list[Prompt]]] = {
    "everyday": everyday,
    "awkward": awkward,
    "scrambled": scrambled,
}
