//! The journal: a preallocated file in front of the base store, overwritten in turns.
//!
//! Overwriting blocks that exist and hold data spares the file system its own journal, so a commit costs one
//! write and one `fdatasync` of the data alone. The base store follows later, in large steps.
//!
//! Layout, all integers little-endian, in blocks of [`BLOCK_BYTES`]:
//! - block 0, the header: magic `PKTJRNL1`, identity (16 bytes), CRC-32 of those 24 bytes (u32), zeros;
//! - then two halves of equal length. Records fill one half from its first block on, while the batches of the
//!   other half go to the base store; so a half is overwritten only once all of it is durable there.
//!
//! A record starts at a block and takes whole blocks, so that writing one never touches the blocks of
//! another that was acknowledged:
//!
//! | bytes | field |
//! |---|---|
//! | 0–3 | magic `PKTR` |
//! | 4–7 | length of the payload (u32) |
//! | 8–15 | sequence (u64), one more than that of the commit before |
//! | 16–19 | CRC-32 of the payload (u32) |
//! | 20–35 | first half of SHA-256(`picket journal record v1` ‖ identity ‖ bytes 0–19) |
//! | 36– | payload: a batch |
//!
//! The identity is random and stays on this box. So nobody can smuggle a record in by having bytes that look
//! like one stored as the text of an inference.

use picket_ledger::hash::sha256;

use crate::disk::Disk;

/// Size of a block: that of a page, above the sector of any device in use.
pub(crate) const BLOCK_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"PKTJRNL1";
const RECORD_MAGIC: &[u8; 4] = b"PKTR";
const RECORD_DOMAIN: &[u8] = b"picket journal record v1";
/// Bytes of a record before its payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 36;

/// Random bytes that bind a journal to its base store.
pub(crate) type Identity = [u8; 16];

/// The place where the next record goes, on a disk.
pub(crate) struct Journal {
    disk: Box<dyn Disk>,
    identity: Identity,
    half_blocks: usize,
    /// The half that is being filled, 0 or 1.
    half: usize,
    /// Blocks of it that are taken.
    used: usize,
}

/// A batch's payload as found in the journal.
pub(crate) struct Found {
    pub(crate) sequence: u64,
    pub(crate) payload: Vec<u8>,
}

/// What a journal holds.
pub(crate) struct Content {
    /// `None` when the header is damaged.
    pub(crate) identity: Option<Identity>,
    bytes: Vec<u8>,
}

/// The records of a journal.
pub(crate) struct Records {
    /// Complete records, by sequence.
    pub(crate) complete: Vec<Found>,
    /// Sequences of records whose payload is torn or damaged.
    pub(crate) broken: Vec<u64>,
    /// What blocks that are no record have where one has its sequence; all ones where it also has the magic.
    claimed: Vec<u64>,
}

/// The bytes of an empty journal whose halves have this many bytes.
pub(crate) fn empty(identity: &Identity, half_bytes: usize) -> Vec<u8> {
    let half_blocks = half_bytes.div_ceil(BLOCK_BYTES).max(1);
    let mut bytes = vec![0; (1 + 2 * half_blocks) * BLOCK_BYTES];
    bytes[..BLOCK_BYTES].copy_from_slice(&header(identity));
    bytes
}

fn header(identity: &Identity) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block[..8].copy_from_slice(MAGIC);
    block[8..24].copy_from_slice(identity);
    let check = crc32fast::hash(&block[..24]);
    block[24..28].copy_from_slice(&check.to_le_bytes());
    block
}

/// Reads a journal.
pub(crate) fn read(disk: &dyn Disk) -> std::io::Result<Content> {
    let bytes = disk.read()?;
    let identity = bytes.first_chunk::<24>().and_then(|start| {
        let check = bytes.get(24..28)?;
        let sound = &start[..8] == MAGIC && crc32fast::hash(start).to_le_bytes() == check;
        sound.then(|| start.last_chunk::<16>().copied()).flatten()
    });
    Ok(Content { identity, bytes })
}

impl Content {
    /// Length of the journal in bytes.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that may hold records.
    #[cfg(test)]
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { identity: None, bytes }
    }

    /// All records that this identity wrote, wherever they lie: old ones stay until they are overwritten, and
    /// are what shows that a base store fell behind.
    pub(crate) fn records(&self, identity: &Identity) -> Records {
        let mut complete = Vec::new();
        let mut broken = Vec::new();
        let mut place = BLOCK_BYTES;
        let mut claimed = Vec::new();
        while let Some(bytes) = self.bytes.get(place..).filter(|bytes| !bytes.is_empty()) {
            place += BLOCK_BYTES;
            match parse(bytes, identity) {
                Some(Ok(found)) => {
                    place += (blocks(found.payload.len()) - 1) * BLOCK_BYTES;
                    complete.push(found);
                }
                Some(Err(sequence)) => broken.push(sequence),
                None if bytes.starts_with(RECORD_MAGIC) => claimed.push(u64::MAX),
                None => claimed.extend(bytes.get(8..16).and_then(<[u8]>::first_chunk).copied().map(u64::from_le_bytes)),
            }
        }
        complete.sort_by_key(|found| found.sequence);
        Records { complete, broken, claimed }
    }
}

