//! What becomes of changes that are not durable when the power fails.

use crate::random::Random;

/// What becomes of changes that are not durable.
pub trait Fate {
    /// Whether a change of a name at this time is kept.
    fn keeps(&mut self, time: usize) -> bool;
    /// How many of these changes of one place, in order, it has seen.
    fn version(&mut self, times: &[usize]) -> usize;
    /// What is in a sector that was never written.
    fn unwritten(&mut self, _: &mut [u8]) {}
}

/// Nothing goes wrong.
pub struct Everything;

impl Fate for Everything {
    fn keeps(&mut self, _: usize) -> bool {
        true
    }

    fn version(&mut self, times: &[usize]) -> usize {
        times.len()
    }
}

/// How a loss of power picks.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pick: Pick,
    garbage: bool,
}

#[derive(Clone, Copy, Debug)]
enum Pick {
    /// Nothing that is not durable.
    Nothing,
    /// Everything, as after a kill.
    Everything,
    /// What came before this time; of what was done just then, some.
    Before(usize),
    /// The other way round: the newest arrived, the older did not.
    Since(usize),
    /// So many of a hundred, each sector and name by itself.
    Some(u64),
}

impl Manner {
    pub fn draw(time: usize, random: &mut Random) -> Self {
        let recent = |random: &mut Random| time - random.below(time.min(40) + 1);
        let pick = match random.below(8) {
            0 => Pick::Nothing,
            1 => Pick::Everything,
            2 => Pick::Before(recent(random)),
            3 => Pick::Since(recent(random)),
            4 => Pick::Some(5),
            5 => Pick::Some(95),
            _ => Pick::Some(50),
        };
        Self { pick, garbage: random.below(4) == 0 }
    }
}

/// The fate that a manner comes to.
pub struct Loss<'random> {
    pub manner: Manner,
    pub random: &'random mut Random,
}

impl Fate for Loss<'_> {
    fn keeps(&mut self, time: usize) -> bool {
        match self.manner.pick {
            Pick::Nothing => false,
            Pick::Everything => true,
            Pick::Before(end) => time < end || (time == end && self.random.below(2) == 0),
            Pick::Since(start) => time >= start,
            Pick::Some(percent) => self.random.percent(percent),
        }
    }

    fn version(&mut self, times: &[usize]) -> usize {
        match self.manner.pick {
            Pick::Before(_) => times.iter().take_while(|time| self.keeps(**time)).count(),
            // A sector that arrived in its newest form has all of the earlier changes in it.
            Pick::Since(start) if times.last().is_some_and(|time| *time >= start) => times.len(),
            Pick::Since(_) | Pick::Nothing => 0,
            Pick::Some(percent) if !self.random.percent(percent) => self.random.below(times.len().max(1)),
            Pick::Some(_) | Pick::Everything => times.len(),
        }
    }

    fn unwritten(&mut self, bytes: &mut [u8]) {
        if self.manner.garbage {
            bytes.iter_mut().for_each(|byte| *byte = self.random.byte());
        }
    }
}
