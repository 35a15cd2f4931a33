//! A guard that judges an output while it streams: one instance, from `begin` to `finish`.

use crate::answer::refused;
use crate::bindings::exports::picket::guard::streaming as wit;
use crate::call::Live;
use crate::engine::Engine;
use crate::error::{Cause, Failure, LoadError};
use crate::load::mistyped;
use crate::lower::with_inference;
use crate::types::{Content, Inference, Verdict};
use crate::validator::Validator;

/// One stream through one guard. Holds an instance until it is dropped.
pub struct Stream {
    live: Live,
    functions: wit::Guest,
    guard: Validator,
    /// The inference, with all that was pushed so far as its output.
    inference: Inference,
    released: usize,
    failed: bool,
    // Last, so that the place is given back after the instance is gone.
    _place: Place,
}

/// A place for a stream, given back on drop.
struct Place(Engine);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.inner.streams.release();
    }
}

impl Stream {
    pub(crate) fn open(guard: &Validator, inference: &Inference) -> Result<Self, Failure> {
        let inner = &*guard.inner;
        let engine = &inner.engine.inner;
        let _running = engine.ticker.running();
        let (slot, live) = guard.instance(&engine.streams)?;
        std::mem::forget(slot);
        let place = Place(inner.engine.clone());
        // Bound after the place, so that on an error it is dropped before.
        let mut live = live;
        let functions = functions(&mut live).map_err(|error| Failure::answer(error.to_string()))?;
        let inference = Inference { output: None, ..inference.clone() };
        let begin = functions.func_begin();
        let (answer,) = with_inference(&inference, inner.descriptor.needs, |view| live.call(&begin, (view,)))?;
        answer.map_err(refused)?;
        Ok(Self {
            live,
            functions,
            guard: guard.clone(),
            inference: Inference { output: Some(Content::Text(String::new())), ..inference },
            released: 0,
            failed: false,
            _place: place,
        })
    }

    /// Hands over the next piece of the output. Returns how many bytes of all that was pushed may be released by now:
    /// never less than before, on a character border.
    ///
    /// # Errors
    /// A failure of the guard; the stream is then at its end, and nothing more may be released on its word.
    pub fn push(&mut self, chunk: &str) -> Result<usize, Failure> {
        let result = self.try_push(chunk);
        self.failed |= result.is_err();
        result
    }

    fn try_push(&mut self, chunk: &str) -> Result<usize, Failure> {
        let inner = &*self.guard.inner;
        let engine = &inner.engine.inner;
        self.usable()?;
        let Some(Content::Text(pushed)) = &mut self.inference.output else {
            return Err(ended());
        };
        // The verdict's spans are checked against all of it, so all of it is kept.
        let room = usize::try_from(inner.limits.memory).unwrap_or(usize::MAX);
        if pushed.len().saturating_add(chunk.len()) > room {
            return Err(Failure::new(Cause::Memory, "the stream is longer than the guard's limit `memory`"));
        }
        pushed.push_str(chunk);
        self.live.allow(&engine.ticker, inner.limits.deadline, inner.limits.answer_bytes);
        let _running = engine.ticker.running();
        let (answer,) = self.live.call(&self.functions.func_push(), (chunk,))?;
        let count = answer.map_err(refused)?;
        let released = usize::try_from(count).unwrap_or(usize::MAX);
        if released < self.released {
            return Err(Failure::answer(format!("it takes back what it released: {count} after {}", self.released)));
        }
        if released > pushed.len() {
            return Err(Failure::answer(format!("it releases {count} of {} bytes", pushed.len())));
        }
        if !pushed.is_char_boundary(released) {
            return Err(Failure::answer(format!("it releases half a character, at byte {count}")));
        }
        self.released = released;
        Ok(released)
    }

    /// Ends the stream. The verdict's spans count from the start of the stream.
    ///
    /// # Errors
    /// A failure of the guard, now or earlier.
    pub fn finish(mut self) -> Result<Verdict, Failure> {
        self.usable()?;
        let inner = &*self.guard.inner;
        let engine = &inner.engine.inner;
        self.live.allow(&engine.ticker, inner.limits.deadline, inner.limits.answer_bytes);
        let _running = engine.ticker.running();
        let (answer,) = self.live.call(&self.functions.func_finish(), ())?;
        inner.judge.verdict(answer.map_err(refused)?, &self.inference)
    }

    /// Bytes that may be released by now.
    pub fn released(&self) -> usize {
        self.released
    }

    fn usable(&self) -> Result<(), Failure> {
        if self.failed { Err(ended()) } else { Ok(()) }
    }
}

fn ended() -> Failure {
    Failure::new(Cause::Unavailable, "the stream has failed before")
}

fn functions(live: &mut Live) -> wasmtime::Result<wit::Guest> {
    let pre = live.instance.instance_pre(&live.store);
    wit::GuestIndices::new(&pre)?.load(&mut live.store, &live.instance)
}

/// Checks the types of the interface `streaming` of `live`.
pub(crate) fn check_types(live: &mut Live, guard: &str) -> Result<(), LoadError> {
    functions(live).map(drop).map_err(|error| mistyped(guard, "streaming-validator", &error))
}
