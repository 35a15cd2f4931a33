//! Attacks on time, stack and memory, and plain traps.

use std::hint::black_box;

/// Counts for ever.
pub(crate) fn never_return() {
    let mut count = 0_u64;
    while black_box(true) {
        count = count.wrapping_add(1);
        black_box(count);
    }
}

/// Recurses with a frame that the compiler cannot fold away.
pub(crate) fn use_up_stack() {
    black_box(deeper(black_box(0)));
}

#[expect(unconditional_recursion, reason = "the stack's end is the point")]
fn deeper(level: u64) -> u64 {
    let frame = [level; 32];
    let below = deeper(black_box(frame)[0].wrapping_add(1));
    below.wrapping_add(black_box(frame)[31])
}

/// Allocates and touches, a megabyte at a time, until the allocator gives up and traps.
pub(crate) fn use_up_memory() {
    let mut hoard = Vec::new();
    while black_box(true) {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Grows the memory page by page until it is refused, and leaves it at that.
pub(crate) fn take_all_memory() {
    #[cfg(target_arch = "wasm32")]
    while core::arch::wasm32::memory_grow(0, 1) != usize::MAX {}
}

/// How many pages of memory there are after [`take_all_memory`].
pub(crate) fn pages_to_be_had() -> usize {
    take_all_memory();
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_size(0);
    #[cfg(not(target_arch = "wasm32"))]
    return 0;
}

/// The instruction of that name.
pub(crate) fn unreachable() {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
}

/// Reads the last byte of the address space, which no guard's memory reaches.
pub(crate) fn read_out_of_bounds() {
    #[cfg(target_arch = "wasm32")]
    {
        let address = black_box(u32::MAX as usize) as *const u8;
        // SAFETY: none is claimed. On wasm32 an address beyond the memory is a trap, and causing it is the point.
        black_box(unsafe { core::ptr::read_volatile(address) });
    }
}

/// Rust checks divisors and panics; with `panic = "abort"` that is a trap as well.
pub(crate) fn divide_by_zero() {
    let zero = black_box(0_u32);
    black_box(1 / zero);
}

/// Bytes that differ, so that no page of them is shared or left out.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    (0..bytes)
        .map(|_| {
            // xorshift32 (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[3]
        })
        .collect()
}
