//! The index against reading every entry.

use std::path::Path;

use picket_ledger::Entry;
use picket_ledger::entry::{
    Body, Decision, FailureCause, Finding, GuardResult, Heartbeat, Kind, Mode, Outcome, Verdict,
};
use proptest::prelude::*;

use super::{CHUNK, Hit, Id, Lookup, Query, Select};
use crate::log::{Commit, Log};
use crate::reader::Reader;
use crate::tests::Machine;

const MODELS: [&str; 3] = ["loans", "chat", "triage"];
const GUARDS: [&str; 3] = ["pii", "structure", "tone"];

/// Decided by the index and a seed alone, so that a test can write thousands.
fn body(index: u64, seed: u64) -> Body {
    let dice = |sides: u64, salt: u64| {
        let mixed = (index ^ seed.rotate_left(17)).wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from((mixed >> 33) % sides).unwrap()
    };
    if dice(20, 1) == 0 {
        return Body::Heartbeat(Heartbeat { next_invocation: index });
    }
    let rare = dice(300, 2) == 0;
    let decision = if rare { Decision::Block } else { [Decision::Allow, Decision::Allow, Decision::Flag][dice(3, 3)] };
    let finding = |rule: &str| Finding {
        rule: rule.to_owned(),
        severity: 2,
        message: "found".to_owned(),
        part: None,
        path: String::new(),
        span: None,
        score: None,
    };
    let outcome = match dice(12, 4) {
        0 => Outcome::Failure { cause: FailureCause::Deadline, message: String::new(), action: Decision::Allow },
        1 => {
            Outcome::Verdict { decision, digest: [1; 32], findings: vec![finding("card"), finding("iban")], omitted: 0 }
        }
        _ => Outcome::Verdict { decision, digest: [1; 32], findings: Vec::new(), omitted: 0 },
    };
    Body::Verdict(Verdict {
        invocation: index * 2,
        inference_id: format!("call-{}", index / 2),
        trace_id: (dice(3, 5) == 0).then(|| format!("trace-{}", index / 3)),
        inference_time_ms: None,
        model: MODELS[dice(3, 6)].to_owned(),
        // One for each: more than a run lists.
        model_version: (dice(2, 7) == 0).then(|| format!("v{index}")),
        prompt_version: None,
        weights: None,
        prompts: None,
        features: None,
        policy: [2; 32],
        decision,
        guards: vec![GuardResult {
            name: GUARDS[dice(3, 8)].to_owned(),
            component: [3; 32],
            settings: [4; 32],
            mode: Mode::Enforce,
            warm: false,
            outcome,
        }],
        payload: [5; 32],
        released: None,
    })
}

/// The wall clock goes back now and then.
fn wall_ms(index: u64) -> u64 {
    1_000_000 + index * 10 - if index % 700 > 650 { 5000.min(index * 10) } else { 0 }
}

fn encoded(index: u64, seed: u64) -> Vec<u8> {
    let entry = Entry {
        incarnation: 1,
        index,
        wall_ms: wall_ms(index),
        monotonic_ns: 1,
        boot: [6; 16],
        body: body(index, seed),
    };
    entry.encode().unwrap()
}

/// Appends up to `size`; some entries do not decode.
fn fill(log: &mut Log, size: u64, seed: u64) {
    while log.size() < size {
        let end = size.min(log.size() + 64);
        let one = |index| if index % 997 == 5 { vec![0xff, 1] } else { encoded(index, seed) };
        let entries = (log.size()..end).map(one).collect();
        log.commit(Commit { entries, ..Commit::default() }).unwrap();
    }
}

fn hits(select: Select<'_>) -> Vec<Hit> {
    select.collect::<Result<_, _>>().unwrap()
}

/// The index and the scan agree; and both with a plain reading of the query's words.
fn agree(lookup: &Lookup, reader: &Reader, query: &Query) {
    let found = hits(lookup.select(query.clone()));
    assert_eq!(found, hits(Select::scan(reader, query.clone())), "{query:?}");
    let end = query.indexes.end.min(reader.size());
    let start = query.indexes.start.max(reader.pruned_to()).min(end);
    let entries = (start..).zip(reader.read(start..end).unwrap());
    let fits =
        |bytes: &[u8]| Entry::decode(bytes).map_or(!query.asks_of_entries(), |entry| plainly_fits(query, &entry));
    let mut naive: Vec<u64> = entries.filter(|(_, bytes)| fits(bytes)).map(|(index, _)| index).collect();
    if query.newest_first {
        naive.reverse();
    }
    assert_eq!(found.iter().map(|hit| hit.index).collect::<Vec<_>>(), naive, "{query:?}");
}

