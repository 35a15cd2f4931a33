//! Bytes of profiles and snapshots: big-endian, lengths first, one form for each value. What is read comes from a
//! stranger: every length is held against the bytes that are left before anything is reserved.

/// Longest name of a stream or category, in bytes.
pub(crate) const MAX_NAME: usize = 512;

/// Why bytes could not be read.
pub(crate) type Reason = &'static str;

#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn number(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn float(&mut self, value: f64) {
        self.number(value.to_bits());
    }

    /// A length or count.
    pub(crate) fn length(&mut self, value: usize) {
        self.number(value as u64);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes(text.as_bytes());
    }

    pub(crate) fn numbers(&mut self, values: &[u64]) {
        self.length(values.len());
        values.iter().for_each(|value| self.number(*value));
    }

    pub(crate) fn floats(&mut self, values: &[f64]) {
        self.length(values.len());
        values.iter().for_each(|value| self.float(*value));
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Reason> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Reason> {
        Ok(self.bytes(1)?[0])
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Reason> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a flag is neither 0 nor 1"),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64, Reason> {
        let bytes = self.bytes(8)?;
        Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// A count that leaves room for sums of many.
    pub(crate) fn count(&mut self) -> Result<u64, Reason> {
        self.number().and_then(|value| if value < 1 << 48 { Ok(value) } else { Err("a count is too large") })
    }

    /// A finite number.
    pub(crate) fn float(&mut self) -> Result<f64, Reason> {
        let value = f64::from_bits(self.number()?);
        if value.is_finite() { Ok(value) } else { Err("a number is not finite") }
    }

    /// The length of a list whose items take at least `size` bytes each.
    pub(crate) fn length(&mut self, size: usize, most: usize) -> Result<usize, Reason> {
        let length = usize::try_from(self.number()?).map_err(|_| "a list is too long")?;
        if length > most || length > self.0.len() / size { Err("a list is too long") } else { Ok(length) }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Reason> {
        let length = self.length(1, MAX_NAME)?;
        core::str::from_utf8(self.bytes(length)?).map_err(|_| "a name is not UTF-8")
    }

    pub(crate) fn counts(&mut self, most: usize) -> Result<Vec<u64>, Reason> {
        let length = self.length(8, most)?;
        (0..length).map(|_| self.count()).collect()
    }

    pub(crate) fn floats(&mut self, most: usize) -> Result<Vec<f64>, Reason> {
        let length = self.length(8, most)?;
        (0..length).map(|_| self.float()).collect()
    }

    pub(crate) fn finish(self) -> Result<(), Reason> {
        if self.0.is_empty() { Ok(()) } else { Err("bytes follow its end") }
    }
}

/// FNV-1a over 64 bits: tells settings and references apart, and is no protection against malice.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut take = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for part in parts {
        (part.len() as u64).to_be_bytes().into_iter().for_each(&mut take);
        part.iter().copied().for_each(&mut take);
    }
    hash
}
