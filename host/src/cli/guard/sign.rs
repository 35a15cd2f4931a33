//! `picket guard sign`: a signed statement of what a component is.

use super::describe::{self, read};
use crate::cli::{Answer, BadInput, Exit, Output, print};
use crate::guards::{Statement, note_path};
use crate::keys;
use picket_ledger::hash::{sha256, to_hex};
use picket_ledger::note::{MAX_NOTE_BYTES, Note, NoteError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The component.
    component: PathBuf,
    /// The key to sign with, as `picket guard keygen` made it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where to write the signature; boxes look for it at the component's path with `.sig` behind it. A signature that is
    /// there already gets one more line.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let key = keys::read_signer(&args.key)?;
    let wasm = read(&args.component)?;
    let (world, descriptor) = describe::describe(&args.component, &wasm)?;
    let bad = |message: String| BadInput(format!("{}: {message}", args.component.display()));
    let statement = Statement::of(&wasm, world, &descriptor).map_err(|error| bad(error.to_string()))?;
    let text = statement.to_text();
    let path = args.output.clone().unwrap_or_else(|| note_path(&args.component));
    let (note, fresh) = signed(&path, &text, &key)?;
    if fresh {
        write(&path, &note)?;
    }
    let signers: Vec<String> = Note::parse(&note).map(|note| note.claimed().collect()).unwrap_or_default();
    if output.json {
        print(serde_json::json!({
            "signature": path.display().to_string(), "statement": to_hex(&sha256(text.as_bytes())),
            "component": to_hex(&statement.component), "signers": signers, "signed": fresh,
        }))?;
    } else {
        print(text.trim_end())?;
        print(format_args!("signed by {} in {}", signers.join(", "), path.display()))?;
        if !fresh {
            eprintln!("this key had signed it already; nothing was changed");
        }
    }
    Ok(Exit::Done)
}

/// The note with this key's signature, and whether that is new. Other signatures stay: they are over the same text.
fn signed(path: &Path, text: &str, key: &picket_ledger::SigningKey) -> anyhow::Result<(String, bool)> {
    let found = match std::fs::read_to_string(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((format!("{text}\n{}", key.sign(text)), true));
        }
        Err(error) => return Err(BadInput(format!("{}: {error}", path.display())).into()),
    };
    let bad = |message: String| BadInput(format!("{}: {message}", path.display()));
    let note = Note::parse(&found).map_err(|error| bad(error.to_string()))?;
    if note.text() != text {
        let message = "is a signature over another statement; remove it, or write elsewhere with `-o`".to_owned();
        return Err(bad(message).into());
    }
    match note.verify(&key.verifier()) {
        Ok(()) => Ok((found, false)),
        Err(NoteError::NotSigned { .. }) => {
            let note = found + &key.sign(text);
            if note.len() > MAX_NOTE_BYTES {
                return Err(bad("has too many signatures for one more".to_owned()).into());
            }
            Ok((note, true))
        }
        Err(error) => Err(bad(error.to_string()).into()),
    }
}

/// In one step: whoever reads it meanwhile sees the old one or the new one, whole.
fn write(path: &Path, note: &str) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(note.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| BadInput(format!("{}: {error}", path.display())).into())
}
