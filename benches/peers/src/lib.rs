//! What the ledger's durable appends are compared with.
//!
//! Each contestant makes a group of entries durable with one call: when it returns, they survive a loss of power as far
//! as the file system and the disk keep their word. All of them end in one `fdatasync` or `fsync` a group, redb in as many
//! as it needs.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use picket_store::{Commit, Log, Options};
use redb::{Database, TableDefinition};
use rusqlite::Connection;

/// Size of the file that `raw` goes round in, in bytes: that of the ledger's journal.
const RING_BYTES: usize = 8 * 1024 * 1024;
const PAGE_BYTES: u64 = 4096;

/// Whatever a contestant fails with.
pub type Failure = Box<dyn Error>;

/// Something that makes groups of entries durable.
pub trait Contestant {
    /// Makes a group durable.
    ///
    /// # Errors
    /// When it cannot.
    fn write(&mut self, entries: &[Vec<u8>]) -> Result<(), Failure>;
}

/// A contestant with its name.
pub type Named = (&'static str, Box<dyn Contestant>);

/// All contestants, each with files of its own in a folder. The first is what the others are measured by.
///
/// # Errors
/// When one cannot be set up.
pub fn contestants(folder: &Path) -> Result<Vec<Named>, Failure> {
    Ok(vec![
        ("raw pwrite + fdatasync", Box::new(Raw::new(folder)?)),
        ("raw, growing file", Box::new(Growing::new(folder)?)),
        ("picket-store", Box::new(Ledger::new(folder)?)),
        ("redb", Box::new(Redb::new(folder)?)),
        ("SQLite WAL, FULL", Box::new(Sqlite::new(folder)?)),
    ])
}

/// Overwrites, in turns, a file that was filled before.
struct Raw {
    file: File,
    place: u64,
}

impl Raw {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("raw");
        std::fs::write(&path, vec![0; RING_BYTES])?;
        let file = OpenOptions::new().write(true).open(path)?;
        file.sync_all()?;
        Ok(Self { file, place: 0 })
    }
}

impl Contestant for Raw {
    fn write(&mut self, entries: &[Vec<u8>]) -> Result<(), Failure> {
        let bytes = entries.concat();
        let length = u64::try_from(bytes.len())?;
        if self.place + length > u64::try_from(RING_BYTES)? {
            self.place = 0;
        }
        self.file.write_all_at(&bytes, self.place)?;
        self.file.sync_data()?;
        // Whole pages, as a log that must not tear its neighbours would.
        self.place += length.next_multiple_of(PAGE_BYTES);
        Ok(())
    }
}

/// Appends to a file, which changes its length each time.
struct Growing {
    file: File,
    end: u64,
}

impl Growing {
    fn new(folder: &Path) -> Result<Self, Failure> {
        Ok(Self { file: File::create(folder.join("growing"))?, end: 0 })
    }
}

impl Contestant for Growing {
    fn write(&mut self, entries: &[Vec<u8>]) -> Result<(), Failure> {
        let bytes = entries.concat();
        self.file.write_all_at(&bytes, self.end)?;
        self.file.sync_data()?;
        self.end += u64::try_from(bytes.len())?;
        Ok(())
    }
}

/// With hash tree, index and all, in its default configuration.
struct Ledger(Log);

impl Ledger {
    fn new(folder: &Path) -> Result<Self, Failure> {
        Ok(Self(Log::open(&folder.join("log"), &Options::default())?.0))
    }
}

impl Contestant for Ledger {
    fn write(&mut self, entries: &[Vec<u8>]) -> Result<(), Failure> {
        self.0.commit(Commit { entries: entries.to_vec(), ..Commit::default() })?;
        Ok(())
    }
}

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");

/// One table by index; `Durability::Immediate`, its default.
struct Redb {
    database: Database,
    next: u64,
}

impl Redb {
    fn new(folder: &Path) -> Result<Self, Failure> {
        Ok(Self { database: Database::create(folder.join("redb"))?, next: 0 })
    }
}

impl Contestant for Redb {
    fn write(&mut self, entries: &[Vec<u8>]) -> Result<(), Failure> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for entry in entries {
                table.insert(self.next, entry.as_slice())?;
                self.next += 1;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

/// One table by row id, with the log ahead of the pages and `synchronous=FULL`.
struct Sqlite(Connection);

impl Sqlite {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let connection = Connection::open(folder.join("sqlite"))?;
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(format!("SQLite keeps its journal as {mode}").into());
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch("CREATE TABLE entries (id INTEGER PRIMARY KEY, entry BLOB NOT NULL)")?;
        Ok(Self(connection))
    }
}

impl Contestant for Sqlite {
    fn write(&mut self, entries: &[Vec<u8>]) -> Result<(), Failure> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO entries (entry) VALUES (?1)")?;
            for entry in entries {
                insert.execute([entry])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}
