//! The C bindings in the template of a guard are what wit-bindgen makes of the contract, byte for byte.
//!
//! `cargo run --manifest-path plugins/templates/bindings/Cargo.toml` fails when they are not; with `-- --write` it writes
//! them anew, after a change of the contract or of wit-bindgen.

use std::error::Error;
use std::fs;
use std::path::Path;

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

fn main() -> Result<(), Box<dyn Error>> {
    let write = std::env::args().any(|argument| argument == "--write");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(here.join("../../../wit"))?;
    let world = resolve.select_world(&[package], Some("validator"))?;
    // `picket guard build` puts the world into the module itself.
    let options = wit_bindgen_c::Opts { no_object_file: true, ..wit_bindgen_c::Opts::default() };
    let mut made = Files::default();
    options.build().generate(&mut resolve, world, &mut made)?;

    let mut stale = Vec::new();
    for (name, bytes) in made.iter() {
        let path = here.join("../c/bindings").join(name);
        if write {
            fs::write(&path, bytes)?;
        } else if fs::read(&path)? != bytes {
            stale.push(name.to_owned());
        }
    }
    if stale.is_empty() { Ok(()) } else { Err(format!("out of date: {}; run with --write", stale.join(", ")).into()) }
}
