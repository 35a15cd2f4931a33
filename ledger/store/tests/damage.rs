//! Flipped bits, cut files and missing files in every part of a log: repaired and told, or refused and told.
//! Never a panic, never a log that is shorter without a word.
//!
//! Over 400 lines because every part of the folder has its cases, and all share the log that they damage.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use common::{assert_clean, commit, entry, key, open, options};
use picket_ledger::{Segment, hash};
use picket_store::{Commit, Log, Opened, Options, StoreError};

const SIZE: u64 = 3000;

/// A log that has been through several openings, as a crash leaves it: the last commits are only in the journal.
fn crashed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let mut log = open(&live);
    while log.size() < SIZE {
        commit(&mut log, 60, 300).unwrap();
        if log.size().is_multiple_of(1020) {
            drop(log);
            log = open(&live);
        }
    }
    // What a kill would leave: a copy taken while the log is open and idle.
    log.flush().unwrap();
    commit(&mut log, 5, 300).unwrap();
    copy(&live, &folder.path().join("log"));
    drop(log);
    std::fs::remove_dir_all(live).unwrap();
    folder
}

/// The same without checkpoints: nothing is sealed, and all entries stay in packs.
fn unsealed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder.path().join("log"));
    while log.size() < SIZE + 5 {
        let first = log.size();
        let entries = (first..SIZE + 5).take(60).map(|index| entry(index, 300)).collect();
        log.commit(Commit { entries, ..Commit::default() }).unwrap();
    }
    drop(log);
    folder
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap().path();
        let target = to.join(file.file_name().unwrap());
        if file.is_dir() {
            copy(&file, &target);
        } else {
            std::fs::copy(&file, &target).unwrap();
        }
    }
}

/// Damages a copy of the log and opens it.
fn after(original: &Path, damage: impl FnOnce(&Path)) -> Result<(Log, Opened, tempfile::TempDir), StoreError> {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("log");
    copy(&original.join("log"), &path);
    damage(&path);
    Log::open(&path, &options()).map(|(log, opened)| (log, opened, scratch))
}

fn files(folder: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(prefix) && name.ends_with(suffix)
    });
    files.sort();
    files
}

