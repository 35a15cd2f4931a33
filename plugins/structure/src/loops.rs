//! Finds stretches of a text that repeat themselves, in one pass and linear time.
//!
//! A table remembers where each group of [`GRAM`] bytes was last seen. When the group at hand was seen `period` bytes
//! ago, the text may be repeating itself with that period; from then on the bytes are compared directly with those one
//! period before, until they differ. Two groups that share a place in the table delay the discovery of a loop by some
//! bytes and cannot hide it, since its next groups are looked up as well.

/// Bytes that must recur before a loop is suspected. Shorter ones recur in any text.
const GRAM: usize = 8;
/// Places in the table: 2^12.
const TABLE_BITS: u32 = 12;
/// Loops of fewer bytes are not reported: "ha ha ha" is no degenerate output.
const SHORTEST: usize = 48;

/// Bytes `start..end` repeat with this period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) period: usize,
}

impl Stretch {
    pub(crate) fn length(&self) -> usize {
        self.end - self.start
    }

    /// Whole periods.
    pub(crate) fn repeats(&self) -> usize {
        self.length() / self.period
    }
}

/// Calls `found` with each stretch of at least two periods of at most `max_period` bytes (at least 1).
pub(crate) fn each_stretch(bytes: &[u8], max_period: usize, mut found: impl FnMut(Stretch)) {
    if bytes.len() < SHORTEST {
        return;
    }
    // Positions are kept plus one, so that zero means none.
    let mut table = [0_u32; 1 << TABLE_BITS];
    let mut position = 0;
    while let Some(gram) = bytes.get(position..).and_then(|rest| rest.first_chunk::<GRAM>()) {
        let Some(previous) = swap_in(&mut table, *gram, position) else {
            position += 1;
            continue;
        };
        let period = position - previous;
        if period > max_period || bytes[previous..previous + GRAM] != *gram {
            position += 1;
            continue;
        }
        let end = end_of_stretch(bytes, position + GRAM, period);
        if end - previous >= SHORTEST.max(2 * period) {
            found(Stretch { start: previous, end, period });
        }
        // Groups that end inside the stretch are known by its last period; it is enough to remember those. What comes
        // next may repeat something longer that began in here.
        let resume = (end + 1).saturating_sub(GRAM).max(position + 1);
        let remembered = resume.saturating_sub(max_period).max(position + 1);
        for index in remembered..resume {
            if let Some(gram) = bytes[index..].first_chunk::<GRAM>() {
                swap_in(&mut table, *gram, index);
            }
        }
        position = resume;
    }
}

/// The first position from `position` on whose byte differs from the one a period before.
fn end_of_stretch(bytes: &[u8], position: usize, period: usize) -> usize {
    let same = bytes[position..].iter().zip(&bytes[position - period..]).take_while(|(now, before)| now == before);
    position + same.count()
}

/// Remembers the group's position and returns the one remembered before.
fn swap_in(table: &mut [u32; 1 << TABLE_BITS], gram: [u8; GRAM], position: usize) -> Option<usize> {
    // Multiplicative hashing; 2^64 divided by the golden ratio (Knuth, volume 3, section 6.4).
    let hash = u64::from_le_bytes(gram).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - TABLE_BITS);
    let place = usize::try_from(hash).ok().and_then(|index| table.get_mut(index))?;
    let before = std::mem::replace(place, u32::try_from(position + 1).ok()?);
    usize::try_from(before).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests;
