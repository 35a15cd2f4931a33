//! Key files, good, loose, damaged, foreign and lost; rotations cut short at every step.

use super::*;
use std::os::unix::fs::{PermissionsExt as _, symlink};

#[test]
fn keys_are_made_once_and_found_again() {
    let data = tempfile::tempdir().expect("a folder");
    let first = load_or_create(data.path(), "box-1").expect("made");
    let again = load_or_create(data.path(), "box-1").expect("found");
    assert!(first.fresh && !again.fresh);
    assert_eq!(first.verifying.to_string(), again.verifying.to_string());
    assert_eq!(first.cache, again.cache);
    assert_eq!(load_public(data.path()).expect("public").to_string(), first.verifying.to_string());
}

#[test]
fn loose_damaged_foreign_and_lost_keys_are_refused() {
    let data = tempfile::tempdir().expect("a folder");
    load_or_create(data.path(), "box-1").expect("made");
    let path = data.path().join("keys/box.key");
    assert!(matches!(load_or_create(data.path(), "box-2"), Err(KeyError::OtherName { .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
    assert!(matches!(load_or_create(data.path(), "box-1"), Err(KeyError::Loose { mode: 0o640, .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let good = std::fs::read(&path).expect("read");
    for index in 0..good.len() - 1 {
        let mut bad = good.clone();
        bad[index] ^= 1;
        std::fs::write(&path, &bad).expect("write");
        assert!(load_or_create(data.path(), "box-1").is_err(), "flip in byte {index}");
    }
    std::fs::remove_file(&path).expect("remove");
    std::fs::create_dir(data.path().join("ledger")).expect("folder");
    assert!(matches!(load_or_create(data.path(), "box-1"), Err(KeyError::Lost { .. })));
}

#[test]
fn a_keys_folder_that_others_can_look_into_is_refused() {
    let data = tempfile::tempdir().unwrap();
    load_or_create(data.path(), "box-1").unwrap();
    let folder = data.path().join("keys");
    for mode in [0o755, 0o710, 0o701, 0o777] {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = load_or_create(data.path(), "box-1").unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    for name in ["box.key", "cache.key"] {
        for mode in [0o604, 0o640, 0o660, 0o601] {
            std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
            let error = load_or_create(data.path(), "box-1").unwrap_err();
            assert!(matches!(&error, KeyError::Loose { mode: found, .. } if *found == mode), "{name} {error}");
        }
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    load_or_create(data.path(), "box-1").unwrap();
}

#[test]
fn links_in_place_of_keys_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    load_or_create(data.path(), "box-1").unwrap();
    let key = data.path().join("keys/box.key");
    std::fs::rename(&key, elsewhere.path().join("box.key")).unwrap();
    symlink(elsewhere.path().join("box.key"), &key).unwrap();
    assert!(matches!(load_or_create(data.path(), "box-1"), Err(KeyError::NotPlain { wanted: "file", .. })));
    // A link that leads nowhere is no missing key either.
    std::fs::remove_file(elsewhere.path().join("box.key")).unwrap();
    assert!(matches!(load_or_create(data.path(), "box-1"), Err(KeyError::NotPlain { wanted: "file", .. })));
    std::fs::remove_file(&key).unwrap();
    std::fs::rename(data.path().join("keys"), elsewhere.path().join("keys")).unwrap();
    symlink(elsewhere.path().join("keys"), data.path().join("keys")).unwrap();
    assert!(matches!(load_or_create(data.path(), "box-1"), Err(KeyError::NotPlain { wanted: "folder", .. })));
}

#[test]
fn a_key_of_another_user_is_refused() {
    let data = tempfile::tempdir().unwrap();
    load_or_create(data.path(), "box-1").unwrap();
    let path = data.path().join("keys/box.key");
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_err() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    let error = load_or_create(data.path(), "box-1").unwrap_err();
    assert!(matches!(error, KeyError::Owner { owner: 12_345, .. }), "{error}");
}
