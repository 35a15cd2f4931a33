//! A disk as a loss of power knows it: what is durable, and what was asked for since.
//!
//! It is stricter than any file system in use. Durable is the content of a file when `fsync` or `fdatasync` of it
//! returned, and the names in a folder when `fsync` of that folder did; `sync_file_range` makes nothing durable.
//! Of everything else a loss keeps what it likes: each sector of 512 bytes by itself may hold any of its contents
//! since the last sync, the length of a file may be any that it had, a name may be there or not, and what was never
//! written in a file that grew may be garbage.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use crate::loss::{Everything, Fate, Loss, Manner};
use crate::random::Random;

/// A file or folder, whatever its name is.
pub type Id = usize;

/// The folder that everything is in.
pub const ROOT: Id = 0;
/// The unit in which writes tear, in bytes.
const SECTOR: usize = 512;

/// What a program did.
#[derive(Clone, Debug)]
pub enum Op {
    Create {
        folder: Id,
        name: OsString,
        id: Id,
        is_folder: bool,
    },
    Rename {
        folder: Id,
        from: OsString,
        to: OsString,
        id: Id,
    },
    Remove {
        folder: Id,
        name: OsString,
        id: Id,
    },
    Write {
        id: Id,
        offset: usize,
        bytes: Vec<u8>,
    },
    SetLength {
        id: Id,
        length: usize,
    },
    /// Of a file or a folder; `data_only` is `fdatasync`.
    Sync {
        id: Id,
        data_only: bool,
    },
    /// The program acknowledged this much.
    Mark(usize),
}

/// A change of a folder that is not durable yet.
#[derive(Clone, Debug)]
struct Naming {
    time: usize,
    from: Option<OsString>,
    to: Option<OsString>,
    id: Id,
}

/// A change of a file that is not durable yet.
#[derive(Clone, Debug)]
struct Change {
    time: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Write { offset: usize, bytes: Vec<u8> },
    SetLength(usize),
}

#[derive(Clone, Debug)]
enum Node {
    File { durable: Vec<u8>, pending: Vec<Change> },
    Folder { durable: BTreeMap<OsString, Id>, pending: Vec<Naming> },
}

/// Files and folders.
#[derive(Clone, Debug)]
pub struct Disk {
    nodes: BTreeMap<Id, Node>,
    time: usize,
}

impl Disk {
    /// The content of a folder, all of it durable.
    pub fn scan(folder: &Path) -> Self {
        let mut disk = Self { nodes: BTreeMap::new(), time: 0 };
        disk.scan_into(folder, ROOT);
        disk
    }

    fn scan_into(&mut self, folder: &Path, id: Id) {
        self.nodes.insert(id, Node::Folder { durable: BTreeMap::new(), pending: Vec::new() });
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
        names.sort_by_key(std::fs::DirEntry::file_name);
        for entry in names {
            let child = self.nodes.len();
            if entry.file_type().unwrap().is_dir() {
                self.scan_into(&entry.path(), child);
            } else {
                let durable = std::fs::read(entry.path()).unwrap();
                self.nodes.insert(child, Node::File { durable, pending: Vec::new() });
            }
            if let Some(Node::Folder { durable, .. }) = self.nodes.get_mut(&id) {
                durable.insert(entry.file_name(), child);
            }
        }
    }

    /// A number that nothing has yet.
    pub fn next_id(&self) -> Id {
        self.nodes.keys().next_back().map_or(ROOT, |last| last + 1)
    }

    /// What a killed program leaves: everything is there, and what is not durable still is not.
    pub fn kill(&self) -> Self {
        self.after(&mut Everything)
    }

    /// Goes one step on.
    pub fn apply(&mut self, op: &Op) {
        self.time += 1;
        let time = self.time;
        match op {
            Op::Create { folder, name, id, is_folder } => {
                let node = if *is_folder {
                    Node::Folder { durable: BTreeMap::new(), pending: Vec::new() }
                } else {
                    Node::File { durable: Vec::new(), pending: Vec::new() }
                };
                self.nodes.insert(*id, node);
                self.names(*folder).push(Naming { time, from: None, to: Some(name.clone()), id: *id });
            }
            Op::Rename { folder, from, to, id } => {
                self.names(*folder).push(Naming { time, from: Some(from.clone()), to: Some(to.clone()), id: *id });
            }
            Op::Remove { folder, name, id } => {
                self.names(*folder).push(Naming { time, from: Some(name.clone()), to: None, id: *id });
            }
            Op::Write { id, offset, bytes } => {
                let what = What::Write { offset: *offset, bytes: bytes.clone() };
                self.changes(*id).push(Change { time, what });
            }
            Op::SetLength { id, length } => self.changes(*id).push(Change { time, what: What::SetLength(*length) }),
            Op::Sync { id, .. } => {
                let node = self.nodes.get_mut(id).unwrap();
                *node = node.after(&mut Everything);
            }
            Op::Mark(_) => {}
        }
    }

