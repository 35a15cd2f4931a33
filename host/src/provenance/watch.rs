//! Notices that weights, prompts or feature definitions changed.
//!
//! By polling: a `stat` of a handful of files every few seconds costs nothing, works on every file
//! system (inotify does not over NFS or overlays) and misses nothing that lasts longer than the interval.

use std::path::{Path, PathBuf};

use picket_ledger::Hash;
use picket_ledger::entry::Record;
use picket_ledger::hash::sha256;

use super::ProvenanceError;
use super::cache::{DigestCache, now_ns, settled};
use super::file::{FileStamp, Progress};
use super::folder::{FolderDigest, FolderFile, FolderLimits, Listing, hash_listed, list_folder};
use super::observe::{observed_features, observed_prompts, observed_weights};

/// Feature definitions are text for people.
const MAX_FEATURE_BYTES: u64 = 8 << 20;

/// What a watched path is to its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A file, or a folder of several.
    Weights,
    /// A folder, or a single file.
    Prompts,
    /// A file.
    Features,
}

impl Role {
    /// The word for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Prompts => "prompts",
            Self::Features => "features",
        }
    }
}

/// One path to watch.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The model's name in the configuration.
    pub model: String,
    /// The model's version in the configuration, if it gives one.
    pub version: Option<String>,
    /// What the path is to the model.
    pub role: Role,
    /// The path.
    pub path: PathBuf,
}

/// A digest that is new, with the record that says so.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The digest now.
    pub digest: Hash,
    /// The digest before, `None` at the first look.
    pub previous: Option<Hash>,
    /// To be appended to the ledger.
    pub record: Record,
}

/// News about one watched path.
#[derive(Debug)]
pub struct Observation {
    /// The model's name.
    pub model: String,
    /// What changed.
    pub role: Role,
    /// The path.
    pub path: PathBuf,
    /// The new digest, or why there is none. A failure is told once, until it changes or goes away.
    pub outcome: Result<Observed, ProvenanceError>,
}

/// Watches a few paths; owned by one thread, which calls [`poll`](Self::poll) every few seconds.
#[derive(Debug)]
pub struct Watcher {
    items: Vec<Item>,
    cache: DigestCache,
}

#[derive(Debug)]
struct Item {
    watched: Watched,
    /// What the last successful look saw; `None` before, and after a failure.
    seen: Option<Seen>,
    digest: Option<Hash>,
    failure: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Seen {
    File(FileStamp),
    Folder(Listing),
}

impl Seen {
    fn settled(&self, started_ns: i128) -> bool {
        match self {
            Self::File(stamp) => settled(stamp, started_ns),
            Self::Folder(listing) => listing.iter().all(|(_, stamp, _)| settled(stamp, started_ns)),
        }
    }
}

impl Watcher {
    /// Watches `watched`, with digests of earlier runs in `cache`.
    #[must_use]
    pub fn new(watched: Vec<Watched>, cache: DigestCache) -> Self {
        let mut items: Vec<Item> =
            watched.into_iter().map(|watched| Item { watched, seen: None, digest: None, failure: None }).collect();
        // Weights first: a prompt library is linked to the weights in force.
        items.sort_by_key(|item| item.watched.role);
        Self { items, cache }
    }

    /// The digest in force for a model's path, as last seen.
    #[must_use]
    pub fn digest(&self, model: &str, role: Role) -> Option<Hash> {
        self.items.iter().find(|item| item.watched.model == model && item.watched.role == role)?.digest
    }

