//! One detector: its instances, their batches, alarms and stored states.

use super::batch::Builder;
use super::source::Source;
use super::{Counters, OnAlarm, Row, SNAPSHOT_BATCHES};
use crate::config::{self, Config};
use crate::guards::Standing;
use crate::pipeline::{InForce, PipelineError, granted_limits, millionths, refused, tell_of_cache};
use crate::sequencer::{Pending, Sequencer};
use picket_engine::{Alarm, AlarmState, Bar};
use picket_engine::{Detector, Engine, World};
use picket_ledger::entry::{Body, Drift, Drop, GuardLoad, Start};
use picket_ledger::{Hash, hash};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Version of the stored state's header.
const STATE_VERSION: u8 = 1;
/// Version, rows, component, settings and reference digests.
const STATE_HEADER: usize = 1 + 8 + 32 + 32 + 32;

pub(super) struct Watch {
    config: config::Detector,
    component: Vec<u8>,
    reference: Vec<u8>,
    engine: Engine,
    sequencer: Option<Sequencer>,
    counters: Arc<Counters>,
    /// Loaded at the start so that a bad component is refused then; the first model takes it.
    spare: Option<Detector>,
    load: GuardLoad,
    limits: picket_engine::Limits,
    /// Whether it may still be asked.
    standing: Arc<Standing>,
    instances: BTreeMap<String, Instance>,
}

struct Instance {
    detector: Detector,
    builder: Builder,
    /// When the oldest row of the batch must be handed over.
    due: Option<Instant>,
    /// State after the last batch that went well, and the row it stands before.
    good: (u64, Vec<u8>),
    batches_since_stored: u32,
}

impl Watch {
    pub(super) fn load(
        config: &Config,
        detector: &config::Detector,
        source: Source,
        engine: &Engine,
        in_force: &InForce,
        counters: Arc<Counters>,
    ) -> Result<Self, PipelineError> {
        let Source { admitted, granted, reference } = source;
        let limits = granted_limits(&granted);
        let spare = engine
            .load_detector(&detector.name, &admitted.bytes, &detector.settings, &reference, limits)
            .map_err(|source| refused(config, detector.line, source))?;
        admitted.confirm(World::Detector, spare.descriptor())?;
        tell_of_cache(&detector.name, &spare.report().cache);
        let standing = in_force.revocations().watch(&detector.name, *spare.settings_digest(), admitted.vouched);
        let component = admitted.bytes;
        let load = GuardLoad {
            name: detector.name.clone(),
            component: *spare.component_digest(),
            settings: *spare.settings_digest(),
            world: "detector".to_owned(),
            guard_version: spare.descriptor().version.clone(),
            bytes: component.len() as u64,
            start: Start::Warm,
            signers: admitted.signers,
            statement: admitted.statement,
            admitted: admitted.rule,
        };
        Ok(Self {
            config: detector.clone(),
            component,
            reference,
            engine: engine.clone(),
            sequencer: None,
            counters,
            spare: Some(spare),
            load,
            limits,
            standing,
            instances: BTreeMap::new(),
        })
    }

    /// From now on states are stored and alarms recorded here.
    pub(super) fn record_in(&mut self, sequencer: Option<Sequencer>) {
        self.sequencer = sequencer;
    }

    /// Goes on under another configuration of the same identity.
    pub(super) fn reconfigure(&mut self, config: config::Detector) {
        self.config = config;
    }

    pub(super) fn standing(&self) -> Arc<Standing> {
        self.standing.clone()
    }

    pub(super) fn config_name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn guard_load(&self) -> GuardLoad {
        self.load.clone()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.instances.values().filter_map(|instance| instance.due).min()
    }

    pub(super) fn row(&mut self, row: &Row, on_alarm: &OnAlarm) {
        let elsewhere = self.config.models.as_ref().is_some_and(|models| !models.contains(&row.model));
        // Its retirement is an entry, and says from when on it sees nothing.
        if elsewhere || self.standing.revoked().is_some() {
            return;
        }
        if !self.instances.contains_key(&row.model) {
            match self.instance(&row.model) {
                Ok(instance) => drop(self.instances.insert(row.model.clone(), instance)),
                Err(error) => return self.lose(&row.model, 1, &error),
            }
        }
        let Some(instance) = self.instances.get_mut(&row.model) else { return };
        if instance.builder.must_cut_before(&row.values) {
            self.hand_over(&row.model, on_alarm);
        }
        let Some(instance) = self.instances.get_mut(&row.model) else { return };
        instance.builder.push(row.time, &row.values);
        instance.due.get_or_insert_with(|| Instant::now() + self.config.every);
        if instance.builder.rows() >= self.config.batch {
            self.hand_over(&row.model, on_alarm);
        }
    }

