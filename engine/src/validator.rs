//! A loaded validator: every check in a fresh instance.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{ComponentExportIndex, InstancePre};

use crate::answer::{Judge, refused};
use crate::bindings::picket::guard::types as wit;
use crate::call::Live;
use crate::engine::Engine;
use crate::error::{Cause, Failure, LoadError};
use crate::inspect::{VALIDATION, World};
use crate::limits::{Confines, Limits};
use crate::load::{self, LoadReport, Role, Start};
use crate::lower::with_inference;
use crate::settings::{Digest32, Settings};
use crate::slots::Slots;
use crate::stream::Stream;
use crate::types::{Descriptor, Inference, Problem, Verdict};
use crate::warm::Warm;

/// A guard of the world `validator` or `streaming-validator`, ready to check. Cheap to clone; checks may run on any
/// number of threads at once.
#[derive(Clone)]
pub struct Validator {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) judge: Judge,
    pub(crate) descriptor: Descriptor,
    name: String,
    pre: InstancePre<Confines>,
    settings: Settings,
    report: LoadReport,
    component_digest: Digest32,
    world: World,
    pub(crate) check: ComponentExportIndex,
    configure: ComponentExportIndex,
}

impl Validator {
    pub(crate) fn load(
        engine: &Engine,
        name: &str,
        wasm: &[u8],
        settings: &str,
        limits: Limits,
    ) -> Result<Self, LoadError> {
        let settings =
            Settings::parse(settings).map_err(|source| LoadError::SettingsNotJson { guard: name.into(), source })?;
        let prepared = load::prepare(&engine.inner, Role::Validator, name, wasm, &settings, &limits)?;
        let pre = prepared.pre;
        let missing = |what: &str| LoadError::World {
            guard: name.into(),
            world: "validator",
            message: format!("`{VALIDATION}` lacks `{what}`"),
        };
        let check = load::function(&pre, VALIDATION, "check").ok_or_else(|| missing("check"))?;
        let configure = load::function(&pre, VALIDATION, "configure").ok_or_else(|| missing("configure"))?;

        let world = load::validator_world(&pre);
        let descriptor = {
            let _slot = engine.inner.checks.acquire(Instant::now() + limits.load_deadline);
            let _running = engine.inner.ticker.running();
            let mut live = load::start(&engine.inner, name, &pre, &limits)?;
            // Looking the functions up checks their types: calls then need not.
            let functions = load::validation(&mut live, name)?;
            if world == World::StreamingValidator {
                crate::stream::check_types(&mut live, name)?;
            }
            let answer = live.call(&functions.func_describe(), ());
            if prepared.report.start == Start::ConfiguredFresh {
                load::configure(&mut live, name, &settings)?;
            }
            load::described(name, answer)?
        };
        Ok(Self {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                judge: Judge::new(&descriptor, &limits),
                limits,
                descriptor,
                name: name.into(),
                pre,
                settings,
                report: prepared.report,
                component_digest: prepared.component_digest,
                world,
                check,
                configure,
            }),
        })
    }

    /// Judges `inference`. Blocks, for the guard's deadline at most: call it from a thread that may block, with
    /// [`crate::EngineOptions::max_stack`] and 256 KiB of stack.
    ///
    /// # Errors
    /// A failure when the guard gave no valid verdict; see [`Cause`].
    pub fn check(&self, inference: &Inference) -> Result<Verdict, Failure> {
        let guard = &*self.inner;
        let _running = guard.engine.inner.ticker.running();
        let (_slot, mut live) = self.instance(&guard.engine.inner.checks)?;
        let function = live
            .instance
            .get_typed_func::<(wit::Inference<'_>,), (Result<Verdict, String>,)>(&mut live.store, &guard.check)
            .map_err(|error| Failure::answer(error.to_string()))?;
        let (answer,) = with_inference(inference, guard.descriptor.needs, |view| live.call(&function, (view,)))?;
        drop(live);
        guard.judge.verdict(answer.map_err(refused)?, inference)
    }

    /// An instance that is kept between checks, for measurement.
    ///
    /// # Errors
    /// A failure when there is no instance to be had.
    pub fn warm(&self) -> Result<Warm<'_>, Failure> {
        Warm::open(self)
    }

    /// Opens a stream for `inference`, whose output is yet to come. `None` when the guard cannot judge streams.
    ///
    /// # Errors
    /// A failure of `begin`.
    pub fn open_stream(&self, inference: &Inference) -> Option<Result<Stream, Failure>> {
        (self.inner.world == World::StreamingValidator).then(|| Stream::open(self, inference))
    }

    /// What the guard says of itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.inner.descriptor
    }

    /// The guard's name in the configuration, as given to [`Engine::load_validator`].
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// `validator` or `streaming-validator`.
    pub fn world(&self) -> World {
        self.inner.world
    }

    /// SHA-256 of the component's bytes.
    pub fn component_digest(&self) -> &Digest32 {
        &self.inner.component_digest
    }

    /// See [`crate::settings_digest`].
    pub fn settings_digest(&self) -> &Digest32 {
        &self.inner.settings.digest
    }

    /// How instances begin.
    pub fn start(&self) -> Start {
        self.inner.report.start
    }

    /// How the load went.
    pub fn report(&self) -> &LoadReport {
        &self.inner.report
    }

    /// As given at load.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// A fresh, configured instance under the deadline of one call, from the places of `slots`. The ticker must run.
    pub(crate) fn instance<'a>(&self, slots: &'a Slots) -> Result<(crate::slots::Slot<'a>, Live), Failure> {
        let guard = &*self.inner;
        let engine = &guard.engine.inner;
        let deadline = Instant::now() + guard.limits.deadline;
        let slot = slots.acquire(deadline).ok_or_else(|| {
            Failure::new(Cause::Unavailable, "every instance was busy until its deadline; raise `instances`")
        })?;
        let left = deadline.saturating_duration_since(Instant::now());
        let mut live = Live::start(&engine.ticker, engine.options.profile, &guard.pre, &guard.limits, left)?;
        if guard.report.start == Start::ConfiguredFresh {
            self.configure(&mut live)?;
        }
        Ok((slot, live))
    }

    /// The settings were accepted at load; a guard that now finds problems in them is not deterministic.
    fn configure(&self, live: &mut Live) -> Result<(), Failure> {
        let function = live
            .instance
            .get_typed_func::<(&str,), (Result<(), Vec<Problem>>,)>(&mut live.store, &self.inner.configure)
            .map_err(|error| Failure::answer(error.to_string()))?;
        let (answer,) = live.call(&function, (&self.inner.settings.text,))?;
        answer.map_err(|_| Failure::answer("it refuses settings that it accepted before"))
    }
}
