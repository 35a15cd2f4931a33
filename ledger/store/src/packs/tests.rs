//! An index without lengths of its packs, as earlier versions wrote it.

use crate::findings::Findings;
use crate::store::Store;
use crate::{StoreError, pack_file};

use super::PackedStore;
use super::present::note;

/// A store of three packs, the index of which does not know how long the second is. Returns that one's path.
fn without_length(folder: &std::path::Path) -> std::path::PathBuf {
    let store = PackedStore::open(folder, 1 << 20, &mut Findings::default()).unwrap();
    for sequence in 1..4 {
        store.apply(sequence, &[(vec![b'k', 1], Some(vec![1; 5000])), (vec![b'k', 2], Some(vec![2; 50]))]).unwrap();
    }
    let (key, _) = note(2, 2, 0);
    store.write_index(3, &[(key, None)]).unwrap();
    store.sync().unwrap();
    store.folder.join(pack_file::file_name(2, 2))
}

fn cut(path: &std::path::Path, by: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - by).unwrap();
}

#[test]
fn a_length_that_is_not_noted_is_had_from_the_list_once() {
    let folder = tempfile::tempdir().unwrap();
    let pack = without_length(folder.path());
    let length = std::fs::metadata(&pack).unwrap().len();
    let store = PackedStore::open(folder.path(), 1 << 20, &mut Findings::default()).unwrap();
    let (key, value) = note(2, 2, length);
    assert_eq!(store.index.get(&key).unwrap(), value);
}

#[test]
fn a_pack_without_a_noted_length_is_refused_when_it_is_cut() {
    for by in [1, 5050, 5060] {
        let folder = tempfile::tempdir().unwrap();
        let pack = without_length(folder.path());
        cut(&pack, by);
        match PackedStore::open(folder.path(), 1 << 20, &mut Findings::default()) {
            Err(StoreError::Damaged { path, .. }) => assert_eq!(path, pack, "cut by {by}"),
            Err(error) => panic!("cut by {by}: {error}"),
            Ok(_) => panic!("cut by {by}: accepted"),
        }
    }
}
