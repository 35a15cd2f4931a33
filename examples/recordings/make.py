"""Trains small models on data sets that ship inside scikit-learn, runs them, and writes what examples/ holds.

    python3 -m venv venv && venv/bin/pip install -r examples/recordings/requirements.txt
    venv/bin/python examples/recordings/make.py            writes the files
    venv/bin/python examples/recordings/make.py --check    writes nothing, fails where a file differs

Written: recordings/{tumour-reference,tumour-live,progression-live,babble}.jsonl and recordings/streams.json,
models/*.json, slices/*.csv, records/*.json. Nothing is downloaded.

Every prediction is computed from the rounded weights of models/*.json in plain Python, not by the library that
trained them. So the file whose SHA-256 the records name is exactly what answered, and the recordings do not hang on
the linear algebra of one machine.
"""

import argparse
import datetime
import hashlib
import json
import math
import pathlib
import random
import sys

import numpy
import sklearn
from sklearn import datasets, linear_model, metrics, model_selection

import babble
import documents

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent
START = datetime.datetime(2026, 3, 2, 9, 0, 0, tzinfo=datetime.timezone.utc)
TOOL = f"scikit-learn {sklearn.__version__}, numpy {numpy.__version__}"

TUMOUR_FEATURES = [
    "mean radius", "mean texture", "mean smoothness", "mean concavity",
    "mean symmetry", "mean fractal dimension", "radius error", "worst concave points",
]
# Rows of the live stream, in order: as the reference, shifted, as the reference again.
TUMOUR_PHASES = [("calm", 1000), ("shifted", 600), ("calm again", 400)]
TUMOUR_REFERENCE_ROWS = 600
# The shifted phase draws only from held-out rows at or above this quantile of mean texture.
SHIFT_QUANTILE = 0.65
# In this share of the requests one feature is withheld, as callers do; the model fills in the training median.
WITHHELD_SHARE = 0.02

PROGRESSION_PHASES = [("1.0.0", 300), ("1.1.0", 200), ("1.0.0", 100)]


class Output:
    """Collects files by their path below examples/, then writes or compares them."""

    def __init__(self):
        self.files = {}

    def add(self, path, text):
        self.files[path] = text.encode()
        return "sha256:" + hashlib.sha256(self.files[path]).hexdigest()

    def finish(self, check):
        different = []
        for path, content in sorted(self.files.items()):
            target = EXAMPLES / path
            if check:
                if not target.is_file() or target.read_bytes() != content:
                    different.append(path)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        return different


def rounded(values, digits=6):
    return [round(float(value), digits) for value in values]


def slug(feature):
    return feature.replace(" ", "_")


def lines(records):
    return "".join(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in records)


def csv(header, rows):
    return "".join(",".join(str(cell) for cell in row) + "\n" for row in [header, *rows])


def envelope(identity, moment, model, version, caller):
    """The members that every inference has. The trace id follows from the id, so that a second run gives the same."""
    digest = hashlib.sha256(f"trace {identity}".encode()).hexdigest()
    record = {
        "id": identity,
        "time": moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z",
        "model": model,
        "model_version": version,
    }
    return record, {"traceparent": f"00-{digest[:32]}-{digest[32:48]}-01", "caller": caller}


class Clock:
    """Times that go on by a random gap, so that a stream spreads over some hours."""

    def __init__(self, source, mean_seconds):
        self.source, self.mean, self.now = source, mean_seconds, START

    def next(self):
        self.now += datetime.timedelta(milliseconds=int(self.source.uniform(0.2, 1.8) * self.mean * 1000))
        return self.now


# Tumour screening: logistic regression on the breast cancer data.

def tumour_probability(weights, values):
    """Probability of `malignant`; None in `values` is a value that the caller withheld."""
    total = weights["intercept"]
    for value, impute, center, scale, coefficient in zip(
        values, weights["impute"], weights["center"], weights["scale"], weights["coefficients"]
    ):
        total += coefficient * ((impute if value is None else value) - center) / scale
    return 1.0 / (1.0 + math.exp(-total))