impl Records {
    /// True when there is something that was, or may have been, the record of this commit, and cannot be read.
    pub(crate) fn had(&self, sequence: u64) -> bool {
        self.broken.contains(&sequence) || self.claimed.iter().any(|found| *found == sequence || *found == u64::MAX)
    }
}

/// A record at the start of `bytes`: `None` without one, `Err(sequence)` when its payload is damaged.
fn parse(bytes: &[u8], identity: &Identity) -> Option<Result<Found, u64>> {
    let header = bytes.first_chunk::<RECORD_HEADER_BYTES>()?;
    if &header[..4] != RECORD_MAGIC || header[20..36] != tag(identity, &header[..20]) {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(*header[4..].first_chunk()?)).ok()?;
    let sequence = u64::from_le_bytes(*header[8..].first_chunk()?);
    let check = u32::from_le_bytes(*header[16..].first_chunk()?);
    let payload = bytes.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + length);
    Some(match payload {
        Some(payload) if crc32fast::hash(payload) == check => Ok(Found { sequence, payload: payload.to_vec() }),
        _ => Err(sequence),
    })
}

fn tag(identity: &Identity, start: &[u8]) -> [u8; 16] {
    let mut message = [0; RECORD_DOMAIN.len() + 16 + 20];
    message[..RECORD_DOMAIN.len()].copy_from_slice(RECORD_DOMAIN);
    message[RECORD_DOMAIN.len()..RECORD_DOMAIN.len() + 16].copy_from_slice(identity);
    message[RECORD_DOMAIN.len() + 16..].copy_from_slice(start);
    *sha256(&message).first_chunk().expect("32 bytes have a first half")
}

/// Blocks that a record with a payload of this length takes.
fn blocks(payload: usize) -> usize {
    (RECORD_HEADER_BYTES + payload).div_ceil(BLOCK_BYTES)
}

impl Journal {
    /// Goes on in a journal all of whose records are durable in the base store.
    pub(crate) fn new(disk: Box<dyn Disk>, identity: Identity, total_bytes: usize) -> Self {
        let half_blocks = (total_bytes / BLOCK_BYTES).saturating_sub(1) / 2;
        Self { disk, identity, half_blocks, half: 0, used: 0 }
    }

    /// Writes the header again, after it was found damaged.
    pub(crate) fn repair_header(&self) -> std::io::Result<()> {
        self.disk.write(0, &header(&self.identity))?;
        self.disk.sync()
    }

    /// The longest payload that fits a half.
    pub(crate) fn capacity(&self) -> usize {
        (self.half_blocks * BLOCK_BYTES).saturating_sub(RECORD_HEADER_BYTES)
    }

    /// True when a payload of this length fits what is left of the half.
    pub(crate) fn fits(&self, payload: usize) -> bool {
        self.used + blocks(payload) <= self.half_blocks
    }

    /// Goes to the start of the other half. All records in it must be durable in the base store.
    pub(crate) fn turn(&mut self) {
        self.half = 1 - self.half;
        self.used = 0;
    }

    /// Completes a record (`record` has [`RECORD_HEADER_BYTES`] of room in front of the payload) and writes it
    /// where the next one goes. It counts only once [`Journal::sync`] returned and [`Journal::keep`] was called.
    pub(crate) fn write(&self, sequence: u64, record: &mut Vec<u8>) -> Result<(), std::io::Error> {
        let payload = record.len() - RECORD_HEADER_BYTES;
        let check = crc32fast::hash(&record[RECORD_HEADER_BYTES..]);
        let length = u32::try_from(payload).map_err(std::io::Error::other)?;
        record[..4].copy_from_slice(RECORD_MAGIC);
        record[4..8].copy_from_slice(&length.to_le_bytes());
        record[8..16].copy_from_slice(&sequence.to_le_bytes());
        record[16..20].copy_from_slice(&check.to_le_bytes());
        let tag = tag(&self.identity, &record[..20]);
        record[20..36].copy_from_slice(&tag);
        record.resize(blocks(payload) * BLOCK_BYTES, 0);
        // A crash in here leaves a record whose payload fails its checksum, or none: it was not acknowledged.
        self.disk.write(self.next_offset()?, record)
    }

    /// Makes sure that there is no record where the next one goes.
    pub(crate) fn erase_next(&self) -> std::io::Result<()> {
        if self.used < self.half_blocks {
            self.disk.write(self.next_offset()?, &[0; BLOCK_BYTES])?;
        }
        self.disk.sync()
    }

    fn next_offset(&self) -> std::io::Result<u64> {
        let block = 1 + self.half * self.half_blocks + self.used;
        u64::try_from(block * BLOCK_BYTES).map_err(std::io::Error::other)
    }

    /// When it returns, the record written survives a loss of power.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.disk.sync()
    }

    /// Keeps the record just written: the next goes behind it.
    pub(crate) fn keep(&mut self, record: &[u8]) {
        self.used += record.len() / BLOCK_BYTES;
    }
}
