//! The traits that guards implement, one for each interface of the contract.

use crate::types::{Alarm, Batch, Descriptor, Inference, Problem, StreamStatus, Verdict};

/// A guard that judges one inference at a time; world `validator`. Export it with [`crate::export_guard!`].
///
/// The value is the guard as configured. It cannot be changed by a check: what one check leaves behind must not be
/// seen by another, and the host sees to that by starting each check from a fresh copy.
pub trait Guard: Sized + Send + Sync + 'static {
    /// What the guard is and needs; the same each time, whatever the settings.
    fn describe() -> Descriptor;

    /// Makes the guard from its settings, one JSON document. Everything a check needs is built here.
    ///
    /// # Errors
    /// All mistakes in the settings, each with its place; [`crate::settings::parse`] finds most of them.
    fn configure(settings: &str) -> Result<Self, Vec<Problem>>;

    /// Judges one inference. Parts that the descriptor does not ask for are empty.
    ///
    /// # Errors
    /// Why no verdict can be given. The host records a failure, and the operator's policy decides what follows.
    fn check(&self, inference: &Inference) -> Result<Verdict, String>;
}

/// A guard that can also judge an output while it streams; world `streaming-validator`. Export it with
/// [`crate::export_streaming_guard!`].
pub trait StreamingGuard: Guard {
    /// What is remembered of one stream.
    type Stream: Send + 'static;

    /// Begins a stream with the inference without its output.
    ///
    /// # Errors
    /// Why the stream cannot be judged.
    fn begin(&self, inference: Inference) -> Result<Self::Stream, String>;

    /// Takes the next piece of the output. Returns how many bytes of all that was pushed so far may be released:
    /// never less than before, never more than was pushed.
    ///
    /// # Errors
    /// Why no verdict can be given.
    fn push(&self, stream: &mut Self::Stream, chunk: &str) -> Result<u64, String>;

    /// Judges the whole. Spans count from the start of the stream.
    ///
    /// # Errors
    /// Why no verdict can be given.
    fn finish(&self, stream: Self::Stream) -> Result<Verdict, String>;
}

/// A guard that watches measurements over time; world `detector`. Export it with [`crate::export_detector!`].
///
/// The same rows in the same order lead to the same state, byte for byte, however they are cut into batches.
pub trait Detector: Sized + Send + 'static {
    /// What the detector is; the same each time, whatever the settings.
    fn describe() -> Descriptor;

    /// Makes the detector from its settings and from what [`Detector::fit`] returned (empty for none).
    ///
    /// # Errors
    /// All mistakes in the settings and the reference, each with its place in the settings.
    fn configure(settings: &str, reference: &[u8]) -> Result<Self, Vec<Problem>>;

    /// Makes a reference profile of a sample.
    ///
    /// # Errors
    /// Why the sample is no good.
    fn fit(&mut self, sample: &Batch) -> Result<Vec<u8>, String>;

    /// Takes in a batch and reports what has changed.
    ///
    /// # Errors
    /// Why the batch could not be taken; the state is then unchanged.
    fn observe(&mut self, batch: &Batch) -> Result<Vec<Alarm>, String>;

    /// Where each stream stands.
    fn status(&self) -> Vec<StreamStatus>;

    /// The whole state, versioned; the same state gives the same bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// Goes on from a snapshot.
    ///
    /// # Errors
    /// Why the bytes are no snapshot of this detector; the state is then unchanged.
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;

    /// Takes in the states of other instances with the same settings and reference.
    ///
    /// # Errors
    /// Why they cannot be merged; the state is then unchanged.
    fn merge(&mut self, states: &[Vec<u8>]) -> Result<(), String>;
}