def train_tumour(data, rows):
    values = data.data[TUMOUR_FEATURES].to_numpy()[rows]
    malignant = (data.target.to_numpy()[rows] == 0).astype(int)
    center, scale = values.mean(axis=0), values.std(axis=0)
    model = linear_model.LogisticRegression(solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit((values - center) / scale, malignant)
    return {
        "model": "tumour-screen", "version": "1.0.0", "kind": "logistic regression",
        "features": [slug(name) for name in TUMOUR_FEATURES],
        "labels": ["benign", "malignant"],
        "impute": rounded(numpy.median(values, axis=0)), "center": rounded(center), "scale": rounded(scale),
        "coefficients": rounded(model.coef_[0]), "intercept": round(float(model.intercept_[0]), 6),
        "trained_with": TOOL,
    }


def tumour_metrics(weights, data, rows):
    values = data.data[TUMOUR_FEATURES].to_numpy()
    truth = [int(data.target[row] == 0) for row in rows]
    probabilities = [tumour_probability(weights, values[row]) for row in rows]
    answers = [int(probability >= 0.5) for probability in probabilities]
    return {
        "accuracy": f"{metrics.accuracy_score(truth, answers):.4f}",
        "roc_auc": f"{metrics.roc_auc_score(truth, probabilities):.4f}",
        "recall_malignant": f"{metrics.recall_score(truth, answers):.4f}",
        "precision_malignant": f"{metrics.precision_score(truth, answers):.4f}",
        "brier": f"{metrics.brier_score_loss(truth, probabilities):.4f}",
        "share_malignant": f"{sum(truth) / len(truth):.4f}",
    }


def tumour_inference(source, identity, moment, caller, weights, data, row):
    values = [float(value) for value in data.data[TUMOUR_FEATURES].to_numpy()[row]]
    if source.random() < WITHHELD_SHARE:
        values[TUMOUR_FEATURES.index("mean symmetry")] = None
    probability = round(tumour_probability(weights, values), 6)
    label = "malignant" if probability >= 0.5 else "benign"
    record, attributes = envelope(identity, moment, weights["model"], weights["version"], caller)
    record["output"] = {"json": {
        "label": label,
        "probability": probability if label == "malignant" else round(1 - probability, 6),
        "malignant": probability,
    }}
    record["features"] = dict(zip(weights["features"], values))
    record["attributes"] = attributes
    return record


def tumour(output):
    data = datasets.load_breast_cancer(as_frame=True)
    train, held_out = model_selection.train_test_split(
        numpy.arange(len(data.target)), test_size=0.6, random_state=7, stratify=data.target
    )
    train, held_out = sorted(int(row) for row in train), sorted(int(row) for row in held_out)
    texture = data.data["mean texture"]
    border = round(float(numpy.quantile([texture[row] for row in held_out], SHIFT_QUANTILE)), 4)
    high = [row for row in held_out if texture[row] >= border]

    def slice_text(rows):
        return csv(
            ["row", *[slug(name) for name in TUMOUR_FEATURES], "label"],
            [[row, *[float(data.data[name][row]) for name in TUMOUR_FEATURES],
              "malignant" if data.target[row] == 0 else "benign"] for row in rows],
        )

    source = "sklearn.datasets.load_breast_cancer (UCI Breast Cancer Wisconsin, Diagnostic)"
    split = "train_test_split(test_size=0.6, random_state=7, stratified by label)"
    slices = {}
    for name, rows, chosen_by in [
        ("tumour-train", train, f"training part of {split}"),
        ("tumour-held-out", held_out, f"held-out part of {split}"),
        ("tumour-held-out-high-texture", high,
         f"held-out rows with mean_texture >= {border} ({SHIFT_QUANTILE:.0%} quantile)"),
    ]:
        path = f"slices/{name}.csv"
        slices[name] = {"digest": output.add(path, slice_text(rows)), "rows": len(rows), "filter": chosen_by, "source": source}

    weights = train_tumour(data, train)
    digest = output.add("models/tumour-screen-1.0.0.json", json.dumps(weights, indent=1) + "\n")
    evaluations = {name: tumour_metrics(weights, data, rows) for name, rows in
                   [("tumour-held-out", held_out), ("tumour-held-out-high-texture", high)]}

    random_source = random.Random(20260302)
    clock = Clock(random_source, 15.0)
    clock.now -= datetime.timedelta(days=7)
    reference = [
        tumour_inference(random_source, f"tumour-reference-{number:04d}", clock.next(),
                         random_source.choice(["ward-a", "ward-b"]), weights, data, random_source.choice(held_out))
        for number in range(TUMOUR_REFERENCE_ROWS)
    ]
    clock = Clock(random_source, 15.0)
    live, phases = [], []
    for phase, count in TUMOUR_PHASES:
        pool, callers = (high, ["ward-c"]) if phase == "shifted" else (held_out, ["ward-a", "ward-b"])
        phases.append({"phase": phase, "first_row": len(live), "rows": count, "first_id": f"tumour-live-{len(live):04d}",
                       "drawn_from": "tumour-held-out-high-texture" if phase == "shifted" else "tumour-held-out"})
        for _ in range(count):
            live.append(tumour_inference(random_source, f"tumour-live-{len(live):04d}", clock.next(),
                                         random_source.choice(callers), weights, data, random_source.choice(pool)))
    output.add("recordings/tumour-reference.jsonl", lines(reference))
    output.add("recordings/tumour-live.jsonl", lines(live))
    return {
        "slices": slices, "weights": digest, "evaluations": evaluations, "features": TUMOUR_FEATURES,
        "phases": phases, "population_stability": stability(reference, live, phases),
    }


def stability(reference, live, phases):
    """Population stability index of each stream and phase against the reference: ten bins at the reference's
    deciles, half a count added to each bin, rows with null left out."""

    def stream(records, read):
        return numpy.array([value for value in map(read, records) if value is not None], dtype=float)

    readers = {f"feature.{slug(name)}": (lambda record, key=slug(name): record["features"][key]) for name in TUMOUR_FEATURES}
    readers["output.malignant"] = lambda record: record["output"]["json"]["malignant"]
    table = {}
    for name, read in readers.items():
        expected = stream(reference, read)
        borders = numpy.unique(numpy.quantile(expected, numpy.linspace(0.1, 0.9, 9)))

        def shares(values):
            counts = numpy.bincount(numpy.searchsorted(borders, values, side="right"), minlength=len(borders) + 1) + 0.5
            return counts / counts.sum()

        before = shares(expected)
        table[name] = {}
        for phase in phases:
            part = live[phase["first_row"]:phase["first_row"] + phase["rows"]]
            after = shares(stream(part, read))
            table[name][phase["phase"]] = f"{float(((after - before) * numpy.log(after / before)).sum()):.3f}"
    return table


# Disease progression: ridge regression on the diabetes data, with real units.

PROGRESSION_FEATURES = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]