fn flip(path: &Path, place: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let place = place.min(bytes.len() - 1);
    bytes[place] ^= 1 << (place % 8);
    std::fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, length: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

/// Opened with all entries, and clean.
#[track_caller]
fn assert_whole(log: &Log) {
    assert_eq!(log.size(), SIZE + 5);
    assert_clean(log);
}

#[test]
fn flipped_bits_in_the_index_are_harmless_or_repaired() {
    let original = crashed();
    let length = usize::try_from(std::fs::metadata(original.path().join("log/index/db")).unwrap().len()).unwrap();
    let mut repaired = 0;
    let places = (0..64).map(|place| place * 5).chain((0..60).map(|part| part * length / 60));
    for place in places {
        let (log, opened, scratch) = after(original.path(), |path| flip(&path.join("index/db"), place))
            .unwrap_or_else(|error| panic!("a bit of byte {place}: {error}"));
        assert_eq!(log.size(), SIZE + 5, "a bit of byte {place}");
        // A damaged page that opening did not read is noticed when it is read, and repaired by opening again.
        let report = log.fsck(None).unwrap();
        drop(log);
        let (log, again) = Log::open(&scratch.path().join("log"), &options()).unwrap();
        assert_whole(&log);
        if !report.is_clean() {
            assert!(!again.repaired.is_empty(), "a bit of byte {place}: {:?}", report.problems);
        }
        if !opened.repaired.is_empty() || !again.repaired.is_empty() {
            repaired += 1;
            let told = [opened.repaired, again.repaired].concat().join("\n");
            assert!(told.contains("rebuilt") || told.contains("from the packs"), "{told}");
            // What was moved aside is named, and is there.
            let kept = files(&scratch.path().join("log"), "damaged-", "index").len()
                + files(&scratch.path().join("log/index"), "damaged-", "").len();
            assert!(kept > 0 || !told.contains("moved to"), "{told}");
        }
    }
    assert!(repaired > 5, "some of the bits mattered: {repaired}");
}

#[test]
fn a_cut_index_is_rebuilt() {
    let original = crashed();
    let length = std::fs::metadata(original.path().join("log/index/db")).unwrap().len();
    for part in 0..10 {
        let (log, opened, _scratch) = after(original.path(), |path| cut(&path.join("index/db"), length * part / 10))
            .unwrap_or_else(|error| panic!("cut at {part}/10: {error}"));
        assert_whole(&log);
        // The end of the file is what sled reserved and did not use yet.
        assert!(part == 9 || !opened.repaired.is_empty(), "cut at {part}/10");
    }
}

#[test]
fn a_damaged_snapshot_is_moved_aside_and_rebuilt() {
    let original = crashed();
    let snapshot = &files(&original.path().join("log/index"), "snap.", "")[0];
    let name = snapshot.file_name().unwrap();
    let length = usize::try_from(std::fs::metadata(snapshot).unwrap().len()).unwrap();
    for place in [0, 9, length / 2, length - 14, length - 5, length - 1] {
        let result = after(original.path(), |path| flip(&path.join("index").join(name), place));
        let (log, opened, _scratch) = result.unwrap_or_else(|error| panic!("a bit of byte {place}: {error}"));
        assert_whole(&log);
        // The length field of a snapshot is only read with compression, which we do not use.
        let unread = (length - 12..length - 4).contains(&place);
        assert!(unread || opened.repaired.join("\n").contains("rebuilt"), "byte {place}: {opened:?}");
    }
    for part in 0..4 {
        let cut_at = u64::try_from(length * part / 4).unwrap();
        let result = after(original.path(), |path| cut(&path.join("index").join(name), cut_at));
        let (log, opened, scratch) = result.unwrap_or_else(|error| panic!("cut at {part}/4: {error}"));
        assert_whole(&log);
        assert!(!opened.repaired.is_empty());
        let kept = files(&scratch.path().join("log/index"), "damaged-", "").len()
            + files(&scratch.path().join("log"), "damaged-", "").len();
        assert!(kept > 0, "the evidence stays");
    }
}

#[test]
fn an_index_that_is_missing_or_nonsense_is_rebuilt() {
    let original = crashed();
    let (log, _, _scratch) =
        after(original.path(), |path| std::fs::remove_dir_all(path.join("index")).unwrap()).unwrap();
    assert_whole(&log);
    let (log, opened, _scratch) = after(original.path(), |path| {
        std::fs::write(path.join("index/db"), b"nonsense".repeat(100_000)).unwrap();
    })
    .unwrap();
    assert_whole(&log);
    assert!(opened.repaired.join("\n").contains("from the packs"), "{opened:?}");
    let (log, _, _scratch) = after(original.path(), |path| flip(&path.join("index/conf"), 3)).unwrap();
    assert_whole(&log);
}

#[test]
fn damage_in_a_pack_is_told_with_the_first_bad_entry() {
    let original = unsealed();
    let packs = files(&original.path().join("log/packs"), "", ".pack");
    assert!(packs.len() > 10, "{}", packs.len());
    let mut told = 0;
    for pack in packs.iter().step_by(3) {
        let name = pack.file_name().unwrap();
        let length = usize::try_from(std::fs::metadata(pack).unwrap().len()).unwrap();
        for place in [30, length / 2] {
            match after(original.path(), |path| flip(&path.join("packs").join(name), place)) {
                Err(StoreError::Damaged { path, .. }) => {
                    assert!(path.ends_with(name), "{}", path.display());
                    told += 1;
                }
                Err(error) => panic!("{error}"),
                Ok((log, _, _scratch)) => {
                    assert_eq!(log.size(), SIZE + 5);
                    let report = log.fsck(None).unwrap();
                    if let Some(first) = report.first_bad {
                        told += 1;
                        assert!(first <= SIZE + 5);
                        let words = report.problems.join("\n");
                        assert!(words.contains(&name.to_string_lossy().into_owned()), "{words}");
                        if first > 0 {
                            log.reader().entry(first - 1).unwrap();
                        }
                    }
                }
            }
        }
    }
    assert!(told > 3, "some of the bits mattered: {told}");
}

#[test]
fn a_missing_pack_is_refused_unless_losses_are_accepted() {
    let original = unsealed();
    let packs = files(&original.path().join("log/packs"), "", ".pack");
    // The first has nothing but the identity of the journal, which the index has as well.
    let mut missed = 0;
    for pack in [&packs[1], &packs[packs.len() / 2], &packs[packs.len() - 1]] {
        let name = pack.file_name().unwrap();
        let remove = |path: &Path| std::fs::remove_file(path.join("packs").join(name)).unwrap();
        let error = after(original.path(), remove).err().unwrap();
        assert_refused(&error, name, "it is missing, and with it the values of commits");
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        copy(&original.path().join("log"), &path);
        remove(&path);
        let mut accepting = Options::default();
        accepting.accept_loss = true;
        match Log::open(&path, &accepting) {
            Ok((log, opened)) => {
                assert_eq!(opened.lost.len(), 1, "{opened:?}");
                let report = log.fsck(None).unwrap();
                // Values that a later pack has again are not missed.
                missed += usize::from(!report.is_clean());
                drop(log);
                // It was accepted once and for all.
                assert!(open(&path).size() > 0);
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
                missed += 1;
            }
        }
    }
    assert!(missed > 0, "some of the packs were needed");
}

/// It names the file, what is lost, and what to do.
#[track_caller]
fn assert_refused(error: &StoreError, name: &OsStr, what: &str) {
    let StoreError::Damaged { path, lost, advice } = error else { panic!("{error}") };
    assert!(path.ends_with(name), "{name:?}: {error}");
    assert!(lost.contains(what), "{name:?}: {error}");
    assert!(advice.contains("from a copy"), "{name:?}: {error}");
}

#[test]
fn a_cut_pack_is_refused_unless_losses_are_accepted() {
    let original = unsealed();
    let packs = files(&original.path().join("log/packs"), "", ".pack");
    // The first has only small values, which the index has as well.
    let mut accepted = 0;
    for pack in [&packs[0], &packs[1], &packs[packs.len() / 2], &packs[packs.len() - 1]] {
        let name = pack.file_name().unwrap();
        let length = std::fs::metadata(pack).unwrap().len();
        for left in [0, length / 2, length - 1] {
            let damage = |path: &Path| cut(&path.join("packs").join(name), left);
            let error = after(original.path(), damage).err().unwrap();
            assert_refused(&error, name, &format!("it was cut to {left} of its {length} bytes"));
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join("log");
            copy(&original.path().join("log"), &path);
            damage(&path);
            let mut accepting = Options::default();
            accepting.accept_loss = true;
            match Log::open(&path, &accepting) {
                Ok((log, opened)) => {
                    assert_eq!(opened.lost.len(), 1, "{opened:?}");
                    drop(log);
                    accepted += 1;
                    // It was accepted once and for all, as long as no more is cut.
                    drop(open(&path));
                    if left > 0 {
                        cut(&path.join("packs").join(name), left - 1);
                        let error = Log::open(&path, &options()).err().unwrap();
                        assert_refused(&error, name, &format!("it was cut to {} of its {left} bytes", left - 1));
                    }
                }
                // The tail needs it.
                Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{error}"),
            }
        }
    }
    assert!(accepted > 3, "some of the packs are not needed to open: {accepted}");
}

#[test]
fn a_pack_is_refused_when_it_is_cut_while_the_index_is_gone() {
    let original = crashed();
    let packs = files(&original.path().join("log/packs"), "", ".pack");
    for pack in [&packs[1], &packs[packs.len() - 1]] {
        let name = pack.file_name().unwrap();
        let length = std::fs::metadata(pack).unwrap().len();
        let error = after(original.path(), |path| {
            std::fs::remove_dir_all(path.join("index")).unwrap();
            cut(&path.join("packs").join(name), length - 1);
        });
        assert_refused(&error.err().unwrap(), name, &format!("it was cut to {} of its {length} bytes", length - 1));
    }
}

#[test]
fn bytes_behind_the_end_of_a_pack_are_harmless() {
    let original = crashed();
    let packs = files(&original.path().join("log/packs"), "", ".pack");
    for pack in [&packs[1], &packs[packs.len() - 1]] {
        let length = std::fs::metadata(pack).unwrap().len();
        let grown = |path: &Path| cut(&path.join("packs").join(pack.file_name().unwrap()), length + 5000);
        let (log, opened, _scratch) = after(original.path(), grown).unwrap();
        assert!(opened.repaired.is_empty() && opened.lost.is_empty(), "{opened:?}");
        assert_whole(&log);
        // Nor do they matter to a pack that a crash left for the next opening to apply.
        let (log, _, _scratch) = after(original.path(), |path| {
            grown(path);
            std::fs::remove_dir_all(path.join("index")).unwrap();
        })
        .unwrap();
        assert_whole(&log);
    }
}

#[test]
fn a_flipped_bit_in_the_journal_is_harmless_or_told() {
    let original = crashed();
    let length = usize::try_from(std::fs::metadata(original.path().join("log/journal")).unwrap().len()).unwrap();
    let mut told = 0;
    for place in (0..length).step_by(997) {
        match after(original.path(), |path| flip(&path.join("journal"), place)) {
            Ok((log, opened, _scratch)) => {
                assert!(log.size() == SIZE + 5 || !opened.repaired.is_empty(), "byte {place}: {}", log.size());
                told += usize::from(!opened.repaired.is_empty());
                assert_clean(&log);
            }
            Err(error) => panic!("byte {place}: {error}"),
        }
    }
    assert!(told > 0, "some of the bits mattered");
}

/// Also where a cut leaves no half record that would show it: between two of them, and where only old ones were.
#[test]
fn a_cut_journal_is_refused_unless_losses_are_accepted() {
    let original = crashed();
    let length = std::fs::metadata(original.path().join("log/journal")).unwrap().len();
    let between = (0..length).step_by(4096);
    for left in between.chain([3, 600, 4096 + 3, length / 2 + 7, length - 1]) {
        let error = after(original.path(), |path| cut(&path.join("journal"), left)).err().unwrap();
        assert_refused(&error, OsStr::new("journal"), &format!("it was cut to {left} of its {length} bytes"));
    }
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("log");
    copy(&original.path().join("log"), &path);
    cut(&path.join("journal"), length / 2);
    let mut accepting = options();
    accepting.accept_loss = true;
    let (log, opened) = Log::open(&path, &accepting).unwrap();
    assert_eq!(opened.lost.len(), 2, "the loss, and where the journal is kept: {opened:?}");
    assert_clean(&log);
    drop(log);
    assert_clean(&open(&path));
    assert_eq!(std::fs::metadata(path.join("journal")).unwrap().len(), length);
}

fn segments(log: &Path) -> Vec<PathBuf> {
    files(&log.join("segments"), "", ".segment")
}

fn accepting() -> Options {
    let mut accepting = options();
    accepting.accept_loss = true;
    accepting
}

#[test]
fn the_folder_of_segments_verifies_by_itself() {
    let original = crashed();
    let files = segments(&original.path().join("log"));
    assert!(files.len() > 3, "{}", files.len());
    let mut end = 0;
    let mut root = hash::empty_root();
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let segment = Segment::decode(&bytes).unwrap();
        let verified = segment.verify(&key().verifier()).unwrap();
        assert_eq!((segment.first, verified.root_before), (end, root));
        end = verified.after.size();
        root = verified.after.root();
        let name = format!("{:020}-{end:020}-{}.segment", segment.first, hash::to_hex(&hash::sha256(&bytes)));
        assert_eq!(file.file_name().unwrap().to_string_lossy(), name);
    }
    assert_eq!(end, SIZE / 256 * 256);
}

