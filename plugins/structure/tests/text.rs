//! Texts: empty, damaged, degenerate; and what must not be mistaken for that.

mod common;

use common::{check, check_text, only, rules, span};
use picket_sdk::{Content, Decision, Message, Scalar, Verdict};

fn loop_fraction(verdict: &Verdict) -> f64 {
    match verdict.measurements.iter().find(|measurement| measurement.name == "loop_fraction").map(|m| &m.value) {
        Some(Scalar::Number(fraction)) => *fraction,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ordinary_texts_pass() {
    let texts = [
        "The committee approved the loan of 12,500 EUR on 3 March. The borrower repays it in 24 instalments.",
        "ha ha ha ha ha ha",
        "| name | amount |\n| --- | --- |\n| a | 1 |\n| b | 2 |\n| c | 3 |\n| d | 4 |\n",
        "# Title\n\n==========================================================================\n\ntext and more of it",
        "1. buy milk\n2. buy eggs\n3. buy bread\n4. buy salt\n5. buy rice\n6. buy tea\n",
        "日本語のテキストです。これは普通の文章で、繰り返しはありません。",
        "Sí, sí, sí, sí, sí, sí, sí.",
    ];
    for text in texts {
        assert_eq!(check_text("{}", text).decision, Decision::Allow, "{text}");
    }
}

#[test]
fn emptiness_is_found() {
    for text in ["", " \n\t\u{a0}"] {
        assert_eq!(only(&check_text("{}", text)).rule, "text-empty");
        assert_eq!(check_text(r#"{"allow_empty": true}"#, text).decision, Decision::Allow);
    }
    assert_eq!(only(&check("{}", None)).rule, "text-empty");
    assert_eq!(check(r#"{"allow_empty": true}"#, None).decision, Decision::Allow);
    let message = |content: &str| Message { role: "assistant".into(), name: None, content: content.into() };
    let calls_a_tool = Content::Messages(vec![message(""), message("done")]);
    assert_eq!(check("{}", Some(calls_a_tool)).decision, Decision::Allow);
    assert_eq!(rules(&check("{}", Some(Content::Messages(vec![message("")])))), ["text-empty"]);
}

#[test]
fn replacement_characters_are_counted() {
    let text = "a \u{fffd}b\u{fffd}\u{fffd}";
    let verdict = check_text("{}", text);
    assert_eq!((only(&verdict).rule.as_str(), span(only(&verdict))), ("text-replacement", Some((2, 5))));
    assert!(only(&verdict).message.starts_with("3 "), "{}", only(&verdict).message);
    assert_eq!(rules(&check_text(r#"{"replacement_characters": 2}"#, text)), ["text-replacement"]);
    assert_eq!(check_text(r#"{"replacement_characters": 3}"#, text).decision, Decision::Allow);
    assert_eq!(check_text(r#"{"replacement_characters": null}"#, text).decision, Decision::Allow);
}

#[test]
fn floods_of_one_character_are_found() {
    let text = format!("The answer is {}", "!".repeat(41));
    let verdict = check_text("{}", &text);
    assert_eq!((only(&verdict).rule.as_str(), span(only(&verdict))), ("text-repetition", Some((14, 55))));
    assert_eq!(check_text("{}", &text[..54]).decision, Decision::Allow);
    assert_eq!(rules(&check_text("{}", &"！".repeat(300))), ["text-repetition"]);
    assert_eq!(rules(&check_text("{}", &"G".repeat(5000))), ["text-repetition"]);
    // The limit is the operator's.
    assert_eq!(check_text(r#"{"repetition": {"max_run": 300}}"#, &"！".repeat(300)).decision, Decision::Allow);
    assert_eq!(rules(&check_text(r#"{"repetition": {"max_run": 3}}"#, "abbbbc")), ["text-repetition"]);
    assert_eq!(check_text(r#"{"repetition": null}"#, &"!".repeat(5000)).decision, Decision::Allow);
}

#[test]
fn rulers_and_padding_may_be_longer() {
    for ruler in ["-", "=", " ", "\n", "_", "*", "#", ".", "~"] {
        let text = |count: usize| format!("a{}b", ruler.repeat(count));
        assert_eq!(check_text("{}", &text(320)).decision, Decision::Allow, "{ruler:?}");
        assert_eq!(rules(&check_text("{}", &text(321))), ["text-repetition"], "{ruler:?}");
    }
}

#[test]
fn loops_of_any_period_are_found_with_their_span() {
    let sentences = [
        "ab",
        "no. ",
        "I am sorry, I cannot do that. ",
        "ha ha ha no. ",
        "日本語です。",
        "The quick brown fox jumps over the lazy dog while the cat watches it from the old wall, and then, after a \
         while, when nobody expects it any more, the dog gets up, stretches, and goes home to sleep. ",
    ];
    for sentence in sentences {
        let head = "Summary of the meeting: ";
        let repeated = sentence.repeat(30);
        let text = format!("{head}{repeated}END");
        let verdict = check_text("{}", &text);
        let finding = only(&verdict);
        assert_eq!(finding.rule, "text-loop", "{sentence}");
        let (start, end) = span(finding).unwrap_or_default();
        // A loop may be entered a little late, and the head may share its last bytes with it.
        assert!(start <= head.len() + sentence.len() && start + 8 >= head.len(), "{sentence}: {start}");
        assert!(end.abs_diff(head.len() + repeated.len()) <= 3, "{sentence}: {end}");
        assert!(finding.message.starts_with(&format!("{} bytes", sentence.len())), "{}", finding.message);
        assert!(loop_fraction(&verdict) > 0.5);
    }
}

#[test]
fn each_limit_of_a_loop_counts() {
    let text = |head: usize, repeats: usize| {
        // A head without repeats.
        let head: String = (0..head).map(|number| format!("{number} ")).collect();
        head + &"twelve byte ".repeat(repeats)
    };
    let settings = |limits: &str| format!(r#"{{"repetition": {{"loop": {{{limits}}}}}}}"#);
    assert_eq!(rules(&check_text(&settings(""), &text(0, 5))), ["text-loop"]);
    assert_eq!(check_text(&settings(""), &text(0, 4)).decision, Decision::Allow);
    assert_eq!(rules(&check_text(&settings(r#""min_repeats": 4"#), &text(0, 4))), ["text-loop"]);
    assert_eq!(check_text(&settings(""), &text(300, 5)).decision, Decision::Allow);
    assert_eq!(rules(&check_text(&settings(r#""min_fraction": 0.01"#), &text(300, 5))), ["text-loop"]);
    assert_eq!(check_text(&settings(r#""max_period": 11"#), &text(0, 50)).decision, Decision::Allow);
    assert_eq!(rules(&check_text(&settings(r#""max_period": 12"#), &text(0, 50))), ["text-loop"]);
    assert_eq!(check_text(r#"{"repetition": {"loop": null}}"#, &text(0, 50)).decision, Decision::Allow);
}

#[test]
fn a_megabyte_is_judged() {
    // Pseudo-random words: nothing to find, and every table is filled.
    let mut state = 1_u32;
    let mut text = String::new();
    while text.len() < 1 << 20 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!("{:x} ", state >> 8));
    }
    assert_eq!(check_text("{}", &text).decision, Decision::Allow);
    let half = text.len() / 2;
    let looping = text[..half].to_owned() + &"and so on and so forth, ".repeat(half / 24);
    let verdict = check_text("{}", &looping);
    assert_eq!(only(&verdict).rule, "text-loop");
    assert_eq!(rules(&check_text("{}", &"x".repeat(1 << 20))), ["text-repetition"]);
    assert_eq!(rules(&check_text("{}", &"ab".repeat(1 << 19))), ["text-loop"]);
}

#[test]
fn actions_decide() {
    let text = format!("\u{fffd} {}", "!".repeat(60));
    let decide = |settings: &str| check_text(settings, &text).decision;
    assert_eq!(decide("{}"), Decision::Block);
    assert_eq!(decide(r#"{"action": "flag"}"#), Decision::Flag);
    assert_eq!(decide(r#"{"actions": {"text": "flag"}}"#), Decision::Flag);
    assert_eq!(decide(r#"{"actions": {"json": "flag"}}"#), Decision::Block);
    assert_eq!(decide(r#"{"actions": {"text": "flag", "text-replacement": "block"}}"#), Decision::Block);
    assert_eq!(decide(r#"{"action": "flag", "actions": {"text-loop": "block"}}"#), Decision::Flag);
}
