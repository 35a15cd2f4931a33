"""The record documents that go with the recordings, in the order in which they are recorded.

Each is the file that `picket record <kind> --file <file>` takes; records/order.txt lists kind and file.
"""

import hashlib
import json

APPROVER = {"approver": "r.ahmadi@hospital.example", "role": "model risk"}
UNITS = {
    "tumour": [
        ("mean_radius", "mean distance from centre to perimeter of the cell nuclei in the image", "image units"),
        ("mean_texture", "mean over the nuclei of the standard deviation of grey values", "grey levels"),
        ("mean_smoothness", "mean local variation of radius lengths", "1"),
        ("mean_concavity", "mean severity of concave parts of the contour", "1"),
        ("mean_symmetry", "mean symmetry of the nuclei; null when not measured", "1"),
        ("mean_fractal_dimension", "mean coastline approximation - 1", "1"),
        ("radius_error", "standard error of the radius", "image units"),
        ("worst_concave_points", "mean of the three largest counts of concave parts, relative", "1"),
    ],
    "progression": [
        ("age", "age of the patient", "years"),
        ("sex", "1 or 2, as the data set codes it", "1"),
        ("bmi", "body mass index", "kg/m2"),
        ("bp", "average blood pressure", "mm Hg"),
        ("s1", "total serum cholesterol", "mg/dL"),
        ("s2", "low-density lipoproteins", "mg/dL"),
        ("s3", "high-density lipoproteins", "mg/dL"),
        ("s4", "total cholesterol / HDL", "1"),
        ("s5", "possibly the natural logarithm of serum triglycerides", "ln(mg/dL)"),
        ("s6", "blood sugar; null when not measured", "mg/dL"),
    ],
}


class Records:
    """Numbers the documents in the order of their making and keeps their digests by file name."""

    def __init__(self, output):
        self.output, self.order, self.digests = output, [], {}

    def add(self, kind, name, document):
        path = f"{len(self.order) + 1:02d}-{kind}-{name}.json"
        self.digests[name] = self.output.add(f"records/{path}", json.dumps(document, indent=2) + "\n")
        self.order.append(f"{kind} {path}\n")

    def approve(self, name, subject, decision, reason, time, **who):
        self.add("approval", name, {"subject": subject, **APPROVER, **who, "decision": decision, "reason": reason, "time": time})

    def slices(self, slices):
        for name, facts in slices.items():
            self.add("dataset-slice", name, {"name": name, "version": "1.0.0", **facts})

    def evaluation(self, model, version, weights, slice_name, slices, metrics, tool):
        self.add("evaluation", f"{model}-{version}-on-{slice_name}", {
            "model": model, "version": version, "weights": weights, "slice": slices[slice_name]["digest"],
            "metrics": metrics, "tool": tool,
        })

    def features(self, name, version, rows, change):
        self.add("feature-definition", f"{name}-features-{version}", {
            "name": f"{name}-features", "version": version, "change": change,
            "features": [{"name": row[0], "type": "number", "definition": row[1], "unit": row[2]} for row in rows],
        })


def folder_digest(folder):
    """SHA-256 of the lines `<SHA-256 of the file> <two spaces> <path below the folder>`, sorted by path."""
    files = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    listing = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n" for name, path in files)
    return "sha256:" + hashlib.sha256(listing.encode()).hexdigest()


def make(output, facts, examples):
    records, tool = Records(output), facts["tool"]
    tumour(records, facts["tumour"], tool)
    progression(records, facts["progression"], tool)
    babble(records, facts["babble"], examples)
    output.add("records/order.txt", "".join(records.order))


def tumour(records, facts, tool):
    weights, slices = facts["weights"], facts["slices"]
    records.slices(slices)
    records.features("tumour", "1.0.0", UNITS["tumour"], "add")
    records.add("model-version", "tumour-screen-1.0.0", {
        "model": "tumour-screen", "version": "1.0.0", "weights": weights,
        "trained_on": [slices["tumour-train"]["digest"]],
        "notes": "Logistic regression on eight measurements; fills in the training median for a withheld one.",
    })
    for name, metrics in facts["evaluations"].items():
        records.evaluation("tumour-screen", "1.0.0", weights, name, slices, metrics, tool)
    recall = facts["evaluations"]["tumour-held-out"]["recall_malignant"]
    records.approve("tumour-screen-1.0.0", weights, "approve",
                    f"Recall of malignant {recall} on rows it was not trained on; a second reading follows every answer.",
                    "2026-02-20T14:05:00Z")


def progression(records, facts, tool):
    weights, slices = facts["weights"], facts["slices"]
    records.slices(slices)
    records.features("progression", "1.0.0", UNITS["progression"], "add")
    for version, notes in [
        ("1.0.0", "Ridge regression, alpha 1; fills in the training median for a withheld value."),
        ("1.1.0", "Ridge regression, alpha 10. The step that filled in withheld values was left out of the export."),
    ]:
        records.add("model-version", f"progression-{version}", {
            "model": "progression", "version": version, "weights": weights[version],
            "trained_on": [slices["progression-train"]["digest"]], "notes": notes,
        })
        records.evaluation("progression", version, weights[version], "progression-held-out", slices,
                           facts["evaluations"][version], tool)
    records.approve("progression-1.0.0", weights["1.0.0"], "approve", "First version; error as in the literature.",
                    "2026-02-20T14:20:00Z")
    records.approve("progression-1.1.0", weights["1.1.0"], "approve",
                    "Error on complete rows as before; simpler export.", "2026-03-01T10:00:00Z")
    glucose = [row if row[0] != "s6" else ("s6", row[1], "mmol/L") for row in UNITS["progression"]]
    records.features("progression", "1.1.0", glucose, "change")
    records.approve("progression-features-1.1.0", records.digests["progression-features-1.1.0"], "reject",
                    "The weights in force expect mg/dL; change the unit together with a retrained model.",
                    "2026-03-02T08:10:00Z", approver="l.novak@hospital.example", role="clinical data")
    records.features("progression", "1.2.0", UNITS["progression"], "rollback")
    records.approve("progression-features-1.2.0", records.digests["progression-features-1.2.0"], "rollback",
                    "Back to mg/dL.", "2026-03-02T08:30:00Z", approver="l.novak@hospital.example", role="clinical data")
    records.approve("progression-1.1.0-withdrawn", weights["1.1.0"], "rollback",
                    f"Answers NaN where s6 is null: {len(facts['not_a_number'])} of "
                    f"{facts['phases'][1]['rows']} answers. Back to 1.0.0.", "2026-03-02T14:24:00Z")


def babble(records, facts, examples):
    records.slices(facts["slices"])
    for version, change, notes in [
        ("1.0.0", "add", "Greedy bigrams; loops by nature."),
        ("1.1.0", "change", "Greedy trigrams; loops later."),
    ]:
        records.add("model-version", f"babble-{version}", {
            "model": "babble", "version": version, "weights": facts["weights"][version],
            "trained_on": [facts["slices"]["babble-corpus"]["digest"]], "notes": notes,
        })
        digest = folder_digest(examples / "prompts" / version)
        records.add("prompt-library", f"prompts-{version}", {
            "name": "prompts", "version": version, "digest": digest, "weights": facts["weights"][version], "change": change,
        })
        records.approve(f"prompts-{version}", digest, "approve", f"Read together with babble {version}.",
                        "2026-02-21T09:00:00Z" if version == "1.0.0" else "2026-03-01T09:30:00Z",
                        approver="m.okafor@bookshop.example", role="prompt owner")
