//! Declared sizes that nobody pays for: huge lengths and deep nesting cost neither memory nor stack.
//!
//! A counting allocator watches the largest single request while bytes of a few dozen are decoded.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use picket_ledger::entry::{Body, EntryError};
use picket_ledger::segment::{MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES, Segment, SegmentError, SegmentRef};
use picket_ledger::{CborError, Entry};

struct Watching;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.with(|largest| largest.set(largest.get().max(size)));
        // SAFETY: the caller keeps realloc's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Runs and returns the largest single allocation that this thread asked for meanwhile.
fn largest_allocation<T>(run: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.set(0);
    let result = run();
    (result, LARGEST.get())
}

/// Heads that declare 2^16 - 1, 2^32 - 1 and 2^64 - 1 bytes or members, for a major type.
fn huge_heads(major: u8) -> [Vec<u8>; 3] {
    [
        vec![major << 5 | 25, 0xff, 0xff],
        [&[major << 5 | 26][..], &[0xff; 4]].concat(),
        [&[major << 5 | 27][..], &[0xff; 8]].concat(),
    ]
}

#[test]
fn the_allocator_is_watched() {
    let (_, largest) = largest_allocation(|| Vec::<u8>::with_capacity(123_456));
    assert_eq!(largest, 123_456);
}

/// Every item of every kind of entry is replaced by one that claims to be huge.
#[test]
fn declared_lengths_in_entries_do_not_allocate() {
    for body in common::bodies() {
        let bytes = common::entry(5, body).encode().unwrap();
        for place in 0..bytes.len() {
            for head in (2..=5).flat_map(huge_heads) {
                let hostile = [&bytes[..place], &head, &bytes[place..]].concat();
                let (result, largest) = largest_allocation(|| Entry::decode(&hostile));
                // A head may land inside of a string, where it is nothing but bytes of it.
                assert!(largest <= 16 * 1024, "{largest} bytes for {} at {place}: {result:?}", hostile.len());
            }
        }
    }
}

#[test]
fn a_huge_array_is_refused_where_it_stands() {
    for head in huge_heads(4) {
        assert!(matches!(Entry::decode(&head), Err(EntryError::Cbor(CborError::Truncated { offset: 0 }))));
        assert_eq!(SegmentRef::parse(&head), Err(SegmentError::Magic));
    }
}

#[test]
fn declared_lengths_in_segments_do_not_allocate() {
    let key = common::key("box-17");
    let bytes = common::segment(&key, 3, 2).encode().unwrap();
    for place in 0..bytes.len() {
        for head in (2..=5).flat_map(huge_heads) {
            let hostile = [&bytes[..place], &head, &bytes[place..]].concat();
            let (_, largest) = largest_allocation(|| Segment::decode(&hostile));
            assert!(largest <= 4 * 1024, "{largest} bytes for {} at {place}", hostile.len());
        }
    }
}

#[test]
fn a_segment_that_declares_too_many_entries_is_refused_before_they_are_read() {
    // 65,537 empty byte strings: the declared number fits the input, and passes the limit.
    let count = u32::try_from(MAX_SEGMENT_ENTRIES + 1).unwrap();
    let mut bytes = vec![0x87, 0x6e];
    bytes.extend(b"picket.segment");
    bytes.extend([0x01, 0x61, b'a', 0x00, 0x80, 0x9a]);
    bytes.extend(count.to_be_bytes());
    bytes.resize(bytes.len() + MAX_SEGMENT_ENTRIES + 1, 0x40);
    bytes.push(0x60);
    let (result, largest) = largest_allocation(|| SegmentRef::parse(&bytes).map(|_| ()));
    assert_eq!(result, Err(SegmentError::EntryCount(MAX_SEGMENT_ENTRIES + 1)));
    assert_eq!(largest, 0);
    assert!(matches!(SegmentRef::parse(&vec![0; MAX_SEGMENT_BYTES + 1]), Err(SegmentError::TooLarge(_))));
}

#[test]
fn deep_nesting_is_refused_at_its_first_level() {
    // 200,000 arrays, one inside of the other, then where each item of an entry stands.
    let deep = vec![0x81; 200_000];
    assert!(matches!(Entry::decode(&deep), Err(EntryError::Cbor(CborError::Members { offset: 0, .. }))));
    let bytes = common::entry(5, common::bodies().remove(0)).encode().unwrap();
    assert!(matches!(Entry::decode(&bytes).unwrap().body, Body::Verdict(_)));
    for place in 0..bytes.len() {
        for opening in [0x81, 0xa1, 0xc6] {
            let hostile = [&bytes[..place], &vec![opening; 100_000]].concat();
            let (result, largest) = largest_allocation(|| Entry::decode(&hostile));
            assert!(result.is_err());
            assert!(largest <= 64 * 1024, "{largest} bytes at {place}");
        }
    }
    let mut segment = vec![0x87, 0x6e];
    segment.extend(b"picket.segment");
    segment.push(1);
    segment.extend(vec![0x81; 1_000_000]);
    assert!(SegmentRef::parse(&segment).is_err());
}
