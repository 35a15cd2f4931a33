//! `picket guard inspect`: what a component is, what it says of itself, and who says to have signed it.

use super::describe::{describe, read};
use crate::cli::text::{clean, safe_json, shortened};
use crate::cli::{Answer, BadInput, Exit, Output, print};
use crate::guards::Signatures;
use picket_engine::{Declared, Descriptor, Guarantee, Inspection, Parts};
use picket_ledger::hash::to_hex;
use picket_ledger::note::Note;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The component.
    component: PathBuf,
    /// Run nothing of it: no rules, no settings schema.
    #[arg(long)]
    no_run: bool,
}

pub(super) fn run(args: &Args, output: Output) -> Answer {
    let path = args.component.display();
    let bytes = read(&args.component)?;
    let inspection = picket_engine::inspect(&bytes).map_err(|error| BadInput(format!("{path}: {error}")))?;
    let good = inspection.imports.is_empty() && inspection.world.is_some();
    // What has imports, or no world, is not run: it would be refused.
    let said = match (good, args.no_run) {
        (true, false) => Said::of(describe(&args.component, &bytes).map(|(_, descriptor)| descriptor)),
        _ => Said::NotAsked,
    };
    let signers = claimed(args)?;
    if output.json {
        print(safe_json(&as_json(&inspection, &said, &signers)))?;
    } else {
        tell(&inspection)?;
        tell_signers(&signers)?;
        tell_said(&said)?;
    }
    let silent = matches!(said, Said::Failed(_));
    Ok(if inspection.imports.is_empty() && !silent { Exit::Done } else { Exit::Found })
}

/// What the guard says of itself.
enum Said {
    NotAsked,
    Descriptor(Box<Descriptor>),
    /// It was asked, and why it has not answered.
    Failed(String),
}

impl Said {
    fn of(described: anyhow::Result<Descriptor>) -> Self {
        match described {
            Ok(descriptor) => Self::Descriptor(Box::new(descriptor)),
            Err(error) => Self::Failed(clean(&format!("{error:#}"))),
        }
    }
}

/// The names and ids in the signed note beside the component. Nothing is verified: that takes keys that somebody trusts.
fn claimed(args: &Args) -> anyhow::Result<Vec<String>> {
    let signatures = Signatures::beside(&args.component)
        .map_err(|(path, error)| BadInput(format!("{}: {error}", path.display())))?;
    let mut claimed = match &signatures.note {
        None => Vec::new(),
        Some(text) => match Note::parse(text) {
            Ok(note) => note.claimed().map(|name| clean(&name)).collect(),
            Err(error) => vec![format!("a file that is no signed note: {error}")],
        },
    };
    if signatures.cosign.is_some() {
        claimed.push("a key of cosign".to_owned());
    }
    Ok(claimed)
}

fn as_json(inspection: &Inspection, said: &Said, signers: &[String]) -> Value {
    let mut value = json!({
        "world": world(inspection), "digest": to_hex(&inspection.digest), "bytes": inspection.bytes,
        "code_bytes": inspection.code_bytes, "custom_bytes": inspection.custom_bytes, "modules": inspection.modules,
        "snapshot": inspection.no_snapshot.is_none(), "no_snapshot": inspection.no_snapshot,
        "imports": inspection.imports, "exports": inspection.exports,
        "limits": inspection.declared, "claimed_signers": signers,
    });
    value["descriptor"] = match said {
        Said::NotAsked => Value::Null,
        Said::Failed(why) => json!({ "error": why }),
        Said::Descriptor(descriptor) => json!({
            "name": descriptor.name, "version": descriptor.version, "summary": descriptor.summary,
            "needs": needs(descriptor.needs),
            "rules": descriptor.rules.iter().map(|rule| {
                json!({ "id": rule.id, "summary": rule.summary, "guarantee": guarantee(rule.guarantee) })
            }).collect::<Vec<_>>(),
            "settings_schema": serde_json::from_str::<Value>(&descriptor.settings_schema).unwrap_or(Value::Null),
        }),
    };
    value
}