fn plainly_fits(query: &Query, entry: &Entry) -> bool {
    let verdict = match &entry.body {
        Body::Verdict(verdict) => Some(verdict),
        _ => None,
    };
    let of_verdict = |asked: bool, fits: &dyn Fn(&Verdict) -> bool| !asked || verdict.is_some_and(fits);
    let guard_spoke = |guard: &GuardResult| match &guard.outcome {
        Outcome::Failure { .. } => true,
        Outcome::Verdict { decision, findings, .. } => *decision != Decision::Allow || !findings.is_empty(),
    };
    let findings = |guard: &GuardResult| match &guard.outcome {
        Outcome::Verdict { findings, .. } => findings.clone(),
        Outcome::Failure { .. } => Vec::new(),
    };
    query.times.contains(&entry.wall_ms)
        && (query.kinds.is_empty() || query.kinds.contains(&entry.body.kind()))
        && of_verdict(!query.decisions.is_empty(), &|verdict| query.decisions.contains(&verdict.decision))
        && of_verdict(query.model.is_some(), &|verdict| Some(&verdict.model) == query.model.as_ref())
        && of_verdict(query.model_version.is_some(), &|verdict| verdict.model_version == query.model_version)
        && of_verdict(query.guard.is_some(), &|verdict| {
            verdict.guards.iter().any(|guard| Some(&guard.name) == query.guard.as_ref() && guard_spoke(guard))
        })
        && of_verdict(query.rule.is_some(), &|verdict| {
            verdict.guards.iter().flat_map(findings).any(|finding| Some(&finding.rule) == query.rule.as_ref())
        })
        && of_verdict(!query.failures.is_empty(), &|verdict| {
            verdict
                .guards
                .iter()
                .any(|guard| matches!(&guard.outcome, Outcome::Failure { cause, .. } if query.failures.contains(cause)))
        })
        && of_verdict(query.id.is_some(), &|verdict| match &query.id {
            Some(Id::Invocation(invocation)) => verdict.invocation == *invocation,
            Some(Id::Text(text)) => verdict.inference_id == *text || verdict.trace_id.as_ref() == Some(text),
            None => true,
        })
}

fn some_query(size: u64) -> impl Strategy<Value = Query> {
    let parts = (
        prop::option::of(0..size),
        prop::option::of((0..size, 0..size)),
        prop::sample::subsequence(vec![Kind::Verdict, Kind::Heartbeat, Kind::Erase], 0..3),
        prop::sample::subsequence(vec![Decision::Allow, Decision::Flag, Decision::Block], 0..3),
        prop::option::weighted(0.3, prop::sample::select(vec!["loans", "chat", "nobody"])),
        prop::option::weighted(0.3, prop::sample::select(vec!["pii", "tone", "nobody"])),
        prop::option::weighted(0.2, prop::sample::select(vec!["card", "nothing"])),
        prop::option::weighted(0.2, 0..size),
        0..6u8,
        any::<bool>(),
    );
    parts.prop_map(|(from, times, kinds, decisions, model, guard, rule, id, which, newest_first)| Query {
        indexes: from.unwrap_or(0)..u64::MAX,
        times: times.map_or(0..u64::MAX, |(from, to)| wall_ms(from)..wall_ms(to)),
        kinds,
        decisions,
        model: model.map(str::to_owned),
        model_version: id.filter(|_| which == 0).map(|index| format!("v{index}")),
        guard: guard.map(str::to_owned),
        rule: rule.map(str::to_owned),
        failures: if which == 1 { vec![FailureCause::Deadline, FailureCause::Trap] } else { Vec::new() },
        id: id.and_then(|index| match which {
            2 => Some(Id::Invocation(index)),
            3 => Some(Id::Text(format!("call-{index}"))),
            4 => Some(Id::Text(format!("trace-{index}"))),
            _ => None,
        }),
        newest_first,
    })
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Written in steps, indexed now and then, pruned, opened again: always the answers of a naive scan.
    #[test]
    fn answers_are_those_of_a_scan(
        seed in any::<u64>(),
        steps in prop::collection::vec((1..1800u64, any::<bool>(), prop::option::weighted(0.2, 0..3000u64)), 1..4),
        queries in prop::collection::vec(some_query(4000), 8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Machine::new().open().unwrap();
        let mut lookup = Lookup::open(log.reader(), folder.path());
        for (more, reopen, prune) in steps {
            let size = log.size() + more;
            fill(&mut log, size, seed);
            lookup.catch_up(|_| true).unwrap();
            if let Some(up_to) = prune {
                log.prune(up_to.min(size)).unwrap();
                lookup.catch_up(|_| true).unwrap();
            }
            if reopen {
                lookup = Lookup::open(log.reader(), folder.path());
            }
            prop_assert!(lookup.behind() < CHUNK);
            for query in &queries {
                agree(&lookup, &log.reader(), query);
            }
        }
    }
}

/// Any byte of any file may be another, and any end of it missing: the answers stay, and the file is built again.
#[test]
fn damaged_files_change_no_answer() {
    let (folder, mut log) = (tempfile::tempdir().unwrap(), Machine::new().open().unwrap());
    fill(&mut log, 2 * CHUNK + 300, 9);
    let reader = log.reader();
    let build = || Lookup::open(log.reader(), folder.path()).catch_up(|_| true).unwrap();
    build();
    let (first, queries) = (
        files(folder.path())[0].clone(),
        [
            Query { id: Some(Id::Text("call-40".to_owned())), ..Query::default() },
            Query { decisions: vec![Decision::Block], ..Query::default() },
            Query { times: wall_ms(100)..wall_ms(130), model: Some("chat".to_owned()), ..Query::default() },
        ],
    );
    let whole = std::fs::read(&first).unwrap();
    let expected = queries.clone().map(|query| hits(Select::scan(&reader, query)));
    // All over the file; `PICKET_LOOKUP_DAMAGE=1` for each of its bytes.
    let step = if std::env::var_os("PICKET_LOOKUP_DAMAGE").is_some() { 1 } else { 1601 };
    let places = (0..whole.len()).step_by(step).chain(0..32).chain(whole.len() - 4..whole.len());
    for place in places {
        for cut in [false, true] {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x41;
            bytes.truncate(if cut { place } else { bytes.len() });
            std::fs::write(&first, &bytes).unwrap();
            let lookup = Lookup::open(reader.clone(), folder.path());
            let which = place % queries.len();
            assert_eq!(hits(lookup.select(queries[which].clone())), expected[which], "byte {place}, cut {cut}");
        }
    }
    std::fs::remove_file(&first).ok();
    std::fs::write(folder.path().join("x.new"), "unfinished").unwrap();
    build();
    assert_eq!(std::fs::read(&first).unwrap(), whole, "built again, byte for byte");
    assert!(!folder.path().join("x.new").exists());
}

/// The index of another log, or of a future that a restored copy never had.
#[test]
fn an_index_of_another_log_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let (mut other, mut log) = (Machine::new().open().unwrap(), Machine::new().open().unwrap());
    fill(&mut other, 3 * CHUNK, 1);
    Lookup::open(other.reader(), folder.path()).catch_up(|_| true).unwrap();
    fill(&mut log, 3 * CHUNK, 2);
    let lookup = Lookup::open(log.reader(), folder.path());
    for model in MODELS {
        let query = Query { model: Some(model.to_owned()), ..Query::default() };
        agree(&lookup, &log.reader(), &query);
    }
    assert!(files(folder.path()).is_empty(), "it was removed");
    let mut shorter = Machine::new().open().unwrap();
    fill(&mut shorter, CHUNK, 2);
    lookup.catch_up(|_| true).unwrap();
    let lookup = Lookup::open(shorter.reader(), folder.path());
    agree(&lookup, &shorter.reader(), &Query { kinds: vec![Kind::Heartbeat], ..Query::default() });
}

