//! Functions with the names of those in the C library that `std` and sled call to change files. The linker prefers
//! these to the library's, so every such call of this process comes by here. They make the system call and, when it
//! concerns the folder being recorded, note it.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use libc::{c_char, c_int, c_void, iovec, mode_t, off64_t, size_t, ssize_t};

use crate::disk::{Id, Op};
use crate::recorder::{ACTIVE, Recording, refuse, state};

/// Runs `call`, with the recording when this descriptor is in it.
fn descriptor<T>(number: c_int, call: impl FnOnce(Option<(&mut Recording, Id)>) -> T) -> T {
    if !ACTIVE.load(Ordering::Relaxed) {
        return call(None);
    }
    let mut state = state();
    let found = state.as_mut().and_then(|recording| {
        let id = recording.descriptors.get(&number).copied()?;
        Some((recording, id))
    });
    match found {
        Some(found) => call(Some(found)),
        None => {
            drop(state);
            call(None)
        }
    }
}

/// Runs `call` with the recording when the path is in it.
fn path<T>(path: *const c_char, call: impl FnOnce(Option<(&mut Recording, &Path)>) -> T) -> T {
    if !ACTIVE.load(Ordering::Relaxed) || path.is_null() {
        return call(None);
    }
    // SAFETY: callers of the C library pass a string that ends in zero.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    let mut state = state();
    match state.as_mut().filter(|recording| path.starts_with(&recording.root)) {
        Some(recording) => {
            // As `components` has it: without a trailing slash.
            let path: PathBuf = path.components().collect();
            call(Some((recording, &path)))
        }
        None => {
            drop(state);
            call(None)
        }
    }
}

fn number(value: impl TryInto<usize>) -> usize {
    value.try_into().unwrap_or_else(|_| refuse("a negative offset"))
}

fn narrow(value: i64) -> c_int {
    c_int::try_from(value).unwrap_or(-1)
}

/// # Safety
/// As of the C library's function.
unsafe fn open_at(folder: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: as the caller promises.
    let open = || narrow(unsafe { libc::syscall(libc::SYS_openat, folder, name, flags, mode) });
    path(name, |found| {
        let Some((recording, path)) = found else { return open() };
        let opened = open();
        if opened < 0 {
            return opened;
        }
        let id = match recording.names.get(path).copied() {
            Some(id) => {
                if flags & libc::O_TRUNC != 0 {
                    recording.cut(id, 0);
                }
                id
            }
            None if flags & libc::O_CREAT != 0 => recording.created(path, false),
            None => refuse(&format!("opening {}, of which nobody saw the creation", path.display())),
        };
        recording.descriptors.insert(opened, id);
        opened
    })
}

/// # Safety
/// As of the C library's function.
unsafe fn write_at(file: c_int, parts: &[&[u8]], offset: Option<off64_t>, write: impl FnOnce() -> i64) -> ssize_t {
    let written = descriptor(file, |found| {
        let Some((recording, id)) = found else { return write() };
        // SAFETY: moves nothing; an invalid descriptor is an error.
        let offset = offset.unwrap_or_else(|| unsafe {
            let appends = libc::syscall(libc::SYS_fcntl, file, libc::F_GETFL) & i64::from(libc::O_APPEND) != 0;
            if appends {
                recording.contents[&id].as_ref().map_or(0, |content| off64_t::try_from(content.len()).unwrap_or(-1))
            } else {
                libc::lseek64(file, 0, libc::SEEK_CUR)
            }
        });
        let written = write();
        if let Ok(count) = usize::try_from(written) {
            recording.written(id, number(offset), &parts.concat()[..count]);
        }
        written
    });
    ssize_t::try_from(written).unwrap_or(-1)
}

unsafe fn parts<'bytes>(vectors: *const iovec, count: c_int) -> Vec<&'bytes [u8]> {
    let at = |index| unsafe { &*vectors.add(index) };
    (0..number(count)).map(|index| unsafe { bytes(at(index).iov_base, at(index).iov_len) }).collect()
}

unsafe fn bytes<'bytes>(start: *const c_void, count: size_t) -> &'bytes [u8] {
    if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(start.cast(), count) } }
}

