//! Breakers under a clock that the tests set.

use super::*;
use crate::config::OnFailure;

const SECOND: Duration = Duration::from_secs(1);

/// A breaker and its clock.
struct Bench {
    breaker: Breaker,
    start: Instant,
    seconds: u64,
    changes: Vec<&'static str>,
}

impl Bench {
    fn new(failures: usize) -> Self {
        let (within, pause, then) = (SECOND * 60, SECOND * 30, OnFailure::Block);
        let breaker = Breaker::new(config::Breaker { failures, within, pause, then });
        Self { breaker, start: Instant::now(), seconds: 0, changes: Vec::new() }
    }

    fn now(&self) -> Instant {
        self.start + SECOND * u32::try_from(self.seconds).unwrap()
    }

    /// One check; whether the guard was run.
    fn check(&mut self, outcome: Result<(), Cause>) -> bool {
        let now = self.now();
        let outcome = outcome.map_err(|cause| Failure { cause, message: "so".to_owned() });
        let Way::Run(attempt) = self.breaker.ask(now) else { return false };
        let changes = &mut self.changes;
        attempt.tell(&outcome, now, Timestamp::UNIX_EPOCH, |change| {
            changes.push(match change {
                Change::Opened { .. } => "opened",
                Change::Closed { .. } => "closed",
            });
        });
        true
    }

    fn fails(&mut self, times: usize) {
        for _ in 0..times {
            assert!(self.check(Err(Cause::Trap)));
        }
    }
}

#[test]
fn it_opens_at_the_last_of_the_failures_and_not_before() {
    let mut bench = Bench::new(3);
    bench.fails(2);
    assert_eq!(bench.breaker.open(), None);
    bench.fails(1);
    assert_eq!(bench.changes, ["opened"]);
    assert!(!bench.check(Ok(())), "left alone");
    let message = bench.breaker.open().unwrap();
    assert!(message.contains("3 failures in a row, the last: trap: so"), "{message}");
}

#[test]
fn an_answer_between_failures_starts_the_count_anew() {
    let mut bench = Bench::new(3);
    for outcome in [Ok(()), Err(Cause::Refused)] {
        bench.fails(2);
        assert!(bench.check(outcome));
    }
    bench.fails(2);
    assert_eq!(bench.breaker.open(), None);
}

#[test]
fn failures_that_are_too_far_apart_do_not_count_together() {
    let mut bench = Bench::new(3);
    for _ in 0..20 {
        bench.fails(1);
        bench.seconds += 31;
    }
    assert_eq!(bench.breaker.open(), None, "never three within a minute");
}

#[test]
fn every_failure_of_its_own_counts_and_those_of_the_box_do_not() {
    for cause in [Cause::Trap, Cause::Deadline, Cause::Memory, Cause::Answer] {
        let mut bench = Bench::new(1);
        assert!(bench.check(Err(cause)));
        assert_eq!(bench.changes, ["opened"], "{cause}");
    }
    let mut bench = Bench::new(2);
    bench.fails(1);
    assert!(bench.check(Err(Cause::Unavailable)));
    assert_eq!(bench.breaker.open(), None);
    bench.fails(1);
    assert_eq!(bench.changes, ["opened"], "a lack of instances is no answer either");
}

#[test]
fn one_check_tries_after_the_pause_and_closes_it() {
    let mut bench = Bench::new(1);
    bench.fails(1);
    bench.seconds = 29;
    assert!(!bench.check(Ok(())));
    bench.seconds = 30;
    let first = bench.breaker.ask(bench.now());
    assert!(matches!(first, Way::Run(_)));
    assert!(matches!(bench.breaker.ask(bench.now()), Way::Open(_)), "only one at a time");
    drop(first);
    assert!(bench.check(Err(Cause::Unavailable)), "one that was given up lets another try");
    assert!(bench.check(Ok(())), "and one that got no instance too");
    assert_eq!(bench.changes, ["opened", "closed"]);
    assert_eq!(bench.breaker.open(), None);
}

#[test]
fn tries_that_fail_double_the_pause_up_to_its_cap() {
    let mut bench = Bench::new(1);
    bench.fails(1);
    for pause in [30, 60, 120, 240, 480, 480, 480] {
        bench.seconds += pause - 1;
        assert!(!bench.check(Ok(())), "{pause}");
        bench.seconds += 1;
        bench.fails(1);
    }
    assert_eq!(bench.changes, ["opened"], "opened once, and never closed between");
    assert!(bench.breaker.open().unwrap().contains("8 failures in a row"));
}

#[test]
fn checks_that_began_before_it_opened_change_nothing() {
    let bench = Bench::new(1);
    let now = bench.now();
    let (Way::Run(first), Way::Run(second), Way::Run(third)) =
        (bench.breaker.ask(now), bench.breaker.ask(now), bench.breaker.ask(now))
    else {
        panic!("closed at first")
    };
    let failure = Err::<(), _>(Failure { cause: Cause::Deadline, message: String::new() });
    let mut opened = 0;
    first.tell(&failure, now, Timestamp::UNIX_EPOCH, |_| opened += 1);
    second.tell(&failure, now, Timestamp::UNIX_EPOCH, |_| opened += 1);
    third.tell(&Ok(()), now, Timestamp::UNIX_EPOCH, |_| opened += 1);
    assert_eq!(opened, 1);
    assert!(bench.breaker.open().is_some());
}
