//! What a guard says of itself, before anybody has settings for it.

use crate::bindings::exports::picket::guard::detection;
use crate::compile::Job;
use crate::engine::{Engine, Inner};
use crate::error::LoadError;
use crate::inspect::{self, DETECTION, VALIDATION, World};
use crate::limits::Limits;
use crate::load::{self, Role};
use crate::settings::Settings;
use crate::types::Descriptor;

impl Engine {
    /// Instantiates `wasm`, asks it to `describe` itself, and forgets it: it is not configured, and no inference reaches
    /// it. `name` is for messages. Takes as long as a load without a cache.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn describe(&self, name: &str, wasm: &[u8], limits: Limits) -> Result<(World, Descriptor), LoadError> {
        let engine = &*self.inner;
        let role = role(engine, name, wasm)?;
        let settings = Settings::none();
        let job = Job { role, guard: name, wasm, settings: &settings, limits: &limits, plain: true };
        let pre = load::ready(role.runtime(engine), name, &load::native(engine, &job)?)?;
        let _running = engine.ticker.running();
        let mut live = load::start(engine, name, &pre, &limits)?;
        let (world, answer) = match role {
            Role::Validator => {
                let functions = load::validation(&mut live, name)?;
                (load::validator_world(&pre), live.call(&functions.func_describe(), ()))
            }
            Role::Detector => {
                let functions = detection::GuestIndices::new(&pre)
                    .and_then(|indices| indices.load(&mut live.store, &live.instance))
                    .map_err(|error| load::mistyped(name, "detector", &error))?;
                (World::Detector, live.call(&functions.func_describe(), ()))
            }
        };
        Ok((world, load::described(name, answer)?))
    }
}

/// What `wasm` is to be asked as, once it is known to be fit for compiling.
fn role(engine: &Inner, name: &str, wasm: &[u8]) -> Result<Role, LoadError> {
    let (bytes, limit) = (wasm.len(), engine.options.max_component);
    if bytes > limit {
        return Err(LoadError::TooLarge { guard: name.into(), bytes, limit });
    }
    let inspection =
        inspect::survey(wasm).map_err(|error| LoadError::NotAComponent { guard: name.into(), message: error.0 })?;
    if !inspection.imports.is_empty() {
        return Err(LoadError::Imports { guard: name.into(), imports: inspection.imports });
    }
    let has = |interface: &str| inspection.exports.iter().any(|export| export == interface);
    match (has(VALIDATION), has(DETECTION)) {
        (true, _) => Ok(Role::Validator),
        (_, true) => Ok(Role::Detector),
        _ => {
            let message = format!("it exports neither `{VALIDATION}` nor `{DETECTION}`");
            Err(LoadError::World { guard: name.into(), world: "validator", message })
        }
    }
}
