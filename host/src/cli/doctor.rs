//! `picket doctor`: looks for whatever may be wrong with a box, and says what to do about it.

use super::{Answer, Exit, GuardsArgs, Output, print};
use crate::config::{Component, Config};
use crate::evidence::{ControlClient, Evidence};
use crate::guards::Memory;
use crate::guards::cache::Cache;
use crate::{keys, sync};
use serde_json::json;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: GuardsArgs,
}

/// One look.
struct Look {
    what: &'static str,
    /// What was seen, or what is wrong and what to do.
    result: Result<String, String>,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let mut config = args.config.load()?;
    // Whoever looks for faults mends none.
    config.keep_fetched = false;
    let looks = [
        Look { what: "configuration", result: Ok(format!("{} is valid", config.file.display())) },
        Look { what: "guards", result: guards(&config) },
        Look { what: "in force", result: in_force(&config) },
        Look { what: "components", result: components(&config) },
        Look { what: "memory", result: memory(&config) },
        Look { what: "keys", result: key(&config) },
        Look { what: "ledger", result: ledger(&config) },
        Look { what: "sync", result: alarm(&config) },
        Look { what: "clock", result: clock() },
    ];
    let wrong = looks.iter().filter(|look| look.result.is_err()).count();
    if output.json {
        let looks: Vec<_> = looks
            .iter()
            .map(|look| match &look.result {
                Ok(seen) => json!({ "look": look.what, "ok": true, "message": seen }),
                Err(problem) => json!({ "look": look.what, "ok": false, "message": problem }),
            })
            .collect();
        print(json!({ "wrong": wrong, "looks": looks }))?;
    } else {
        for look in &looks {
            match &look.result {
                Ok(seen) => print(format_args!("ok     {:14} {seen}", look.what))?,
                Err(problem) => print(format_args!("WRONG  {:14} {problem}", look.what))?,
            }
        }
    }
    Ok(if wrong == 0 { Exit::Done } else { Exit::Found })
}

/// Every component is read and loaded, with its settings, as the service would.
fn guards(config: &Config) -> Result<String, String> {
    use picket_engine::{CacheOptions, Engine};
    // What the box has compiled already need not be compiled for this.
    let cache = keys::existing_cache_key(&config.edge.data)
        .map(|key| CacheOptions { folder: config.edge.data.join("cache"), key });
    let options = crate::guards::engine_options(config, cache);
    let engine = Engine::new(options).map_err(|error| error.to_string())?;
    let in_force = std::sync::Arc::<crate::pipeline::InForce>::default();
    crate::pipeline::load(config, &engine, in_force.clone(), None).map_err(|error| error.to_string())?;
    crate::detectors::load(config, &engine, &in_force, None).map_err(|error| error.to_string())?;
    if config.guards.is_empty() {
        return Err("there is no [[guard]] that is on: nothing is judged".into());
    }
    let sizing = engine.sizing().message().map(|message| format!("; {message}")).unwrap_or_default();
    Ok(format!("{} guards and {} detectors load{sizing}", config.guards.len(), config.detectors.len()))
}

fn memory(config: &Config) -> Result<String, String> {
    let memory = Memory::of(config);
    let warnings = memory.warnings();
    if !warnings.is_empty() {
        return Err(warnings.join("; "));
    }
    let limit =
        memory.limit.map_or_else(String::new, |limit| format!("; its control group may have {} MiB", limit >> 20));
    Ok(format!("guards may have {} MiB, compiling one {} MiB{limit}", memory.guards >> 20, memory.compiling >> 20))
}

/// The policy of the running service, and guards that it does not ask.
fn in_force(config: &Config) -> Result<String, String> {
    let Some(service) = ControlClient::connect(&config.edge.data).map_err(|error| error.to_string())? else {
        return Ok("no service runs".into());
    };
    let seen = service.policy().map_err(|error| error.to_string())?;
    let open: Vec<String> = seen["guards"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|guard| Some(format!("guard {}: {}", guard["name"].as_str()?, guard["open"].as_str()?)))
        .collect();
    if open.is_empty() {
        return Ok(format!("policy {}", seen["policy"].as_str().unwrap_or_default()));
    }
    Err(format!("{}; mend or exchange it, and run `picket reload`", open.join("; ")))
}

/// Whether the next start needs a registry.
fn components(config: &Config) -> Result<String, String> {
    let candidates = config.guards.iter().filter_map(|guard| guard.candidate.as_ref());
    let components = config.guards.iter().map(|guard| &guard.component).chain(candidates.map(|of| &of.component));
    let all = components.chain(config.detectors.iter().map(|detector| &detector.component));
    let cache = Cache::of(&config.edge.data);
    let (mut cached, mut missing) = (0, Vec::new());
    for component in all {
        let Component::Oci(pinned) = component else { continue };
        match cache.get(pinned.digest) {
            Ok(Some(_)) => cached += 1,
            Ok(None) => missing.push(pinned.to_string()),
            Err(error) => return Err(format!("{error}; `picket guard pull {pinned} --cache` mends it")),
        }
    }
    Ok(match (cached, missing.first()) {
        (0, None) => "none comes from a registry".into(),
        (cached, None) => format!("{cached} from registries, all in {}", cache.folder().display()),
        (cached, Some(first)) => format!(
            "{cached} from registries are cached and {} are not; the next start fetches them, or `picket guard pull {first} \
             --cache` now",
            missing.len()
        ),
    })
}

fn key(config: &Config) -> Result<String, String> {
    if !config.edge.data.join("keys").exists() {
        return Err(format!("there are none in {}; run `picket keygen`", config.edge.data.display()));
    }
    keys::load_or_create(&config.edge.data, &config.edge.id)
        .map(|keys| keys.verifying.to_string())
        .map_err(|error| error.to_string())
}

fn ledger(config: &Config) -> Result<String, String> {
    if !config.edge.data.join("ledger").exists() {
        return Ok("not there yet; the first start makes it".into());
    }
    let evidence = Evidence::open(&config.edge.data).map_err(|error| error.to_string())?;
    let head = evidence.head().map_err(|error| error.to_string())?;
    Ok(format!("{} entries", head.size))
}

fn alarm(config: &Config) -> Result<String, String> {
    let Some(auditor) = &config.auditor else {
        return Ok("there is no [auditor]: the evidence stays on this box alone".into());
    };
    if !config.edge.data.join("ledger").exists() {
        return Ok(format!("{} has nothing of this box yet", auditor.url));
    }
    let evidence = Evidence::open(&config.edge.data).map_err(|error| error.to_string())?;
    let named = |name: &str| evidence.named(name).map_err(|error| error.to_string());
    if let Some(alarm) = named(sync::ALARM_NAME)? {
        let alarm = serde_json::from_slice::<sync::Alarm>(&alarm);
        let words = alarm.map_or_else(|_| "it cannot be read".to_owned(), |alarm| alarm.message);
        return Err(format!("the auditor at {} has an alarm against this box: {words}", auditor.url));
    }
    let acknowledged = named(sync::ACKNOWLEDGED_NAME)?.and_then(|bytes| bytes.try_into().ok());
    let acknowledged = acknowledged.map_or(0, u64::from_be_bytes);
    Ok(format!("{} has acknowledged {acknowledged} entries", auditor.url))
}

/// Entries carry the wall clock; a box that believes in 1970 makes evidence that nobody can place.
fn clock() -> Result<String, String> {
    let now = jiff::Timestamp::now();
    if now.as_second() < 1_750_000_000 {
        return Err(format!("says {now}, which is in the past; set it, or entries carry wrong times"));
    }
    Ok(now.to_string())
}
