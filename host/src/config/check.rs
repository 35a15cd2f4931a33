//! From [`raw`](super::raw) to checked values.

mod auditor;
mod breaker;
mod candidate;
mod edge;
mod ledger;
mod registry;
mod signers;
mod trust;

use self::registry::Registries;
use super::raw::{RawConfig, RawDetector, RawEdge, RawGuard, RawModel};
use super::{Config, ConfigError, Detector, Edge, Guard, Limits, Mode, Model, OnFailure, Retention, units};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

pub(super) fn check(file: &Path, text: &str) -> Result<Config, ConfigError> {
    let place = Place { file, text };
    let raw = parse(&place)?;
    let models = models(&place, &raw.models)?;
    let registries = registry::registries(&place, &raw.registries)?;
    let config = Config {
        file: file.to_path_buf(),
        edge: edge(&place, &raw.edge)?,
        auditor: raw.auditor.as_ref().map(|auditor| auditor::auditor(&place, auditor)).transpose()?,
        ledger: ledger::ledger(&place, &raw.ledger)?,
        trust: signers::trust(&place, &raw)?,
        guards: guards(&place, &raw.guards, &models, &registries)?,
        detectors: detectors(&place, &raw.detectors, &models, &registries)?,
        registries,
        keep_fetched: true,
        models,
    };
    edge::two_instances(&place, &raw.edge, &config)?;
    Ok(config)
}

/// The data folder alone. Whoever reads a ledger needs no guards, and no weights that may have gone away since.
pub(super) fn data_folder(file: &Path, text: &str) -> Result<PathBuf, ConfigError> {
    let place = Place { file, text };
    Ok(data(&place, &parse(&place)?.edge))
}

/// The data folder and the registries alone.
pub(super) fn registries(file: &Path, text: &str) -> Result<(PathBuf, Registries), ConfigError> {
    let place = Place { file, text };
    let raw = parse(&place)?;
    Ok((data(&place, &raw.edge), registry::registries(&place, &raw.registries)?))
}

fn parse(place: &Place) -> Result<RawConfig, ConfigError> {
    toml::from_str(place.text).map_err(|error| ConfigError::Syntax {
        file: place.file.to_path_buf(),
        line: error.span().map_or(1, |span| place.line(&span)),
        message: error.message().replace('\n', " "),
    })
}

/// What a path is to lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    File,
    Folder,
    Either,
}

/// The file at hand: turns places into lines and relative paths into paths.
struct Place<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        1 + before.filter(|&&byte| byte == b'\n').count()
    }

    fn wrong(&self, span: &Range<usize>, key: impl Into<String>, message: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            file: self.file.to_path_buf(),
            line: self.line(span),
            key: key.into(),
            message: message.into(),
        }
    }

    fn path(&self, written: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(written)
    }

    fn existing(&self, key: String, written: &Spanned<String>, wanted: Wanted) -> Result<PathBuf, ConfigError> {
        let path = self.path(written.get_ref());
        match std::fs::metadata(&path) {
            Ok(meta) if wanted == Wanted::Either || meta.is_dir() == (wanted == Wanted::Folder) => Ok(path),
            Ok(meta) => {
                let message =
                    if meta.is_dir() { "is a folder; a file is wanted" } else { "is a file; a folder is wanted" };
                Err(self.wrong(&written.span(), key, format!("{} {message}", path.display())))
            }
            Err(error) => {
                Err(self.wrong(&written.span(), key, format!("{} cannot be opened: {error}", path.display())))
            }
        }
    }

    fn duration(
        &self,
        key: &str,
        written: Option<&Spanned<String>>,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        self.unit(key, written, units::duration, default)
    }

    fn bytes(&self, key: &str, written: Option<&Spanned<String>>, default: u64) -> Result<u64, ConfigError> {
        self.unit(key, written, units::bytes, default)
    }

    /// A size of linear memory: 64 KiB, one page, to 4 GiB, all that 32 bits can address.
    fn memory(&self, key: &str, written: Option<&Spanned<String>>, default: u64) -> Result<u64, ConfigError> {
        let bytes = self.bytes(key, written, default)?;
        match written {
            Some(written) if !(64 << 10..=4 << 30).contains(&bytes) => {
                Err(self.wrong(&written.span(), key, format!("`{}` is not 64 KiB to 4 GiB", written.get_ref())))
            }
            _ => Ok(bytes),
        }
    }

    /// A size of something that is held in memory, and may be stored, as one piece. The store takes 128 MiB, of which
    /// a salt and a header are its own.
    fn held(&self, key: &str, written: Option<&Spanned<String>>, default: usize) -> Result<usize, ConfigError> {
        let Some(written) = written else { return Ok(default) };
        let bytes = self.bytes(key, Some(written), 0)?;
        let held = usize::try_from(bytes).ok().filter(|bytes| *bytes <= 127 << 20);
        let message = || format!("`{}` is more than 127 MiB", written.get_ref());
        held.ok_or_else(|| self.wrong(&written.span(), key, message()))
    }

    fn unit<T>(
        &self,
        key: &str,
        written: Option<&Spanned<String>>,
        read: fn(&str) -> Result<T, String>,
        default: T,
    ) -> Result<T, ConfigError> {
        written.map_or(Ok(default), |written| {
            read(written.get_ref()).map_err(|message| self.wrong(&written.span(), key, message))
        })
    }

    fn number(
        &self,
        key: &str,
        written: Option<&Spanned<i64>>,
        allowed: std::ops::RangeInclusive<i64>,
        default: usize,
    ) -> Result<usize, ConfigError> {
        let Some(written) = written else { return Ok(default) };
        if !allowed.contains(written.get_ref()) {
            let message =
                format!("{} is out of range: {} to {} are allowed", written.get_ref(), allowed.start(), allowed.end());
            return Err(self.wrong(&written.span(), key, message));
        }
        Ok(usize::try_from(*written.get_ref()).unwrap_or(default))
    }

    fn choice<T: Copy>(
        &self,
        key: &str,
        written: Option<&Spanned<String>>,
        choices: &[(&str, T)],
        default: T,
    ) -> Result<T, ConfigError> {
        let Some(written) = written else { return Ok(default) };
        choices.iter().find(|(name, _)| name == written.get_ref()).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
            self.wrong(&written.span(), key, format!("`{}` is not one of {}", written.get_ref(), names.join(", ")))
        })
    }

    fn name(&self, key: &str, written: &Spanned<String>) -> Result<String, ConfigError> {
        let name = written.get_ref();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let starts = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if !starts || name.len() > 64 || !name.bytes().all(plain) {
            let message = format!(
                "`{name}` is not a name: 1 to 64 ASCII letters, digits, `.`, `_`, `-`, the first a letter or digit"
            );
            return Err(self.wrong(&written.span(), key, message));
        }
        Ok(name.clone())
    }
}

