//! What opens and closes an alarm, and how soon.

use super::*;

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
