//! A verdict as bytes: what the ledger hashes and what an auditor compares after a replay.

use crate::types::{Decision, Edit, Finding, Location, NamedValue, Part, Scalar, Severity, Verdict};

/// The canonical bytes of `verdict`. Equal verdicts have equal bytes, on every machine; different ones differ.
///
/// Layout, in this order; integers are big-endian, `text` is a u32 length and UTF-8, `list` is a u32 count and its
/// members, `optional` is a byte 0, or a byte 1 and the value; numbers are the 64 bits of IEEE 754 binary64, so that
/// −0 and 0 differ and a NaN is kept with its payload:
///
/// | part | form |
/// |---|---|
/// | magic | the 18 bytes `picket verdict v1\0` |
/// | decision | u8: 0 allow, 1 flag, 2 redact, 3 block; after 2 a list of edits |
/// | findings | list of finding |
/// | measurements | list of: name text, value |
/// | edit | location, replacement text |
/// | finding | rule text, severity u8 (0 info to 4 critical), message text, optional location, optional score |
/// | location | part u8 (0 input, 1 context, 2 output, 3 features, 4 attributes), path text, optional: start u32, end u32 |
/// | value | u8: 0 null, 1 boolean (u8), 2 integer (i64), 3 number (u64 bits), 4 text |
pub fn verdict_bytes(verdict: &Verdict) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(256));
    out.0.extend_from_slice(b"picket verdict v1\0");
    match &verdict.decision {
        Decision::Allow => out.byte(0),
        Decision::Flag => out.byte(1),
        Decision::Redact(edits) => {
            out.byte(2);
            out.list(edits, Writer::edit);
        }
        Decision::Block => out.byte(3),
    }
    out.list(&verdict.findings, Writer::finding);
    out.list(&verdict.measurements, Writer::measurement);
    out.0
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn length(&mut self, length: usize) {
        // The engine bounds answers far below 4 GiB, and a guard's memory cannot hold more; for a verdict that was made
        // otherwise the longest length that can be said keeps this total.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, number: f64) {
        self.0.extend_from_slice(&number.to_bits().to_be_bytes());
    }

    fn list<T>(&mut self, list: &[T], member: impl Fn(&mut Self, &T)) {
        self.length(list.len());
        for item in list {
            member(self, item);
        }
    }

    fn optional<T>(&mut self, value: Option<T>, present: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                present(self, value);
            }
        }
    }

    fn location(&mut self, location: &Location) {
        self.byte(match location.part {
            Part::Input => 0,
            Part::Context => 1,
            Part::Output => 2,
            Part::Features => 3,
            Part::Attributes => 4,
        });
        self.text(&location.path);
        self.optional(location.span, |out, span| {
            out.0.extend_from_slice(&span.start.to_be_bytes());
            out.0.extend_from_slice(&span.end.to_be_bytes());
        });
    }

    fn edit(&mut self, edit: &Edit) {
        self.location(&edit.location);
        self.text(&edit.replacement);
    }

    fn finding(&mut self, finding: &Finding) {
        self.text(&finding.rule);
        self.byte(match finding.severity {
            Severity::Info => 0,
            Severity::Low => 1,
            Severity::Medium => 2,
            Severity::High => 3,
            Severity::Critical => 4,
        });
        self.text(&finding.message);
        self.optional(finding.location.as_ref(), Self::location);
        self.optional(finding.score, Self::number);
    }

    fn measurement(&mut self, measurement: &NamedValue) {
        self.text(&measurement.name);
        match &measurement.value {
            Scalar::Null => self.byte(0),
            Scalar::Boolean(value) => {
                self.byte(1);
                self.byte(u8::from(*value));
            }
            Scalar::Integer(value) => {
                self.byte(2);
                self.0.extend_from_slice(&value.to_be_bytes());
            }
            Scalar::Number(value) => {
                self.byte(3);
                self.number(*value);
            }
            Scalar::Text(value) => {
                self.byte(4);
                self.text(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Span;

    fn full() -> Verdict {
        let location = Location { part: Part::Output, path: "/a".into(), span: Some(Span { start: 1, end: 2 }) };
        Verdict {
            decision: Decision::Redact(vec![Edit { location: location.clone(), replacement: "x".into() }]),
            findings: vec![Finding {
                rule: "r".into(),
                severity: Severity::High,
                message: "m".into(),
                location: Some(location),
                score: Some(0.5),
            }],
            measurements: vec![NamedValue { name: "n".into(), value: Scalar::Integer(-1) }],
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let mut expected = b"picket verdict v1\0".to_vec();
        let location = [&[2][..], &[0, 0, 0, 2], b"/a", &[1, 0, 0, 0, 1, 0, 0, 0, 2]].concat();
        expected.extend([2, 0, 0, 0, 1]);
        expected.extend(&location);
        expected.extend([0, 0, 0, 1, b'x']);
        expected.extend([0, 0, 0, 1, 0, 0, 0, 1, b'r', 3, 0, 0, 0, 1, b'm', 1]);
        expected.extend(&location);
        expected.extend([1, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0, 0, 0, 1, 0, 0, 0, 1, b'n', 2, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(verdict_bytes(&full()), expected);
    }

    #[test]
    fn every_difference_shows() {
        let bytes = verdict_bytes(&full());
        let changes: [fn(&mut Verdict); 9] = [
            |verdict| verdict.decision = Decision::Block,
            |verdict| verdict.findings[0].rule = "s".into(),
            |verdict| verdict.findings[0].severity = Severity::Low,
            |verdict| verdict.findings[0].score = None,
            |verdict| verdict.findings[0].location = None,
            |verdict| verdict.findings.clear(),
            |verdict| verdict.measurements[0].value = Scalar::Number(-1.0),
            |verdict| verdict.measurements[0].value = Scalar::Boolean(true),
            |verdict| verdict.measurements.clear(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut verdict = full();
            change(&mut verdict);
            assert_ne!(verdict_bytes(&verdict), bytes, "change {index}");
        }
    }
}