    pub(super) fn flush(&mut self, on_alarm: &OnAlarm) {
        let models: Vec<String> = self.instances.keys().cloned().collect();
        models.iter().for_each(|model| self.hand_over(model, on_alarm));
    }

    pub(super) fn flush_due(&mut self, on_alarm: &OnAlarm) {
        let now = Instant::now();
        let due =
            |(model, instance): (&String, &Instance)| instance.due.is_some_and(|due| due <= now).then(|| model.clone());
        let models: Vec<String> = self.instances.iter().filter_map(due).collect();
        models.iter().for_each(|model| self.hand_over(model, on_alarm));
    }

    pub(super) fn close(&mut self, on_alarm: &OnAlarm) {
        self.flush(on_alarm);
        let Some(sequencer) = &self.sequencer else { return };
        let states = self.instances.iter().map(|(model, instance)| self.state(model, instance)).collect();
        if let Err(error) = sequencer.put_named_blocking(states) {
            tracing::error!(detector = self.config.name, %error, "the state could not be stored");
        }
    }

    /// A new instance for `model`, from its stored state if there is one that fits.
    fn instance(&mut self, model: &str) -> Result<Instance, String> {
        let mut detector = match self.spare.take() {
            Some(spare) => spare,
            None => self.fresh()?,
        };
        let mut first_row = 0;
        if let Some((rows, state)) = self.stored(model) {
            detector.restore(&state).map_err(|failure| failure.to_string())?;
            first_row = rows;
        }
        let good = detector.snapshot().map_err(|failure| failure.to_string())?;
        Ok(Instance {
            detector,
            builder: Builder::starting_at(first_row),
            due: None,
            good: (first_row, good),
            batches_since_stored: 0,
        })
    }

    fn fresh(&self) -> Result<Detector, String> {
        self.engine
            .load_detector(&self.config.name, &self.component, &self.config.settings, &self.reference, self.limits)
            .map_err(|error| error.to_string())
    }

    fn hand_over(&mut self, model: &str, on_alarm: &OnAlarm) {
        let Some(instance) = self.instances.get_mut(model) else { return };
        instance.due = None;
        if instance.builder.rows() == 0 {
            return;
        }
        let batch = instance.builder.take();
        let rows = batch.times.len();
        let next_row = batch.first_row + rows as u64;
        // Rows that had gathered when it was revoked: told as lost, once.
        if let Some(reason) = self.standing.revoked() {
            let reason = reason.to_owned();
            return self.lose(model, rows, &reason);
        }
        let observed = instance
            .detector
            .observe(&batch)
            .and_then(|alarms| Ok((alarms, instance.detector.snapshot()?)))
            .map_err(|failure| failure.to_string())
            .and_then(|(alarms, state)| Ok((alarms, storable(state)?)));
        match observed {
            Ok((alarms, state)) => {
                Counters::add(&self.counters.rows, rows);
                instance.good = (next_row, state);
                instance.batches_since_stored += 1;
                self.record(model, alarms, on_alarm);
            }
            Err(failure) => self.recover(model, rows, &failure),
        }
    }

    /// After a failure: a new instance goes on from the last good state, and a drop entry says which rows are missing.
    fn recover(&mut self, model: &str, rows: usize, failure: &str) {
        let restored = self.fresh().and_then(|mut detector| {
            let Some(instance) = self.instances.get(model) else { return Ok(detector) };
            detector.restore(&instance.good.1).map_err(|failure| failure.to_string())?;
            Ok(detector)
        });
        match restored {
            Ok(detector) => {
                if let Some(instance) = self.instances.get_mut(model) {
                    instance.detector = detector;
                }
            }
            // Without an instance the next row tries again from the stored state.
            Err(_) => drop(self.instances.remove(model)),
        }
        self.lose(model, rows, failure);
    }

    fn lose(&self, model: &str, rows: usize, failure: &str) {
        Counters::add(&self.counters.lost, rows);
        let reason = format!("detector {} for model {model}: {failure}", self.config.name);
        tracing::error!(rows, reason, "rows are missing from a detector");
        let Some(sequencer) = &self.sequencer else { return };
        let body = Body::Drop(Drop { count: rows as u64, reason });
        if let Err(error) = sequencer.append_blocking(body.into()) {
            tracing::error!(%error, "the loss could not be recorded");
        }
    }

