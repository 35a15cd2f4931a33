//! What the export macros expand to.
//!
//! The exports have fixed symbol names, so only one guard can have them in one binary. They exist for wasm targets
//! alone: natively a guard is a plain library, and a bench may link several.

use std::sync::{Mutex, PoisonError};

use crate::types::{Alarm, Batch, Inference, Problem, StreamStatus, Verdict};
use crate::{Detector, Guard, StreamingGuard};

/// World `validator` as `wit-component` reads it from a module.
pub const VALIDATOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/validator.component-type"));
/// World `streaming-validator`.
pub const STREAMING_VALIDATOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/streaming-validator.component-type"));
/// World `detector`.
pub const DETECTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/detector.component-type"));

const NOT_CONFIGURED: &str = "called before `configure`";

/// Where an exported guard lives between calls. The target has one thread, so the lock is never waited for.
#[derive(Debug)]
pub struct Slot<T>(Mutex<Option<T>>);

impl<T> Slot<T> {
    /// Nothing configured.
    #[expect(clippy::new_without_default, reason = "only ever the value of a static")]
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    fn with<R>(&self, action: impl FnOnce(&mut Option<T>) -> R) -> R {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_value<R>(&self, action: impl FnOnce(&mut T) -> Result<R, String>) -> Result<R, String> {
        self.with(|slot| action(slot.as_mut().ok_or(NOT_CONFIGURED)?))
    }
}

impl<G: Guard> Slot<G> {
    /// `validation.configure`
    pub fn configure(&self, settings: &str) -> Result<(), Vec<Problem>> {
        self.set(G::configure(settings)?);
        Ok(())
    }

    /// `validation.check`
    pub fn check(&self, inference: &Inference) -> Result<Verdict, String> {
        self.with_value(|guard| guard.check(inference))
    }
}

/// Where the one stream of an instance lives.
#[derive(Debug)]
pub struct StreamSlot<G: StreamingGuard>(Slot<G::Stream>);

impl<G: StreamingGuard> StreamSlot<G> {
    /// No stream begun.
    #[expect(clippy::new_without_default, reason = "only ever the value of a static")]
    pub const fn new() -> Self {
        Self(Slot::new())
    }

    /// `streaming.begin`
    pub fn begin(&self, guard: &Slot<G>, inference: Inference) -> Result<(), String> {
        self.0.set(guard.with_value(|guard| guard.begin(inference))?);
        Ok(())
    }

    /// `streaming.push`
    pub fn push(&self, guard: &Slot<G>, chunk: &str) -> Result<u64, String> {
        guard.with_value(|guard| {
            self.0.with(|stream| guard.push(stream.as_mut().ok_or("`push` before `begin`")?, chunk))
        })
    }

    /// `streaming.finish`
    pub fn finish(&self, guard: &Slot<G>) -> Result<Verdict, String> {
        let stream = self.0.with(Option::take).ok_or("`finish` before `begin`")?;
        guard.with_value(|guard| guard.finish(stream))
    }
}

/// Where an exported detector lives between calls.
#[derive(Debug)]
pub struct DetectorSlot<D>(Slot<D>);

impl<D: Detector> DetectorSlot<D> {
    /// Nothing configured.
    #[expect(clippy::new_without_default, reason = "only ever the value of a static")]
    pub const fn new() -> Self {
        Self(Slot::new())
    }

    /// `detection.configure`
    pub fn configure(&self, settings: &str, reference: &[u8]) -> Result<(), Vec<Problem>> {
        self.0.set(D::configure(settings, reference)?);
        Ok(())
    }

    /// `detection.fit`
    pub fn fit(&self, sample: &Batch) -> Result<Vec<u8>, String> {
        self.0.with_value(|detector| detector.fit(sample))
    }

    /// `detection.observe`
    pub fn observe(&self, batch: &Batch) -> Result<Vec<Alarm>, String> {
        self.0.with_value(|detector| detector.observe(batch))
    }

    /// `detection.status`; empty before `configure`.
    pub fn status(&self) -> Vec<StreamStatus> {
        self.0.with(|detector| detector.as_ref().map(D::status).unwrap_or_default())
    }

    /// `detection.snapshot`; empty before `configure`.
    pub fn snapshot(&self) -> Vec<u8> {
        self.0.with(|detector| detector.as_ref().map(D::snapshot).unwrap_or_default())
    }

    /// `detection.restore`
    pub fn restore(&self, state: &[u8]) -> Result<(), String> {
        self.0.with_value(|detector| detector.restore(state))
    }

