//! What a guard says of itself, before anybody has settings for it.

use wasmtime::component::{Component, Linker};

use crate::bindings::exports::picket::guard::detection;
use crate::engine::Engine;
use crate::error::LoadError;
use crate::inspect::World;
use crate::limits::Limits;
use crate::load::{self, Role};
use crate::types::Descriptor;

impl Engine {
    /// Instantiates `wasm`, asks it to `describe` itself, and forgets it: it is not configured, and no inference reaches
    /// it. `name` is for messages. Takes as long as compiling without optimization.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn describe(&self, name: &str, wasm: &[u8], limits: Limits) -> Result<(World, Descriptor), LoadError> {
        let engine = &*self.inner;
        let role = load::check_any(engine, name, wasm, &limits)?;
        let broken =
            |error: wasmtime::Error| LoadError::Compile { guard: name.into(), message: error.root_cause().to_string() };
        let component = Component::new(&engine.workshop, wasm).map_err(broken)?;
        let pre = Linker::new(&engine.workshop).instantiate_pre(&component).map_err(broken)?;
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
