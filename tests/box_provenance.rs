//! What a verdict binds: the same inference gives the same verdict, and what stood behind the model then is what is named.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use support::service::Service;
use support::{Place, guard, hostile, inference, wait_for};

/// Digests of every guard's verdict.
fn digests(verdict: &Value) -> Vec<String> {
    let guards = verdict["guards"].as_array().unwrap();
    let digest = |guard: &Value| guard["outcome"]["verdict"]["digest"].as_str().unwrap().to_owned();
    guards.iter().map(digest).collect()
}

#[test]
fn the_same_inference_gives_the_same_verdict_here_and_elsewhere() {
    let pii = format!("[[guard]]\nname = \"pii\"\ncomponent = \"{}\"\ndeadline = \"5s\"\n", guard("pii"));
    let guards = pii + &hostile("echo", "echo", "") + &hostile("flag", "flag", "");
    let place = Place::new("workers = 4", &guards);
    let same = inference("same", "write to jo@example.org");
    let other = inference("other", "write to ann@example.com");
    place.check(&format!("{same}{other}{same}")).expect(0);
    // Workers finish in any order: by id, not by place.
    let first = place.entries("verdict").into_iter().map(|entry| entry["body"]["verdict"].clone());
    let (first, others): (Vec<_>, Vec<_>) = first.partition(|verdict| verdict["inference_id"] == "same");
    let again = place.check(&same).expect(0).json()[0]["entry"]["index"].as_u64().unwrap();
    let elsewhere = Place::new("workers = 1", &guards);
    elsewhere.check(&same).expect(0);

    let reference = digests(&first[0]);
    assert_eq!(reference.len(), 3);
    assert_eq!(digests(&first[1]), reference);
    assert_ne!(digests(&others[0]), reference);
    let later = place.picket(&["--json", "show", &again.to_string()]).expect(0).json().remove(0);
    assert_eq!(digests(&later["body"]["verdict"]), reference);
    let there = elsewhere.verdict("same");
    assert_eq!(digests(&there), reference);
    assert_ne!(there["payload"], first[0]["payload"], "commitments are salted");
}

#[test]
fn the_policy_digest_changes_with_what_decides_and_with_nothing_else() {
    let place = Place::new("", &hostile("g", "none", ""));
    let policy = |place: &Place, id: &str| {
        place.check(&inference(id, "x")).expect(0);
        place.verdict(id)["policy"].as_str().unwrap().to_owned()
    };
    let first = policy(&place, "a");
    place.configure("workers = 3\nqueue = 7", &hostile("g", "none", ""));
    assert_eq!(policy(&place, "b"), first);
    place.configure("", &hostile("g", "none", "on_failure = \"allow\""));
    assert_ne!(policy(&place, "c"), first);
    let configs = place.entries("config");
    assert_eq!(configs.len(), 3, "each start says what is in force");
}

const MODEL: &str =
    "[[model]]\nname = \"m\"\nweights = \"weights.bin\"\nprompts = \"prompts\"\nfeatures = \"features.json\"\n";

fn with_model() -> Place {
    let place = Place::new("watch_every = \"50ms\"", MODEL);
    place.write("weights.bin", "weights, first");
    std::fs::create_dir(place.path("prompts")).unwrap();
    place.write("prompts/system.txt", "be brief");
    place.write("features.json", "{\"name\":\"f\"}");
    place
}

#[test]
fn a_change_of_weights_prompts_or_features_is_recorded_and_bound_from_then_on() {
    let place = with_model();
    let service = Service::start(&place);
    let judge = |id: &str| service.post(&inference(id, "x")).expect(200)["entry"]["index"].as_u64().unwrap();
    let before = judge("before");
    let changes = [
        ("weights.bin", "weights, second", "model-version", "weights"),
        ("prompts/system.txt", "be very brief", "prompt-library", "prompts"),
        ("prompts/more.txt", "a new prompt", "prompt-library", "prompts"),
        ("features.json", "{\"name\":\"g\"}", "feature-definition", "features"),
    ];
    for (number, (file, content, kind, bound)) in changes.iter().enumerate() {
        let known = place.entries(kind).len();
        judge(&format!("before-{number}"));
        place.write(file, content);
        let entries = wait_for("the change is recorded", || {
            let entries = place.entries(kind);
            (entries.len() > known).then_some(entries)
        });
        let digest = &entries.last().unwrap()["body"]["record"]["digest"];
        // The digest is put in force right after its entry is durable.
        wait_for("the change is in force", || {
            judge(&format!("after-{number}"));
            (place.verdict(&format!("after-{number}"))[*bound] == *digest).then_some(())
        });
        let earlier = place.verdict(&format!("before-{number}"));
        assert_ne!(earlier[*bound], *digest, "{file}");
    }
    let first = place.picket(&["--json", "show", &before.to_string()]).expect(0).json().remove(0);
    let versions = place.entries("model-version");
    assert_eq!(versions.len(), 2);
    assert_eq!(first["body"]["verdict"]["weights"], versions[0]["body"]["record"]["digest"]);
    service.stop();
    place.verify();
}

#[test]
fn weights_that_go_away_are_named_and_the_last_digest_stays() {
    let place = with_model();
    let service = Service::start(&place);
    service.post(&inference("before", "x")).expect(200);
    std::fs::remove_file(place.path("weights.bin")).unwrap();
    wait_for("it is told", || service.log().contains("weights.bin").then_some(()));
    service.post(&inference("after", "x")).expect(200);
    assert_eq!(place.verdict("after")["weights"], place.verdict("before")["weights"]);
    service.stop();
    place.check(&inference("c", "x")).expect(2).says(&["model.m.weights", "weights.bin"]);
}

#[test]
fn weights_may_be_a_folder_of_shards() {
    let place = Place::new("", "[[model]]\nname = \"m\"\nweights = \"shards\"\n");
    std::fs::create_dir(place.path("shards")).unwrap();
    place.write("shards/1.bin", "one");
    place.check(&inference("a", "x")).expect(0);
    place.write("shards/2.bin", "two");
    place.check(&inference("b", "x")).expect(0);
    let (first, second) = (place.verdict("a"), place.verdict("b"));
    assert!(first["weights"].is_string());
    assert_ne!(first["weights"], second["weights"]);
}

#[test]
fn payloads_are_kept_as_the_retention_says() {
    let pii = format!("[[guard]]\nname = \"pii\"\ncomponent = \"{}\"\ndeadline = \"5s\"\n", guard("pii"));
    for (retention, kept) in [("none", [false, false]), ("blocked", [false, true]), ("all", [true, true])] {
        let place = Place::new(&format!("retention = \"{retention}\""), &pii);
        let input = inference("clean", "nothing here") + &inference("dirty", "write to jo@example.org");
        place.check(&input).expect(0);
        for (id, kept) in ["clean", "dirty"].iter().zip(kept) {
            let shown = place.picket(&["--json", "show", id]).expect(0).json().remove(0);
            assert_eq!(shown["payload"]["kept"], kept, "{retention}, {id}");
            if kept {
                assert_eq!(shown["payload"]["commitment"], "matches");
            }
        }
    }
}