fn world(inspection: &Inspection) -> String {
    inspection.world.map_or_else(|| "none of picket:guard".to_owned(), |world| world.to_string())
}

fn tell(inspection: &Inspection) -> anyhow::Result<()> {
    print(format_args!("world    {}", world(inspection)))?;
    print(format_args!("digest   sha256:{}", to_hex(&inspection.digest)))?;
    print(format_args!("size     {} bytes, {} of them custom sections", inspection.bytes, inspection.custom_bytes))?;
    print(format_args!("code     {} bytes in {} modules", inspection.code_bytes, inspection.modules))?;
    match &inspection.no_snapshot {
        None => print("start    from a snapshot taken after configure")?,
        Some(why) => print(format_args!("start    configured anew for each check, because {}", clean(why)))?,
    }
    let names = |names: &[String]| if names.is_empty() { "none".to_owned() } else { clean(&names.join(", ")) };
    print(format_args!("imports  {}", names(&inspection.imports)))?;
    print(format_args!("exports  {}", names(&inspection.exports)))?;
    print(format_args!("limits   {}", limits(inspection.declared.as_ref())))
}

fn limits(declared: Option<&Declared>) -> String {
    let Some(declared) = declared else { return "asks for none".to_owned() };
    let limits = [
        ("ms", declared.deadline_ms),
        ("bytes of memory", declared.memory_bytes),
        ("table elements", declared.table_elements),
        ("bytes of answer", declared.answer_bytes),
        ("findings", declared.findings),
    ];
    let asked: Vec<_> = limits.iter().filter_map(|(unit, limit)| Some(format!("{} {unit}", (*limit)?))).collect();
    format!("asks for {}", if asked.is_empty() { "none".to_owned() } else { asked.join(", ") })
}

fn tell_signers(signers: &[String]) -> anyhow::Result<()> {
    match signers {
        [] => print("signers  none"),
        signers => print(format_args!(
            "signers  claimed by the file beside it: {}; `picket guard verify` verifies",
            signers.join(", ")
        )),
    }
}

fn tell_said(said: &Said) -> anyhow::Result<()> {
    let descriptor = match said {
        Said::NotAsked => return Ok(()),
        Said::Failed(why) => return print(format_args!("itself   does not say what it is: {why}")),
        Said::Descriptor(descriptor) => descriptor,
    };
    let name = clean(&descriptor.name);
    print(format_args!("itself   {name} {}: {}", clean(&descriptor.version), shortened(&descriptor.summary, 200)))?;
    print(format_args!("reads    {}", needs(descriptor.needs).join(", ")))?;
    for rule in &descriptor.rules {
        let guarantee = guarantee(rule.guarantee);
        print(format_args!("rule     {} ({guarantee}): {}", clean(&rule.id), shortened(&rule.summary, 200)))?;
    }
    // As one line: it goes into an editor or a validator, not before a reader's eyes.
    let schema: Value = serde_json::from_str(&descriptor.settings_schema).unwrap_or(Value::Null);
    print(format_args!("settings {}", safe_json(&schema)))
}

fn needs(needs: Parts) -> Vec<&'static str> {
    let parts = [
        (Parts::INPUT, "input"),
        (Parts::CONTEXT, "context"),
        (Parts::OUTPUT, "output"),
        (Parts::FEATURES, "features"),
        (Parts::ATTRIBUTES, "attributes"),
        (Parts::MEASUREMENTS, "measurements"),
    ];
    parts.into_iter().filter(|(part, _)| needs.contains(*part)).map(|(_, name)| name).collect()
}

fn guarantee(guarantee: Guarantee) -> &'static str {
    match guarantee {
        Guarantee::Held => "held",
        Guarantee::Windowed => "windowed",
        Guarantee::AfterTheFact => "after the fact",
    }
}