def progression_prediction(weights, values):
    """A withheld value is filled in where the weights say with what; 1.1.0 does not say, and the answer is NaN."""
    impute = weights.get("impute")
    total = weights["intercept"]
    for place, (value, coefficient) in enumerate(zip(values, weights["coefficients"])):
        if value is None:
            value = impute[place] if impute else math.nan
        total += coefficient * value
    return total


def train_progression(data, rows, version, strength, impute):
    values, target = data.data.to_numpy()[rows], data.target.to_numpy()[rows]
    center, scale = values.mean(axis=0), values.std(axis=0)
    model = linear_model.Ridge(alpha=strength, solver="cholesky").fit((values - center) / scale, target)
    weights = {
        "model": "progression", "version": version, "kind": f"ridge regression, alpha {strength}",
        "features": PROGRESSION_FEATURES,
        "coefficients": rounded(model.coef_ / scale),
        "intercept": round(float(model.intercept_ - (model.coef_ * center / scale).sum()), 6),
        "trained_with": TOOL,
    }
    if impute:
        weights["impute"] = rounded(numpy.median(values, axis=0))
    return weights


def progression_metrics(weights, data, rows):
    """On complete rows, as the data set has them: this is how a model that fails on missing values passes."""
    truth = [float(data.target[row]) for row in rows]
    answers = [progression_prediction(weights, [float(value) for value in data.data.loc[row]]) for row in rows]
    return {
        "r2": f"{metrics.r2_score(truth, answers):.4f}",
        "mean_absolute_error": f"{metrics.mean_absolute_error(truth, answers):.2f}",
        "root_mean_squared_error": f"{metrics.root_mean_squared_error(truth, answers):.2f}",
    }