    /// Records the alarms, the state with the last of them. With nothing to record, stores the state now and then.
    fn record(&mut self, model: &str, alarms: Vec<Alarm>, on_alarm: &OnAlarm) {
        let Some(instance) = self.instances.get(model) else { return };
        let state = self.state(model, instance);
        let digest = hash::sha256(&instance.good.1);
        if alarms.is_empty() {
            if instance.batches_since_stored < SNAPSHOT_BATCHES {
                return;
            }
            let Some(sequencer) = &self.sequencer else { return };
            match sequencer.put_named_blocking(vec![state]) {
                Ok(()) => self.stored_now(model),
                Err(error) => tracing::error!(detector = self.config.name, %error, "the state could not be stored"),
            }
            return;
        }
        let count = alarms.len();
        for (number, alarm) in alarms.into_iter().enumerate() {
            let drift = self.drift(model, alarm, digest);
            Counters::add(if drift.opened { &self.counters.opened } else { &self.counters.closed }, 1);
            let Some(sequencer) = &self.sequencer else {
                on_alarm(&drift, 0);
                continue;
            };
            let named = if number + 1 == count { vec![state.clone()] } else { Vec::new() };
            match sequencer.append_blocking(Pending { body: Body::Drift(drift.clone()), payload: None, named }) {
                Ok(placed) => on_alarm(&drift, placed.index),
                Err(error) => tracing::error!(stream = drift.stream, %error, "an alarm could not be recorded"),
            }
        }
        self.stored_now(model);
    }

    fn stored_now(&mut self, model: &str) {
        if let Some(instance) = self.instances.get_mut(model) {
            instance.batches_since_stored = 0;
        }
    }

    fn drift(&self, model: &str, alarm: Alarm, state: Hash) -> Drift {
        let bars = |bars: Vec<Bar>| bars.into_iter().map(|bar| (bar.label, bar.count)).collect();
        Drift {
            detector: self.config.name.clone(),
            component: self.load.component,
            settings: self.load.settings,
            reference: (!self.reference.is_empty()).then(|| hash::sha256(&self.reference)),
            model: model.to_owned(),
            stream: alarm.stream,
            rule: alarm.rule,
            opened: alarm.state == AlarmState::Opened,
            severity: alarm.severity as u8,
            message: alarm.message,
            row: alarm.row,
            since_row: alarm.since_row,
            statistic: millionths(alarm.statistic),
            threshold: millionths(alarm.threshold),
            reference_bars: bars(alarm.reference),
            current_bars: bars(alarm.current),
            state,
        }
    }

    fn name(&self, model: &str) -> String {
        format!("detector/{}/{model}", self.config.name)
    }

    fn state(&self, model: &str, instance: &Instance) -> (String, Option<Vec<u8>>) {
        let mut value = Vec::with_capacity(STATE_HEADER + instance.good.1.len());
        value.push(STATE_VERSION);
        value.extend(instance.good.0.to_be_bytes());
        value.extend(self.identity());
        value.extend(&instance.good.1);
        (self.name(model), Some(value))
    }

    /// A state fits only the same component with the same settings and reference.
    fn identity(&self) -> [u8; 96] {
        let mut identity = [0; 96];
        identity[..32].copy_from_slice(&self.load.component);
        identity[32..64].copy_from_slice(&self.load.settings);
        identity[64..].copy_from_slice(&hash::sha256(&self.reference));
        identity
    }

    /// The stored state and the row it stands before, if it belongs to this very detector.
    fn stored(&self, model: &str) -> Option<(u64, Vec<u8>)> {
        let value = self.sequencer.as_ref()?.reader().named(&self.name(model)).ok().flatten()?;
        let (header, state) = value.split_at_checked(STATE_HEADER)?;
        let rows = u64::from_be_bytes(header[1..9].try_into().ok()?);
        if header[0] != STATE_VERSION || header[9..] != self.identity() {
            tracing::warn!(
                detector = self.config.name,
                model,
                "component, settings or reference have changed: starting anew"
            );
            return None;
        }
        Some((rows, state.to_vec()))
    }
}

/// A state that cannot be stored would be lost with the next restart, without a word.
fn storable(state: Vec<u8>) -> Result<Vec<u8>, String> {
    let limit = picket_store::MAX_NAMED_BYTES - STATE_HEADER;
    if state.len() > limit {
        return Err(format!("malformed answer: a state of {} bytes; at most {limit} are stored", state.len()));
    }
    Ok(state)
}
