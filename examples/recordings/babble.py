"""A language model small enough to read: greedy n-grams over data set descriptions that ship inside scikit-learn.

It is a real model and answers with real outputs. Greedy decoding of so little text runs into loops, which is what a
guard against degenerate output must notice; no loop was written by hand.
"""

import hashlib
import importlib.resources
import json
import pathlib
import re
from collections import Counter, defaultdict

DESCRIPTIONS = ["breast_cancer.rst", "diabetes.rst", "wine_data.rst", "iris.rst"]
WORDS = 60
SUBJECTS = ["the mean", "each feature", "this data set", "the class", "a model", "the radius",
            "wine", "the age", "the test", "an error", "the first", "missing values"]
PROMPTS = pathlib.Path(__file__).resolve().parent.parent / "prompts"


def words(text):
    return re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower())


def train(order, version, corpus, tool):
    """For each run of `order - 1` words the word that follows most often; on a draw the first in the alphabet.
    Shorter runs are kept to fall back on."""
    table = defaultdict(Counter)
    tokens = words(corpus)
    for place, token in enumerate(tokens):
        for length in range(order):
            if place >= length:
                table[" ".join(tokens[place - length:place])][token] += 1
    best = {context: min(counts, key=lambda word: (-counts[word], word)) for context, counts in sorted(table.items())}
    return {"model": "babble", "version": version, "kind": f"greedy {order}-grams", "order": order,
            "trained_with": tool, "next": best}


def generate(weights, prompt):
    context, answer = words(prompt), []
    while len(answer) < WORDS:
        length = min(weights["order"] - 1, len(context))
        while " ".join(context[len(context) - length:]) not in weights["next"]:
            length -= 1
        token = weights["next"][" ".join(context[len(context) - length:])]
        context.append(token)
        answer.append(token)
    return " ".join(answer)


def make(output, lines, envelope, clock, tool):
    folder = importlib.resources.files("sklearn.datasets.descr")
    corpus = "\n".join((folder / name).read_text(encoding="utf-8") for name in DESCRIPTIONS)
    digest = "sha256:" + hashlib.sha256(corpus.encode()).hexdigest()
    records, models = [], {}
    for version, order in [("1.0.0", 2), ("1.1.0", 3)]:
        weights = train(order, version, corpus, tool)
        models[version] = output.add(f"models/babble-{version}.json", json.dumps(weights, indent=0) + "\n")
        template = (PROMPTS / version / "describe.txt").read_text(encoding="utf-8").rstrip("\n")
        for subject in SUBJECTS:
            prompt = template.replace("{subject}", subject)
            record, attributes = envelope(f"babble-{len(records):04d}", clock.next(), "babble", version, "workbench")
            record["prompt_version"] = version
            record["input"] = {"text": prompt}
            record["output"] = {"text": generate(weights, prompt)}
            record["attributes"] = attributes
            records.append(record)
    output.add("recordings/babble.jsonl", lines(records))
    return {
        "weights": models,
        "slices": {"babble-corpus": {
            "digest": digest, "rows": len(corpus.splitlines()), "filter": "the lines of " + ", ".join(DESCRIPTIONS),
            "source": "sklearn.datasets.descr, texts joined by a line break",
        }},
    }
