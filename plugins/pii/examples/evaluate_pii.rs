//! Measures the guard on labelled sentences.
//!
//! ```text
//! cargo run --release -p picket-guard-pii --example evaluate_pii -- FILE [--misses]
//! ```
//!
//! `FILE` is a JSON array in the form of microsoft/presidio-research: objects with `full_text` and `spans`, each with
//! `entity_type`, `start_position` and `end_position` in characters. A folder stands for each `.json` file in it.
//! For every entity two rows are printed: by span (a label is found when a hit of the same entity overlaps it) and, at
//! the end, by sentence (a sentence counts as positive when it holds any of the six). `--misses` lists what was missed
//! and what was found wrongly.

use std::path::{Path, PathBuf};

use picket_guard_pii::{Entity, EntitySet, Scanner};
use serde::Deserialize;

#[derive(Deserialize)]
struct Sentence {
    full_text: String,
    spans: Vec<Label>,
}

#[derive(Deserialize)]
struct Label {
    entity_type: String,
    start_position: usize,
    end_position: usize,
}

#[derive(Default, Clone, Copy)]
struct Tally {
    labels: usize,
    found: usize,
    exact: usize,
    hits: usize,
    right: usize,
}

impl Tally {
    fn print(&self, name: &str) {
        let share = |part: usize, whole: usize| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
        println!(
            "{name:<9} {:>6} {:>6} {:>7.3} {:>7.3} {:>6} {:>9.3}",
            self.labels,
            self.found,
            share(self.found, self.labels),
            share(self.exact, self.labels),
            self.hits,
            share(self.right, self.hits)
        );
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut show = false;
    let mut files = Vec::new();
    for argument in std::env::args().skip(1) {
        if argument == "--misses" {
            show = true;
        } else {
            files.extend(json_files(Path::new(&argument))?);
        }
    }
    if files.is_empty() {
        return Err("give the file or folder of labelled sentences".into());
    }

    let scanner = Scanner { entities: EntitySet::ALL, min_score: 0.5 };
    let mut tallies = [Tally::default(); 6];
    let mut sentences = Tally::default();
    let mut bytes = 0;
    let mut spent = std::time::Duration::ZERO;
    for file in files {
        let list: Vec<Sentence> = serde_json::from_slice(&std::fs::read(&file)?)?;
        for sentence in &list {
            let started = std::time::Instant::now();
            let mut hits = Vec::new();
            scanner.scan(&sentence.full_text, "", &mut hits);
            spent += started.elapsed();
            bytes += sentence.full_text.len();
            score(sentence, &hits, &mut tallies, &mut sentences, show);
        }
    }

    println!(
        "{:<9} {:>6} {:>6} {:>7} {:>7} {:>6} {:>9}",
        "entity", "labels", "found", "recall", "exact", "hits", "precision"
    );
    for entity in Entity::ALL {
        tallies[entity as usize].print(entity.name());
    }
    sentences.print("sentence");
    println!("scanned {bytes} bytes natively in {spent:?}");
    Ok(())
}

fn score(
    sentence: &Sentence,
    hits: &[picket_guard_pii::Hit],
    tallies: &mut [Tally; 6],
    sentences: &mut Tally,
    show: bool,
) {
    let text = &sentence.full_text;
    let byte = |position: usize| text.char_indices().nth(position).map_or(text.len(), |(index, _)| index);
    let labels: Vec<(Entity, usize, usize)> = sentence
        .spans
        .iter()
        .filter_map(|label| Some((entity(&label.entity_type)?, byte(label.start_position), byte(label.end_position))))
        .collect();
    for (entity, start, end) in &labels {
        let tally = &mut tallies[*entity as usize];
        tally.labels += 1;
        tally.exact +=
            usize::from(hits.iter().any(|hit| hit.entity == *entity && hit.start == *start && hit.end == *end));
        if hits.iter().any(|hit| hit.entity == *entity && hit.start < *end && hit.end > *start) {
            tally.found += 1;
        } else if show {
            println!("missed {:<6} {:?} in {text:?}", entity.name(), &text[*start..*end]);
        }
    }
    for hit in hits {
        let tally = &mut tallies[hit.entity as usize];
        tally.hits += 1;
        if labels.iter().any(|(entity, start, end)| hit.entity == *entity && hit.start < *end && hit.end > *start) {
            tally.right += 1;
        } else if show {
            println!("wrong  {:<6} {:?} in {text:?}", hit.entity.name(), &text[hit.start..hit.end]);
        }
    }
    sentences.labels += usize::from(!labels.is_empty());
    sentences.found += usize::from(!labels.is_empty() && !hits.is_empty());
    sentences.exact = sentences.found;
    sentences.hits += usize::from(!hits.is_empty());
    sentences.right += usize::from(!labels.is_empty() && !hits.is_empty());
}

fn entity(label: &str) -> Option<Entity> {
    Some(match label {
        "EMAIL_ADDRESS" => Entity::Email,
        "PHONE_NUMBER" => Entity::Phone,
        "CREDIT_CARD" => Entity::Card,
        "IBAN_CODE" => Entity::Iban,
        "US_SSN" => Entity::Ssn,
        "IP_ADDRESS" => Entity::Ip,
        _ => return None,
    })
}

fn json_files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
