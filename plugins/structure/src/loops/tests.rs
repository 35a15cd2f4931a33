use proptest::prelude::*;

use super::*;

fn stretches(text: &[u8], max_period: usize) -> Vec<Stretch> {
    let mut found = Vec::new();
    each_stretch(text, max_period, |stretch| found.push(stretch));
    found
}

#[test]
fn short_texts_have_none() {
    assert_eq!(stretches(b"", 200), []);
    assert_eq!(stretches(&[b'a'; SHORTEST - 1], 200), []);
    assert_eq!(stretches(&[b'a'; SHORTEST], 200), [Stretch { start: 0, end: SHORTEST, period: 1 }]);
}

#[test]
fn a_loop_inside_a_loop_does_not_hide_it() {
    let text = "ha ha ha ha ha ha ha ha no. ".repeat(20);
    let found = stretches(text.as_bytes(), 200);
    let longest = found.iter().max_by_key(|stretch| stretch.length());
    assert_eq!(longest.map(|stretch| stretch.period), Some(28), "{found:?}");
    assert!(longest.is_some_and(|stretch| stretch.length() + 40 >= text.len()), "{found:?}");
}

#[test]
fn two_loops_are_both_found() {
    let text = "abcdef ".repeat(20) + "0123456789 between them nothing is repeated" + &"uvwxyz.. ".repeat(20);
    let periods: Vec<usize> = stretches(text.as_bytes(), 200).iter().map(|stretch| stretch.period).collect();
    assert_eq!(periods, [7, 9]);
}

proptest! {
    /// What is reported is a stretch with that period, and cannot be extended to the right.
    #[test]
    fn reports_are_true(text in "[ab]{0,12}", repeats in 0_usize..40, tail in "[abc]{0,40}", max in 1_usize..64) {
        let bytes = [text.repeat(repeats).into_bytes(), tail.into_bytes()].concat();
        for stretch in stretches(&bytes, max) {
            prop_assert!(stretch.period <= max && stretch.repeats() >= 2 && stretch.end <= bytes.len());
            for index in stretch.start + stretch.period..stretch.end {
                prop_assert_eq!(bytes[index], bytes[index - stretch.period]);
            }
            if let Some(next) = bytes.get(stretch.end) {
                prop_assert_ne!(*next, bytes[stretch.end - stretch.period]);
            }
        }
    }

    /// A text that only repeats is found nearly whole, whatever it repeats.
    #[test]
    fn nothing_but_a_loop_is_found(unit in proptest::collection::vec(any::<u8>(), 1..200), head in "[a-z ]{0,100}") {
        let repeats = 1200 / unit.len() + 3;
        let bytes = [head.into_bytes(), unit.repeat(repeats)].concat();
        let longest = stretches(&bytes, 200).into_iter().max_by_key(Stretch::length);
        let least = unit.len() * (repeats - 1);
        prop_assert!(longest.is_some_and(|stretch| stretch.length() >= least.saturating_sub(GRAM)), "{:?}", longest);
    }
}