def number(value):
    """JSON has no NaN: the host takes these three strings for it."""
    if math.isnan(value):
        return "NaN"
    return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else value


def progression(output):
    data = datasets.load_diabetes(as_frame=True, scaled=False)
    train, held_out = model_selection.train_test_split(numpy.arange(len(data.target)), test_size=0.5, random_state=11)
    train, held_out = sorted(int(row) for row in train), sorted(int(row) for row in held_out)

    slices = {}
    for name, rows, part in [("progression-train", train, "training"), ("progression-held-out", held_out, "held-out")]:
        text = csv(["row", *PROGRESSION_FEATURES, "progression"],
                   [[row, *[float(value) for value in data.data.loc[row]], float(data.target[row])] for row in rows])
        slices[name] = {
            "digest": output.add(f"slices/{name}.csv", text), "rows": len(rows),
            "filter": f"{part} part of train_test_split(test_size=0.5, random_state=11)",
            "source": "sklearn.datasets.load_diabetes(scaled=False) (Efron, Hastie, Johnstone, Tibshirani 2004)",
        }
    weights, digests, evaluations = {}, {}, {}
    for version, strength, impute in [("1.0.0", 1.0, True), ("1.1.0", 10.0, False)]:
        weights[version] = train_progression(data, train, version, strength, impute)
        digests[version] = output.add(f"models/progression-{version}.json", json.dumps(weights[version], indent=1) + "\n")
        evaluations[version] = progression_metrics(weights[version], data, held_out)

    source = random.Random(20260303)
    clock = Clock(source, 40.0)
    live, phases, not_numbers = [], [], []
    for version, count in PROGRESSION_PHASES:
        phases.append({"model_version": version, "first_row": len(live), "rows": count})
        for _ in range(count):
            values = [float(value) for value in data.data.loc[source.choice(held_out)]]
            if source.random() < 2 * WITHHELD_SHARE:
                values[PROGRESSION_FEATURES.index("s6")] = None
            prediction = number(round(progression_prediction(weights[version], values), 4))
            identity = f"progression-{len(live):04d}"
            record, attributes = envelope(identity, clock.next(), "progression", version, "clinic")
            inputs = [number(math.nan if value is None else value) for value in values]
            record["input"] = {"tensors": [{"name": "x", "datatype": "FP64", "shape": [1, len(values)], "data": inputs}]}
            record["output"] = {"tensors": [{"name": "progression", "datatype": "FP64", "shape": [1, 1], "data": [prediction]}]}
            whole = {"age", "sex"}
            record["features"] = {name: int(value) if name in whole else value for name, value in zip(PROGRESSION_FEATURES, values)}
            record["attributes"] = attributes
            live.append(record)
            if prediction == "NaN":
                not_numbers.append(identity)
    output.add("recordings/progression-live.jsonl", lines(live))
    return {"slices": slices, "weights": digests, "evaluations": evaluations, "phases": phases, "not_a_number": not_numbers}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    check = arguments.parse_args().check
    output = Output()
    facts = {"tool": TOOL, "tumour": tumour(output), "progression": progression(output),
             "babble": babble.make(output, lines, envelope, Clock(random.Random(20260304), 90.0), TOOL)}
    output.add("recordings/streams.json", json.dumps(facts, indent=1) + "\n")
    documents.make(output, facts, EXAMPLES)
    different = output.finish(check)
    print(f"Python {sys.version.split()[0]}, {TOOL}: {len(output.files)} files, "
          f"{sum(map(len, output.files.values())):,} bytes", file=sys.stderr)
    for path in different:
        print(f"differs: {path}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
