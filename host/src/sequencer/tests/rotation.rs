//! Rotations of the key: in order, cut short after every step, with files that somebody changed.

use super::*;
use crate::keys::{self, KeyError};
use picket_ledger::entry::{KeyRotation, Kind};
use picket_ledger::{KeyChain, SigningKey};

/// A reader keeps the folder locked, so the handle goes first.
fn close(sequencer: Sequencer, writer: Writer) {
    drop(sequencer);
    writer.stop();
}

fn files(data: &Path) -> Vec<String> {
    let names = std::fs::read_dir(data.join("keys")).unwrap();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every checkpoint in the ledger is signed by the key of its size, and hand-overs stand where the chain says.
fn assert_sound(data: &Path, sequencer: &Sequencer) -> KeyChain {
    let chain = keys::load_chain(data).unwrap();
    let reader = sequencer.reader();
    for checkpoint in reader.checkpoints(0..u64::MAX, 1000).unwrap() {
        let opened = chain.open(&checkpoint.text).unwrap();
        assert_eq!(opened.checkpoint.root, reader.tree_at(checkpoint.size).unwrap().root());
    }
    let ends: Vec<u64> = chain.epochs().iter().filter_map(|epoch| epoch.end).collect();
    assert_eq!(ends, reader.boundaries(0..u64::MAX, 1000).unwrap());
    for end in ends {
        assert_eq!(body(sequencer, end - 1).kind(), Kind::KeyRotation);
    }
    chain
}

#[test]
fn rotated_keys_sign_what_comes_after_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    let first = std::fs::read(data.path().join("keys/box.key")).unwrap();
    for round in 1..=3_u64 {
        sequencer.append_blocking(note(round)).unwrap();
        let rotated = sequencer.rotate_blocking().unwrap();
        assert_eq!(rotated.epoch, round);
        let chain = sequencer.keyring().chain();
        assert_eq!((chain.current_epoch().number, chain.current_epoch().start), (round, rotated.start));
        assert_eq!(chain.current().to_string(), rotated.key);
        assert_eq!(sequencer.append_blocking(note(round)).unwrap().index, rotated.start);
    }
    assert_eq!(assert_sound(data.path(), &sequencer).epochs().len(), 4);
    close(sequencer, writer);
    assert_eq!(files(data.path()), ["box.key", "box.pub", "cache.key", "keys.chain"]);
    let last = std::fs::read(data.path().join("keys/box.key")).unwrap();
    assert_ne!(first, last);
    // The first public key stays the one that the box is known by.
    let name = |bytes: &[u8]| SigningKey::parse(std::str::from_utf8(bytes).unwrap()).unwrap().verifier();
    assert_eq!(keys::load_public(data.path()).unwrap(), name(&first));
    let (sequencer, writer, opening) = open(data.path(), &settings());
    assert!(opening.clean);
    assert_sound(data.path(), &sequencer);
    close(sequencer, writer);
}

/// The process dies after each step: the next start goes on with exactly one key, and the old one is gone.
#[test]
fn a_rotation_that_is_cut_short_at_any_step_is_finished_or_undone() {
    for step in [Step::Prepared, Step::Committed, Step::Chained, Step::Promoted, Step::Destroyed] {
        let data = tempfile::tempdir().unwrap();
        let (sequencer, writer, _) = open(data.path(), &settings());
        sequencer.append_blocking(note(1)).unwrap();
        let old = sequencer.keyring().chain().current().clone();
        let outcome = sequencer.rotate_until(step);
        // What is on disk now is what a crash leaves.
        let crashed = tempfile::tempdir().unwrap();
        copy_folder(data.path(), crashed.path());
        assert_eq!(outcome.is_ok(), step >= Step::Committed);
        // This process goes on with the new key at once, whatever became of the files.
        sequencer.append_blocking(note(2)).unwrap();
        close(sequencer, writer);

        for folder in [data.path(), crashed.path()] {
            let (sequencer, writer, _) = open(folder, &settings());
            sequencer.append_blocking(note(3)).unwrap();
            let chain = assert_sound(folder, &sequencer);
            assert_eq!(chain.epochs().len(), if step >= Step::Committed { 2 } else { 1 }, "{step:?}");
            assert_eq!(*chain.current() == old, step == Step::Prepared, "{step:?}");
            let left = files(folder);
            assert!(!left.iter().any(|name| ["next.key", "old.key"].contains(&name.as_str())), "{step:?}: {left:?}");
            let signing = std::fs::read_to_string(folder.join("keys/box.key")).unwrap();
            assert_eq!(SigningKey::parse(signing.trim()).unwrap().verifier(), *chain.current());
            // And it can be rotated again.
            sequencer.rotate_blocking().unwrap();
            assert_sound(folder, &sequencer);
            close(sequencer, writer);
        }
    }
}

