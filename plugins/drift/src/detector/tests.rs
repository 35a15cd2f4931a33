mod alarms;
mod states;

use picket_sdk::Categories;

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