    /// Looks at every path and returns what is new since the last call; the first call returns
    /// everything. Blocks while it hashes, with `progress` for each file.
    pub fn poll(&mut self, progress: Progress<'_>) -> Vec<Observation> {
        let mut news = Vec::new();
        for index in 0..self.items.len() {
            let weights = self.digest(&self.items[index].watched.model, Role::Weights);
            let item = &mut self.items[index];
            let outcome = match item.look(&mut self.cache, weights, progress) {
                Ok(None) => continue,
                Ok(Some(observed)) => Ok(observed),
                Err(error) => {
                    let text = chain(&error);
                    if item.failure.as_ref() == Some(&text) {
                        continue;
                    }
                    item.failure = Some(text);
                    Err(error)
                }
            };
            let Watched { model, role, path, .. } = item.watched.clone();
            news.push(Observation { model, role, path, outcome });
        }
        news
    }
}

impl Item {
    /// `None` when the digest is the one of the last look.
    fn look(
        &mut self,
        cache: &mut DigestCache,
        weights: Option<Hash>,
        progress: Progress<'_>,
    ) -> Result<Option<Observed>, ProvenanceError> {
        let path = self.watched.path.clone();
        let now = self.stat(&path).inspect_err(|_| self.seen = None)?;
        if self.seen.as_ref() == Some(&now) {
            return Ok(None);
        }
        self.seen = None;
        let started = now_ns();
        let (digest, seen, record) = match now {
            Seen::Folder(_) => self.read_folder(&path, weights, progress)?,
            Seen::File(_) => self.read_file(&path, cache, weights, progress)?,
        };
        // Written within this clock tick, it may be written again without another stamp: look again.
        self.seen = seen.settled(started).then_some(seen);
        self.failure = None;
        let previous = self.digest.replace(digest);
        Ok((previous != Some(digest)).then_some(Observed { digest, previous, record }))
    }

    fn limits(&self) -> FolderLimits {
        if self.watched.role == Role::Weights { FolderLimits::weights() } else { FolderLimits::default() }
    }

    fn stat(&self, path: &Path) -> Result<Seen, ProvenanceError> {
        let metadata = std::fs::metadata(path).map_err(|error| ProvenanceError::io(path, "looking at it", error))?;
        if metadata.is_dir() && self.watched.role != Role::Features {
            return Ok(Seen::Folder(list_folder(path, &self.limits())?));
        }
        Ok(Seen::File(FileStamp::of(&metadata)))
    }

    fn read_folder(
        &self,
        path: &Path,
        weights: Option<Hash>,
        progress: Progress<'_>,
    ) -> Result<(Hash, Seen, Record), ProvenanceError> {
        let (folder, listing) = hash_listed(path, &self.limits(), progress)?;
        let record = if self.watched.role == Role::Weights {
            let bytes = folder.files.iter().map(|file| file.bytes).sum();
            observed_weights(&self.watched.model, self.watched.version.as_deref(), path, &folder.digest, bytes)
        } else {
            observed_prompts(&self.watched.model, path, &folder, weights.as_ref())
        };
        Ok((folder.digest, Seen::Folder(listing), record))
    }

