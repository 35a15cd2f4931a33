use picket_sdk::Categories;
use proptest::prelude::*;

use super::*;

/// SplitMix64 (Steele, Lea, Flood 2014): the tests need numbers that are the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Box and Muller's.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }
}

fn numbers(name: &str, values: Vec<f64>) -> Column {
    Column { name: name.to_owned(), values: ColumnValues::Numbers(values), nulls: Vec::new() }
}

fn categories(name: &str, names: &[&str], codes: Vec<u32>) -> Column {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Column { name: name.to_owned(), values: ColumnValues::Categories(Categories { names, codes }), nulls: Vec::new() }
}

fn batch(first_row: u64, columns: Vec<Column>) -> Batch {
    let rows = columns.first().map_or(0, |column| match &column.values {
        ColumnValues::Numbers(numbers) => numbers.len(),
        ColumnValues::Categories(categories) => categories.codes.len(),
    });
    Batch { first_row, times: vec![0; rows], columns }
}

fn fitted(settings: &str, sample: &Batch) -> Drift {
    let profile = Drift::configure(settings, &[]).unwrap().fit(sample).unwrap();
    Drift::configure(settings, &profile).unwrap()
}

fn normals(random: &mut Random, count: usize, shift: f64) -> Vec<f64> {
    (0..count).map(|_| random.normal() + shift).collect()
}

fn opened(alarms: &[Alarm]) -> Vec<(&str, &str)> {
    let opened = alarms.iter().filter(|alarm| alarm.state == AlarmState::Opened);
    opened.map(|alarm| (alarm.stream.as_str(), alarm.rule.as_str())).collect()
}

/// 40 boxes without change for 20,000 rows each: 800,000 rows at a promised run length of 2,000 allow 400 sequential
/// false alarms; 1,600 windows at alpha 0.01 allow 16 with an alarm.
#[test]
fn false_alarms_stay_within_the_promise() {
    let settings = r#"{"average_run_length":2000,"alpha":0.01,"cool_down":1,"psi_min":0,"tolerance":0}"#;
    let mut random = Random(1);
    let (mut sequential, mut windows) = (0, 0);
    for _ in 0..40 {
        let mut detector = fitted(settings, &batch(0, vec![numbers("x", normals(&mut random, 2_000, 0.0))]));
        for part in 0..20 {
            let alarms =
                detector.observe(&batch(part * 1_000, vec![numbers("x", normals(&mut random, 1_000, 0.0))])).unwrap();
            sequential += opened(&alarms).iter().filter(|(_, rule)| *rule == "sequential").count();
            windows += opened(&alarms).iter().filter(|(_, rule)| *rule != "sequential").count();
        }
    }
    // Three standard deviations above 16 for the windows.
    assert!(windows <= 28, "{windows}");
    assert!(sequential <= 400, "{sequential}");
    // Not because nothing ever fires: the bets are not that far from fair.
    assert!(windows >= 1, "{windows}");
}

#[test]
fn half_a_standard_deviation_is_found_soon_and_dated() {
    let mut random = Random(2);
    let mut delays = Vec::new();
    for shift in [0.5, -0.5].repeat(10) {
        let mut detector = fitted("{}", &batch(0, vec![numbers("x", normals(&mut random, 10_000, 0.0))]));
        let calm = detector.observe(&batch(0, vec![numbers("x", normals(&mut random, 5_000, 0.0))])).unwrap();
        assert_eq!(opened(&calm), []);
        let alarms = detector.observe(&batch(5_000, vec![numbers("x", normals(&mut random, 5_000, shift))])).unwrap();
        let alarm = alarms.iter().find(|alarm| alarm.rule == "sequential").unwrap();
        let since = alarm.since_row.unwrap();
        assert!((4_850..=5_150).contains(&since), "{since}");
        assert!(alarm.message.contains(if shift > 0.0 { "higher" } else { "lower" }), "{}", alarm.message);
        delays.push(alarm.row - 5_000);
        assert!(opened(&alarms).contains(&("x", "psi")));
        assert_eq!(alarm.reference.len(), 11);
        assert_eq!(alarm.reference.iter().map(|bar| bar.count).sum::<u64>(), 10_000);
    }
    delays.sort_unstable();
    assert!(delays[10] <= 200 && delays[19] <= 500, "{delays:?}");
}

