//! What wit-bindgen makes of `wit/guard.wit`. Public only for the export macros; guards use the re-exports
//! at the crate root.
#![expect(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the WIT documents it"
)]

/// World `validator`, and the types that every world shares.
pub mod validator {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "validator",
        pub_export_macro: true,
        default_bindings_module: "picket_sdk::bindings::validator",
        export_macro_name: "export_validator",
        additional_derives: [PartialEq],
        generate_unused_types: true,
    });
}

/// The interface `streaming` by itself: a guard of world `streaming-validator` exports it beside world
/// `validator`, and wit-component unites the two. (Generating the whole world here would define the
/// export macro of `validation` twice.)
pub mod streaming {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package picket:sdk;
            world streaming-only { export picket:guard/streaming@0.1.0; }
        ",
        pub_export_macro: true,
        default_bindings_module: "picket_sdk::bindings::streaming",
        export_macro_name: "export_streaming",
        additional_derives: [PartialEq],
        with: { "picket:guard/types@0.1.0": super::validator::picket::guard::types },
    });
}

/// World `detector`.
pub mod detector {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "detector",
        pub_export_macro: true,
        default_bindings_module: "picket_sdk::bindings::detector",
        export_macro_name: "export_detector_world",
        additional_derives: [PartialEq],
        with: { "picket:guard/types@0.1.0": super::validator::picket::guard::types },
    });
}