    fn read_file(
        &self,
        path: &Path,
        cache: &mut DigestCache,
        weights: Option<Hash>,
        progress: Progress<'_>,
    ) -> Result<(Hash, Seen, Record), ProvenanceError> {
        let Watched { model, version, role, .. } = &self.watched;
        if *role == Role::Features {
            let (bytes, stamp) = read_small(path)?;
            let digest = sha256(&bytes);
            return Ok((digest, Seen::File(stamp), observed_features(model, path, &digest, &bytes)));
        }
        let (digest, stamp) = cache.digest(path, progress)?;
        let record = if *role == Role::Weights {
            observed_weights(model, version.as_deref(), path, &digest, stamp.size)
        } else {
            let name = path.file_name().map(PathBuf::from).unwrap_or_default();
            let files = vec![FolderFile { path: name, content: Ok(digest), bytes: stamp.size }];
            observed_prompts(model, path, &FolderDigest { digest, files }, weights.as_ref())
        };
        Ok((digest, Seen::File(stamp), record))
    }
}

/// A small file with the stamp it had before it was read: a later write shows at the next look.
fn read_small(path: &Path) -> Result<(Vec<u8>, FileStamp), ProvenanceError> {
    use std::io::Read;
    let file = super::file::open_regular(path)?;
    let metadata = file.metadata().map_err(|error| ProvenanceError::io(path, "looking at the file", error))?;
    let mut bytes = Vec::new();
    file.take(MAX_FEATURE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| ProvenanceError::io(path, "reading the file", error))?;
    if bytes.len() as u64 > MAX_FEATURE_BYTES {
        return Err(ProvenanceError::TooLarge { path: path.to_owned(), limit: MAX_FEATURE_BYTES, what: "bytes" });
    }
    Ok((bytes, FileStamp::of(&metadata)))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use picket_ledger::entry::RecordKind;

    fn watched(role: Role, path: PathBuf) -> Watched {
        Watched { model: "m".to_owned(), version: None, role, path }
    }

    fn poll(watcher: &mut Watcher) -> Vec<Observation> {
        watcher.poll(&mut |_, _| ())
    }

    #[test]
    fn first_look_tells_everything_then_only_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (weights, prompts) = (folder.path().join("w.bin"), folder.path().join("prompts"));
        let features = folder.path().join("f.json");
        std::fs::write(&weights, "one").unwrap();
        std::fs::create_dir(&prompts).unwrap();
        std::fs::write(prompts.join("system.txt"), "be kind").unwrap();
        std::fs::write(&features, r#"{"version":"3"}"#).unwrap();
        let items = vec![
            watched(Role::Features, features),
            watched(Role::Prompts, prompts.clone()),
            watched(Role::Weights, weights.clone()),
        ];
        let mut watcher = Watcher::new(items, DigestCache::in_memory());
        let first = poll(&mut watcher);
        let kinds: Vec<RecordKind> = first.iter().map(|news| news.outcome.as_ref().unwrap().record.kind).collect();
        assert_eq!(kinds, [RecordKind::ModelVersion, RecordKind::PromptLibrary, RecordKind::FeatureDefinition]);
        let prompt_record = &first[1].outcome.as_ref().unwrap().record;
        assert_eq!(prompt_record.links[0].digest, sha256(b"one"));
        assert!(poll(&mut watcher).is_empty());

        std::fs::write(&weights, "two").unwrap();
        let news = poll(&mut watcher);
        assert_eq!(news.len(), 1);
        let observed = news[0].outcome.as_ref().unwrap();
        assert_eq!((observed.digest, observed.previous), (sha256(b"two"), Some(sha256(b"one"))));

        std::fs::write(prompts.join("system.txt"), "be short").unwrap();
        let news = poll(&mut watcher);
        assert_eq!((news.len(), news[0].role), (1, Role::Prompts));
        assert_eq!(news[0].outcome.as_ref().unwrap().record.links[0].digest, sha256(b"two"));
    }

    #[test]
    fn touched_but_equal_is_no_news() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("w.bin");
        std::fs::write(&weights, "one").unwrap();
        let mut watcher = Watcher::new(vec![watched(Role::Weights, weights.clone())], DigestCache::in_memory());
        assert_eq!(poll(&mut watcher).len(), 1);
        std::fs::write(&weights, "one").unwrap();
        assert!(poll(&mut watcher).is_empty());
    }

    #[test]
    fn a_failure_is_told_once_and_recovery_is_silent_unless_the_digest_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("w.bin");
        std::fs::write(&weights, "one").unwrap();
        let mut watcher = Watcher::new(vec![watched(Role::Weights, weights.clone())], DigestCache::in_memory());
        poll(&mut watcher);
        std::fs::remove_file(&weights).unwrap();
        let news = poll(&mut watcher);
        assert!(matches!(&news[0].outcome, Err(ProvenanceError::Io { .. })));
        assert!(poll(&mut watcher).is_empty());
        assert_eq!(watcher.digest("m", Role::Weights), Some(sha256(b"one")));
        std::fs::write(&weights, "one").unwrap();
        assert!(poll(&mut watcher).is_empty());
        std::fs::remove_file(&weights).unwrap();
        assert_eq!(poll(&mut watcher).len(), 1, "the next failure is told again");
    }

    #[test]
    fn a_feature_file_has_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        std::fs::File::create(&path).unwrap().set_len(MAX_FEATURE_BYTES + 1).unwrap();
        let mut watcher = Watcher::new(vec![watched(Role::Features, path)], DigestCache::in_memory());
        assert!(matches!(poll(&mut watcher)[0].outcome, Err(ProvenanceError::TooLarge { .. })));
    }
}
