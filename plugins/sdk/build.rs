//! Encodes each world of `wit/guard.wit` the way `wit-component` reads it back from a core module.
//!
//! wit-bindgen would do this itself if each world had its own bindings; they share one set of types instead, see
//! `src/bindings.rs`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use wit_component::StringEncoding;
use wit_parser::Resolve;

fn main() -> Result<(), Box<dyn Error>> {
    let wit = Path::new("../../wit");
    println!("cargo:rerun-if-changed={}", wit.display());
    println!("cargo:rerun-if-changed=build.rs");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for name in ["validator", "streaming-validator", "detector"] {
        let world = resolve.select_world(&[package], Some(name))?;
        let bytes = wit_component::metadata::encode(&resolve, world, StringEncoding::UTF8, None, false)?;
        fs::write(out.join(format!("{name}.component-type")), bytes)?;
    }
    Ok(())
}
