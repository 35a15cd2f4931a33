//! Seeds of hash maps, for the target that has no randomness.
//!
//! `jsonschema` uses `ahash`, which asks `getrandom` for its seeds. Guards are built with `getrandom_backend="custom"`
//! (see `xtask`), which calls the function below: the same bytes each time, so that a verdict can be computed again.
//! Nothing here may be used as a secret. Whoever knows the seeds can make keys that collide; the deadline bounds that.

use getrandom_03::Error;

/// What getrandom 0.3 calls; the name and type are its interface for custom backends.
///
/// # Safety
/// `target` must be valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(target: *mut u8, length: usize) -> Result<(), Error> {
    // SAFETY: the caller says so.
    unsafe { core::ptr::write_bytes(target, 0x5a, length) };
    Ok(())
}
