//! A loaded detector: one instance that lives from batch to batch.

use std::time::Duration;

use wasmtime::component::InstancePre;

use crate::answer::{Judge, refused};
use crate::bindings::exports::picket::guard::detection as wit;
use crate::call::Live;
use crate::engine::Engine;
use crate::error::{Cause, Failure, LoadError};
use crate::limits::{Confines, Limits};
use crate::load::{self, LoadReport, Role, configured, described, mistyped};
use crate::lower::with_batch;
use crate::settings::{Digest32, Settings};
use crate::types::{Alarm, Batch, Descriptor, StreamStatus};

/// A guard of the world `detector`. One serves one model; calls follow one another.
///
/// When a call fails with anything but [`Cause::Refused`], the instance is thrown away with its state. The caller then
/// calls [`Detector::restart`] and [`Detector::restore`] with the last snapshot it kept.
pub struct Detector {
    engine: Engine,
    name: String,
    pre: InstancePre<Confines>,
    settings: Settings,
    reference: Vec<u8>,
    limits: Limits,
    descriptor: Descriptor,
    judge: Judge,
    report: LoadReport,
    component_digest: Digest32,
    /// `None` after a failure, until `restart`.
    live: Option<(Live, wit::Guest)>,
}

impl Detector {
    pub(crate) fn load(
        engine: &Engine,
        name: &str,
        wasm: &[u8],
        settings: &str,
        reference: &[u8],
        limits: Limits,
    ) -> Result<Self, LoadError> {
        let settings =
            Settings::parse(settings).map_err(|source| LoadError::SettingsNotJson { guard: name.into(), source })?;
        let prepared = load::prepare(&engine.inner, Role::Detector, name, wasm, &settings, &limits)?;
        let (descriptor, live) = start(engine, name, &prepared.pre, &settings, reference, &limits)?;
        Ok(Self {
            engine: engine.clone(),
            name: name.into(),
            pre: prepared.pre,
            settings,
            reference: reference.to_vec(),
            limits,
            judge: Judge::new(&descriptor, &limits),
            descriptor,
            report: prepared.report,
            component_digest: prepared.component_digest,
            live: Some(live),
        })
    }

    /// Makes a reference profile from `sample`, for a later load. To be called on a detector that was loaded with an
    /// empty reference. Has the load deadline.
    ///
    /// # Errors
    /// A failure of the guard.
    pub fn fit(&mut self, sample: &Batch) -> Result<Vec<u8>, Failure> {
        self.call(self.limits.load_deadline, self.limits.state_bytes, |live, guest| {
            let function = guest.func_fit();
            let (answer,) = with_batch(sample, |view| live.call(&function, (view,)))?;
            answer.map_err(refused)
        })
    }

    /// Takes in the rows of `batch` and returns what has changed.
    ///
    /// # Errors
    /// A failure of the guard.
    pub fn observe(&mut self, batch: &Batch) -> Result<Vec<Alarm>, Failure> {
        let alarms = self.call(self.limits.deadline, self.limits.answer_bytes, |live, guest| {
            let function = guest.func_observe();
            let (answer,) = with_batch(batch, |view| live.call(&function, (view,)))?;
            answer.map_err(refused)
        })?;
        let judged = self.judge.alarms(alarms, batch);
        self.keep(judged)
    }

    /// What the state of each stream is now.
    ///
    /// # Errors
    /// A failure of the guard.
    pub fn status(&mut self) -> Result<Vec<StreamStatus>, Failure> {
        let status = self.call(self.limits.deadline, self.limits.answer_bytes, |live, guest| {
            Ok(live.call(&guest.func_status(), ())?.0)
        })?;
        let judged = self.judge.status(status);
        self.keep(judged)
    }

    /// The whole state. The same state gives the same bytes. Has the load deadline.
    ///
    /// # Errors
    /// A failure of the guard.
    pub fn snapshot(&mut self) -> Result<Vec<u8>, Failure> {
        self.call(self.limits.load_deadline, self.limits.state_bytes, |live, guest| {
            Ok(live.call(&guest.func_snapshot(), ())?.0)
        })
    }

    /// Goes on from `state`, a snapshot. Has the load deadline.
    ///
    /// # Errors
    /// A failure of the guard; after [`Cause::Refused`] the state is as it was.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.call(self.limits.load_deadline, self.limits.answer_bytes, |live, guest| {
            let (answer,) = live.call(&guest.func_restore(), (state,))?;
            answer.map_err(refused)
        })
    }

    /// Takes the states of other instances with the same settings and reference into this one. Has the load deadline.
    ///
    /// # Errors
    /// A failure of the guard.
    pub fn merge(&mut self, states: &[&[u8]]) -> Result<(), Failure> {
        self.call(self.limits.load_deadline, self.limits.answer_bytes, |live, guest| {
            let (answer,) = live.call(&guest.func_merge(), (states,))?;
            answer.map_err(refused)
        })
    }

    /// Begins anew, without state: after a failure, before [`Detector::restore`].
    ///
    /// # Errors
    /// As at load.
    pub fn restart(&mut self) -> Result<(), LoadError> {
        self.live = None;
        let (_, live) = start(&self.engine, &self.name, &self.pre, &self.settings, &self.reference, &self.limits)?;
        self.live = Some(live);
        Ok(())
    }

    /// Whether the instance is there; `false` after a failure, until [`Detector::restart`].
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// What the guard says of itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The guard's name in the configuration, as given to [`Engine::load_detector`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the component's bytes.
    pub fn component_digest(&self) -> &Digest32 {
        &self.component_digest
    }

    /// See [`crate::settings_digest`].
    pub fn settings_digest(&self) -> &Digest32 {
        &self.settings.digest
    }

    /// How the load went.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// As given at load.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn call<R>(
        &mut self,
        time: Duration,
        bytes: usize,
        call: impl FnOnce(&mut Live, &wit::Guest) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let Some((live, guest)) = &mut self.live else {
            return Err(Failure::new(Cause::Unavailable, "it failed before and was not restarted"));
        };
        let engine = &self.engine.inner;
        live.allow(&engine.ticker, time, bytes);
        // A refused growth of an earlier call says nothing about this one.
        live.store.data_mut().refusal = None;
        let result = {
            let _running = engine.ticker.running();
            call(live, guest)
        };
        self.keep(result)
    }

    /// Throws the instance away unless the guard is still in its right mind.
    fn keep<R>(&mut self, result: Result<R, Failure>) -> Result<R, Failure> {
        if result.as_ref().is_err_and(|failure| failure.cause != Cause::Refused) {
            self.live = None;
        }
        result
    }
}

/// An instance, described and configured.
fn start(
    engine: &Engine,
    name: &str,
    pre: &InstancePre<Confines>,
    settings: &Settings,
    reference: &[u8],
    limits: &Limits,
) -> Result<(Descriptor, (Live, wit::Guest)), LoadError> {
    let inner = &engine.inner;
    let _running = inner.ticker.running();
    let mut live = load::start(inner, name, pre, limits)?;
    let guest = wit::GuestIndices::new(pre)
        .and_then(|indices| indices.load(&mut live.store, &live.instance))
        .map_err(|error| mistyped(name, "detector", &error))?;
    let answer = live.call(&guest.func_describe(), ());
    let descriptor = described(name, answer)?;
    let answer = live.call(&guest.func_configure(), (&settings.text, reference));
    configured(name, answer)?;
    Ok((descriptor, (live, guest)))
}
