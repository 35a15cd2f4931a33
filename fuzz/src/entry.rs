//! Entries: one form, read the same by another reader.

use ciborium::Value;
use picket_ledger::Entry;
use picket_ledger::entry::Header;

/// Any bytes as an entry.
pub fn run(data: &[u8]) {
    let decoded = Entry::decode(data);
    let header = Header::read(data);
    // The check that builds nothing says the same, of good and bad.
    let checked = Entry::check(data);
    assert_eq!(checked.as_ref().err(), decoded.as_ref().err());
    let Ok(entry) = decoded else { return };

    let header = header.expect("an entry has a header");
    assert_eq!(checked, Ok(header));
    assert_eq!(
        (header.index, header.incarnation, header.wall_ms, header.monotonic_ns, header.boot, header.kind),
        (entry.index, entry.incarnation, entry.wall_ms, entry.monotonic_ns, entry.boot, entry.body.kind())
    );
    assert_eq!(entry.encode().as_deref(), Ok(data), "an entry has one form");
    same_to_another_reader(data);
    // What is shown to people can be shown.
    serde_json::to_string(&entry).expect("an entry as JSON");
    // Nothing may stand behind an entry, and no part of it is one.
    assert!(Entry::check(&[data, &[0]].concat()).is_err());
    assert!(Entry::check(&data[..data.len() - 1]).is_err());
}

/// `ciborium` reads the item, finds nothing but what the format page allows, and writes the same bytes.
pub fn same_to_another_reader(data: &[u8]) {
    let mut rest = data;
    let value: Value = ciborium::from_reader(&mut rest).expect("another reader reads it");
    assert!(rest.is_empty(), "another reader stops before the end");
    assert!(plain(&value), "{value:?}");
    let mut written = Vec::new();
    ciborium::into_writer(&value, &mut written).expect("another writer writes it");
    assert_eq!(written, data, "another writer writes other bytes");
}

fn plain(value: &Value) -> bool {
    match value {
        Value::Integer(_) | Value::Bytes(_) | Value::Text(_) | Value::Bool(_) | Value::Null => true,
        Value::Array(members) => members.iter().all(plain),
        _ => false,
    }
}