/// A crash between the second name of the old key and the renaming of the new one.
#[test]
fn an_old_key_that_is_still_the_present_one_is_not_destroyed() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    sequencer.append_blocking(note(1)).unwrap();
    close(sequencer, writer);
    let keys = data.path().join("keys");
    std::fs::hard_link(keys.join("box.key"), keys.join("old.key")).unwrap();
    let before = std::fs::read(keys.join("box.key")).unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    close(sequencer, writer);
    assert_eq!(std::fs::read(keys.join("box.key")).unwrap(), before);
    assert!(!keys.join("old.key").exists());
}

#[test]
fn a_half_written_next_key_is_removed_and_a_lost_chain_comes_back_from_the_ledger() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    sequencer.rotate_blocking().unwrap();
    sequencer.append_blocking(note(1)).unwrap();
    sequencer.rotate_blocking().unwrap();
    close(sequencer, writer);
    let keys = data.path().join("keys");
    let chain = std::fs::read(keys.join("keys.chain")).unwrap();
    std::fs::remove_file(keys.join("keys.chain")).unwrap();
    let key = std::fs::read(keys.join("box.key")).unwrap();
    std::fs::copy(keys.join("box.key"), keys.join("next.key")).unwrap();
    std::fs::write(keys.join("next.key"), &key[..20]).unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    close(sequencer, writer);
    assert_eq!(std::fs::read(keys.join("keys.chain")).unwrap(), chain);
    assert_eq!(files(data.path()), ["box.key", "box.pub", "cache.key", "keys.chain"]);
}

#[test]
fn a_restored_old_key_and_a_foreign_one_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    let keys = data.path().join("keys");
    let old = std::fs::read(keys.join("box.key")).unwrap();
    sequencer.rotate_blocking().unwrap();
    close(sequencer, writer);
    let refused = || {
        let keys = keys::load_or_create(data.path(), "box-1").unwrap();
        let error = Sequencer::open(data.path(), &edge(data.path()), &settings(), keys).map(|_| ()).unwrap_err();
        assert!(
            matches!(&error, SequencerError::Keys(error) if matches!(**error, KeyError::NotCurrent { epoch: 1, .. })),
            "{error}"
        );
    };
    std::fs::write(keys.join("box.key"), old).unwrap();
    refused();
    let foreign = SigningKey::from_seed("box-1", &[9; 32]).unwrap();
    std::fs::write(keys.join("box.key"), foreign.to_secret_text().as_bytes()).unwrap();
    refused();
}

/// Somebody who writes into `keys` brings in no key: the ledger decides, and only the old key can hand over.
#[test]
fn a_next_key_that_the_ledger_knows_nothing_of_is_destroyed() {
    let data = tempfile::tempdir().unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    close(sequencer, writer);
    let foreign = SigningKey::from_seed("box-1", &[9; 32]).unwrap();
    let next = data.path().join("keys/next.key");
    std::fs::copy(data.path().join("keys/box.key"), &next).unwrap();
    std::fs::write(&next, foreign.to_secret_text().as_bytes()).unwrap();
    let (sequencer, writer, _) = open(data.path(), &settings());
    assert_eq!(assert_sound(data.path(), &sequencer).epochs().len(), 1);
    assert!(!next.exists());
    // Nor does an entry that looks like a hand-over: nothing but the sequencer sets the boundary.
    let rotation = KeyRotation::new(1, sequencer.reader().size(), sequencer.keyring().chain().current(), &foreign);
    sequencer.append_blocking(Body::KeyRotation(rotation).into()).unwrap_err();
    close(sequencer, writer);
}

#[test]
fn a_key_that_has_lived_long_enough_is_rotated_without_being_told() {
    let data = tempfile::tempdir().unwrap();
    let short = Ledger { key_lifetime: Some(Duration::from_millis(1)), ..settings() };
    let (sequencer, writer, _) = open(data.path(), &short);
    wait_for(|| sequencer.keyring().chain().epochs().len() > 2);
    close(sequencer, writer);
    let (sequencer, writer, _) = open(data.path(), &settings());
    let known = assert_sound(data.path(), &sequencer).epochs().len();
    assert!(known > 2);
    close(sequencer, writer);
    // A young key is left alone.
    let long = Ledger { key_lifetime: Some(Duration::from_secs(3600)), ..settings() };
    let (sequencer, writer, _) = open(data.path(), &long);
    sequencer.append_blocking(note(1)).unwrap();
    assert_eq!(sequencer.keyring().chain().epochs().len(), known);
    close(sequencer, writer);
}
