//! The compile cache: a hit runs what this box compiled; anything else is compiled again.

use std::fs;
use std::path::{Path, PathBuf};

use picket_engine::{CacheOptions, CacheUse, Engine, EngineOptions, Limits, Scalar, Validator};

use crate::guard::{ANSWER, Guard, Image, PROBLEMS};
use crate::{patient, text};

fn engine(folder: &Path, key: u8) -> Engine {
    Engine::new(EngineOptions {
        instances: 1,
        streams: 0,
        cache: Some(CacheOptions { folder: folder.to_owned(), key: [key; 32] }),
        ..EngineOptions::default()
    })
    .unwrap()
}

/// Answers with `answer`, and with the length of its settings.
fn guard(answer: u64) -> Vec<u8> {
    Guard {
        configure: format!("(global.set $length (local.get 1)) (i32.const {PROBLEMS})"),
        check: format!(
            "(i64.store (i32.const {}) (i64.extend_i32_u (global.get $length))) (i32.const {ANSWER})",
            ANSWER + 32 + 16
        ),
        answer: Image::verdict(0, &[], &[], &[("length", 0), ("answer", answer)]),
        fields: "(global $length (mut i32) (i32.const 0))".into(),
        ..Guard::default()
    }
    .component()
}

fn load(folder: &Path, key: u8, wasm: &[u8]) -> Validator {
    engine(folder, key).load_validator("test", wasm, "{}", patient()).unwrap()
}

fn answers(guard: &Validator) -> Vec<Scalar> {
    let verdict = guard.check(&text("x")).unwrap();
    verdict.measurements.into_iter().map(|measurement| measurement.value).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_second_load_is_a_hit_with_the_configured_state() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = guard(5);
    let first = load(folder.path(), 1, &wasm);
    assert_eq!(first.report().cache, CacheUse::Miss);
    let second = load(folder.path(), 1, &wasm);
    assert_eq!(second.report().cache, CacheUse::Hit);
    assert_eq!(second.start(), first.start());
    assert_eq!(answers(&second), [Scalar::Integer(2), Scalar::Integer(5)]);
    assert_eq!(answers(&first), answers(&second));
    assert_eq!(second.descriptor(), first.descriptor());
    assert_eq!(files(folder.path()).len(), 1, "no temporary file is left");
}

#[test]
fn any_flipped_byte_is_noticed_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = guard(5);
    let expected = answers(&load(folder.path(), 1, &wasm));
    let file = files(folder.path()).remove(0);
    let genuine = fs::read(&file).unwrap();
    let tampered = [0, 31, 32, 33, 34, 35, 40, 100, genuine.len() / 2, genuine.len() - 1];
    for at in tampered {
        let mut bytes = genuine.clone();
        bytes[at] ^= 1;
        fs::write(&file, &bytes).unwrap();
        let loaded = load(folder.path(), 1, &wasm);
        assert!(matches!(loaded.report().cache, CacheUse::Replaced(_)), "byte {at}: {:?}", loaded.report());
        assert_eq!(answers(&loaded), expected);
        assert_eq!(load(folder.path(), 1, &wasm).report().cache, CacheUse::Hit, "byte {at} was not replaced");
    }
}

#[test]
fn a_file_cut_off_emptied_or_made_longer_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = guard(5);
    load(folder.path(), 1, &wasm);
    let file = files(folder.path()).remove(0);
    let genuine = fs::read(&file).unwrap();
    for bytes in [&genuine[..0], &genuine[..10], &genuine[..32], &genuine[..1000], &[&genuine[..], b"x"].concat()] {
        fs::write(&file, bytes).unwrap();
        let loaded = load(folder.path(), 1, &wasm);
        assert!(matches!(loaded.report().cache, CacheUse::Replaced(_)), "{} bytes", bytes.len());
        assert_eq!(load(folder.path(), 1, &wasm).report().cache, CacheUse::Hit);
    }
}

#[test]
fn a_genuine_file_under_another_guards_name_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let (harmless, strict) = (guard(0), guard(1));
    load(folder.path(), 1, &harmless);
    let of_harmless = files(folder.path()).remove(0);
    load(folder.path(), 1, &strict);
    let of_strict = files(folder.path()).into_iter().find(|file| *file != of_harmless).unwrap();
    fs::copy(&of_harmless, &of_strict).unwrap();
    let loaded = load(folder.path(), 1, &strict);
    assert!(matches!(loaded.report().cache, CacheUse::Replaced(_)));
    assert_eq!(answers(&loaded)[1], Scalar::Integer(1));
}

#[test]
fn another_boxs_file_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = guard(5);
    load(folder.path(), 1, &wasm);
    assert!(matches!(load(folder.path(), 2, &wasm).report().cache, CacheUse::Replaced(_)));
    assert_eq!(load(folder.path(), 2, &wasm).report().cache, CacheUse::Hit);
}

#[test]
fn component_settings_limits_and_compiler_settings_each_have_their_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 1);
    let miss = |wasm: &[u8], settings: &str, limits: Limits| {
        let loaded = engine.load_validator("test", wasm, settings, limits).unwrap();
        assert_eq!(loaded.report().cache, CacheUse::Miss);
    };
    miss(&guard(1), "{}", patient());
    miss(&guard(2), "{}", patient());
    miss(&guard(1), "{\"a\":1}", patient());
    miss(&guard(1), "{}", Limits { memory: 1 << 20, ..patient() });
    assert_eq!(files(folder.path()).len(), 4);
    let other = Engine::new(EngineOptions {
        cache: Some(CacheOptions { folder: folder.path().to_owned(), key: [1; 32] }),
        instances: 1,
        max_stack: 300 << 10,
        ..EngineOptions::default()
    })
    .unwrap();
    // The stack's size is no matter of the compiler: the code is shared.
    let loaded = other.load_validator("test", &guard(1), "{}", patient()).unwrap();
    assert_eq!(loaded.report().cache, CacheUse::Hit);
}

#[test]
fn a_guard_without_a_snapshot_is_cached_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = Guard {
        fields: "(table 1 funcref) (func (table.set (i32.const 0) (ref.null func)))".into(),
        ..Guard::default()
    }
    .component();
    let first = load(folder.path(), 1, &wasm);
    let second = load(folder.path(), 1, &wasm);
    assert_eq!(second.report().cache, CacheUse::Hit);
    assert_eq!(second.report().no_snapshot, first.report().no_snapshot);
    assert!(second.report().no_snapshot.is_some());
    assert!(second.check(&text("x")).is_ok());
}

#[test]
fn a_folder_that_cannot_be_written_is_no_reason_not_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 1);
    let wasm = guard(5);
    fs::remove_dir(folder.path()).unwrap();
    let loaded = engine.load_validator("test", &wasm, "{}", patient()).unwrap();
    assert!(matches!(loaded.report().cache, CacheUse::Unwritable(_)), "{:?}", loaded.report());
    assert!(loaded.check(&text("x")).is_ok());
    fs::create_dir(folder.path()).unwrap();
}

#[test]
fn a_folder_that_is_a_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let options =
        EngineOptions { cache: Some(CacheOptions { folder: file.clone(), key: [0; 32] }), ..EngineOptions::default() };
    let error = Engine::new(options).err().unwrap();
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}
