//! The log over files: what is kept, one process at a time, pruning, full disks.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{assert_clean, commit, entry, key, open, options, payload};
use picket_ledger::hash::leaf_hash;
use picket_ledger::proof;
use picket_store::{Commit, Log, Options, Payload, StoreError};

#[test]
fn what_is_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, opened) = Log::open(folder.path(), &options()).unwrap();
    assert!(opened.fresh && opened.repaired.is_empty());
    for round in 0..200 {
        commit(&mut log, round % 5, 200).unwrap();
    }
    let named = vec![("cursor".to_owned(), Some(b"17".to_vec())), ("none".to_owned(), None)];
    log.commit(Commit { named, ..Commit::default() }).unwrap();
    let (size, root) = (log.size(), log.root());
    assert_clean(&log);
    drop(log);
    let (log, opened) = Log::open(folder.path(), &options()).unwrap();
    assert!(!opened.fresh && opened.repaired.is_empty(), "{opened:?}");
    assert_eq!((log.size(), log.root()), (size, root));
    assert_clean(&log);
    let reader = log.reader();
    assert_eq!(reader.named("cursor").unwrap().unwrap(), b"17");
    assert_eq!(reader.entry(300).unwrap(), entry(300, 200));
    assert_eq!(reader.payload(300).unwrap().unwrap(), payload(300, 200));
    assert_eq!(reader.payload(size).unwrap(), None);
    assert_eq!(reader.latest_checkpoint().unwrap().unwrap().size, size);
    assert_eq!(reader.checkpoint_at_or_after(302).unwrap().unwrap().size, 303);
    let proof = reader.inclusion_proof(300, size).unwrap();
    proof::verify_inclusion(300, size, &leaf_hash(&entry(300, 200)), &proof, &root).unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("index/blobs")).unwrap().count(), 0, "sled keeps no blobs");
}

#[test]
fn a_second_log_on_the_folder_is_locked_out() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let error = Log::open(folder.path(), &options()).err().unwrap();
    assert!(matches!(&error, StoreError::Locked { pid: Some(pid), .. } if *pid == std::process::id()), "{error}");
    assert!(error.to_string().contains("is in use by process"), "{error}");
    assert!(matches!(picket_store::set_aside(folder.path()), Err(StoreError::Locked { .. })));
    // A reader keeps the folder as well.
    let reader = log.reader();
    drop(log);
    assert!(matches!(Log::open(folder.path(), &options()), Err(StoreError::Locked { .. })));
    drop(reader);
    open(folder.path());
}

#[test]
fn readers_see_whole_commits_while_the_writer_writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let reader = log.reader();
    let done = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let reader = reader.clone();
                scope.spawn(move || {
                    let mut last = 0;
                    while !done.load(Ordering::Acquire) {
                        let size = reader.size();
                        assert!(size >= last && size.is_multiple_of(3));
                        last = size;
                        let from = size.saturating_sub(30);
                        for (index, found) in (from..size).zip(reader.read(from..size).unwrap()) {
                            assert_eq!(found, entry(index, 300));
                        }
                        if size > 0 {
                            assert_eq!(reader.payload(size - 1).unwrap().unwrap(), payload(size - 1, 300));
                            let tree = reader.tree_at(size).unwrap();
                            let proof = reader.inclusion_proof(size / 2, size).unwrap();
                            let leaf = leaf_hash(&entry(size / 2, 300));
                            proof::verify_inclusion(size / 2, size, &leaf, &proof, &tree.root()).unwrap();
                        }
                    }
                    last
                })
            })
            .collect();
        for _ in 0..400 {
            commit(&mut log, 3, 300).unwrap();
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert_clean(&log);
}

#[test]
fn what_is_too_large_or_beyond_the_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let too_large = |commit: Commit<'_>, log: &mut Log| {
        assert!(matches!(log.commit(commit), Err(StoreError::TooLarge { .. })));
        assert_eq!(log.size(), 0);
    };
    let limit = picket_ledger::entry::MAX_ENTRY_BYTES;
    too_large(Commit { entries: vec![vec![0; limit + 1]], ..Commit::default() }, &mut log);
    let bytes = vec![0; picket_store::MAX_PAYLOAD_BYTES + 1];
    too_large(Commit { payloads: vec![Payload { invocation: 1, bytes }], ..Commit::default() }, &mut log);
    let name = "n".repeat(picket_store::MAX_NAME_BYTES + 1);
    too_large(Commit { named: vec![(name, None)], ..Commit::default() }, &mut log);
    let value = vec![0; picket_store::MAX_NAMED_BYTES + 1];
    too_large(Commit { named: vec![("n".into(), Some(value))], ..Commit::default() }, &mut log);
    commit(&mut log, 1, 10).unwrap();
    let reader = log.reader();
    assert!(matches!(reader.read(0..2), Err(StoreError::OutOfRange { value: 1, limit: 0, .. })));
    assert!(matches!(reader.tree_at(2), Err(StoreError::OutOfRange { .. })));
    assert!(matches!(reader.inclusion_proof(0, 2), Err(StoreError::OutOfRange { .. })));
    assert!(matches!(reader.inclusion_proof(1, 1), Err(StoreError::Tree { .. })));
    assert!(matches!(log.prune(2), Err(StoreError::OutOfRange { .. })));
    drop(reader);
    // The largest that are allowed are kept, past the journal.
    let large = vec![8; limit];
    log.commit(Commit { entries: vec![large.clone()], ..Commit::default() }).unwrap();
    let bytes = vec![9; 20 << 20];
    log.commit(Commit { payloads: vec![Payload { invocation: 7, bytes: bytes.clone() }], ..Commit::default() })
        .unwrap();
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.reader().entry(1).unwrap(), large);
    assert!(log.reader().payload(7).unwrap().unwrap() == bytes);
}

