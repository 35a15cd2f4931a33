"""The guard {{name}}: looks for words in what a model wrote, and flags, redacts or blocks it.

Upper and lower case of ASCII letters are the same; all other characters must match exactly. A word is found inside a
longer one too.

The classes are those of world `validator` in wit/guard.wit. `picket guard build` makes the modules that are imported
here; `componentize-py --wit-path wit --world validator bindings .` writes them out for an editor to read.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import types as t

ACTIONS = ["flag", "redact", "block"]

SCHEMA = {
    "type": "object",
    "required": ["words", "action"],
    "additionalProperties": False,
    "properties": {
        "words": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
        "action": {"enum": ACTIONS},
    },
}

words: list[bytes] = []
action = "flag"


class Validation(exports.Validation):
    def describe(self) -> t.Descriptor:
        return t.Descriptor(
            name="{{name}}",
            version="0.1.0",
            summary="Looks for words in what a model wrote",
            settings_schema=json.dumps(SCHEMA),
            needs=t.Parts.OUTPUT,
            rules=[t.Rule("word", "One of the words of the settings", t.Guarantee.HELD)],
        )

    def configure(self, settings: str) -> None:
        """Called once. Every check starts from a copy of the memory that it leaves."""
        global words, action
        read = json.loads(settings)
        if problems := find_problems(read):
            raise Err(problems)
        # `bytes.lower` changes ASCII letters alone.
        words = [word.encode().lower() for word in read["words"]]
        action = read["action"]

    def check(self, inference: t.Inference) -> t.Verdict:
        findings: list[t.Finding] = []
        match inference.output:
            case None:
                pass
            case t.Content_Text(text):
                findings += search("", text)
            case t.Content_Messages(messages):
                for index, message in enumerate(messages):
                    findings += search(f"/{index}", message.content)
            case _:
                # What it cannot read it does not wave through: the operator's `on_failure` decides.
                raise Err("it reads texts and messages only")
        matches = t.NamedValue("matches", t.Scalar_Integer(len(findings)))
        return t.Verdict(decide(findings), findings, [matches])


def find_problems(settings: object) -> list[t.Problem]:
    """All mistakes in the settings, each with a JSON Pointer to it."""
    if not isinstance(settings, dict):
        return [t.Problem("", "the settings are no JSON object")]
    problems = []
    for name in settings:
        if name not in ("words", "action"):
            token = name.replace("~", "~0").replace("/", "~1")
            problems.append(t.Problem(f"/{token}", "it has no such setting"))
    for name in ("words", "action"):
        if name not in settings:
            problems.append(t.Problem("", f"`{name}` is missing"))
    if "action" in settings and settings["action"] not in ACTIONS:
        problems.append(t.Problem("/action", "`flag`, `redact` or `block` is expected"))
    listed = settings.get("words", ["none"])
    if not isinstance(listed, list):
        problems.append(t.Problem("/words", "a list of words is expected"))
    elif not listed:
        problems.append(t.Problem("/words", "name at least one word"))
    else:
        for index, word in enumerate(listed):
            if not isinstance(word, str) or not word:
                problems.append(t.Problem(f"/words/{index}", "a word has at least one character"))
    return problems


def search(path: str, text: str) -> list[t.Finding]:
    """Looks through one text.

    Works on bytes of UTF-8, because that is what spans count; a Python string counts characters. Of words that begin at
    the same place the first in the list counts; words that overlap an earlier one do not.
    """
    found = []
    data = text.encode().lower()
    at = 0
    while at < len(data):
        index = next((i for i, word in enumerate(words) if data.startswith(word, at)), None)
        if index is None:
            at += 1
            continue
        span = t.Span(at, at + len(words[index]))
        at = span.end
        location = t.Location(t.Part.OUTPUT, path, span)
        # A finding does not repeat what it found; the place in the list says enough.
        found.append(t.Finding("word", t.Severity.MEDIUM, f"word {index + 1} of the list", location, None))
    return found


def decide(findings: list[t.Finding]) -> t.Decision:
    if not findings:
        return t.Decision_Allow()
    if action == "block":
        return t.Decision_Block()
    if action == "flag":
        return t.Decision_Flag()
    return t.Decision_Redact([t.Edit(finding.location, "[removed]") for finding in findings if finding.location])
