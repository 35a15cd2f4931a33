//! The generated bindings of `wit/guard.wit`, private to this crate; [`crate::types`] re-exports the plain ones.
//!
//! One world that exports every interface of the package. No component has to have it: interfaces are looked up one by
//! one, and the three worlds of the contract share one set of Rust types this way. Types that only travel to a guard
//! borrow, because the copy into the guard's memory should be the only one.
#![expect(missing_docs, reason = "generated code; what is public of it is documented where it is re-exported")]

wasmtime::component::bindgen!({
    path: "../wit/guard.wit",
    inline: "
        package picket:engine;

        world every-interface {
            export picket:guard/validation@0.1.0;
            export picket:guard/streaming@0.1.0;
            export picket:guard/detection@0.1.0;
        }
    ",
    world: "picket:engine/every-interface",
    ownership: Borrowing { duplicate_if_necessary: true },
    additional_derives: [PartialEq],
});