fn disk_use(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // A pack that a sealed segment has replaced may go while we look.
    let files = std::fs::read_dir(folder).unwrap().filter_map(|file| file.unwrap().metadata().ok());
    files.map(|file| file.blocks() * 512).sum()
}

#[test]
fn pruning_frees_space_and_leaves_the_rest_provable() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let key = key();
    let mut verdict = common::verdict();
    for index in 0..2000u64 {
        verdict.invocation = index;
        let entry = common::of(index, picket_ledger::entry::Body::Verdict(verdict.clone()));
        let payloads = vec![Payload { invocation: index, bytes: payload(index, 3000) }];
        let sign = |size: u64, root: &_| picket_ledger::Checkpoint::new("box-1", size, *root).sign(&key);
        let commit = Commit { entries: vec![entry], payloads, checkpoint: Some(&sign), ..Commit::default() };
        log.commit(commit).unwrap();
    }
    let before = disk_use(&folder.path().join("packs"));
    let root = log.root();
    let proof = log.reader().inclusion_proof(1600, 2000).unwrap();
    let pruned = log.prune(1555).unwrap();
    assert_eq!((pruned.pruned_to, pruned.payloads), (1536, 1536));
    let after = disk_use(&folder.path().join("packs"));
    assert!(after < before / 2, "{before} bytes became {after}");
    for _ in 0..2 {
        let reader = log.reader();
        assert!(matches!(reader.read(1535..1537), Err(StoreError::Pruned { index: 1535, pruned_to: 1536 })));
        assert_eq!(reader.payload(1535).unwrap(), None);
        assert_eq!(reader.payload(1536).unwrap().unwrap(), payload(1536, 3000));
        assert_eq!((reader.size(), reader.root()), (2000, root));
        assert_eq!(reader.inclusion_proof(1600, 2000).unwrap(), proof);
        reader.consistency_proof(1555, 2000).unwrap();
        reader.tree_at(1536).unwrap();
        assert!(matches!(reader.tree_at(1000), Err(StoreError::Pruned { .. })));
        assert_clean(&log);
        drop(reader);
        drop(log);
        log = open(folder.path());
    }
    // An index rebuilt from punched packs knows the same.
    drop(log);
    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
    let log = open(folder.path());
    assert_eq!(log.reader().pruned_to(), 1536);
    assert_clean(&log);
    assert_eq!(log.reader().payload(1999).unwrap().unwrap(), payload(1999, 3000));
}

#[test]
fn erased_payloads_are_gone_from_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let secret = b"the secret of invocation five ".repeat(100);
    let payloads =
        vec![Payload { invocation: 5, bytes: secret.clone() }, Payload { invocation: 6, bytes: b"kept".repeat(1000) }];
    log.commit(Commit { payloads, ..Commit::default() }).unwrap();
    log.flush().unwrap();
    assert_eq!(log.erase_payloads(&[5, 99]).unwrap(), 1);
    assert_eq!(log.reader().payload(5).unwrap(), None);
    assert_eq!(log.reader().payload(6).unwrap().unwrap(), b"kept".repeat(1000));
    for pack in std::fs::read_dir(folder.path().join("packs")).unwrap() {
        let bytes = std::fs::read(pack.unwrap().path()).unwrap();
        assert!(!bytes.windows(30).any(|part| part == &secret[..30]));
    }
}

/// Mounting needs privileges; without them the same is shown by the faulty store in `src/tests/faults.rs`.
#[test]
fn a_full_tmpfs_stops_commits_until_space_is_freed() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8m", "picket-test"])
        .arg(folder.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!("skipped: no tmpfs can be mounted here");
        return;
    }
    let unmount = || {
        let _ = std::process::Command::new("umount").arg(folder.path()).status();
    };
    let result = std::panic::catch_unwind(|| full_disk(folder.path()));
    unmount();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn full_disk(folder: &Path) {
    let ballast = folder.join("ballast");
    let path = folder.join("log");
    let mut log = open(&path);
    commit(&mut log, 10, 300).unwrap();
    std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let mut acknowledged = 10;
    let error = loop {
        match commit(&mut log, 5, 500) {
            Ok(size) => acknowledged = size,
            Err(error) => break error,
        }
        assert!(acknowledged < 100_000, "8 MiB must be full by now");
    };
    assert!(error.is_full(), "{error}");
    assert!(acknowledged > 100);
    assert!(commit(&mut log, 5, 500).unwrap_err().is_full());
    assert_eq!(log.size(), acknowledged);
    assert_clean(&log);
    std::fs::remove_file(&ballast).unwrap();
    for _ in 0..100 {
        acknowledged = commit(&mut log, 5, 500).unwrap();
    }
    assert_clean(&log);
    drop(log);
    let log = open(&path);
    assert_eq!(log.size(), acknowledged);
    assert_clean(&log);
    // A full disk at closing and opening: what is in the journal stays there.
    drop(log);
    let mut log = open(&path);
    std::fs::write(&ballast, vec![1; 8 << 20]).unwrap_err();
    let acknowledged = commit(&mut log, 2, 100).unwrap();
    drop(log);
    match Log::open(&path, &options()) {
        Ok((log, _)) => assert_eq!(log.size(), acknowledged),
        Err(error) => assert!(error.is_full(), "{error}"),
    }
    std::fs::remove_file(&ballast).unwrap();
    let log = open(&path);
    assert_eq!(log.size(), acknowledged);
    assert_clean(&log);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = Log::open(&file.join("log"), &Options::default()).err().unwrap();
    assert!(matches!(error, StoreError::Io { action: "create", .. }), "{error}");
}
