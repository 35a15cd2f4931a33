//! What the tests of the guard share.
#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "tests")]

use picket_guard_structure::Structure;
use picket_sdk::{Content, Decision, Finding, Guard, Inference, Span, Tensor, Verdict};

/// Checks an output under these settings.
pub(crate) fn check(settings: &str, output: Option<Content>) -> Verdict {
    let guard = Structure::configure(settings).unwrap_or_else(|problems| panic!("{settings}: {problems:?}"));
    let verdict = guard.check(&Inference::of_output(output.clone())).unwrap();
    assert_contract(&verdict, output.as_ref());
    verdict
}

pub(crate) fn check_json(settings: &str, document: &str) -> Verdict {
    check(settings, Some(Content::Json(document.to_owned())))
}

pub(crate) fn check_text(settings: &str, text: &str) -> Verdict {
    check(settings, Some(Content::Text(text.to_owned())))
}

pub(crate) fn check_tensors(settings: &str, tensors: Vec<Tensor>) -> Verdict {
    check(settings, Some(Content::Tensors(tensors)))
}

/// The findings' rules, in order.
pub(crate) fn rules(verdict: &Verdict) -> Vec<&str> {
    verdict.findings.iter().map(|finding| finding.rule.as_str()).collect()
}

/// The one finding there is.
pub(crate) fn only(verdict: &Verdict) -> &Finding {
    assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
    &verdict.findings[0]
}

pub(crate) fn path(finding: &Finding) -> &str {
    &finding.location.as_ref().unwrap().path
}

pub(crate) fn span(finding: &Finding) -> Option<(usize, usize)> {
    let Span { start, end } = finding.location.as_ref().unwrap().span?;
    Some((usize::try_from(start).unwrap(), usize::try_from(end).unwrap()))
}

/// What every verdict owes its host, whatever the case tests.
fn assert_contract(verdict: &Verdict, output: Option<&Content>) {
    let declared = Structure::describe().rules;
    assert_eq!(verdict.decision == Decision::Allow, verdict.findings.is_empty());
    for finding in &verdict.findings {
        assert!(declared.iter().any(|rule| rule.id == finding.rule), "{} is not declared", finding.rule);
        assert!(!finding.message.is_empty() && finding.message.len() <= 1024);
        let (Some(Content::Text(text)), Some((start, end))) = (output, span(finding)) else { continue };
        assert!(start <= end && text.is_char_boundary(start) && text.is_char_boundary(end), "{finding:?}");
    }
}
