//! A disk that is full, and a ledger that has been damaged while nobody looked.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use support::files::{copy, damage, files};
use support::full::{Mounted, fill};
use support::service::Service;
use support::{Place, Ran, hostile, inference, inferences, wait_for};

#[test]
fn a_full_disk_answers_507_loses_nothing_and_heals_when_space_is_freed() {
    let place = Place::new("retention = \"all\"", &hostile("g", "none", ""));
    let Some(_mounted) = Mounted::new(&place.path("data"), "48m") else { return };
    let service = Service::start(&place);
    let mut answers = vec![service.post(&inference("first", "hello")).expect(200)];
    // Something else takes what is left of the space, and payloads the rest.
    let ballast = place.path("data/ballast");
    fill(&ballast);
    let large = "x".repeat(200_000);
    let refused = wait_for("the disk is full", || {
        let reply = service.post(&inference(&format!("n-{}", answers.len()), &large));
        if reply.status == 200 {
            answers.push(reply.json());
            return None;
        }
        Some(reply)
    });
    let error = refused.expect(507);
    assert_eq!(error["error"]["kind"], "ledger");
    assert!(error["error"]["message"].as_str().unwrap().contains("no space left"), "{error}");
    assert!(error.get("output").is_none() && error.get("decision").is_none(), "no output without an entry");
    assert_eq!(service.get("/healthz").status, 200);
    assert!(service.metric("picket_ledger_failures_total") >= 1.0);
    std::fs::remove_file(&ballast).unwrap();
    let healed = wait_for("it goes on", || {
        let reply = service.post(&inference("healed", "hello"));
        (reply.status == 200).then(|| reply.json())
    });
    answers.push(healed);
    service.stop();
    assert_there(&place, &answers);
    place.check(&inference("after", "hello")).expect(0);
}

#[test]
fn a_disk_that_is_full_from_the_start_is_named() {
    let place = Place::new("", "");
    let Some(_mounted) = Mounted::new(&place.path("data"), "1m") else { return };
    let ran = place.check(&inference("a", "hello")).expect(3).says(&["no space left"]);
    assert_eq!(ran.stdout, "");
}

#[track_caller]
fn assert_there(place: &Place, answers: &[Value]) {
    let entries = place.entries("verdict");
    for answer in answers {
        let found = entries.iter().find(|found| found["index"] == answer["entry"]["index"]);
        assert_eq!(found.map(|found| &found["leaf"]), Some(&answer["entry"]["leaf"]), "{answer}");
    }
    place.verify();
}

/// Every file of the ledger, at many places, cut and flipped: the next start has every acknowledged entry or is refused with
/// the name of the file; a bit that flipped among old entries may wait for whoever reads or verifies them. Never a panic,
/// never fewer entries without a word.
#[test]
fn a_damaged_ledger_is_mended_or_refused_and_never_silently_shorter() {
    let place = Place::new("retention = \"all\"", "");
    // Two runs, so that there are packs and a snapshot besides the journal.
    let mut answers = place.check(&inferences("one", 300)).expect(0).json();
    answers.extend(place.check(&inferences("two", 20)).expect(0).json());
    let whole = place.path("whole");
    copy(&place.path("data"), &whole);
    let (mut mended, mut refused) = (0, 0);
    for file in files(&whole.join("ledger")) {
        let length = std::fs::metadata(whole.join("ledger").join(&file)).unwrap().len();
        let places = (0..3).map(|part| length * part / 3).chain([17, 600]).filter(|place| *place < length);
        for at in places {
            for cut in [false, true] {
                std::fs::remove_dir_all(place.path("data")).unwrap();
                copy(&whole, &place.path("data"));
                // A copy is told by its place; what is tried here is damage.
                std::fs::remove_file(place.path("data/place")).unwrap();
                damage(&place.path("data/ledger").join(&file), at, cut);
                let what = format!("{} at {at}, {}", file.display(), if cut { "cut" } else { "flipped" });
                let name = file.file_name().unwrap().to_str().unwrap();
                // Nothing else has what was in these.
                let alone = name.ends_with(".pack") || name == "journal";
                let cut = cut.then_some(Cut { name, alone });
                if goes_on(&place, &answers, &what, cut) { mended += 1 } else { refused += 1 }
            }
        }
    }
    eprintln!("{mended} went on with everything, {refused} were refused");
    assert!(mended > 0 && refused > 0);
}

/// A file that lost its end.
struct Cut<'a> {
    name: &'a str,
    /// It cannot be made again from the other files.
    alone: bool,
}

/// Starts on the damaged ledger. True: it went on and everything is there. False: it was refused in so many words, at the
/// start or, where only bits of old entries flipped, by whoever reads them.
fn goes_on(place: &Place, answers: &[Value], what: &str, cut: Option<Cut<'_>>) -> bool {
    let ran: Ran = place.check(&inference("next", "hello"));
    if let Some(Cut { name, .. }) = cut.as_ref().filter(|cut| cut.alone) {
        assert_eq!(ran.code, Some(3), "{what}: {ran:#?}");
        assert!(ran.stderr.contains(name) && ran.stderr.contains("it was cut to"), "{what}: {ran:#?}");
    }
    match ran.code {
        Some(0) => {
            let log = place.picket(&["--json", "log", "--limit", "0", "--kind", "verdict"]);
            if log.code == Some(3) && cut.is_none() {
                assert!(log.stderr.contains("data/ledger") && log.stderr.contains("is damaged"), "{what}: {log:#?}");
                let verified = place.picket(&["verify", "data"]);
                assert_eq!(verified.code, Some(1), "{what}: {verified:#?}");
                return false;
            }
            assert_eq!(log.code, Some(0), "{what}: {log:#?}");
            let entries = log.json();
            for answer in answers {
                let found = entries.iter().find(|found| found["index"] == answer["entry"]["index"]);
                assert_eq!(found.map(|found| &found["leaf"]), Some(&answer["entry"]["leaf"]), "{what}: {answer}");
            }
            true
        }
        Some(3) => {
            assert!(ran.stderr.contains("data/ledger"), "{what}: {ran:#?}");
            assert_eq!(ran.json().iter().filter(|answer| answer.get("entry").is_some()).count(), 0, "{what}: {ran:#?}");
            false
        }
        _ => panic!("{what}: {ran:#?}"),
    }
}