    fn names(&mut self, folder: Id) -> &mut Vec<Naming> {
        match self.nodes.get_mut(&folder) {
            Some(Node::Folder { pending, .. }) => pending,
            other => panic!("{folder} is no folder: {other:?}"),
        }
    }

    fn changes(&mut self, file: Id) -> &mut Vec<Change> {
        match self.nodes.get_mut(&file) {
            Some(Node::File { pending, .. }) => pending,
            other => panic!("{file} is no file: {other:?}"),
        }
    }

    /// What is there when nothing goes wrong: path and content, `None` for a folder.
    pub fn content(&self) -> BTreeMap<OsString, Option<Vec<u8>>> {
        let disk = self.after(&mut Everything);
        let mut found = BTreeMap::new();
        disk.walk(ROOT, Path::new(""), &mut |path, content| {
            found.insert(path.as_os_str().to_owned(), content.map(<[u8]>::to_vec));
        });
        found
    }

    /// What a loss of power leaves.
    pub fn lose(&self, random: &mut Random) -> (Self, Manner) {
        let manner = Manner::draw(self.time, random);
        let disk = self.after(&mut Loss { manner, random });
        (disk, manner)
    }

    fn after(&self, fate: &mut dyn Fate) -> Self {
        let nodes = self.nodes.iter().map(|(id, node)| (*id, node.after(fate))).collect();
        Self { nodes, time: self.time }
    }

    /// Creates it in an empty folder.
    pub fn write_to(&self, folder: &Path) {
        self.walk(ROOT, folder, &mut |path, content| match content {
            None => std::fs::create_dir(path).unwrap(),
            Some(content) => std::fs::write(path, content).unwrap(),
        });
    }

    fn walk(&self, id: Id, path: &Path, see: &mut dyn FnMut(&Path, Option<&[u8]>)) {
        let Some(Node::Folder { durable, .. }) = self.nodes.get(&id) else { return };
        for (name, child) in durable {
            let path = path.join(name);
            match &self.nodes[child] {
                Node::File { durable, .. } => see(&path, Some(durable)),
                Node::Folder { .. } => {
                    see(&path, None);
                    self.walk(*child, &path, see);
                }
            }
        }
    }

    /// Names of a folder with what they name, when nothing goes wrong. For whoever follows a program.
    pub fn names_of(&self, folder: Id) -> BTreeMap<OsString, Id> {
        match self.nodes.get(&folder).map(|node| node.after(&mut Everything)) {
            Some(Node::Folder { durable, .. }) => durable,
            _ => BTreeMap::new(),
        }
    }

    /// Content of a file, when nothing goes wrong; `None` for a folder.
    pub fn file(&self, id: Id) -> Option<Vec<u8>> {
        match self.nodes.get(&id).map(|node| node.after(&mut Everything)) {
            Some(Node::File { durable, .. }) => Some(durable),
            _ => None,
        }
    }
}

impl Node {
    /// The node once its pending changes met their fate.
    fn after(&self, fate: &mut dyn Fate) -> Self {
        match self {
            Self::Folder { durable, pending } => {
                let mut names = durable.clone();
                for naming in pending.iter().filter(|naming| fate.keeps(naming.time)) {
                    if let Some(from) = naming.from.as_ref().filter(|from| names.get(*from) == Some(&naming.id)) {
                        names.remove(from);
                    }
                    if let Some(to) = &naming.to {
                        names.insert(to.clone(), naming.id);
                    }
                }
                Self::Folder { durable: names, pending: Vec::new() }
            }
            Self::File { durable, pending } if pending.is_empty() => {
                Self::File { durable: durable.clone(), pending: Vec::new() }
            }
            Self::File { durable, pending } => {
                Self::File { durable: file_after(durable, pending, fate), pending: Vec::new() }
            }
        }
    }
}

