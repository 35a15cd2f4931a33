//! Profiles and states: merged, cut anywhere, restored, and broken.

use proptest::prelude::*;

use super::*;

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
