//! Who vouches for a component: its signatures, held against the trust policy and the revocation list.
//!
//! Beside `guard.wasm` lie `guard.wasm.sig`, a signed note over a [`Statement`], and, or instead, `guard.wasm.cosign.sig`,
//! a signature of cosign over the component alone. All of this happens before anything of the component is compiled.

use super::revocation::List;
use super::statement::{Statement, StatementError};
use crate::config::{Key, Rule, Trust, TrustedKey, Unsigned};
use picket_engine::Declared;
use picket_ledger::Hash;
use picket_ledger::hash::{sha256, to_hex};
use picket_ledger::note::{MAX_NOTE_BYTES, Note, NoteError};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The signatures of a component, as they were found; nothing is verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signatures {
    /// A signed note over a statement.
    pub note: Option<String>,
    /// A signature of cosign, in base64.
    pub cosign: Option<String>,
}

/// Why signatures do not let a component in, or why it may not have what it is given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody signed it.
    #[error(
        "nobody signed it, and unsigned guards do not run here; sign it with `picket guard sign`, or let unsigned guards run \
         with `--allow-unsigned` or `unsigned = \"allow\"` in [trust]"
    )]
    Unsigned,
    /// A signature file is no signed note.
    #[error("its signature cannot be read: {0}")]
    Note(NoteError),
    /// The signed text is no statement.
    #[error("its signature cannot be read: {0}")]
    Statement(StatementError),
    /// A signature by a known key does not verify.
    #[error("{0}; the signature or what it is over was altered")]
    Forged(NoteError),
    /// The signature of cosign is by no key of the policy, or was altered.
    #[error("its signature of cosign verifies with no key of [trust.keys]")]
    Cosign,
    /// The signature is good and belongs to something else.
    #[error(
        "its signature is for sha256:{signed}, and it is sha256:{found}; it was altered, or the signature is another guard's"
    )]
    OtherComponent {
        /// What was signed.
        signed: String,
        /// What is there.
        found: String,
    },
    /// The statement says something that is not so.
    #[error("the signed statement says something else of its `{0}` than it says itself")]
    Difference(&'static str),
    /// Only keys that the policy does not know have signed.
    #[error("it is signed by {}, and none of them is in [trust.keys]", .0.join(", "))]
    Strangers(Vec<String>),
    /// Not everybody has signed who must.
    #[error("it is signed by {}, and the trust policy wants {rule}", signers.join(", "))]
    NotEnough {
        /// Who has.
        signers: Vec<String>,
        /// Who must.
        rule: String,
    },
    /// The component is on the revocation list.
    #[error("the component is revoked: {0}")]
    RevokedComponent(String),
    /// A key without which there are not enough signatures is on the revocation list.
    #[error("the key {key}, which signed it, is revoked: {reason}")]
    RevokedKey {
        /// `name+id`.
        key: String,
        /// From the list.
        reason: String,
    },
    /// Its declared limits cannot be read.
    #[error("{0}")]
    Declared(String),
    /// The configuration gives it more than its signers have looked at.
    #[error(
        "`{key}` gives it {given}, and what was signed is for at most {signed}; give it no more, or have it signed for more"
    )]
    BeyondSigned {
        /// The key of the configuration.
        key: &'static str,
        /// What the configuration gives.
        given: String,
        /// What the statement says.
        signed: String,
    },
    /// It needs more than the default, and nobody gave it that.
    #[error("it asks for {asked}, more than the default; give it that with `{key}`, or less, which it may not live on")]
    NotGranted {
        /// The key of the configuration.
        key: &'static str,
        /// What it asks for.
        asked: String,
    },
}

/// Somebody whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signer {
    /// What rules call the key.
    name: String,
    name_and_id: String,
    /// By cosign: over the component and nothing else.
    bare: bool,
}

/// A component and the verified signatures over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    component: Hash,
    signers: Vec<Signer>,
    rule: Rule,
    /// The statement, where one was signed.
    pub statement: Option<Statement>,
    /// SHA-256 of what was signed: of the statement, or of the component when cosign alone signed. None: nobody did.
    pub signed: Option<Hash>,
}

impl Signatures {
    /// Those that lie beside a component file.
    ///
    /// # Errors
    /// A file that is there and cannot be read, by its path.
    pub fn beside(component: &Path) -> Result<Self, (PathBuf, std::io::Error)> {
        Ok(Self { note: read(note_path(component))?, cosign: read(extended(component, ".cosign.sig"))? })
    }
}

/// Where the signed note of a component lies.
#[must_use]
pub fn note_path(component: &Path) -> PathBuf {
    extended(component, ".sig")
}

fn extended(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(extension);
    PathBuf::from(name)
}

fn read(path: PathBuf) -> Result<Option<String>, (PathBuf, std::io::Error)> {
    let file = match std::fs::metadata(&path)
        .and_then(|metadata| plain(&metadata))
        .and_then(|()| std::fs::File::open(&path))
    {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err((path, error)),
    };
    let mut text = String::new();
    // One byte more than a note may have: what is longer is refused by whoever reads the note.
    match file.take(MAX_NOTE_BYTES as u64 + 1).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) => Err((path, error)),
    }
}

/// Refuses what is no file: opening a pipe would wait for whoever writes into it.
pub(super) fn plain(metadata: &std::fs::Metadata) -> std::io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(std::io::Error::other("it is not a file")) }
}

