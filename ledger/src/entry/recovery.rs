//! Kind 15: what was found when the ledger was opened.

use serde::Serialize;

use super::{EntryError, check_count, read_list};
use crate::cbor::{Reader, Writer};
use crate::hash::{Hash, as_hex};

/// The most lines of [`Recovery::found`].
pub const MAX_FOUND: usize = 64;

/// The most members of [`Recovery::heads`].
pub const MAX_HEADS: usize = 8;

/// Kind 15: what was found when the ledger was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// The size of the log as it was found; in the first entry of a new incarnation, that of the log that it
    /// takes the place of.
    pub previous_size: u64,
    /// Its root.
    #[serde(serialize_with = "as_hex::bytes")]
    pub previous_root: Hash,
    /// Invocations below this number that have no verdict entry were lost with the crash.
    pub first_invocation: u64,
    /// Whether it had been closed in order.
    pub clean: bool,
    /// What was found and mended, one line each.
    pub found: Vec<String>,
    /// Other heads that this opening commits to: of another incarnation, or of what the auditor holds.
    pub heads: Vec<Head>,
}

/// The head of a log: so many entries, with this root.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Head {
    /// Whose log.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of the tree over them.
    #[serde(serialize_with = "as_hex::bytes")]
    pub root: Hash,
}

impl Recovery {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), EntryError> {
        writer.array(6);
        writer.unsigned(self.previous_size);
        writer.bytes(&self.previous_root);
        writer.unsigned(self.first_invocation);
        writer.boolean(self.clean);
        check_count("found", self.found.len(), MAX_FOUND)?;
        writer.array(self.found.len());
        for line in &self.found {
            writer.message("found", line)?;
        }
        check_count("heads", self.heads.len(), MAX_HEADS)?;
        writer.array(self.heads.len());
        for head in &self.heads {
            writer.array(3);
            writer.name("origin of a head", &head.origin)?;
            writer.unsigned(head.size);
            writer.bytes(&head.root);
        }
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        reader.array(6)?;
        Ok(Self {
            previous_size: reader.unsigned()?,
            previous_root: reader.fixed()?,
            first_invocation: reader.unsigned()?,
            clean: reader.boolean()?,
            found: read_list(reader, "found", MAX_FOUND, Reader::string)?,
            heads: read_list(reader, "heads", MAX_HEADS, |reader| {
                reader.array(3)?;
                Ok(Head { origin: reader.string()?, size: reader.unsigned()?, root: reader.fixed()? })
            })?,
        })
    }
}
