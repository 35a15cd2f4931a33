//! A candidate in shadow beside a guard, and where the two disagree, through the real program.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use support::{Place, hostile, inference, inferences};

/// A `[[guard]]` with a candidate.
fn tried(name: &str, attack: &str, candidate: &str) -> String {
    hostile(name, attack, &format!("settings = {{ attack = \"{attack}\" }}\n{candidate}"))
}

/// The results of one verdict: name, mode and decision, or `failure`.
fn results(verdict: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let result = |guard: &Value| {
        let decision = &guard["outcome"]["verdict"]["decision"];
        (text(&guard["name"]), text(&guard["mode"]), decision.as_str().unwrap_or("failure").to_owned())
    };
    verdict["guards"].as_array().unwrap().iter().map(result).collect()
}

fn result(name: &str, mode: &str, decision: &str) -> (String, String, String) {
    (name.to_owned(), mode.to_owned(), decision.to_owned())
}

#[test]
fn a_candidate_is_recorded_after_all_guards_and_decides_nothing() {
    let candidate = "candidate = { settings = { attack = \"block\" }, share = 1.0 }";
    let place = Place::new("", &(tried("tried", "flag", candidate) + &hostile("last", "redact", "")));
    let answer = &place.check(&inference("a", "text")).expect(0).json()[0];
    assert_eq!((&answer["decision"], &answer["output"]["text"]), (&"redact".into(), &"*ext".into()));
    let shadow: Vec<_> =
        answer["findings"].as_array().unwrap().iter().map(|finding| finding["shadow"] == true).collect();
    assert_eq!(shadow, [false, false, true]);
    let verdict = place.verdict("a");
    assert_eq!(
        results(&verdict),
        [result("tried", "enforce", "flag"), result("last", "enforce", "redact"), result("tried", "shadow", "block")]
    );
    assert_eq!(place.entries("guard-load").len(), 3);
    place.verify();
}

/// It fails as a candidate, and nobody but the ledger hears of it; what it measures reaches nobody.
#[test]
fn a_candidate_that_fails_or_measures_changes_nothing() {
    let broken = "candidate = { settings = { attack = \"panic\" }, share = 1 }";
    let measures = "candidate = { settings = { attack = \"echo\" }, share = 1 }";
    let place = Place::new("", &(tried("one", "flag", broken) + &tried("two", "none", measures)));
    let answer = &place.check(&inference("a", "text")).expect(0).json()[0];
    assert_eq!((&answer["decision"], &answer["failures"][0]["shadow"]), (&"flag".into(), &true.into()));
    let measured = answer["measurements"].as_object().unwrap();
    assert!(measured.keys().all(|name| !name.starts_with("two.")), "{measured:?}");
}

/// What a guard is given depends on the guards before it. Its candidate is given the same.
#[test]
fn a_candidate_sees_what_its_guard_saw() {
    let same = "candidate = { settings = { attack = \"echo\", count = 1 }, share = 1 }";
    let place = Place::new("", &(tried("one", "echo", same) + &hostile("two", "echo", "")));
    place.check(&inference("a", "text")).expect(0);
    let digest = |guard: &Value| guard["outcome"]["verdict"]["digest"].clone();
    let verdict = place.verdict("a");
    assert_eq!(digest(&verdict["guards"][0]), digest(&verdict["guards"][2]), "echo counts the measurements it sees");
    assert_ne!(digest(&verdict["guards"][0]), digest(&verdict["guards"][1]));
}

#[test]
fn the_share_is_chosen_by_the_inference_and_by_nothing_else() {
    let chosen = |more: &str| {
        let candidate = "candidate = { settings = { attack = \"block\" }, share = 0.25 }";
        let place = Place::new(more, &tried("tried", "flag", candidate));
        place.check(&inferences("n", 200)).expect(0);
        let of = |entry: &Value| {
            (entry["body"]["verdict"]["guards"].as_array().unwrap().len() == 2)
                .then(|| entry["body"]["verdict"]["inference_id"].as_str().unwrap().to_owned())
        };
        let mut ids: Vec<String> = place.entries("verdict").iter().filter_map(of).collect();
        ids.sort();
        ids
    };
    let ids = chosen("workers = 1");
    assert!((25..=75).contains(&ids.len()), "{}", ids.len());
    assert_eq!(chosen("workers = 4"), ids);
}

#[test]
fn compare_says_where_guard_and_candidate_disagree() {
    let candidate = "candidate = { settings = { attack = \"panic-on-word\" }, share = 1 }";
    let place = Place::new("workers = 1", &tried("tried", "none", candidate));
    place.picket(&["guard", "compare", "tried"]).expect(2).says(&["holds no ledger"]);
    place.check(&inferences("same", 6)).expect(0);
    let json = |code: i32| place.picket(&["--json", "guard", "compare", "tried"]).expect(code).json().remove(0);
    let all_agree = json(0);
    let pair = &all_agree["pairs"][0];
    assert_eq!((&pair["both"], &pair["identical"], &pair["disagree"]), (&6.into(), &6.into(), &0.into()));

    place.check(&(inference("bad", "crash") + &inference("good", "fine"))).expect(0);
    let pair = json(1)["pairs"][0].clone();
    assert_eq!((&pair["both"], &pair["agree"], &pair["disagree"]), (&8.into(), &7.into(), &1.into()));
    assert_eq!(pair["failures_candidate"]["trap"], 1);
    assert_eq!(pair["examples"][0]["inference"], "bad");
    assert_eq!(
        (&pair["examples"][0]["current"], &pair["examples"][0]["candidate"]),
        (&"allow".into(), &"failure".into())
    );

    // Another candidate is another pair; the findings of each side are told by rule.
    place.configure("", &tried("tried", "none", "candidate = { settings = { attack = \"flag\" }, share = 1 }"));
    place.check(&inferences("more", 3)).expect(0);
    let pairs = json(1)["pairs"].clone();
    assert_eq!(pairs.as_array().unwrap().len(), 2);
    assert_eq!(pairs[1]["only_candidate"]["attack"], 3);
    let flagged = serde_json::json!([{ "current": "allow", "candidate": "flag", "count": 3 }]);
    assert_eq!(pairs[1]["decisions"], flagged);
    let text = place.picket(&["guard", "compare", "tried"]).expect(1).stdout;
    assert!(
        text.contains("allow    -> flag     3") && text.contains("findings of the candidate alone: attack 3"),
        "{text}"
    );

    place.picket(&["guard", "compare", "other"]).expect(2).says(&["no verdict holds results of both `other`"]);
    place.picket(&["guard", "compare", "tried", "--until", "2020-01-01T00:00:00Z"]).expect(2);
    place.picket(&["guard", "compare", "tried", "--since", "yesterday"]).expect(2).says(&["--since"]);
}

#[test]
fn a_candidate_that_is_the_guard_itself_or_has_no_share_is_refused() {
    let refused = |candidate: &str, words: &[&str]| {
        Place::new("", &tried("g", "flag", candidate)).check("").expect(2).says(words);
    };
    refused("candidate = { share = 0.5 }", &["picket.toml:", "guard.g.candidate", "neither a component nor settings"]);
    for share in ["0", "1.5", "-1", "nan", "0.0000001"] {
        let candidate = format!("candidate = {{ settings = {{ attack = \"flag\" }}, share = {share} }}");
        refused(&candidate, &["picket.toml:", "guard.g.candidate.share"]);
    }
    refused("candidate = { settings = { attack = \"no-such\" } }", &["picket.toml:", "refuses its settings"]);
}