/// Verifies the signatures over `bytes`, the component of the guard called `guard`.
///
/// # Errors
/// [`Refusal`]: the component may not run. A signature that is wrong is worse than none, whatever the policy for those.
pub fn vouch(
    trust: &Trust,
    guard: &str,
    bytes: &[u8],
    signatures: &Signatures,
    revoked: &List,
) -> Result<Vouched, Refusal> {
    let rule = trust.rule(guard);
    let mut vouched = Vouched { component: sha256(bytes), signers: Vec::new(), rule, statement: None, signed: None };
    if let Some(reason) = revoked.component(&vouched.component) {
        return Err(Refusal::RevokedComponent(reason.to_owned()));
    }
    let mut strangers = Vec::new();
    if let Some(text) = &signatures.note {
        strangers = vouched.read_note(trust, bytes, text)?;
    }
    if let Some(text) = &signatures.cosign {
        vouched.read_cosign(trust, bytes, text)?;
    }
    if signatures == &Signatures::default() {
        return if trust.unsigned == Unsigned::Allow { Ok(vouched) } else { Err(Refusal::Unsigned) };
    }
    if vouched.signers.is_empty() {
        return Err(Refusal::Strangers(strangers));
    }
    vouched.stands(revoked)?;
    vouched.signers.retain(|signer| revoked.key(&signer.name_and_id).is_none());
    Ok(vouched)
}

impl Vouched {
    /// Verifies a signed note. Returns the keys that it names; those that nobody knows are passed over.
    fn read_note(&mut self, trust: &Trust, bytes: &[u8], text: &str) -> Result<Vec<String>, Refusal> {
        let note = Note::parse(text).map_err(Refusal::Note)?;
        let statement = Statement::parse(note.text()).map_err(Refusal::Statement)?;
        for TrustedKey { name, key } in &trust.keys {
            let Key::Note(key) = key else { continue };
            match note.verify(key) {
                Ok(()) => {
                    let (name, name_and_id) = (name.clone(), key.name_and_id());
                    self.signers.push(Signer { name, name_and_id, bare: false });
                }
                Err(NoteError::NotSigned { .. }) => {}
                Err(error) => return Err(Refusal::Forged(error)),
            }
        }
        if statement.component != self.component || statement.size != bytes.len() as u64 {
            let (signed, found) = (to_hex(&statement.component), to_hex(&self.component));
            return Err(Refusal::OtherComponent { signed, found });
        }
        if statement.limits != declared(bytes)? {
            return Err(Refusal::Difference("limits"));
        }
        self.signed = Some(sha256(note.text().as_bytes()));
        self.statement = Some(statement);
        Ok(note.claimed().collect())
    }

    /// A signature of cosign does not say by whom it is: each key is tried.
    fn read_cosign(&mut self, trust: &Trust, bytes: &[u8], text: &str) -> Result<(), Refusal> {
        let verifies = |trusted: &&TrustedKey| match &trusted.key {
            Key::Cosign(key) => key.verifies(bytes, text),
            Key::Note(_) => false,
        };
        let by = trust.keys.iter().find(verifies).ok_or(Refusal::Cosign)?;
        self.signers.push(Signer { name: by.name.clone(), name_and_id: by.name_and_id(), bare: true });
        self.signed = self.signed.or(Some(self.component));
        Ok(())
    }

    /// Whether the policy still lets it in when `revoked` is the list in force.
    ///
    /// # Errors
    /// [`Refusal`]: it does not.
    pub fn stands(&self, revoked: &List) -> Result<(), Refusal> {
        if let Some(reason) = revoked.component(&self.component) {
            return Err(Refusal::RevokedComponent(reason.to_owned()));
        }
        if self.signed.is_none() {
            return Ok(());
        }
        let counting = |signer: &&Signer| revoked.key(&signer.name_and_id).is_none();
        let names: Vec<&str> = self.signers.iter().filter(counting).map(|signer| signer.name.as_str()).collect();
        if self.rule.is_met_by(&names) {
            return Ok(());
        }
        let gone = self.signers.iter().find_map(|signer| Some((signer, revoked.key(&signer.name_and_id)?)));
        Err(match gone {
            Some((signer, reason)) => {
                Refusal::RevokedKey { key: signer.name_and_id.clone(), reason: reason.to_owned() }
            }
            None => Refusal::NotEnough { signers: self.signers(), rule: self.rule.to_string() },
        })
    }

    /// SHA-256 of the component.
    #[must_use]
    pub fn component(&self) -> &Hash {
        &self.component
    }

    /// The keys, `name+id`, whose signatures were verified and are not revoked.
    #[must_use]
    pub fn signers(&self) -> Vec<String> {
        self.signers.iter().map(|signer| signer.name_and_id.clone()).collect()
    }

    /// The rule that let it in, in words, and what its signers have not looked at.
    #[must_use]
    pub fn admitted(&self) -> String {
        if self.signed.is_none() {
            return "unsigned allowed".to_owned();
        }
        let bare: Vec<&str> =
            self.signers.iter().filter(|signer| signer.bare).map(|signer| signer.name.as_str()).collect();
        let cosign = match bare.as_slice() {
            [] => String::new(),
            names => format!("; {} by cosign, for the component alone", names.join(", ")),
        };
        picket_ledger::entry::clip_message(&format!("{}{cosign}", self.rule))
    }
}

/// The limits that a component declares; none for what is no component, which the engine refuses with better words.
pub(super) fn declared(bytes: &[u8]) -> Result<Declared, Refusal> {
    match Declared::read(bytes) {
        Ok(declared) => Ok(declared.unwrap_or_default()),
        Err(_) if picket_engine::inspect(bytes).is_err() => Ok(Declared::default()),
        Err(error) => Err(Refusal::Declared(error.to_string())),
    }
}