#[test]
fn a_segment_that_is_missing_or_cut_is_refused_unless_losses_are_accepted() {
    let original = crashed();
    let all = segments(&original.path().join("log"));
    for (file, left) in [(&all[0], None), (&all[2], Some(1000)), (&all[all.len() - 1], Some(0))] {
        let name = file.file_name().unwrap();
        let damage = |path: &Path| {
            let file = path.join("segments").join(name);
            left.map_or_else(|| std::fs::remove_file(&file).unwrap(), |left| cut(&file, left));
        };
        let error = after(original.path(), damage).err().unwrap();
        let StoreError::Damaged { path, lost, advice } = &error else { panic!("{error}") };
        assert!(
            path.ends_with(name) && lost.contains("entries") && advice.contains("fetch the segment again"),
            "{error}"
        );
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        copy(&original.path().join("log"), &path);
        damage(&path);
        match Log::open(&path, &accepting()) {
            Ok((log, opened)) => {
                assert!(!opened.lost.is_empty());
                assert!(!log.fsck(None).unwrap().is_clean());
                drop(log);
                // It was accepted once and for all.
                let mut log = open(&path);
                commit(&mut log, 300, 100).unwrap();
            }
            Err(error) => panic!("{name:?}: {error}"),
        }
    }
}

#[test]
fn a_flipped_bit_in_a_segment_is_told_by_fsck_and_when_it_is_read() {
    let original = crashed();
    let all = segments(&original.path().join("log"));
    let file = &all[1];
    let length = usize::try_from(std::fs::metadata(file).unwrap().len()).unwrap();
    for place in [0, 25, 100, length / 2, length - 40] {
        let (log, _, _scratch) =
            after(original.path(), |path| flip(&path.join("segments").join(file.file_name().unwrap()), place)).unwrap();
        let report = log.fsck(None).unwrap();
        assert!(report.problems.iter().any(|told| told.contains(".segment")), "byte {place}: {:?}", report.problems);
        let first: u64 = file.file_name().unwrap().to_string_lossy()[..20].parse().unwrap();
        if place == length / 2 {
            let end: u64 = file.file_name().unwrap().to_string_lossy()[21..41].parse().unwrap();
            let read = (first..end).filter(|index| log.reader().entry(*index).is_err()).count();
            assert!(read > 0);
        }
        assert_eq!(log.reader().entry(first - 1).unwrap(), entry(first - 1, 300));
    }
}

