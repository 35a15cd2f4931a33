//! Records what a program does to the files in one folder, by standing between it and the C library (`calls.rs`). A
//! lock keeps the notes in the order of the calls.
//!
//! `rustix` makes its system calls by itself, and the store punches holes with it. So before a file is synced, and
//! when it is closed, it is compared with what was noted of it, and what is found changed is noted as written then:
//! later than it happened, and never later than a sync that covers it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::c_int;

use crate::disk::{Disk, Id, Op, ROOT};

/// What a program did, and what it began with.
pub struct Trace {
    pub base: Disk,
    pub ops: Vec<Op>,
}

impl Trace {
    /// The disk after the first `count` steps, none of them lost yet.
    pub fn disk_after(&self, count: usize) -> Disk {
        let mut disk = self.base.clone();
        self.ops[..count].iter().for_each(|op| disk.apply(op));
        disk
    }
}

pub struct Recording {
    pub root: PathBuf,
    pub ops: Vec<Op>,
    /// What each path names now.
    pub names: HashMap<PathBuf, Id>,
    /// Content of each file now; `None` for folders.
    pub contents: HashMap<Id, Option<Vec<u8>>>,
    pub descriptors: HashMap<c_int, Id>,
    next: Id,
}

/// One recording at a time.
static TURN: Mutex<()> = Mutex::new(());
pub static ACTIVE: AtomicBool = AtomicBool::new(false);
static RECORDING: Mutex<Option<Recording>> = Mutex::new(None);

/// Runs `work` and records what it, with all threads that it starts, does to the files in `root`, an absolute path
/// that does not end in a slash. What it opens it must close.
pub fn record<T>(root: &Path, work: impl FnOnce() -> T) -> (Trace, T) {
    record_from(root, Disk::scan(root), work)
}

/// As [`record`], in a folder that holds what is on this disk; of which not everything need be durable.
pub fn record_from<T>(root: &Path, base: Disk, work: impl FnOnce() -> T) -> (Trace, T) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut names = HashMap::from([(root.to_owned(), ROOT)]);
    let mut contents = HashMap::new();
    let mut rest = vec![(root.to_owned(), ROOT)];
    while let Some((path, id)) = rest.pop() {
        contents.insert(id, base.file(id));
        for (name, child) in base.names_of(id) {
            names.insert(path.join(&name), child);
            rest.push((path.join(&name), child));
        }
    }
    let recording = Recording {
        root: root.to_owned(),
        ops: Vec::new(),
        names,
        contents,
        descriptors: HashMap::new(),
        next: base.next_id(),
    };
    *state() = Some(recording);
    ACTIVE.store(true, Ordering::SeqCst);
    let ending = Ending;
    let result = work();
    drop(ending);
    let recording = state().take().expect("nobody else ends it");
    drop(turn);
    (Trace { base, ops: recording.ops }, result)
}

/// Ends a recording, also when what is recorded panics.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        ACTIVE.store(false, Ordering::SeqCst);
    }
}

/// Notes that the program acknowledged something.
pub fn mark(number: usize) {
    if let Some(recording) = state().as_mut() {
        recording.ops.push(Op::Mark(number));
    }
}

pub fn state() -> MutexGuard<'static, Option<Recording>> {
    RECORDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the recorder does not understand it must not pass over. No panic: its message would be written by `write`.
pub fn refuse(call: &str) -> ! {
    let message = format!("the recorder of writes does not know what this call did: {call}\n");
    // SAFETY: the message outlives the call.
    unsafe { libc::syscall(libc::SYS_write, 2, message.as_ptr(), message.len()) };
    std::process::abort()
}

impl Recording {
    fn place(&self, path: &Path) -> (Id, OsString) {
        let folder = path.parent().and_then(|folder| self.names.get(folder));
        match (folder, path.file_name()) {
            (Some(folder), Some(name)) => (*folder, name.to_owned()),
            _ => refuse(&format!("something at {}", path.display())),
        }
    }

    pub fn created(&mut self, path: &Path, is_folder: bool) -> Id {
        let (folder, name) = self.place(path);
        let id = self.next;
        self.next += 1;
        self.contents.insert(id, (!is_folder).then(Vec::new));
        self.names.insert(path.to_owned(), id);
        self.ops.push(Op::Create { folder, name, id, is_folder });
        id
    }

    pub fn removed(&mut self, path: &Path) {
        let (folder, name) = self.place(path);
        let Some(id) = self.names.remove(path) else { refuse("removing what was not there") };
        self.ops.push(Op::Remove { folder, name, id });
    }

    pub fn renamed(&mut self, from: &Path, to: &Path) {
        let ((folder, from_name), (other, to_name)) = (self.place(from), self.place(to));
        let Some(id) = self.names.get(from).copied().filter(|_| folder == other) else {
            refuse("renaming into another folder")
        };
        let moved: Vec<PathBuf> = self.names.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            let Some(id) = self.names.remove(&path) else { continue };
            let rest = path.strip_prefix(from).unwrap_or(Path::new(""));
            let path = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            self.names.insert(path, id);
        }
        self.ops.push(Op::Rename { folder, from: from_name, to: to_name, id });
    }

    pub fn written(&mut self, id: Id, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let Some(Some(content)) = self.contents.get_mut(&id) else { refuse("writing to a folder") };
        content.resize(content.len().max(offset + bytes.len()), 0);
        content[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.ops.push(Op::Write { id, offset, bytes: bytes.to_vec() });
    }

    pub fn cut(&mut self, id: Id, length: usize) {
        let Some(Some(content)) = self.contents.get_mut(&id) else { refuse("cutting a folder") };
        if content.len() != length {
            content.resize(length, 0);
            self.ops.push(Op::SetLength { id, length });
        }
    }

    /// Notes what changed in a file without a call that came by here.
    pub fn compare(&mut self, descriptor: c_int, id: Id) {
        let Some(Some(noted)) = self.contents.get(&id) else { return };
        let mut real = vec![0; noted.len() + 1];
        // SAFETY: the buffer has the length that is said.
        let read = unsafe { libc::pread64(descriptor, real.as_mut_ptr().cast(), real.len(), 0) };
        // A descriptor for writing alone: whoever uses it goes through the calls below.
        let Ok(read) = usize::try_from(read) else { return };
        if read != noted.len() {
            refuse("a change of length that nobody saw");
        }
        real.truncate(read);
        if real == *noted {
            return;
        }
        let differs = |place: usize| real[place] != noted[place];
        let (Some(first), Some(last)) = ((0..read).find(|at| differs(*at)), (0..read).rfind(|at| differs(*at))) else {
            return;
        };
        self.written(id, first, &real[first..=last]);
    }
}