#[test]
fn nulls_and_unknown_values_have_their_own_alarms() {
    let mut random = Random(3);
    let sample =
        batch(0, vec![numbers("x", normals(&mut random, 2_000, 0.0)), numbers("y", normals(&mut random, 2_000, 0.0))]);
    let mut detector = fitted("{}", &sample);
    let mut holes = numbers("x", normals(&mut random, 500, 0.0));
    holes.nulls = (0..500).step_by(10).collect();
    let mut far = normals(&mut random, 500, 0.0);
    far.iter_mut().step_by(20).for_each(|value| *value = 50.0);
    far[1] = f64::NAN;
    let alarms = detector.observe(&batch(0, vec![holes, numbers("y", far)])).unwrap();
    let opened = opened(&alarms);
    assert!(opened.contains(&("x", "missing")) && opened.contains(&("x", "sequential")), "{opened:?}");
    assert!(opened.contains(&("y", "out-of-range")), "{opened:?}");
    assert!(!opened.contains(&("y", "missing")), "{opened:?}");
}

#[test]
fn categories_are_watched() {
    let codes = |random: &mut Random, shares: [f64; 3], rows: usize| -> Vec<u32> {
        let pick = |random: &mut Random| {
            let point = random.uniform();
            u32::from(point >= shares[0]) + u32::from(point >= shares[0] + shares[1])
        };
        (0..rows).map(|_| pick(random)).collect()
    };
    let mut random = Random(4);
    let names = ["a", "b", "c"];
    let sample = batch(0, vec![categories("k", &names, codes(&mut random, [0.5, 0.3, 0.2], 5_000))]);
    let mut detector = fitted("{}", &sample);
    let calm = batch(0, vec![categories("k", &names, codes(&mut random, [0.5, 0.3, 0.2], 5_000))]);
    assert_eq!(opened(&detector.observe(&calm).unwrap()), []);
    let moved = batch(5_000, vec![categories("k", &names, codes(&mut random, [0.3, 0.5, 0.2], 1_000))]);
    let alarms = detector.observe(&moved).unwrap();
    assert_eq!(opened(&alarms), [("k", "sequential"), ("k", "psi")]);
    assert!(alarms[0].message.contains("frequent"), "{}", alarms[0].message);
    let new = batch(6_000, vec![categories("k", &["a", "b", "new"], codes(&mut random, [0.5, 0.3, 0.2], 1_000))]);
    let alarms = detector.observe(&new).unwrap();
    assert!(opened(&alarms).contains(&("k", "unseen-category")), "{alarms:?}");
}

#[test]
fn an_alarm_closes_after_the_cool_down_and_not_before() {
    let mut random = Random(5);
    let settings = r#"{"cool_down":2000}"#;
    let mut detector = fitted(settings, &batch(0, vec![numbers("x", normals(&mut random, 5_000, 0.0))]));
    let alarms = detector.observe(&batch(0, vec![numbers("x", normals(&mut random, 3_000, 1.0))])).unwrap();
    // One opening for each rule, though there was cause again and again.
    assert_eq!(alarms.len(), 2, "{alarms:?}");
    assert!(detector.status().iter().filter(|status| status.open).count() == 2);
    let alarms = detector.observe(&batch(3_000, vec![numbers("x", normals(&mut random, 1_900, 0.0))])).unwrap();
    assert_eq!(alarms, []);
    let alarms = detector.observe(&batch(4_900, vec![numbers("x", normals(&mut random, 2_000, 0.0))])).unwrap();
    let states: Vec<AlarmState> = alarms.iter().map(|alarm| alarm.state).collect();
    assert_eq!(states, [AlarmState::Closed, AlarmState::Closed]);
    assert!(detector.status().iter().all(|status| !status.open));
}