fn data(place: &Place, raw: &RawEdge) -> PathBuf {
    place.path(raw.data.as_deref().unwrap_or("data"))
}

fn edge(place: &Place, raw: &RawEdge) -> Result<Edge, ConfigError> {
    place.choice("edge.durability", raw.durability.as_ref(), &[("commit", ())], ())?;
    let listen = match &raw.listen {
        None => std::net::SocketAddr::from(([127, 0, 0, 1], 7300)),
        Some(written) => written.get_ref().parse().map_err(|_| {
            let message = format!("`{}` is not an address and port, such as `127.0.0.1:7300`", written.get_ref());
            place.wrong(&written.span(), "edge.listen", message)
        })?,
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let retention = [("none", Retention::None), ("blocked", Retention::Blocked), ("all", Retention::All)];
    Ok(Edge {
        id: place.name("edge.id", &raw.id)?,
        data: data(place, raw),
        listen,
        retention: place.choice("edge.retention", raw.retention.as_ref(), &retention, Retention::None)?,
        workers: place.number("edge.workers", raw.workers.as_ref(), 1..=256, processors)?,
        queue: place.number("edge.queue", raw.queue.as_ref(), 1..=65_536, 256)?,
        max_inference: place.held("edge.max_inference", raw.max_inference.as_ref(), 16 << 20)?,
        guard_memory: edge::guard_memory(place, raw)?,
        compile_memory: edge::compile_memory(place, raw)?,
        compile_time: edge::compile_time(place, raw)?,
        witness: trust::witness(place, raw)?,
        watch_every: place.duration("edge.watch_every", raw.watch_every.as_ref(), Duration::from_secs(30))?,
    })
}

fn models(place: &Place, raw: &[RawModel]) -> Result<Vec<Model>, ConfigError> {
    let mut seen = BTreeSet::new();
    raw.iter()
        .map(|model| {
            let name = model.name.get_ref().clone();
            let key = |field: &str| format!("model.{name}.{field}");
            if name.is_empty() || name.len() > 256 {
                return Err(place.wrong(&model.name.span(), "model.name", "a model's name has 1 to 256 bytes"));
            }
            if !seen.insert(name.clone()) {
                return Err(place.wrong(&model.name.span(), key("name"), "this model is named twice"));
            }
            let file = |field: &str, written: &Option<Spanned<String>>, wanted: Wanted| {
                written.as_ref().map(|written| place.existing(key(field), written, wanted)).transpose()
            };
            Ok(Model {
                weights: file("weights", &model.weights, Wanted::Either)?,
                prompts: file("prompts", &model.prompts, Wanted::Folder)?,
                features: file("features", &model.features, Wanted::File)?,
                version: model.version.clone(),
                name: name.clone(),
            })
        })
        .collect()
}

fn guards(
    place: &Place,
    raw: &[RawGuard],
    models: &[Model],
    registries: &Registries,
) -> Result<Vec<Guard>, ConfigError> {
    let mut seen = BTreeSet::new();
    let mut guards = Vec::new();
    for guard in raw {
        let name = place.name("guard.name", &guard.name)?;
        let key = |field: &str| format!("guard.{name}.{field}");
        if !seen.insert(name.clone()) {
            return Err(place.wrong(&guard.name.span(), key("name"), "this guard is named twice"));
        }
        let modes = [("enforce", Some(Mode::Enforce)), ("shadow", Some(Mode::Shadow)), ("off", None)];
        let mode = place.choice(&key("mode"), guard.mode.as_ref(), &modes, Some(Mode::Enforce))?;
        let failures = [("block", OnFailure::Block), ("allow", OnFailure::Allow)];
        let written = Written {
            deadline: &guard.deadline,
            memory: &guard.memory,
            answer: &guard.answer,
            findings: &guard.findings,
            settings: &guard.settings,
            models: &guard.models,
        };
        let on_failure = place.choice(&key("on_failure"), guard.on_failure.as_ref(), &failures, OnFailure::Block)?;
        let checked = Guard {
            breaker: breaker::breaker(place, &key("breaker"), guard.breaker.as_ref(), on_failure)?,
            component: registry::component(place, key("component"), &guard.component, registries)?,
            line: place.line(&guard.name.span()),
            models: written.models(place, &key("models"), models)?,
            mode: mode.unwrap_or(Mode::Enforce),
            on_failure,
            limits: written.limits(place, &key, Duration::from_millis(20))?,
            written: signers::explicit(&written),
            settings: settings(place, &key("settings"), written.settings.as_ref())?,
            candidate: None,
            name: name.clone(),
        };
        let candidate = guard.candidate.as_ref();
        let candidate = candidate
            .map(|raw| candidate::candidate(place, &key("candidate"), raw, &checked, registries))
            .transpose()?;
        let checked = Guard { candidate, ..checked };
        // A guard that is off is checked all the same, so that switching it on holds no surprise.
        if mode.is_some() {
            guards.push(checked);
        }
    }
    Ok(guards)
}

fn detectors(
    place: &Place,
    raw: &[RawDetector],
    models: &[Model],
    registries: &Registries,
) -> Result<Vec<Detector>, ConfigError> {
    let mut seen = BTreeSet::new();
    raw.iter()
        .map(|detector| {
            let name = place.name("detector.name", &detector.name)?;
            let key = |field: &str| format!("detector.{name}.{field}");
            if !seen.insert(name.clone()) {
                return Err(place.wrong(&detector.name.span(), key("name"), "this detector is named twice"));
            }
            let written = Written {
                deadline: &detector.deadline,
                memory: &detector.memory,
                answer: &detector.answer,
                findings: &detector.findings,
                settings: &detector.settings,
                models: &detector.models,
            };
            let reference = detector.reference.as_ref();
            Ok(Detector {
                component: registry::component(place, key("component"), &detector.component, registries)?,
                line: place.line(&detector.name.span()),
                models: written.models(place, &key("models"), models)?,
                reference: reference
                    .map(|written| place.existing(key("reference"), written, Wanted::File))
                    .transpose()?,
                batch: place.number(&key("batch"), detector.batch.as_ref(), 1..=65_536, 256)?,
                every: place.duration(&key("every"), detector.every.as_ref(), Duration::from_secs(2))?,
                limits: written.limits(place, &key, Duration::from_secs(1))?,
                written: signers::explicit(&written),
                settings: settings(place, &key("settings"), written.settings.as_ref())?,
                name: name.clone(),
            })
        })
        .collect()
}

fn settings(place: &Place, key: &str, written: Option<&Spanned<toml::Table>>) -> Result<String, ConfigError> {
    let Some(settings) = written else { return Ok("{}".to_owned()) };
    serde_json::to_string(settings.get_ref())
        .map_err(|error| place.wrong(&settings.span(), key, format!("cannot be written as JSON: {error}")))
}

/// The keys that guards and detectors share.
struct Written<'a> {
    deadline: &'a Option<Spanned<String>>,
    memory: &'a Option<Spanned<String>>,
    answer: &'a Option<Spanned<String>>,
    findings: &'a Option<Spanned<i64>>,
    settings: &'a Option<Spanned<toml::Table>>,
    models: &'a Option<Vec<Spanned<String>>>,
}

impl Written<'_> {
    fn limits(&self, place: &Place, key: &dyn Fn(&str) -> String, deadline: Duration) -> Result<Limits, ConfigError> {
        Ok(Limits {
            deadline: place.duration(&key("deadline"), self.deadline.as_ref(), deadline)?,
            memory: place.memory(&key("memory"), self.memory.as_ref(), 32 << 20)?,
            answer: place.held(&key("answer"), self.answer.as_ref(), 1 << 20)?,
            findings: place.number(&key("findings"), self.findings.as_ref(), 1..=4096, 256)?,
        })
    }

    fn models(&self, place: &Place, key: &str, known: &[Model]) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(models) = self.models else { return Ok(None) };
        for model in models {
            if !known.iter().any(|known| known.name == *model.get_ref()) {
                let message = format!("there is no [[model]] called `{}`", model.get_ref());
                return Err(place.wrong(&model.span(), key, message));
            }
        }
        Ok(Some(models.iter().map(|model| model.get_ref().clone()).collect()))
    }
}