fn file_after(durable: &[u8], pending: &[Change], fate: &mut dyn Fate) -> Vec<u8> {
    // The lengths that it had, and the changes that each sector saw.
    let mut length = durable.len();
    let mut lengths = vec![(0, length)];
    let mut touched: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, change) in pending.iter().enumerate() {
        let (range, after) = match &change.what {
            What::Write { offset, bytes } => (*offset..offset + bytes.len(), length.max(offset + bytes.len())),
            What::SetLength(to) => (*to..length.max(*to), *to),
        };
        if after != length {
            length = after;
            lengths.push((change.time, length));
        }
        for sector in range.start / SECTOR..range.end.div_ceil(SECTOR) {
            touched.entry(sector).or_default().push(number);
        }
    }
    let times: Vec<usize> = lengths[1..].iter().map(|(time, _)| *time).collect();
    let length = lengths[fate.version(&times)].1;
    let mut content = durable.to_vec();
    content.resize(length, 0);
    for (sector, changes) in touched {
        let times: Vec<usize> = changes.iter().map(|number| pending[*number].time).collect();
        let version = fate.version(&times);
        let start = sector * SECTOR;
        let mut bytes = [0; SECTOR];
        let before = durable.get(start..).unwrap_or_default();
        let before = &before[..before.len().min(SECTOR)];
        if before.is_empty() && version == 0 {
            fate.unwritten(&mut bytes);
        }
        bytes[..before.len()].copy_from_slice(before);
        for number in &changes[..version] {
            match &pending[*number].what {
                What::SetLength(to) => bytes[to.saturating_sub(start).min(SECTOR)..].fill(0),
                What::Write { offset, bytes: written } => {
                    let from = (*offset).max(start);
                    let to = (offset + written.len()).min(start + SECTOR);
                    bytes[from - start..to - start].copy_from_slice(&written[from - offset..to - offset]);
                }
            }
        }
        if start < length {
            let end = length.min(start + SECTOR);
            content[start..end].copy_from_slice(&bytes[..end - start]);
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(folder: Id, name: &str, id: Id, is_folder: bool) -> Op {
        Op::Create { folder, name: name.into(), id, is_folder }
    }

    /// Everything that losses after these steps can leave, as text.
    fn outcomes(ops: &[Op]) -> std::collections::BTreeSet<String> {
        let mut disk = Disk {
            nodes: BTreeMap::from([(ROOT, Node::Folder { durable: BTreeMap::new(), pending: Vec::new() })]),
            time: 0,
        };
        ops.iter().for_each(|op| disk.apply(op));
        let mut random = Random::new(1);
        (0..400)
            .map(|_| {
                let (left, _) = disk.lose(&mut random);
                let show =
                    |bytes: Vec<u8>| bytes.chunks(SECTOR).map(|sector| char::from(sector[0])).collect::<String>();
                let files = left.content().into_iter().map(|(name, content)| {
                    let content = content.map_or("/".into(), show).replace('\0', "0");
                    // Garbage is as good as any.
                    format!("{}={content}", name.to_string_lossy())
                });
                files.collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    #[test]
    fn a_name_is_durable_once_its_folder_was_synced_and_not_with_the_file() {
        let synced = [create(ROOT, "a", 1, false), Op::Sync { id: 1, data_only: false }];
        assert_eq!(outcomes(&synced), ["", "a="].map(String::from).into());
        let named = [create(ROOT, "a", 1, false), Op::Sync { id: ROOT, data_only: false }];
        assert_eq!(outcomes(&named), ["a="].map(String::from).into());
    }

    #[test]
    fn a_rename_happens_or_not() {
        let ops = [
            create(ROOT, "a", 1, false),
            Op::Sync { id: ROOT, data_only: false },
            Op::Rename { folder: ROOT, from: "a".into(), to: "b".into(), id: 1 },
        ];
        assert_eq!(outcomes(&ops), ["a=", "b="].map(String::from).into());
    }

    #[test]
    fn sectors_are_lost_by_themselves_and_hold_any_of_their_contents() {
        let write =
            |offset: usize, byte: u8, sectors: usize| Op::Write { id: 1, offset, bytes: vec![byte; sectors * SECTOR] };
        let ops = [
            create(ROOT, "f", 1, false),
            Op::Sync { id: ROOT, data_only: false },
            write(0, b'a', 2),
            Op::Sync { id: 1, data_only: true },
            write(0, b'b', 2),
            write(0, b'c', 1),
        ];
        let expected = ["aa", "ab", "ba", "bb", "ca", "cb"].map(|sectors| format!("f={sectors}"));
        assert_eq!(outcomes(&ops), expected.into());
    }

    #[test]
    fn a_file_that_grew_may_be_as_short_as_it_was() {
        let ops = [
            create(ROOT, "f", 1, false),
            Op::Sync { id: ROOT, data_only: false },
            Op::Write { id: 1, offset: 0, bytes: vec![b'x'; SECTOR] },
        ];
        let outcomes = outcomes(&ops);
        assert!(["f=", "f=0", "f=x"].iter().all(|outcome| outcomes.contains(*outcome)), "{outcomes:?}");
    }
}
