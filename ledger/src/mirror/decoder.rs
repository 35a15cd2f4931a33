//! Reads the body of `add-entries` as it arrives.

use super::{Header, MAX_ORIGIN_BYTES, MAX_PROOF_HASHES, MAX_TICKET_BYTES, MirrorError, Package, package_end};
use crate::entry::MAX_ENTRY_BYTES;
use crate::note::check_key_name;

/// What has arrived whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The header, first and once.
    Header(Header),
    /// The next package of the canonical sequence.
    Package(Package),
}

/// Reads an `add-entries` body piece by piece, holding no more than one package and the piece that was fed last.
#[derive(Debug)]
pub struct Decoder {
    /// Bytes that are no event yet; those before `done` are.
    buffer: Vec<u8>,
    done: usize,
    /// The bytes that one package may have.
    limit: usize,
    upload: Option<Upload>,
}

#[derive(Debug)]
struct Upload {
    next: u64,
    end: u64,
    /// Entries of the package under way: where each starts and ends behind `done`.
    entries: Vec<(usize, usize)>,
}

impl Decoder {
    /// A decoder that takes packages of at most `limit` bytes, which bounds its memory.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), done: 0, limit, upload: None }
    }

    /// Takes the next piece of the body. Take all events before the next one.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.done);
        self.done = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event, or `None` when it takes more bytes, or nothing more belongs into the upload.
    ///
    /// # Errors
    /// [`MirrorError`]; the decoder is of no use after one.
    pub fn next_event(&mut self) -> Result<Option<Event>, MirrorError> {
        match &self.upload {
            None => self.header(),
            Some(upload) if upload.next < upload.end => self.package(),
            Some(_) if self.buffer.len() > self.done => Err(MirrorError::Trailing),
            Some(_) => Ok(None),
        }
    }

    /// Whether all packages of the upload have arrived.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.next >= upload.end)
    }

    /// Whether a header or a package has begun and is not whole.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.buffer.len() > self.done
    }

    fn header(&mut self) -> Result<Option<Event>, MirrorError> {
        let mut rest = Rest { bytes: self.buffer.get(self.done..).unwrap_or_default(), at: 0 };
        let Some(origin) = rest.short("the origin", MAX_ORIGIN_BYTES)? else { return Ok(None) };
        let Some(start) = rest.fixed().map(u64::from_be_bytes) else { return Ok(None) };
        let Some(end) = rest.fixed().map(u64::from_be_bytes) else { return Ok(None) };
        let Some(ticket) = rest.short("the ticket", MAX_TICKET_BYTES)? else { return Ok(None) };
        let origin = std::str::from_utf8(origin).map_err(|_| MirrorError::Header("the origin is not UTF-8"))?;
        check_key_name(origin).map_err(|_| MirrorError::Header("the origin is no name"))?;
        if start > end {
            return Err(MirrorError::Header("the upload ends before it starts"));
        }
        let header = Header { origin: origin.to_owned(), start, end, ticket: ticket.to_vec() };
        self.done += rest.at;
        self.upload = Some(Upload { next: start, end, entries: Vec::new() });
        Ok(Some(Event::Header(header)))
    }

    fn package(&mut self) -> Result<Option<Event>, MirrorError> {
        let Some(upload) = &mut self.upload else { return Ok(None) };
        let bytes = self.buffer.get(self.done..).unwrap_or_default();
        let start = upload.next;
        let end = package_end(start, upload.end);
        let mut rest = Rest { bytes, at: upload.entries.last().map_or(0, |(_, end)| *end) };
        let mut index = start + upload.entries.len() as u64;
        while index < end {
            let Some(length) = rest.fixed().map(u32::from_be_bytes) else { return Ok(None) };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if !(1..=MAX_ENTRY_BYTES).contains(&length) {
                return Err(MirrorError::EntryLength { index, length });
            }
            let from = rest.at;
            // Before it is waited for.
            if from + length > self.limit {
                let (found, limit) = (from + length, self.limit);
                return Err(MirrorError::TooLong { what: "the package", found, limit });
            }
            if rest.take(length).is_none() {
                return Ok(None);
            }
            upload.entries.push((from, rest.at));
            index += 1;
        }
        let Some([count]) = rest.fixed() else { return Ok(None) };
        let count = usize::from(count);
        if count > MAX_PROOF_HASHES {
            return Err(MirrorError::ProofLength { start, found: count });
        }
        let Some(hashes) = rest.take(count * 32) else { return Ok(None) };
        let proof = hashes.as_chunks().0.to_vec();
        let entries =
            upload.entries.drain(..).map(|(from, to)| bytes.get(from..to).unwrap_or_default().to_vec()).collect();
        upload.next = end;
        self.done += rest.at;
        Ok(Some(Event::Package(Package { start, entries, proof })))
    }
}

/// Bytes that are read from the front.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn short(&mut self, what: &'static str, limit: usize) -> Result<Option<&'a [u8]>, MirrorError> {
        let Some(length) = self.fixed().map(u16::from_be_bytes).map(usize::from) else { return Ok(None) };
        if length > limit {
            return Err(MirrorError::TooLong { what, found: length, limit });
        }
        Ok(self.take(length))
    }
}
