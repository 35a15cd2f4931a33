//! What wit-bindgen makes of `wit/guard.wit`. Guards use the re-exports at the crate root; the module is public, and
//! hidden, for the export macros alone.
//!
//! One world with every interface: all guards share one set of Rust types, and each export macro picks the interfaces
//! of its own world. Which world a module belongs to is said by [`crate::export`]'s custom section.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package picket:sdk;

        world every-interface {
            export picket:guard/types@0.1.0;
            export picket:guard/validation@0.1.0;
            export picket:guard/streaming@0.1.0;
            export picket:guard/detection@0.1.0;
        }
    ",
    world: "picket:sdk/every-interface",
    pub_export_macro: true,
    additional_derives: [PartialEq],
    generate_unused_types: true,
});
