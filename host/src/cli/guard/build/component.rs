//! From what a language's tools have made to a guard: a component of one of the contract's worlds that imports nothing
//! and says what limits it asks for.

use super::manifest::Manifest;
use crate::cli::BadInput;
use picket_engine::{Inspection, LIMITS_SECTION};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What stands at the beginning of a core module; a component has another version.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// The custom sections in which wit-bindgen puts a module's world begin so.
const WORLD_SECTION: &[u8] = b"component-type";

/// Makes the guard, and checks it as a load would.
pub(super) fn finish(manifest: &Manifest, made: Vec<u8>) -> anyhow::Result<(Vec<u8>, Inspection)> {
    let mut component = if made.starts_with(MODULE) { componentize(manifest, made)? } else { made };
    let limits = manifest.limits.to_json();
    if limits != "{}" {
        push_custom_section(&mut component, LIMITS_SECTION, limits.as_bytes());
    }
    let name = &manifest.name;
    let inspection = picket_engine::inspect(&component).map_err(|error| BadInput(format!("{name}: {error}")))?;
    if !inspection.imports.is_empty() {
        let imports = inspection.imports.join(", ");
        let message = "guards import nothing: no clock, no files, no randomness, no network. Leave out what needs them";
        return Err(BadInput(format!("{name} imports {imports}, and {message}")).into());
    }
    match inspection.world {
        Some(world) if world.name() == manifest.world => Ok((component, inspection)),
        found => {
            let found = found.map_or("none of picket:guard", |world| world.name());
            let wanted = &manifest.world;
            Err(BadInput(format!("{name} has world {found}, and guard.toml says {wanted}")).into())
        }
    }
}

fn componentize(manifest: &Manifest, mut module: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if !module.windows(WORLD_SECTION.len()).any(|window| window == WORLD_SECTION) {
        let folder = manifest.folder.join("wit");
        let bad = |error| BadInput(format!("{}: {error:#}", folder.display()));
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(&folder).map_err(bad)?;
        let world = resolve.select_world(&[package], Some(&manifest.world)).map_err(bad)?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).map_err(bad)?;
    }
    let wrong = |error| BadInput(format!("{}: the module does not fit its world: {error:#}", manifest.name));
    let mut encoder = ComponentEncoder::default();
    Ok(encoder.validate(true).module(&module).and_then(ComponentEncoder::encode).map_err(wrong)?)
}

/// Custom section: id 0, size, length of the name, name, contents (WebAssembly core specification, 5.5.3).
fn push_custom_section(wasm: &mut Vec<u8>, name: &str, contents: &[u8]) {
    let mut body = Vec::new();
    push_leb128(&mut body, name.len());
    body.extend(name.as_bytes());
    body.extend(contents);
    wasm.push(0);
    push_leb128(wasm, body.len());
    wasm.extend(body);
}

fn push_leb128(wasm: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            return wasm.push(byte);
        }
        wasm.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use picket_engine::Declared;

    fn manifest() -> Manifest {
        Manifest {
            folder: std::path::Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(),
            name: "a".to_owned(),
            lang: super::super::Lang::C,
            world: "validator".to_owned(),
            limits: Declared { memory_bytes: Some(1 << 24), ..Declared::default() },
        }
    }

    fn finish_text(text: &str) -> String {
        finish(&manifest(), wat::parse_str(text).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn sections_are_read_back() {
        for length in [0, 127, 128, 20_000] {
            let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
            let contents = vec![b' '; length];
            push_custom_section(&mut wasm, "other", &contents);
            push_custom_section(&mut wasm, LIMITS_SECTION, br#"{"findings":3}"#);
            assert_eq!(Declared::read(&wasm).unwrap().unwrap().findings, Some(3));
        }
    }

    #[test]
    fn what_is_no_guard_is_refused() {
        let import = r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func)))))"#;
        assert!(finish_text(import).contains("wasi:clocks/wall-clock@0.2.0#now"), "{}", finish_text(import));
        assert!(finish_text("(component)").contains("none of picket:guard"));
        let module = r#"(module (memory (export "memory") 1))"#;
        assert!(finish_text(module).contains("does not fit its world"), "{}", finish_text(module));
        let module = r#"(module (import "env" "log" (func)))"#;
        assert!(finish_text(module).contains("env"), "{}", finish_text(module));
    }
}