    /// `detection.merge`
    pub fn merge(&self, states: &[Vec<u8>]) -> Result<(), String> {
        self.0.with_value(|detector| detector.merge(states))
    }
}

/// Exports a [`Guard`] as world `validator`. Does nothing for targets other than wasm.
#[macro_export]
macro_rules! export_guard {
    ($guard:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            static GUARD: $crate::export::Slot<$guard> = $crate::export::Slot::new();
            struct Export;
            $crate::__export_validation!($guard);
            $crate::__component_type!("component-type:picket:validator", VALIDATOR);
        };
    };
}

/// Exports a [`StreamingGuard`] as world `streaming-validator`. Does nothing for targets other than wasm.
#[macro_export]
macro_rules! export_streaming_guard {
    ($guard:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            static GUARD: $crate::export::Slot<$guard> = $crate::export::Slot::new();
            static STREAM: $crate::export::StreamSlot<$guard> = $crate::export::StreamSlot::new();
            struct Export;
            $crate::__export_validation!($guard);
            impl $crate::bindings::exports::picket::guard::streaming::Guest for Export {
                fn begin(inference: $crate::Inference) -> ::core::result::Result<(), ::std::string::String> {
                    STREAM.begin(&GUARD, inference)
                }
                fn push(chunk: ::std::string::String) -> ::core::result::Result<u64, ::std::string::String> {
                    STREAM.push(&GUARD, &chunk)
                }
                fn finish() -> ::core::result::Result<$crate::Verdict, ::std::string::String> {
                    STREAM.finish(&GUARD)
                }
            }
            $crate::bindings::exports::picket::guard::streaming::__export_picket_guard_streaming_0_1_0_cabi!(
                Export with_types_in $crate::bindings::exports::picket::guard::streaming
            );
            $crate::__component_type!("component-type:picket:streaming-validator", STREAMING_VALIDATOR);
        };
    };
}

/// Exports a [`Detector`] as world `detector`. Does nothing for targets other than wasm.
#[macro_export]
macro_rules! export_detector {
    ($detector:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            static DETECTOR: $crate::export::DetectorSlot<$detector> = $crate::export::DetectorSlot::new();
            struct Export;
            impl $crate::bindings::exports::picket::guard::detection::Guest for Export {
                fn describe() -> $crate::Descriptor {
                    <$detector as $crate::Detector>::describe()
                }
                fn configure(
                    settings: ::std::string::String,
                    reference: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<(), ::std::vec::Vec<$crate::Problem>> {
                    DETECTOR.configure(&settings, &reference)
                }
                fn fit(sample: $crate::Batch) -> ::core::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                    DETECTOR.fit(&sample)
                }
                fn observe(
                    batch: $crate::Batch,
                ) -> ::core::result::Result<::std::vec::Vec<$crate::Alarm>, ::std::string::String> {
                    DETECTOR.observe(&batch)
                }
                fn status() -> ::std::vec::Vec<$crate::StreamStatus> {
                    DETECTOR.status()
                }
                fn snapshot() -> ::std::vec::Vec<u8> {
                    DETECTOR.snapshot()
                }
                fn restore(state: ::std::vec::Vec<u8>) -> ::core::result::Result<(), ::std::string::String> {
                    DETECTOR.restore(&state)
                }
                fn merge(
                    states: ::std::vec::Vec<::std::vec::Vec<u8>>,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    DETECTOR.merge(&states)
                }
            }
            $crate::bindings::exports::picket::guard::detection::__export_picket_guard_detection_0_1_0_cabi!(
                Export with_types_in $crate::bindings::exports::picket::guard::detection
            );
            $crate::__component_type!("component-type:picket:detector", DETECTOR);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_validation {
    ($guard:ty) => {
        impl $crate::bindings::exports::picket::guard::validation::Guest for Export {
            fn describe() -> $crate::Descriptor {
                <$guard as $crate::Guard>::describe()
            }
            fn configure(
                settings: ::std::string::String,
            ) -> ::core::result::Result<(), ::std::vec::Vec<$crate::Problem>> {
                GUARD.configure(&settings)
            }
            fn check(
                inference: $crate::Inference,
            ) -> ::core::result::Result<$crate::Verdict, ::std::string::String> {
                GUARD.check(&inference)
            }
        }
        $crate::bindings::exports::picket::guard::validation::__export_picket_guard_validation_0_1_0_cabi!(
            Export with_types_in $crate::bindings::exports::picket::guard::validation
        );
    };
}

/// The custom section that tells which world the module belongs to.
#[doc(hidden)]
#[macro_export]
macro_rules! __component_type {
    ($section:literal, $world:ident) => {
        #[unsafe(link_section = $section)]
        #[used]
        static COMPONENT_TYPE: [u8; $crate::export::$world.len()] = {
            let mut bytes = [0; $crate::export::$world.len()];
            bytes.copy_from_slice($crate::export::$world);
            bytes
        };
    };
}
