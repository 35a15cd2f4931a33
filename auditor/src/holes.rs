//! Which invocations have no entry.
//!
//! A box numbers each inference before any guard runs, so a number without a verdict is something that happened and was
//! not recorded. Verdicts may be recorded out of order, so a number is only missing once it had time to arrive:
//! [`IN_FLIGHT_MS`] by the box's own clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How long a verdict may be on its way while later ones are recorded, in milliseconds. Deadlines of guards are far
/// below.
pub const IN_FLIGHT_MS: u64 = 60_000;

/// The most runs of missing numbers that are kept apart. A box that really leaves out more is beyond counting.
const MAX_RUNS: usize = 1 << 20;

/// The numbers of one box, as its log is read from the start.
#[derive(Debug, Default)]
pub struct Holes {
    /// The number after the highest that is known to be given out. Numbers may start at 0 or 1, so 0 is never missing.
    next: u64,
    /// Runs of numbers that were given out and have no verdict: start → (end, wall time when that was first known).
    open: BTreeMap<u64, (u64, u64)>,
    lost: u64,
    dropped: u64,
    twice: u64,
    overflow: bool,
    latest_ms: u64,
}

/// The account at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Numbers without a verdict that nothing explains.
    pub missing: u64,
    /// Numbers that a recovery entry says were lost with a crash.
    pub lost: u64,
    /// Entries that drop entries say were not recorded.
    pub dropped: u64,
    /// Numbers that may still be on their way.
    pub in_flight: u64,
    /// Numbers that have more than one verdict.
    pub twice: u64,
    /// The first runs of missing or in-flight numbers, first and last of each, at most sixteen.
    pub runs: Vec<(u64, u64)>,
}

impl Holes {
    /// A verdict with this number, recorded at this time.
    pub fn verdict(&mut self, number: u64, wall_ms: u64) {
        self.latest_ms = self.latest_ms.max(wall_ms);
        if number >= self.next {
            self.given_out(number, wall_ms);
            self.next = number.saturating_add(1);
            return;
        }
        let Some((&start, &(end, since))) = self.open.range(..=number).next_back() else {
            // Number 0 is never open, so its verdict is not a second one.
            self.twice += u64::from(number != 0);
            return;
        };
        if number >= end {
            self.twice += 1;
            return;
        }
        self.open.remove(&start);
        if start < number {
            self.open.insert(start, (number, since));
        }
        if number + 1 < end {
            self.open.insert(number + 1, (end, since));
        }
    }

    /// A heartbeat: all numbers below `next` have been given out.
    pub fn heartbeat(&mut self, next: u64, wall_ms: u64) {
        self.latest_ms = self.latest_ms.max(wall_ms);
        self.given_out(next, wall_ms);
    }

    /// A recovery: numbers below `first` without a verdict were lost with a crash.
    pub fn recovery(&mut self, first: u64, wall_ms: u64) {
        self.heartbeat(first, wall_ms);
        let lost: Vec<(u64, u64, u64)> =
            self.open.range(..first).map(|(start, (end, since))| (*start, *end, *since)).collect();
        for (start, end, since) in lost {
            self.open.remove(&start);
            self.lost += end.min(first) - start;
            if end > first {
                self.open.insert(first, (end, since));
            }
        }
    }

    /// A drop entry: so many were not recorded, by policy.
    pub fn dropped(&mut self, count: u64, wall_ms: u64) {
        self.latest_ms = self.latest_ms.max(wall_ms);
        self.dropped = self.dropped.saturating_add(count);
    }

    /// The account of what was read.
    pub fn account(&self) -> Account {
        let mut account = Account { lost: self.lost, dropped: self.dropped, twice: self.twice, ..Account::default() };
        for (start, (end, since)) in &self.open {
            let count = end - start;
            if self.latest_ms.saturating_sub(*since) < IN_FLIGHT_MS {
                account.in_flight = account.in_flight.saturating_add(count);
            } else {
                account.missing = account.missing.saturating_add(count);
            }
            if account.runs.len() < 16 {
                account.runs.push((*start, end - 1));
            }
        }
        // Which numbers were dropped is not said, only how many.
        account.missing = account.missing.saturating_sub(self.dropped);
        if self.overflow {
            account.missing = account.missing.max(1);
        }
        account
    }

    fn given_out(&mut self, below: u64, wall_ms: u64) {
        let start = self.next.max(1);
        if below > start {
            if self.open.len() < MAX_RUNS {
                self.open.insert(start, (below, wall_ms));
            } else {
                self.overflow = true;
            }
        }
        self.next = self.next.max(below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: u64 = IN_FLIGHT_MS + 1;

    #[test]
    fn all_there_in_any_order() {
        let mut holes = Holes::default();
        for number in [3, 1, 2, 0, 5, 4] {
            holes.verdict(number, 0);
        }
        holes.heartbeat(6, LATER);
        assert_eq!(holes.account(), Account::default());
    }

    #[test]
    fn numbers_may_start_at_one() {
        let mut holes = Holes::default();
        holes.verdict(1, 0);
        holes.verdict(2, LATER);
        assert_eq!(holes.account(), Account::default());
    }

    #[test]
    fn a_hole_is_in_flight_first_and_missing_later() {
        let mut holes = Holes::default();
        holes.verdict(1, 0);
        holes.verdict(4, 0);
        assert_eq!((holes.account().in_flight, holes.account().missing), (2, 0));
        holes.verdict(5, LATER);
        assert_eq!(holes.account(), Account { missing: 2, runs: vec![(2, 3)], ..Account::default() });
    }

    #[test]
    fn a_heartbeat_shows_what_was_never_recorded() {
        let mut holes = Holes::default();
        holes.verdict(1, 0);
        holes.heartbeat(4, 0);
        holes.heartbeat(4, LATER);
        assert_eq!(holes.account(), Account { missing: 2, runs: vec![(2, 3)], ..Account::default() });
    }

    #[test]
    fn a_recovery_excuses_what_lies_below() {
        let mut holes = Holes::default();
        holes.verdict(1, 0);
        holes.verdict(5, 0);
        holes.recovery(9, 0);
        holes.verdict(11, 0);
        holes.verdict(12, LATER);
        let expected = Account { lost: 6, missing: 2, runs: vec![(9, 10)], ..Account::default() };
        assert_eq!(holes.account(), expected);
    }

    #[test]
    fn drops_excuse_by_number() {
        let mut holes = Holes::default();
        holes.verdict(1, 0);
        holes.verdict(5, 0);
        holes.dropped(2, LATER);
        assert_eq!((holes.account().missing, holes.account().dropped), (1, 2));
    }

    #[test]
    fn the_same_number_twice_is_told() {
        let mut holes = Holes::default();
        for number in [1, 2, 2, 1, 7, 7] {
            holes.verdict(number, 0);
        }
        assert_eq!(holes.account().twice, 3);
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let mut holes = Holes::default();
        holes.verdict(u64::MAX, 0);
        holes.verdict(u64::MAX - 1, 0);
        holes.recovery(u64::MAX, LATER);
        assert_eq!(holes.account().lost, u64::MAX - 2);
    }
}