#[test]
fn an_index_that_is_lost_with_segments_there_is_rebuilt_from_them() {
    let original = crashed();
    let (log, opened, scratch) =
        after(original.path(), |path| std::fs::remove_dir_all(path.join("index")).unwrap()).unwrap();
    assert_whole(&log);
    assert!(opened.repaired.join("\n").contains("verified"), "{opened:?}");
    drop(log);
    // A damaged one among them is refused then, by name.
    let path = scratch.path().join("log");
    let file = &segments(&path)[1];
    flip(file, 5000);
    std::fs::remove_dir_all(path.join("index")).unwrap();
    let error = Log::open(&path, &options()).err().unwrap();
    assert!(error.to_string().contains(&file.file_name().unwrap().to_string_lossy().into_owned()), "{error}");
    let (log, opened) = Log::open(&path, &accepting()).unwrap();
    assert_eq!((log.size(), opened.lost.len()), (SIZE + 5, 1), "{opened:?}");
}

#[test]
fn the_segments_alone_give_a_log_up_to_their_end() {
    let original = crashed();
    for gone in [&["index", "packs", "journal"][..], &["index", "packs"], &["packs"]] {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        copy(&original.path().join("log"), &path);
        for part in gone {
            let part = path.join(part);
            if part.is_dir() { std::fs::remove_dir_all(part).unwrap() } else { std::fs::remove_file(part).unwrap() }
        }
        let error = Log::open(&path, &options()).err().unwrap_or_else(|| panic!("{gone:?} are gone"));
        assert!(matches!(error, StoreError::Damaged { .. }), "{gone:?}: {error}");
        let (mut log, opened) =
            Log::open(&path, &accepting()).unwrap_or_else(|error| panic!("{gone:?} are gone: {error}"));
        assert!(!opened.lost.is_empty(), "{gone:?}");
        let end = SIZE / 256 * 256;
        assert_eq!(log.size(), end, "{gone:?}: {opened:?}");
        assert_clean(&log);
        assert_eq!(log.reader().entry(end - 1).unwrap(), entry(end - 1, 300));
        commit(&mut log, 700, 100).unwrap();
        assert_clean(&log);
        drop(log);
        let (log, opened) = Log::open(&path, &options()).unwrap();
        assert!(opened.lost.is_empty() && log.size() == end + 700, "{gone:?}");
        assert_clean(&log);
    }
}

#[test]
fn files_that_a_crash_left_in_the_folder_of_segments_are_removed() {
    let original = crashed();
    let (log, _, scratch) = after(original.path(), |path| {
        let first = &segments(path)[0];
        std::fs::write(path.join("segments/half.new"), b"half").unwrap();
        let name = format!("{:020}-{:020}-{}.segment", 0, 256, "ab".repeat(32));
        std::fs::copy(first, path.join("segments").join(name)).unwrap();
    })
    .unwrap();
    assert_whole(&log);
    let left = std::fs::read_dir(scratch.path().join("log/segments")).unwrap().count();
    assert_eq!(left, segments(&original.path().join("log")).len());
}
