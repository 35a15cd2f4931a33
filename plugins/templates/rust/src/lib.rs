//! The guard {{name}}: looks for words in what a model wrote, and flags, redacts or blocks it.
//!
//! Upper and lower case of ASCII letters are the same; all other characters must match exactly. A word is found inside
//! a longer one too.

use picket_sdk::prelude::*;

/// For tools and for the operator; what is really accepted is what `configure` accepts.
const SCHEMA: &str = r#"{"type":"object","required":["words","action"],"additionalProperties":false,"properties":{
"words":{"type":"array","minItems":1,"items":{"type":"string","minLength":1}},
"action":{"enum":["flag","redact","block"]}}}"#;

/// What an operator may set. A misspelt key is a mistake, and so is a missing one.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    words: Vec<String>,
    action: Action,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Flag,
    Redact,
    Block,
}

/// The guard as configured: `configure` makes it once, and every check starts from a fresh copy of it.
pub struct Words {
    words: Vec<String>,
    action: Action,
}

impl Guard for Words {
    fn describe() -> Descriptor {
        Descriptor {
            name: "{{name}}".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Looks for words in what a model wrote".to_owned(),
            settings_schema: SCHEMA.to_owned(),
            needs: Parts::OUTPUT,
            rules: vec![Rule::held("word", "One of the words of the settings")],
        }
    }

    fn configure(settings: &str) -> Result<Self, Vec<Problem>> {
        let Settings { words, action } = settings::parse(settings)?;
        let mut problems = Vec::new();
        if words.is_empty() {
            problems.push(Problem::new("/words", "name at least one word"));
        }
        for (index, word) in words.iter().enumerate() {
            if word.is_empty() {
                problems.push(Problem::new(format!("/words/{index}"), "a word has at least one character"));
            }
        }
        if problems.is_empty() { Ok(Self { words, action }) } else { Err(problems) }
    }

    fn check(&self, inference: &Inference) -> Result<Verdict, String> {
        let mut verdict = Verdict::allow();
        let mut matches = 0;
        match &inference.output {
            None => {}
            Some(Content::Text(text)) => matches += self.search("", text, &mut verdict),
            Some(Content::Messages(messages)) => {
                for (index, message) in messages.iter().enumerate() {
                    matches += self.search(&format!("/{index}"), &message.content, &mut verdict);
                }
            }
            // What it cannot read it does not wave through: the operator's `on_failure` decides.
            Some(Content::Json(_) | Content::Tensors(_)) => return Err("it reads texts and messages only".to_owned()),
        }
        verdict.measure("matches", Scalar::Integer(matches));
        Ok(verdict)
    }
}

impl Words {
    /// Adds to the verdict what is found in one text, and says how much that is. Of words that begin at the same place
    /// the first in the list counts; words that overlap an earlier one do not.
    fn search(&self, path: &str, text: &str, verdict: &mut Verdict) -> i64 {
        let view = TextView::new(Part::Output, path, text);
        let mut matches = 0;
        let mut at = 0;
        while at < text.len() {
            let Some(index) = self.words.iter().position(|word| begins_with(&text.as_bytes()[at..], word)) else {
                at += 1;
                continue;
            };
            // UTF-8 that matches UTF-8 begins and ends on character borders, so the span needs no mending.
            let location = view.location(at..at + self.words[index].len());
            at += self.words[index].len();
            matches += 1;
            // A finding does not repeat what it found; the place in the list says enough.
            let message = format!("word {} of the list", index + 1);
            let finding = Finding::new("word", Severity::Medium, message).at(location.clone());
            match self.action {
                Action::Flag => verdict.flag(finding),
                Action::Redact => verdict.redact(finding, Edit { location, replacement: "[removed]".to_owned() }),
                Action::Block => verdict.block(finding),
            }
        }
        matches
    }
}

fn begins_with(text: &[u8], word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
}

picket_sdk::export_guard!(Words);

#[cfg(test)]
mod tests {
    use super::*;

    /// Natively a guard is plain Rust, so a debugger and a profiler work as ever.
    #[test]
    fn spans_count_bytes() {
        let guard = Words::configure(r#"{"words": ["tail"], "action": "flag"}"#).ok().expect("good settings");
        let verdict = guard.check(&Inference::of_text("ein Détail")).expect("a verdict");
        assert_eq!(verdict.decision, Decision::Flag);
        let location = verdict.findings[0].location.as_ref().expect("a place");
        assert_eq!(location.span, Some(Span { start: 7, end: 11 }));
    }

    #[test]
    fn an_empty_word_is_a_mistake() {
        let problems = Words::configure(r#"{"words": ["a", ""], "action": "flag"}"#).err().expect("a problem");
        assert_eq!(problems[0].pointer, "/words/1");
    }
}
