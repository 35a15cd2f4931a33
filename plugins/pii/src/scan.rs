//! Finds personal data in one string, in a single pass over its bytes.
//!
//! There is no automaton: a check starts from a fresh memory image, so anything built lazily would be built for each
//! inference again. Instead a byte table picks out the three kinds of bytes that every entity here must hold — a
//! digit, `@` or `:` — and the scanner of that kind looks at their surroundings. Each scanner looks back and ahead by
//! a bounded number of bytes, so the whole is linear in the length of the text.

pub(crate) mod card;
mod context;
mod digits;
mod email;
mod iban;
mod ip;
mod phone;
mod ssn;

use digits::Cluster;
use picket_sdk::Severity;

/// What the guard can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entity {
    /// An e-mail address.
    Email,
    /// A telephone number, international or in a national format.
    Phone,
    /// A payment card number.
    Card,
    /// An international bank account number.
    Iban,
    /// A United States social security number.
    Ssn,
    /// An IPv4 or IPv6 address.
    Ip,
}

impl Entity {
    /// All of them, in the order of their bits in [`EntitySet`].
    pub const ALL: [Self; 6] = [Self::Email, Self::Phone, Self::Card, Self::Iban, Self::Ssn, Self::Ip];

    /// Its name in settings, and its rule id.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ssn => "ssn",
            Self::Ip => "ip",
        }
    }

    /// What it is called in messages.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Email => "e-mail address",
            Self::Phone => "phone number",
            Self::Card => "payment card number",
            Self::Iban => "bank account number (IBAN)",
            Self::Ssn => "social security number",
            Self::Ip => "IP address",
        }
    }

    /// How much harm it does in the wrong hands.
    pub(crate) fn severity(self) -> Severity {
        match self {
            Self::Card | Self::Iban | Self::Ssn => Severity::High,
            Self::Email | Self::Phone => Severity::Medium,
            Self::Ip => Severity::Low,
        }
    }

    /// Who wins when two of them claim the same bytes: the one whose form is harder to meet by chance.
    fn rank(self) -> u8 {
        match self {
            Self::Iban => 5,
            Self::Email => 4,
            Self::Ip => 3,
            Self::Card => 2,
            Self::Ssn => 1,
            Self::Phone => 0,
        }
    }
}

/// Some of the entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntitySet(u8);

impl EntitySet {
    /// None of them.
    pub const EMPTY: Self = Self(0);
    /// Each of them.
    pub const ALL: Self = Self(0b11_1111);

    /// Adds one.
    pub fn insert(&mut self, entity: Entity) {
        self.0 |= 1 << entity as u8;
    }

    /// Whether it is among them.
    pub fn contains(self, entity: Entity) -> bool {
        self.0 & (1 << entity as u8) != 0
    }
}

/// One personal datum in a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// What it is.
    pub entity: Entity,
    /// First byte, on a character border.
    pub start: usize,
    /// The byte after the last, on a character border.
    pub end: usize,
    /// How sure the scanner is, 0 to 1.
    pub score: f64,
}

/// Which entities are wanted, and how sure the scanner must be.
#[derive(Clone, Copy, Debug)]
pub struct Scanner {
    /// The entities to report. The others are recognised all the same, so that an address is not taken for a phone
    /// number when only phone numbers are wanted.
    pub entities: EntitySet,
    /// Hits below it are dropped.
    pub min_score: f64,
}

const DIGIT: u8 = 1;
const AT: u8 = 2;
const COLON: u8 = 3;

const KIND: [u8; 256] = {
    let mut table = [0; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = DIGIT;
        digit += 1;
    }
    table[b'@' as usize] = AT;
    table[b':' as usize] = COLON;
    table
};

impl Scanner {
    /// Appends the hits in `text` to `hits`, in ascending order and without overlap. `label` is what the surroundings
    /// call the text, such as the name of a JSON member; it counts as context.
    pub fn scan(&self, text: &str, label: &str, hits: &mut Vec<Hit>) {
        let first = hits.len();
        let bytes = text.as_bytes();
        let mut address_run_end = 0;
        let mut at = 0;
        while let Some(skip) = bytes[at..].iter().position(|&byte| KIND[usize::from(byte)] != 0) {
            at += skip;
            at = match KIND[usize::from(bytes[at])] {
                DIGIT => self.digits(text, at, label, hits),
                AT => {
                    let found = email::around(bytes, at);
                    self.keep(first, found, hits);
                    found.map_or(at + 1, |hit| hit.end)
                }
                _ if at < address_run_end => at + 1,
                _ => {
                    let (run_end, found) = ip::v6_around(bytes, at);
                    address_run_end = run_end;
                    self.keep(first, found, hits);
                    found.map_or(at + 1, |hit| hit.end)
                }
            };
        }
    }

    /// Looks at the run of digits that starts at `at`; returns where to go on.
    fn digits(&self, text: &str, at: usize, label: &str, hits: &mut Vec<Hit>) -> usize {
        let first = hits.len();
        let bytes = text.as_bytes();
        if let Some(hit) = iban::at_check_digits(bytes, at) {
            self.keep(first, Some(hit), hits);
            return hit.end;
        }
        let cluster = Cluster::parse(bytes, at);
        if !cluster.starts_word() {
            return cluster.first_end();
        }
        let found = ip::v4(&cluster, label)
            .or_else(|| card::find(&cluster, label))
            .or_else(|| ssn::find(&cluster, label))
            .or_else(|| phone::find(&cluster, label));
        match found {
            Some(hit) => {
                self.keep(first, Some(hit), hits);
                hit.end.max(cluster.first_end())
            }
            None => cluster.first_end(),
        }
    }

    /// Adds a hit that is wanted, and removes those it overlaps when it ranks higher. Hits arrive in the order of
    /// their ends, so only the last ones can overlap. `first` is the index of this text's first hit that may be removed.
    fn keep(&self, first: usize, found: Option<Hit>, hits: &mut Vec<Hit>) {
        let Some(hit) = found else { return };
        if !self.entities.contains(hit.entity) || hit.score < self.min_score {
            return;
        }
        while hits.len() > first
            && let Some(last) = hits.last()
            && last.end > hit.start
        {
            if last.entity.rank() > hit.entity.rank() {
                return;
            }
            hits.pop();
        }
        hits.push(hit);
    }
}

#[cfg(test)]
mod tests;
