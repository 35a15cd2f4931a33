//! `cargo xtask demo`: a box and an auditor as real processes, real recordings, a link that breaks and comes back.
//!
//! Everything goes through the binaries and over HTTP, as an operator would do it; nothing here knows the insides.

mod feed;
mod process;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{cargo, guards, workspace};
use feed::{Tally, feed};
use process::{Program, Server};

/// The components that the box of the demo runs.
const GUARDS: [&str; 3] = ["structure.wasm", "pii.wasm", "drift.wasm"];
/// Longest wait for something that should take a moment.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn command(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "demo takes no arguments");
    let root = workspace()?;
    build(&root)?;
    let started = Instant::now();
    let demo = Demo::prepare(&root)?;
    demo.run()?;
    println!(
        "\nDone in {:.0} seconds. Both processes have been stopped; the data is in {}.",
        started.elapsed().as_secs_f64(),
        demo.shown().display()
    );
    demo.further();
    Ok(())
}

fn build(root: &Path) -> Result<()> {
    heading("Building guards, box and auditor");
    guards::command(&[])?;
    // With the tests, and so with the features that their dependencies bring: built apart, wasmtime would be compiled once
    // for the demo and once more for `cargo xtask test`.
    let status = std::process::Command::new(cargo())
        .current_dir(root)
        .args(["build", "--workspace", "--bins", "--tests"])
        .status()
        .context("cargo cannot be run")?;
    ensure!(status.success(), "the build failed");
    Ok(())
}

fn heading(text: &str) {
    println!("\n── {text} ──");
}

/// The folder of this run and the two programs in it.
struct Demo {
    root: PathBuf,
    folder: PathBuf,
    picket: Program,
    auditor: Program,
}

