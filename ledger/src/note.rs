//! C2SP signed notes (<https://c2sp.org/signed-note>) with Ed25519, read strictly.
//!
//! A note is a text, an empty line, and signature lines `— <key name> <base64(key id ‖ signature)>`. Beyond
//! what the specification demands, this reader accepts base64 in its canonical form alone, refuses a second
//! signature by the same key, and verifies with `verify_strict`: no small-order keys, no malleable
//! signatures. A text therefore has one form that verifies, and equal notes are equal bytes.
//!
//! The file has over 400 lines because a note, its keys and its signatures are understood together.

use std::fmt;

use ed25519_dalek::Signer as _;
use zeroize::Zeroizing;

use crate::hash::{from_base64, sha256, to_base64, to_hex};

/// The longest note that is read, in bytes. A checkpoint with one signature has about 250.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;

/// The most signature lines that are read; the specification demands at least 16.
pub const MAX_SIGNATURES: usize = 64;

/// The longest key name, in bytes.
pub const MAX_KEY_NAME_BYTES: usize = 256;

const SIGNATURE_PREFIX: &str = "— ";
const PRIVATE_KEY_PREFIX: &str = "PRIVATE+KEY+";

/// What is wrong with a note, a key or a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The note is longer than [`MAX_NOTE_BYTES`].
    #[error("the note has {0} bytes, at most {MAX_NOTE_BYTES} are read")]
    TooLong(usize),
    /// The note has more signature lines than [`MAX_SIGNATURES`].
    #[error("the note has {0} signatures, at most {MAX_SIGNATURES} are read")]
    TooManySignatures(usize),
    /// The note is not a text, an empty line, and signature lines.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// A signature line is malformed.
    #[error("malformed signature line {line}: {reason}")]
    SignatureLine {
        /// The number of the line among the signature lines, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A key name is empty, too long, or has a space, a plus or a control character.
    #[error("{0:?} cannot be a key name: 1 to {MAX_KEY_NAME_BYTES} bytes without spaces, plus or control characters")]
    KeyName(String),
    /// A key is not written as `name+id+base64`.
    #[error("malformed key: {0}")]
    Key(&'static str),
    /// The note carries no signature by the key that was asked for.
    #[error("no signature by {name}+{key_id}")]
    NotSigned {
        /// The name of the key.
        name: String,
        /// The id of the key, 8 hexadecimal characters.
        key_id: String,
    },
    /// Two signature lines claim the same key.
    #[error("two signatures by {0}")]
    SignedTwice(String),
    /// The signature by the key that was asked for does not verify.
    #[error("the signature by {0} does not verify")]
    Signature(String),
    /// The text of a note is not that of a checkpoint.
    #[error("malformed checkpoint: {0}")]
    Checkpoint(&'static str),
    /// A checkpoint speaks for another log than its key.
    #[error("the checkpoint of {origin:?} is signed with the key of {name:?}")]
    Origin {
        /// The origin line of the checkpoint.
        origin: String,
        /// The name of the key that signed it.
        name: String,
    },
    /// A time beyond 2^63 - 1 seconds, which a cosignature cannot carry.
    #[error("{0} seconds are beyond what a cosignature can carry")]
    Time(u64),
}

/// What a signature says, by the type byte of its key (C2SP signed-note, "Signature types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum SignatureType {
    /// Ed25519 over the text of the note.
    Note = 0x01,
    /// A timestamped witness cosignature, C2SP tlog-cosignature.
    Cosignature = 0x04,
}

/// A private Ed25519 key with its name. Wiped when dropped; its `Debug` shows the name alone.
#[derive(Clone)]
pub struct SigningKey {
    name: String,
    // Zeroized on drop by ed25519-dalek's feature of that name.
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// A key with a name from 32 fresh random bytes, which the caller draws from the operating system.
    ///
    /// # Errors
    /// [`NoteError::KeyName`].
    pub fn generate(name: &str, seed: [u8; 32]) -> Result<Self, NoteError> {
        Self::from_seed(name, &Zeroizing::new(seed))
    }

    /// The key of a known seed (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// [`NoteError::KeyName`].
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        check_key_name(name)?;
        Ok(Self { name: name.to_owned(), key: ed25519_dalek::SigningKey::from_bytes(seed) })
    }

    /// Reads what [`to_secret_text`](Self::to_secret_text) wrote.
    ///
    /// # Errors
    /// [`NoteError::Key`] or [`NoteError::KeyName`]; they do not repeat the key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let rest = text.strip_prefix(PRIVATE_KEY_PREFIX).ok_or(NoteError::Key("no PRIVATE+KEY in front"))?;
        let (name, id, seed) = split_key(rest)?;
        let seed = Zeroizing::new(seed);
        let key = Self::from_seed(name, &seed)?;
        if key.verifier().id_text() == id { Ok(key) } else { Err(NoteError::Key("the id does not fit the key")) }
    }

    /// `PRIVATE+KEY+<name>+<id>+<base64(0x01 ‖ seed)>`, the form of Go's `sumdb/note`.
    #[must_use]
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; 33]);
        bytes[0] = SignatureType::Note as u8;
        bytes[1..].copy_from_slice(self.key.as_bytes());
        let base64 = Zeroizing::new(to_base64(&bytes[..]));
        Zeroizing::new(format!("{PRIVATE_KEY_PREFIX}{}+{}+{}", self.name, self.verifier().id_text(), *base64))
    }

    /// The name: a box's edge id, or the auditor's id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same key under another name: of the next log of one box.
    ///
    /// # Errors
    /// [`NoteError::KeyName`].
    pub fn renamed(&self, name: &str) -> Result<Self, NoteError> {
        check_key_name(name)?;
        Ok(Self { name: name.to_owned(), key: self.key.clone() })
    }

    /// The public key.
    #[must_use]
    pub fn verifier(&self) -> VerifyingKey {
        VerifyingKey(PublicKey::new(self.name.clone(), SignatureType::Note, self.key.verifying_key()))
    }

    /// Signs the text of a note: its signature line, ending in a newline.
    ///
    /// The text must end in a newline; [`crate::Checkpoint::sign`] puts the note together.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        self.signature_line(SignatureType::Note, &self.sign_bytes(text.as_bytes()))
    }

    pub(crate) fn public(&self, kind: SignatureType) -> PublicKey {
        PublicKey::new(self.name.clone(), kind, self.key.verifying_key())
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    pub(crate) fn signature_line(&self, kind: SignatureType, signature: &[u8]) -> String {
        let mut bytes = self.public(kind).id.to_vec();
        bytes.extend_from_slice(signature);
        format!("{SIGNATURE_PREFIX}{} {}\n", self.name, to_base64(&bytes))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A public key that signs notes: `<name>+<id>+<base64(0x01 ‖ key)>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey(pub(crate) PublicKey);

impl VerifyingKey {
    /// Reads `<name>+<id, 8 hexadecimal characters>+<base64(0x01 ‖ 32 bytes)>`.
    ///
    /// # Errors
    /// [`NoteError::Key`] or [`NoteError::KeyName`], also for keys of small order, which verify anything.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        PublicKey::parse(text, SignatureType::Note).map(Self)
    }

    /// The name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The same key under another name, and so with another id.
    ///
    /// # Errors
    /// [`NoteError::KeyName`].
    pub fn renamed(&self, name: &str) -> Result<Self, NoteError> {
        check_key_name(name)?;
        Ok(Self(PublicKey::new(name.to_owned(), SignatureType::Note, self.0.key)))
    }

    /// The first four bytes of `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ key)`.
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        self.0.id
    }

    /// The 32 bytes of the public key (RFC 8032 section 5.1.2).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.key.as_bytes()
    }

    /// `<name>+<id>`: what the key is called where it need not be verified with.
    #[must_use]
    pub fn name_and_id(&self) -> String {
        format!("{}+{}", self.name(), self.id_text())
    }

    fn id_text(&self) -> String {
        to_hex(&self.0.id)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::str::FromStr for VerifyingKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        Self::parse(text)
    }
}

/// A public key of either signature type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) name: String,
    pub(crate) id: [u8; 4],
    kind: SignatureType,
    key: ed25519_dalek::VerifyingKey,
}

impl PublicKey {
    fn new(name: String, kind: SignatureType, key: ed25519_dalek::VerifyingKey) -> Self {
        let preimage = [name.as_bytes(), b"\n", &[kind as u8], key.as_bytes()].concat();
        let [a, b, c, d, ..] = sha256(&preimage);
        Self { name, id: [a, b, c, d], kind, key }
    }

    pub(crate) fn parse(text: &str, kind: SignatureType) -> Result<Self, NoteError> {
        let (name, id, bytes) = split_key_of(text, kind)?;
        check_key_name(name)?;
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| NoteError::Key("not a point of the curve"))?;
        if key.is_weak() {
            return Err(NoteError::Key("of small order"));
        }
        // A second encoding of one point would be a second id for one key.
        if key.to_edwards().compress().to_bytes() != bytes {
            return Err(NoteError::Key("not the canonical encoding of its point"));
        }
        let key = Self::new(name.to_owned(), kind, key);
        if to_hex(&key.id) == id { Ok(key) } else { Err(NoteError::Key("the id does not fit the key")) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Strict Ed25519: refuses small-order keys and points, and every second form of a signature.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), NoteError> {
        self.key
            .verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature))
            .map_err(|_| NoteError::Signature(self.name.clone()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind as u8];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(formatter, "{}+{}+{}", self.name, to_hex(&self.id), to_base64(&bytes))
    }
}

/// A note taken apart, nothing verified yet.
#[derive(Debug)]
pub struct Note<'a> {
    /// The signed text, with its final newline.
    pub(crate) text: &'a str,
    signatures: Vec<SignatureLine<'a>>,
}

#[derive(Debug)]
struct SignatureLine<'a> {
    name: &'a str,
    /// The key id and what follows it.
    bytes: Vec<u8>,
}

impl<'a> Note<'a> {
    /// Takes a note apart.
    ///
    /// # Errors
    /// [`NoteError`] when it is no note, or too long. Who signed it is not looked at.
    pub fn parse(note: &'a str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong(note.len()));
        }
        if note.chars().any(|character| character < ' ' && character != '\n') {
            return Err(NoteError::Malformed("it has a control character"));
        }
        let separator = note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line before the signatures"))?;
        let text = &note[..=separator];
        let lines = note[separator + 2..]
            .strip_suffix('\n')
            .ok_or(NoteError::Malformed("no signature lines, or the last one does not end"))?;
        let count = lines.split('\n').count();
        if count > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures(count));
        }
        let signatures = (1..)
            .zip(lines.split('\n'))
            .map(|(line, text)| SignatureLine::parse(text).map_err(|reason| NoteError::SignatureLine { line, reason }))
            .collect::<Result<_, _>>()?;
        Ok(Self { text, signatures })
    }

    /// The text, with its final newline: what the signatures are over.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The keys, `name+id`, that the signature lines claim to be by, in their order. Nothing is verified.
    pub fn claimed(&self) -> impl Iterator<Item = String> + '_ {
        self.signatures.iter().map(|line| {
            let id = line.bytes.get(..4).unwrap_or_default();
            format!("{}+{}", line.name, to_hex(id))
        })
    }

    pub(crate) fn signatures(&self) -> usize {
        self.signatures.len()
    }

    /// What the one signature line by this key holds behind the key id.
    pub(crate) fn signature_by(&self, key: &PublicKey) -> Result<&[u8], NoteError> {
        let mut found = self
            .signatures
            .iter()
            .filter(|line| line.name == key.name)
            .filter_map(|line| line.bytes.strip_prefix(&key.id));
        let signature =
            found.next().ok_or_else(|| NoteError::NotSigned { name: key.name.clone(), key_id: to_hex(&key.id) })?;
        match found.next() {
            None => Ok(signature),
            Some(_) => Err(NoteError::SignedTwice(key.name.clone())),
        }
    }

    /// Verifies the note's Ed25519 signature (type 0x01) by this key.
    ///
    /// # Errors
    /// [`NoteError::NotSigned`], [`NoteError::SignedTwice`] or [`NoteError::Signature`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), NoteError> {
        let signature = self.signature_by(&key.0)?.try_into().map_err(|_| NoteError::Signature(key.0.name.clone()))?;
        key.0.verify(self.text.as_bytes(), signature)
    }
}

impl<'a> SignatureLine<'a> {
    fn parse(line: &'a str) -> Result<Self, &'static str> {
        let line = line.strip_prefix(SIGNATURE_PREFIX).ok_or("no em dash and space in front")?;
        let (name, base64) = line.split_once(' ').ok_or("no space between name and signature")?;
        if !is_key_name(name) {
            return Err("the name cannot be a key name");
        }
        let bytes = from_base64(base64).ok_or("the signature is not canonical base64")?;
        if bytes.len() <= 4 {
            return Err("no signature behind the key id");
        }
        Ok(Self { name, bytes })
    }
}

/// Refuses what C2SP forbids in key names (spaces, plus, nothing at all), control characters, and more than
/// [`MAX_KEY_NAME_BYTES`].
///
/// # Errors
/// [`NoteError::KeyName`].
pub fn check_key_name(name: &str) -> Result<(), NoteError> {
    if is_key_name(name) { Ok(()) } else { Err(NoteError::KeyName(name.chars().take(64).collect())) }
}

fn is_key_name(name: &str) -> bool {
    let forbidden = |character: char| character.is_whitespace() || character == '+' || character.is_control();
    (1..=MAX_KEY_NAME_BYTES).contains(&name.len()) && !name.contains(forbidden)
}

fn split_key(text: &str) -> Result<(&str, &str, [u8; 32]), NoteError> {
    split_key_of(text, SignatureType::Note)
}

fn split_key_of(text: &str, kind: SignatureType) -> Result<(&str, &str, [u8; 32]), NoteError> {
    // Base64 may hold a plus, names and ids may not.
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(base64)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::Key("not of the form name+id+base64"));
    };
    let bytes = Zeroizing::new(from_base64(base64).ok_or(NoteError::Key("not canonical base64"))?);
    let (found, key) = bytes.split_first().ok_or(NoteError::Key("no signature type"))?;
    if *found != kind as u8 {
        return Err(NoteError::Key("of another signature type"));
    }
    let key = key.try_into().map_err(|_| NoteError::Key("not 32 bytes long"))?;
    Ok((name, id, key))
}