/// Over the edge of a block: the small runs become one, and the next block has its own.
#[test]
fn a_full_block_is_one_file_of_few_bytes_an_entry() {
    let (folder, mut log) = (tempfile::tempdir().unwrap(), Machine::new().open().unwrap());
    let size = super::BLOCK + 2500;
    let lookup = Lookup::open(log.reader(), folder.path());
    for part in [size / 3, size / 2, size] {
        fill(&mut log, part, 4);
        lookup.catch_up(|_| true).unwrap();
    }
    let names: Vec<_> = files(folder.path()).iter().map(|path| path.file_stem().unwrap().to_owned()).collect();
    assert_eq!(names[0].to_str(), Some("00000000000000000000-00000000000000065536"));
    assert_eq!(names.len(), 2, "{names:?}");
    let bytes = std::fs::metadata(&files(folder.path())[0]).unwrap().len();
    assert!(bytes < super::BLOCK * 20, "{bytes} bytes for {} entries", super::BLOCK);
    for newest_first in [false, true] {
        for id in [65_535, 65_536, 65_537, 17, 66_000] {
            let query = Query { id: Some(Id::Text(format!("call-{}", id / 2))), newest_first, ..Query::default() };
            let found = hits(lookup.select(query.clone()));
            assert_eq!(found, hits(Select::scan(&log.reader(), query)));
            assert!(!found.is_empty(), "{id}");
        }
        let query = Query { decisions: vec![Decision::Block], newest_first, ..Query::default() };
        assert_eq!(hits(lookup.select(query.clone())), hits(Select::scan(&log.reader(), query)));
    }
}

/// What is left of a selection, asked again, gives the rest of its answers.
#[test]
fn a_selection_goes_on_where_it_was_left() {
    let (folder, mut log) = (tempfile::tempdir().unwrap(), Machine::new().open().unwrap());
    fill(&mut log, 2 * CHUNK, 3);
    let lookup = Lookup::open(log.reader(), folder.path());
    lookup.catch_up(|_| true).unwrap();
    for newest_first in [false, true] {
        let query = Query { model: Some("chat".to_owned()), newest_first, ..Query::default() };
        let all = hits(lookup.select(query.clone()));
        let mut pieces = Vec::new();
        let mut indexes = query.indexes.clone();
        while !indexes.is_empty() {
            let mut select = lookup.select(Query { indexes, ..query.clone() });
            pieces.extend(select.by_ref().take(7).map(Result::unwrap));
            indexes = select.rest();
        }
        assert_eq!(pieces, all);
    }
}
