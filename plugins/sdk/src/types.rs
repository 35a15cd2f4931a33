//! The contract's types under their own names, and the constructors that guards use most.

pub use crate::bindings::exports::picket::guard::detection::{
    Alarm, AlarmState, Bar, Batch, Categories, Column, ColumnValues, StreamStatus,
};
pub use crate::bindings::exports::picket::guard::types::{
    Attribute, Content, Datatype, Decision, Descriptor, Document, Edit, Finding, Guarantee, Inference, Location,
    Message, NamedValue, Part, Parts, Problem, Rule, Scalar, Severity, Span, Tensor, Verdict,
};

impl Rule {
    /// A rule that needs the whole output before anything is released.
    pub fn held(id: &str, summary: &str) -> Self {
        Self { id: id.to_owned(), summary: summary.to_owned(), guarantee: Guarantee::Held }
    }

    /// A rule that looks at a window of the output.
    pub fn windowed(id: &str, summary: &str) -> Self {
        Self { id: id.to_owned(), summary: summary.to_owned(), guarantee: Guarantee::Windowed }
    }

    /// A rule that sees the end only.
    pub fn after_the_fact(id: &str, summary: &str) -> Self {
        Self { id: id.to_owned(), summary: summary.to_owned(), guarantee: Guarantee::AfterTheFact }
    }
}

impl Problem {
    /// A mistake in the settings, at a JSON Pointer into them.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

impl Finding {
    /// A finding without location and score.
    pub fn new(rule: &str, severity: Severity, message: impl Into<String>) -> Self {
        Self { rule: rule.to_owned(), severity, message: message.into(), location: None, score: None }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// Says how sure the rule is, 0 to 1, or gives the rule's own statistic.
    #[must_use]
    pub fn with_score(mut self, score: f64) -> Self {
        self.score = Some(score);
        self
    }
}

impl Location {
    /// The whole of a part.
    pub fn of_part(part: Part) -> Self {
        Self { part, path: String::new(), span: None }
    }

    /// What a JSON Pointer inside the part points at.
    pub fn of_path(part: Part, path: impl Into<String>) -> Self {
        Self { part, path: path.into(), span: None }
    }
}

impl NamedValue {
    /// A measurement, or a feature.
    pub fn new(name: &str, value: Scalar) -> Self {
        Self { name: name.to_owned(), value }
    }
}

impl Verdict {
    /// Nothing to say.
    pub fn allow() -> Self {
        Self { decision: Decision::Allow, findings: Vec::new(), measurements: Vec::new() }
    }

    /// Adds a finding, and flags unless the decision is graver already.
    pub fn flag(&mut self, finding: Finding) {
        self.findings.push(finding);
        if self.decision == Decision::Allow {
            self.decision = Decision::Flag;
        }
    }

    /// Adds a finding that an edit of the output mends. Edits must not overlap.
    pub fn redact(&mut self, finding: Finding, edit: Edit) {
        self.findings.push(finding);
        match &mut self.decision {
            Decision::Allow | Decision::Flag => self.decision = Decision::Redact(vec![edit]),
            Decision::Redact(edits) => edits.push(edit),
            Decision::Block => {}
        }
    }

    /// Adds a finding, and blocks.
    pub fn block(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.decision = Decision::Block;
    }

    /// Adds something measured on the way.
    pub fn measure(&mut self, name: &str, value: Scalar) {
        self.measurements.push(NamedValue::new(name, value));
    }
}

impl Inference {
    /// An inference with this output and nothing else; for tests and benches.
    pub fn of_output(output: Option<Content>) -> Self {
        Self {
            id: "test".to_owned(),
            time: None,
            model: "test".to_owned(),
            model_version: None,
            prompt_version: None,
            input: None,
            context: Vec::new(),
            output,
            features: Vec::new(),
            attributes: Vec::new(),
            measurements: Vec::new(),
        }
    }

    /// An inference whose output is this text.
    pub fn of_text(output: &str) -> Self {
        Self::of_output(Some(Content::Text(output.to_owned())))
    }

    /// An inference whose output is this JSON document.
    pub fn of_json(output: &str) -> Self {
        Self::of_output(Some(Content::Json(output.to_owned())))
    }

    /// An inference whose output is these tensors.
    pub fn of_tensors(output: Vec<Tensor>) -> Self {
        Self::of_output(Some(Content::Tensors(output)))
    }
}