impl Demo {
    /// An empty folder with both configurations, the models' weights and a fitted reference.
    fn prepare(root: &Path) -> Result<Self> {
        let target = target_folder(root);
        let folder = target.join("demo");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
        }
        std::fs::create_dir_all(folder.join("models"))?;
        let binaries = target.join("debug");
        let picket = Program::new(&binaries.join("picket"), &folder);
        let auditor = Program::new(&binaries.join("picket-auditor"), &folder);
        let demo = Self { root: root.to_path_buf(), folder, picket, auditor };
        demo.copy_weights("tumour-screen-1.0.0.json", "tumour-screen.json")?;
        demo.copy_weights("progression-1.0.0.json", "progression.json")?;
        demo.copy_guards()?;
        Ok(demo)
    }

    fn run(&self) -> Result<()> {
        heading("Keys, enrolment, provenance, reference");
        self.write_auditor_config(0)?;
        let auditor_key = self.auditor.output(&["keygen"])?.trim().to_owned();
        println!("auditor's key  {auditor_key}");
        let auditor = Server::start(&self.auditor, &["serve"])?;
        // From here on the auditor keeps its port, so that it can come back where the box looks for it.
        self.write_auditor_config(auditor.port()?)?;
        let signer = self.sign_guards()?;
        println!("signer's key   {signer}, for {} guards", GUARDS.len());
        let config = self.write_box_config(&auditor, &auditor_key, &signer)?;
        let box_key = self.picket.output(&["keygen"])?.trim().to_owned();
        println!("box's key      {box_key}");
        self.fit_reference(&config)?;
        self.auditor.output(&["enrol", "--origin", "box-17", "--key", &box_key])?;
        let edge = Server::start(&self.picket, &["run"])?;
        println!(
            "box            {} (ready after {} ms, guards compiled on the way)",
            edge.url(),
            edge.started_in().as_millis()
        );
        println!("auditor        {}", auditor.url());
        println!(
            "recorded       {} documents on slices, models, features, evaluations, prompts and approvals",
            self.record()?
        );

        heading("Texts: hand-written outputs and two babbling models");
        let mut total = Tally::default();
        total.add(&self.feed(&edge, "texts.jsonl", 0..usize::MAX)?.report("texts"));
        total.add(&self.feed(&edge, "babble.jsonl", 0..usize::MAX)?.report("babble"));

        heading("A classifier and a regressor; the regressor is released anew on the way");
        total.add(&self.feed(&edge, "tumour-live.jsonl", 0..1000)?.report("tumour-screen, calm"));
        total.add(&self.feed(&edge, "progression-live.jsonl", 0..300)?.report("progression 1.0.0"));
        self.release("progression-1.1.0.json")?;
        total.add(&self.feed(&edge, "progression-live.jsonl", 300..500)?.report("progression 1.1.0"));
        self.wait_for_sync(&edge)?;

        heading("The link goes down: the auditor is gone, the box goes on");
        auditor.terminate()?;
        let before = self.drift_entries()?.len();
        total.add(&self.feed(&edge, "tumour-live.jsonl", 1000..1600)?.report("tumour-screen, another ward"));
        let alarms = self.wait_for_alarms(before)?;
        for alarm in &alarms {
            println!("  drift        {alarm}");
        }
        ensure!(alarms.iter().any(|alarm| alarm.contains("mean_texture")), "the shifted feature was not named");
        let (size, acknowledged) = self.positions(&edge)?;
        println!("  outbox       {} of {size} entries have no receipt yet", size - acknowledged);
        ensure!(size > acknowledged, "the box cannot have receipts from an auditor that is not there");

        heading("The box is killed (SIGKILL) and started again");
        edge.kill()?;
        let edge = Server::start(&self.picket, &["run"])?;
        println!(
            "box            {} again (ready after {} ms, guards from the compile cache)",
            edge.url(),
            edge.started_in().as_millis()
        );
        let (after, _) = self.positions(&edge)?;
        ensure!(after >= size, "the ledger had {size} entries before and {after} after: entries are lost");
        println!("ledger         {after} entries; {size} before: nothing is lost");

        heading("The link comes back");
        let auditor = Server::start(&self.auditor, &["serve"])?;
        total.add(&self.feed(&edge, "tumour-live.jsonl", 1600..2000)?.report("tumour-screen, calm again"));
        self.wait_for_sync(&edge)?;

        heading("What can be proven now");
        self.prove(&total)?;
        edge.terminate()?;
        println!("evidence       {}", first_line(&self.auditor.output(&["verify", "box-17"])?));
        auditor.terminate()?;
        println!("box's ledger   {}", first_line(&self.picket.output(&["verify", "box"])?));
        summary(&total, &alarms);
        Ok(())
    }

    fn write_auditor_config(&self, port: u16) -> Result<()> {
        let template = std::fs::read_to_string(self.root.join("examples/demo/auditor.toml"))?;
        Ok(std::fs::write(self.folder.join("auditor.toml"), template.replace("{port}", &port.to_string()))?)
    }

    /// The box's configuration names a reference that must be there before it loads, so it is written twice: here without,
    /// to fit the reference with it, and then as it is returned.
    fn write_box_config(&self, auditor: &Server, auditor_key: &str, signer: &str) -> Result<String> {
        let template = std::fs::read_to_string(self.root.join("examples/demo/picket.toml"))?;
        let config = template
            .replace("{auditor-url}", auditor.url())
            .replace("{auditor-key}", auditor_key)
            .replace("{signer}", signer)
            .replace("{examples}", &self.root.join("examples").display().to_string());
        let reference = "reference = \"tumour.profile\"\n";
        ensure!(config.contains(reference), "examples/demo/picket.toml names no reference");
        std::fs::write(self.folder.join("picket.toml"), config.replace(reference, ""))?;
        Ok(config)
    }

    fn fit_reference(&self, config: &str) -> Result<()> {
        let sample = self.root.join("examples/recordings/tumour-reference.jsonl");
        let sample = sample.to_str().context("the path is no UTF-8")?;
        let fitted = self.picket.output(&[
            "reference",
            "fit",
            "--detector",
            "drift",
            "--from",
            sample,
            "-o",
            "tumour.profile",
        ])?;
        println!("reference      {}", fitted.trim());
        Ok(std::fs::write(self.folder.join("picket.toml"), config)?)
    }

    /// Into the folder of the demo: its signatures are nobody else's business.
    fn copy_guards(&self) -> Result<()> {
        let (from, to) = (guards::default_folder(&self.root), self.folder.join("guards"));
        std::fs::create_dir_all(&to)?;
        for name in GUARDS {
            let from = from.join(name);
            std::fs::copy(&from, to.join(name)).with_context(|| format!("{} cannot be copied", from.display()))?;
        }
        Ok(())
    }

    /// As a security team would: a key, and a signed statement for each guard. Returns the public key.
    fn sign_guards(&self) -> Result<String> {
        let key = self.picket.output(&["guard", "keygen", "--name", "sec-team", "-o", "sec-team.key"])?;
        for name in GUARDS {
            self.picket.output(&["guard", "sign", &format!("guards/{name}"), "--key", "sec-team.key"])?;
        }
        Ok(key.trim().to_owned())
    }

    fn copy_weights(&self, from: &str, to: &str) -> Result<()> {
        let from = self.root.join("examples/models").join(from);
        let new = self.folder.join("models").join("new");
        std::fs::copy(&from, &new).with_context(|| format!("{} cannot be copied", from.display()))?;
        Ok(std::fs::rename(new, self.folder.join("models").join(to))?)
    }

    /// Puts other weights in place of the regressor's, and waits until the box has noticed and recorded it.
    fn release(&self, weights: &str) -> Result<()> {
        let models = |demo: &Self| demo.picket.output(&["log", "--kind", "model-version", "--limit", "1000", "--json"]);
        let before = models(self)?.lines().count();
        self.copy_weights(weights, "progression.json")?;
        wait("the new weights were not noticed", || Ok(models(self)?.lines().count() > before))?;
        println!("  {:28} {weights} is in force, and the ledger says since when", "weights");
        Ok(())
    }

    fn record(&self) -> Result<usize> {
        let folder = self.root.join("examples/records");
        let order = std::fs::read_to_string(folder.join("order.txt"))?;
        let mut count = 0;
        for line in order.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let (kind, file) = line.split_once(char::is_whitespace).context("order.txt: a kind and a file")?;
            let file = folder.join(file.trim());
            self.picket.output(&["record", kind, "--file", file.to_str().context("the path is no UTF-8")?])?;
            count += 1;
        }
        Ok(count)
    }

    fn feed(&self, edge: &Server, recording: &str, lines: std::ops::Range<usize>) -> Result<Tally> {
        feed(edge.url(), &self.root.join("examples/recordings").join(recording), lines)
    }

    /// Entries in the ledger, and how many of them have a receipt.
    fn positions(&self, edge: &Server) -> Result<(u64, u64)> {
        let metrics = feed::get(&format!("{}/metrics", edge.url()))?;
        let value = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).with_context(|| format!("/metrics has no {name}"))
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of entries")]
        Ok((value("picket_ledger_size")? as u64, value("picket_sync_acknowledged")? as u64))
    }

    fn wait_for_sync(&self, edge: &Server) -> Result<()> {
        let (size, _) = self.positions(edge)?;
        let started = Instant::now();
        wait("the auditor has not acknowledged everything", || Ok(self.positions(edge)?.1 >= size))?;
        println!("  {:28} all {size} entries have a receipt, {} ms later", "sync", started.elapsed().as_millis());
        Ok(())
    }

    fn drift_entries(&self) -> Result<Vec<Value>> {
        let lines = self.picket.output(&["log", "--kind", "drift", "--limit", "1000", "--json"])?;
        lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    fn wait_for_alarms(&self, before: usize) -> Result<Vec<String>> {
        wait("no drift alarm was raised", || Ok(self.drift_entries()?.len() > before))?;
        // The last batch is handed over after its `every`.
        std::thread::sleep(Duration::from_millis(1500));
        let alarms = self.drift_entries()?;
        Ok(alarms.iter().skip(before).map(describe).collect())
    }

    fn prove(&self, total: &Tally) -> Result<()> {
        let id = total.blocked.first().context("nothing was blocked")?;
        let trace = self.picket.output(&["trace", id])?;
        ensure!(trace.contains("VERIFIED"), "the trace of {id} does not verify:\n{trace}");
        println!("box            picket trace {id}: {}", first_line(&trace));
        self.picket.output(&["prove", id, "-o", "decision.tlog-proof"])?;
        let verified = self.picket.output(&["verify", "decision.tlog-proof", "--key", "box/keys/box.pub"])?;
        println!("offline        {}", first_line(&verified));
        let traced = self.auditor.output(&["trace", id])?;
        println!("auditor        picket-auditor trace {id}: {}", first_line(&traced));
        Ok(())
    }

    /// The folder as a person standing in the checkout would name it.
    fn shown(&self) -> &Path {
        self.folder.strip_prefix(&self.root).unwrap_or(&self.folder)
    }

    fn further(&self) {
        let folder = self.shown().display();
        let binaries = target_folder(&self.root).join("debug");
        let binaries = binaries.strip_prefix(&self.root).unwrap_or(&binaries).display();
        println!(
            "\nLook further:\n  \
             {binaries}/picket log --config {folder}/picket.toml --decision block\n  \
             {binaries}/picket log --config {folder}/picket.toml --kind drift\n  \
             {binaries}/picket trace progression-0304 --config {folder}/picket.toml\n  \
             {binaries}/picket verify {folder}/box\n  \
             {binaries}/picket-auditor verify --config {folder}/auditor.toml\n  \
             {binaries}/picket-auditor trace text-026 --config {folder}/auditor.toml\n\
             `cargo xtask demo` starts afresh; `rm -r {folder}` removes it all."
        );
    }
}

fn describe(entry: &Value) -> String {
    let drift = &entry["body"]["drift"];
    let text = |name: &str| drift[name].as_str().unwrap_or("?").to_owned();
    let state = if drift["opened"] == true { "opened" } else { "closed" };
    format!("{state}: {} ({}), row {}: {}", text("stream"), text("rule"), drift["row"], text("message"))
}

fn summary(total: &Tally, alarms: &[String]) {
    heading("Summary");
    println!("judged         {}", total.judged);
    println!("allowed        {}", total.allowed);
    println!("flagged        {}", total.flagged);
    println!("redacted       {}", total.redacted);
    println!("blocked        {}", total.blocked.len());
    println!("drift alarms   {}", alarms.iter().filter(|alarm| alarm.starts_with("opened")).count());
}

/// Asks again and again until `done`, or for [`PATIENCE`].
fn wait(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !done()? {
        if started.elapsed() > PATIENCE {
            bail!("{what} within {} seconds", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Where Cargo puts what it builds.
fn target_folder(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}