fn sync(file: c_int, call: i64, data_only: bool) -> c_int {
    descriptor(file, |found| {
        let Some((recording, id)) = found else { return narrow(unsafe { libc::syscall(call, file) }) };
        recording.compare(file, id);
        let result = narrow(unsafe { libc::syscall(call, file) });
        if result == 0 {
            recording.ops.push(Op::Sync { id, data_only });
        }
        result
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_at(libc::AT_FDCWD, name, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_at(libc::AT_FDCWD, name, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(folder: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_at(folder, name, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat(folder: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_at(folder, name, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(file: c_int, start: *const c_void, count: size_t) -> ssize_t {
    unsafe { write_at(file, &[bytes(start, count)], None, || libc::syscall(libc::SYS_write, file, start, count)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(file: c_int, vectors: *const iovec, count: c_int) -> ssize_t {
    unsafe { write_at(file, &parts(vectors, count), None, || libc::syscall(libc::SYS_writev, file, vectors, count)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(file: c_int, start: *const c_void, count: size_t, offset: off64_t) -> ssize_t {
    unsafe {
        write_at(file, &[bytes(start, count)], Some(offset), || {
            libc::syscall(libc::SYS_pwrite64, file, start, count, offset)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(file: c_int, length: off64_t) -> c_int {
    descriptor(file, |found| {
        let result = narrow(unsafe { libc::syscall(libc::SYS_ftruncate, file, length) });
        if let Some((recording, id)) = found.filter(|_| result == 0) {
            recording.cut(id, number(length));
        }
        result
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(file: c_int) -> c_int {
    sync(file, libc::SYS_fsync, false)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(file, libc::SYS_fdatasync, true)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    path(from, |found| {
        let result = narrow(unsafe { libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) });
        if let Some((recording, from)) = found.filter(|_| result == 0) {
            // SAFETY: it was read by the system just now.
            let to = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(to) }.to_bytes()));
            recording.renamed(from, to);
        }
        result
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    path(name, |found| {
        let result = narrow(unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, name, 0) });
        if let Some((recording, path)) = found.filter(|_| result == 0) {
            recording.removed(path);
        }
        result
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rmdir(name: *const c_char) -> c_int {
    path(name, |found| {
        let result = narrow(unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, name, libc::AT_REMOVEDIR) });
        if let Some((recording, path)) = found.filter(|_| result == 0) {
            recording.removed(path);
        }
        result
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(name: *const c_char, mode: mode_t) -> c_int {
    path(name, |found| {
        let result = narrow(unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, name, mode) });
        if let Some((recording, path)) = found.filter(|_| result == 0) {
            recording.created(path, true);
        }
        result
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn close(file: c_int) -> c_int {
    descriptor(file, |found| {
        if let Some((recording, id)) = found {
            recording.compare(file, id);
            recording.descriptors.remove(&file);
        }
        narrow(unsafe { libc::syscall(libc::SYS_close, file) })
    })
}

/// Variadic in C: the third argument comes the same way, and callers that have none are not harmed by it.
#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl(file: c_int, command: c_int, argument: usize) -> c_int {
    descriptor(file, |found| {
        let result = narrow(unsafe { libc::syscall(libc::SYS_fcntl, file, command, argument) });
        let copies = command == libc::F_DUPFD || command == libc::F_DUPFD_CLOEXEC;
        if let Some((recording, id)) = found.filter(|_| copies && result >= 0) {
            recording.descriptors.insert(result, id);
        }
        result
    })
}

macro_rules! refused {
    ($($name:ident($($argument:ident: $kind:ty),*) = $call:ident;)*) => {$(
        /// Not used on files being recorded by anything that is recorded; would it be, this says so.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(file: c_int $(, $argument: $kind)*) -> c_int {
            descriptor(file, |found| {
                if found.is_some() {
                    refuse(stringify!($name));
                }
                narrow(unsafe { libc::syscall(libc::$call, file $(, $argument)*) })
            })
        }
    )*};
}

refused! {
    fallocate64(mode: c_int, offset: off64_t, length: off64_t) = SYS_fallocate;
    dup() = SYS_dup;
    fchmod(mode: mode_t) = SYS_fchmod;
}