#[test]
fn without_a_reference_the_first_rows_are_it() {
    let mut random = Random(6);
    let mut detector = Drift::configure(r#"{"warmup":2000}"#, &[]).unwrap();
    let alarms = detector.observe(&batch(0, vec![numbers("x", normals(&mut random, 4_000, 0.0))])).unwrap();
    assert_eq!(alarms, []);
    let alarms = detector.observe(&batch(4_000, vec![numbers("x", normals(&mut random, 1_000, 1.0))])).unwrap();
    assert_eq!(opened(&alarms), [("x", "sequential"), ("x", "psi")]);
}

#[test]
fn numbers_for_categories_are_an_alarm() {
    let mut detector = fitted("{}", &batch(0, vec![numbers("x", (0..100).map(f64::from).collect())]));
    let alarms = detector.observe(&batch(0, vec![categories("x", &["a"], vec![0; 3])])).unwrap();
    assert_eq!(opened(&alarms), [("x", "type-change")]);
}

#[test]
fn streams_that_are_not_named_are_left_alone() {
    let mut detector = Drift::configure(r#"{"streams":["feature.*"]}"#, &[]).unwrap();
    let columns = vec![numbers("feature.a", vec![1.0]), numbers("other", vec![1.0])];
    detector.observe(&batch(0, columns)).unwrap();
    assert_eq!(detector.streams.keys().collect::<Vec<_>>(), ["feature.a"]);
    let error = detector.fit(&batch(0, vec![numbers("other", vec![0.0; 100])])).unwrap_err();
    assert!(error.contains("none of the streams"), "{error}");
}

#[test]
fn bad_batches_are_refused_and_change_nothing() {
    let mut detector = Drift::configure("{}", &[]).unwrap();
    detector.observe(&batch(0, vec![numbers("x", vec![1.0, 2.0])])).unwrap();
    let before = detector.snapshot();
    let mut unsorted = numbers("x", vec![0.0; 3]);
    unsorted.nulls = vec![1, 1];
    let mut beyond = numbers("x", vec![0.0; 3]);
    beyond.nulls = vec![3];
    let mut short = batch(2, vec![numbers("x", vec![0.0; 3])]);
    short.times.pop();
    for (bad, word) in [
        (batch(1, vec![numbers("x", vec![1.0])]), "has been seen"),
        (batch(u64::MAX, vec![numbers("x", vec![1.0])]), "beyond"),
        (batch(2, vec![unsorted]), "nulls"),
        (batch(2, vec![beyond]), "nulls"),
        (short, "3 values for 2 rows"),
        (batch(2, vec![categories("x", &["a"], vec![1])]), "code 1"),
        (batch(2, vec![numbers("x", vec![1.0]), numbers("x", vec![1.0])]), "two columns"),
        (batch(2, vec![numbers("", vec![1.0])]), "1 to 512"),
    ] {
        let error = detector.observe(&bad).unwrap_err();
        assert!(error.contains(word), "{error}");
        assert_eq!(detector.snapshot(), before);
    }
    // A null row's code has no meaning.
    let mut null = categories("k", &[], vec![9]);
    null.nulls = vec![0];
    detector.observe(&batch(2, vec![null])).unwrap();
}

#[test]
fn too_small_a_sample_is_refused() {
    let mut detector = Drift::configure("{}", &[]).unwrap();
    assert!(detector.fit(&batch(0, vec![numbers("x", vec![0.0; 29])])).unwrap_err().contains("29 rows"));
}

#[test]
fn a_profile_holds_no_rows_and_the_same_sample_gives_the_same_bytes() {
    let mut random = Random(7);
    let values = normals(&mut random, 10_000, 0.0);
    let mut reversed = values.clone();
    reversed.reverse();
    let mut detector = Drift::configure("{}", &[]).unwrap();
    let profile = detector.fit(&batch(0, vec![numbers("x", values)])).unwrap();
    assert_eq!(profile, detector.fit(&batch(0, vec![numbers("x", reversed)])).unwrap());
    assert!(profile.len() < 300, "{}", profile.len());
}

/// One box against two whose states are merged: all counts must be equal.
#[test]
fn merged_counts_are_those_of_one_box() {
    let mut random = Random(8);
    let sample = batch(0, vec![numbers("x", normals(&mut random, 1_000, 0.0))]);
    let (first, second) = (normals(&mut random, 200, 0.0), normals(&mut random, 150, 0.0));
    let whole = [first.clone(), second.clone()].concat();
    let observed = |values: Vec<f64>| {
        let mut detector = fitted("{}", &sample);
        detector.observe(&batch(0, vec![numbers("x", values)])).unwrap();
        detector
    };
    let counts = |detector: &Drift| {
        let Phase::Watching(watch) = &detector.streams["x"].phase else { panic!() };
        (detector.streams["x"].rows, watch.recent().clone())
    };
    let one = observed(whole);
    let mut merged = observed(first);
    merged.merge(&[observed(second).snapshot()]).unwrap();
    assert_eq!(counts(&merged), counts(&one));
    // A state of other settings, or of something else, is refused and changes nothing.
    let before = merged.snapshot();
    let other = Drift::configure(r#"{"window":100}"#, &[]).unwrap().snapshot();
    assert!(merged.merge(&[one.snapshot(), other]).unwrap_err().contains("state 1"));
    assert_eq!(merged.snapshot(), before);
}

#[test]
fn samples_of_learning_boxes_are_merged() {
    let learning = |values: Vec<f64>| {
        let mut detector = Drift::configure(r#"{"warmup":100}"#, &[]).unwrap();
        detector.observe(&batch(0, vec![numbers("x", values)])).unwrap();
        detector
    };
    let mut merged = learning((0..60).map(f64::from).collect());
    merged.merge(&[learning((60..120).map(f64::from).collect()).snapshot()]).unwrap();
    let Phase::Watching(watch) = &merged.streams["x"].phase else { panic!() };
    assert_eq!(watch.reference.present(), 120);
}

#[test]
fn states_are_small() {
    let mut random = Random(9);
    let mut detector = fitted("{}", &batch(0, vec![numbers("x", normals(&mut random, 1_000, 0.0))]));
    detector.observe(&batch(0, vec![numbers("x", normals(&mut random, 700, 0.0))])).unwrap();
    assert!(detector.snapshot().len() < 1_000, "{}", detector.snapshot().len());
}

fn mixed(random: &mut Random, rows: usize, shift: f64) -> Vec<Column> {
    let mut x = numbers("x", normals(random, rows, shift));
    x.nulls = (0..u32::try_from(rows).unwrap()).filter(|_| random.uniform() < 0.05).collect();
    let codes = (0..rows).map(|_| u32::from(random.uniform() < 0.3 + shift / 4.0)).collect();
    vec![x, categories("k", &["a", "b"], codes)]
}

/// Rows `from..to` of a batch.
fn cut(whole: &Batch, from: usize, to: usize) -> Batch {
    let columns = whole.columns.iter().map(|column| {
        let values = match &column.values {
            ColumnValues::Numbers(numbers) => ColumnValues::Numbers(numbers[from..to].to_vec()),
            ColumnValues::Categories(categories) => ColumnValues::Categories(Categories {
                names: categories.names.clone(),
                codes: categories.codes[from..to].to_vec(),
            }),
        };
        let inside = column.nulls.iter().filter(|null| (from..to).contains(&(**null as usize)));
        let nulls = inside.map(|null| null - u32::try_from(from).unwrap()).collect();
        Column { name: column.name.clone(), values, nulls }
    });
    Batch { first_row: whole.first_row + from as u64, times: vec![0; to - from], columns: columns.collect() }
}

const SMALL: &str = r#"{"window":50,"warmup":100,"average_run_length":200,"cool_down":60,"alpha":0.05,"psi_min":0}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn batches_and_restarts_make_no_difference(seed in any::<u64>(), mut cuts in prop::collection::vec(0_usize..600, 0..8), given in any::<bool>()) {
        let mut random = Random(seed);
        let profile = if given {
            Drift::configure(SMALL, &[]).unwrap().fit(&batch(0, mixed(&mut random, 200, 0.0))).unwrap()
        } else {
            Vec::new()
        };
        let calm = mixed(&mut random, 300, 0.0);
        let moved = mixed(&mut random, 300, 1.5);
        let whole = batch(5, calm.into_iter().zip(moved).map(|(calm, moved)| join(calm, moved)).collect());

        let mut one = Drift::configure(SMALL, &profile).unwrap();
        let alarms = one.observe(&whole).unwrap();

        cuts.extend([0, 600]);
        cuts.sort_unstable();
        let mut many = Drift::configure(SMALL, &profile).unwrap();
        let mut collected = Vec::new();
        for pair in cuts.windows(2) {
            collected.extend(many.observe(&cut(&whole, pair[0], pair[1])).unwrap());
            let mut next = Drift::configure(SMALL, &profile).unwrap();
            next.restore(&many.snapshot()).unwrap();
            prop_assert_eq!(next.snapshot(), many.snapshot());
            many = next;
        }
        prop_assert_eq!(one.snapshot(), many.snapshot());
        prop_assert_eq!(one.status(), many.status());
        prop_assert!(!alarms.is_empty());
        prop_assert_eq!(alarms, collected);
    }

    #[test]
    fn broken_bytes_are_refused_or_harmless(seed in any::<u64>(), place in any::<prop::sample::Index>(), flip in 1_u8..=255, keep in any::<prop::sample::Index>()) {
        let mut random = Random(seed);
        let mut detector = Drift::configure(SMALL, &[]).unwrap();
        let profile = detector.fit(&batch(0, mixed(&mut random, 200, 0.0))).unwrap();
        let rows = 50 + usize::try_from(seed % 200).unwrap();
        detector.observe(&batch(0, mixed(&mut random, rows, 0.0))).unwrap();
        let state = detector.snapshot();
        let next = batch(1_000_000, mixed(&mut random, 120, 0.3));

        let mut broken = profile.clone();
        let at = place.index(broken.len());
        broken[at] ^= flip;
        if let Ok(mut drift) = Drift::configure(SMALL, &broken) {
            let _ = drift.observe(&next);
            let _ = (drift.status(), drift.snapshot());
        }
        prop_assert!(Drift::configure(SMALL, &profile[..1 + keep.index(profile.len() - 1)]).is_err());

        let mut broken = state.clone();
        let at = place.index(broken.len());
        broken[at] ^= flip;
        let before = detector.snapshot();
        if detector.restore(&broken).is_ok() {
            let _ = detector.observe(&next);
            for status in detector.status() {
                prop_assert!(status.statistic.is_finite() && status.threshold.is_finite());
            }
        } else {
            prop_assert_eq!(detector.snapshot(), before);
        }
        prop_assert!(detector.restore(&state[..keep.index(state.len())]).is_err());
        detector.restore(&state).unwrap();
        prop_assert_eq!(detector.snapshot(), state);
    }

    #[test]
    fn noise_is_no_profile_and_no_state(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        for head in [&[][..], PROFILE, STATE] {
            let noise = [head, &bytes].concat();
            let _ = Drift::configure(SMALL, &noise);
            let _ = Drift::configure(SMALL, &[]).unwrap().restore(&noise);
        }
    }
}

fn join(first: Column, second: Column) -> Column {
    let (values, rows) = match (first.values, second.values) {
        (ColumnValues::Numbers(one), ColumnValues::Numbers(two)) => {
            let rows = one.len();
            (ColumnValues::Numbers([one, two].concat()), rows)
        }
        (ColumnValues::Categories(one), ColumnValues::Categories(two)) => {
            let rows = one.codes.len();
            (ColumnValues::Categories(Categories { names: one.names, codes: [one.codes, two.codes].concat() }), rows)
        }
        _ => panic!("columns of two kinds"),
    };
    let rows = u32::try_from(rows).unwrap();
    let nulls = first.nulls.into_iter().chain(second.nulls.into_iter().map(|null| null + rows)).collect();
    Column { name: first.name, values, nulls }
}
