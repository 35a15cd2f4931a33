//! Guards in a real registry: there and back, and from there into a box.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod oci_support;
mod support;

use oci_support::{Kind, MANIFEST, PASSWORD, Registry, configured, digest, get, place, push, sha256};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use support::service::Service;
use support::vetting::Vetting;
use support::{Ran, guard, inference};

#[test]
fn a_guard_comes_back_as_it_went_and_its_signature_with_it() {
    let Some(registry) = Registry::start(Kind::Open) else { return };
    let place = place();
    place.write("pii.wasm.sig", "a signed note\n");
    let pinned = push(&place, &registry.name("guards/pii:1.2"), "pii.wasm");
    assert!(pinned.starts_with(&registry.name("guards/pii:1.2@sha256:")), "{pinned}");

    for (reference, file) in [(registry.name("guards/pii:1.2"), "tag.wasm"), (pinned.clone(), "pin.wasm")] {
        let pulled = place.picket(&["guard", "pull", &reference, "-o", file, "--insecure"]).expect(0);
        assert!(pulled.stdout.contains(&format!("pinned     {pinned}\n")), "{}", pulled.stdout);
        assert!(std::fs::read(place.path(file)).unwrap() == std::fs::read(place.path("pii.wasm")).unwrap());
        assert_eq!(std::fs::read_to_string(place.path(&format!("{file}.sig"))).unwrap(), "a signed note\n");
    }

    // A newer signature is the one that comes; one that is pushed again is not listed twice.
    place.write("pii.wasm.sig", "a newer note\n");
    let mut again = place.command(&["guard", "push", &registry.name("guards/pii:1.2"), "pii.wasm", "--insecure"]);
    again.env("SOURCE_DATE_EPOCH", "1800000000");
    assert!(again.output().unwrap().status.success() && again.output().unwrap().status.success());
    let reference = registry.name("guards/pii:1.2");
    let pulled = place.picket(&["--json", "guard", "pull", &reference, "--insecure"]).expect(0).json().remove(0);
    assert_eq!(pulled["written"], "pii.wasm");
    assert_eq!(pulled["signatures"], 1, "the other is over another manifest: {pulled}");
    assert_eq!(std::fs::read_to_string(place.path("pii.wasm.sig")).unwrap(), "a newer note\n");
}

#[test]
fn several_signatures_over_one_guard_are_kept_and_the_newest_comes() {
    let Some(registry) = Registry::start(Kind::Open) else { return };
    let place = place();
    let reference = registry.name("guards/pii:1");
    for note in ["the first\n", "the second\n"] {
        place.write("pii.wasm.sig", note);
        let mut push = place.command(&["guard", "push", &reference, "pii.wasm", "--insecure"]);
        // The same time gives the same manifest, so that both are over the same guard.
        assert!(push.env("SOURCE_DATE_EPOCH", "1800000000").output().unwrap().status.success());
    }
    let pulled = place.picket(&["--json", "guard", "pull", &reference, "--insecure"]).expect(0).json().remove(0);
    assert_eq!(pulled["signatures"], 2, "{pulled}");
    // A guard without a signature takes the place of one with.
    std::fs::remove_file(place.path("pii.wasm.sig")).unwrap();
    let unsigned = push(&place, &registry.name("guards/unsigned:1"), "pii.wasm");
    place.write("pii.wasm.sig", "of another\n");
    let ran = place.picket(&["guard", "pull", &unsigned, "--insecure", "-o", "pii.wasm"]).expect(0);
    assert!(ran.stdout.contains("signature  none\n"), "{ran:?}");
    assert!(!place.path("pii.wasm.sig").exists());
}

#[test]
fn what_is_pushed_has_the_layout_that_other_tools_know() {
    let Some(registry) = Registry::start(Kind::Open) else { return };
    let place = place();
    place.write("pii.wasm.sig", "note");
    let pinned = push(&place, &registry.name("guards/pii:1"), "pii.wasm");
    let bytes = get(&registry, &format!("guards/pii/manifests/{}", digest(&pinned)), MANIFEST);
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&manifest["schemaVersion"], &manifest["mediaType"]), (&2.into(), &MANIFEST.into()));
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    assert_eq!(
        (&layers[0]["mediaType"], &layers[0]["size"]),
        (&"application/wasm".into(), &std::fs::metadata(place.path("pii.wasm")).unwrap().len().into())
    );
    assert_eq!(layers[0]["digest"], sha256(&place.path("pii.wasm")));
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    let config = manifest["config"]["digest"].as_str().unwrap();
    let config: Value = serde_json::from_slice(&get(&registry, &format!("guards/pii/blobs/{config}"), "*/*")).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
    assert_eq!(config["layerDigests"], Value::from(vec![layers[0]["digest"].clone()]));
    assert_eq!(config["component"]["imports"], Value::Array(Vec::new()));
    assert!(
        config["component"]["exports"]
            .as_array()
            .unwrap()
            .iter()
            .any(|name| name.as_str().unwrap().contains("picket:guard"))
    );
    assert!(config["created"].as_str().unwrap().ends_with('Z'));

    // This registry has no referrers interface: the index lies under the tag that stands for the digest.
    let tag = digest(&pinned).replace(':', "-");
    let index = get(&registry, &format!("guards/pii/manifests/{tag}"), "application/vnd.oci.image.index.v1+json");
    let index: Value = serde_json::from_slice(&index).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(entry["artifactType"], "application/vnd.picket.guard.signature.v1");
    let bytes = get(&registry, &format!("guards/pii/manifests/{}", entry["digest"].as_str().unwrap()), MANIFEST);
    let signature: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (&signature["subject"]["digest"], &signature["artifactType"]),
        (&digest(&pinned).into(), &"application/vnd.picket.guard.signature.v1".into())
    );
}

#[test]
fn a_box_runs_a_guard_by_its_digest_and_starts_without_the_registry_next_time() {
    let Some(mut registry) = Registry::start(Kind::Open) else { return };
    let place = place();
    let pinned = push(&place, &registry.name("guards/pii:1"), "pii.wasm");
    place.configure("", &configured(&registry, &pinned));

    // A dry run leaves no trace, not even what it fetched.
    place.pipe(&["check", "--dry-run"], &inference("a", "x")).expect(0);
    assert!(!place.path("data").exists());
    place.check(&inference("a", "x")).expect(0);
    registry.stop();
    place.check(&inference("b", "x")).expect(0);
    place.pipe(&["check", "--dry-run"], &inference("c", "x")).expect(0);
    let loads = place.entries("guard-load");
    assert!(loads.len() >= 2 && loads.iter().all(|load| load["body"] == loads[0]["body"]), "{loads:?}");
    place.verify();
}

#[test]
fn a_cache_can_be_filled_before_the_box_goes_where_there_is_no_network() {
    let Some(mut registry) = Registry::start(Kind::Open) else { return };
    let place = place();
    place.write("pii.wasm.sig", "note");
    let pinned = push(&place, &registry.name("guards/pii:1"), "pii.wasm");
    place.configure("", &configured(&registry, &pinned));
    let doctor = || place.picket(&["doctor"]).stdout;
    assert!(doctor().contains("0 from registries are cached and 1 are not"), "{}", doctor());
    assert!(!place.path("data").exists(), "whoever looks for faults leaves nothing behind");
    let ran = place.picket(&["guard", "pull", &pinned, "--cache"]).expect(0);
    assert!(ran.stdout.contains("data/components") && ran.stdout.contains(&pinned), "{ran:?}");
    assert!(doctor().contains("1 from registries, all in data/components"), "{}", doctor());
    let signature = place.path("data/components").join(digest(&pinned).replace(':', "-") + ".sig");
    assert_eq!(std::fs::read_to_string(&signature).unwrap(), "note");
    // It is no note, so the guard would be refused with it.
    std::fs::remove_file(signature).unwrap();
    registry.stop();
    place.check(&inference("a", "x")).expect(0);
    assert!(!place.path("data/components/.new").exists());
    std::fs::write(place.path("data/components").join(digest(&pinned).replace(':', "-")), "{}").unwrap();
    let ran = place.picket(&["doctor"]).expect(1);
    assert!(ran.stdout.contains("is not what its name says; `picket guard pull oci://"), "{ran:?}");
}

#[test]
fn without_cache_and_registry_the_message_names_guard_line_and_reference() {
    let Some(mut registry) = Registry::start(Kind::Open) else { return };
    let place = place();
    let pinned = push(&place, &registry.name("guards/pii:1"), "pii.wasm");
    place.configure("", &configured(&registry, &pinned));
    registry.stop();
    let ran = place.check(&inference("a", "x")).expect(2);
    let host = registry.host.clone();
    ran.says(&[
        "picket.toml:10: guard `pii`",
        &pinned,
        "it is not in data/components",
        &format!("{host} cannot be reached"),
    ]);
    // When it is back, so is the guard.
    registry.resume();
    place.check(&inference("a", "x")).expect(0);
}

#[test]
fn a_tag_that_is_moved_changes_nothing_for_a_box_and_says_so_to_who_pulls() {
    let Some(registry) = Registry::start(Kind::Open) else { return };
    let place = place();
    let tag = registry.name("guards/pii:1");
    let pinned = push(&place, &tag, "pii.wasm");
    let moved = push(&place, &tag, &guard("structure"));
    assert_ne!(pinned, moved);
    let ran = place.picket(&["guard", "pull", &tag, "-o", "moved.wasm", "--insecure"]).expect(0);
    assert!(ran.stdout.contains(&moved), "{ran:?}");
    assert_eq!(sha256(&place.path("moved.wasm")), sha256(Path::new(&guard("structure"))));

    place.configure("", &configured(&registry, &pinned));
    place.check(&inference("a", "x")).expect(0);
    let load = place.entries("guard-load").remove(0);
    assert!(load["body"].to_string().contains(&sha256(&place.path("pii.wasm"))[7..]), "{load}");
}

#[test]
fn a_component_that_was_altered_in_the_registry_is_refused() {
    let Some(mut registry) = Registry::start(Kind::Open) else { return };
    let place = place();
    let pinned = push(&place, &registry.name("guards/pii:1"), "pii.wasm");
    let file = registry.blob(&sha256(&place.path("pii.wasm")));
    let good = std::fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    place.configure("", &configured(&registry, &pinned));
    registry.stop();
    std::fs::write(&file, &bad).unwrap();
    registry.resume();
    let words = ["the component is not what was asked for", &sha256(&place.path("pii.wasm"))];
    place.picket(&["guard", "pull", &pinned, "-o", "x.wasm"]).expect(3).says(&words);
    assert!(!place.path("x.wasm").exists());
    place.check(&inference("a", "x")).expect(2).says(&words);
    assert!(!place.path("data/components").exists());

    // The same for the manifest. The registry itself may notice; that it does not run is what counts.
    registry.stop();
    std::fs::write(&file, &good).unwrap();
    let file = registry.blob(digest(&pinned));
    let manifest = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, manifest.replace("pii.wasm", "pij.wasm")).unwrap();
    registry.resume();
    place.check(&inference("a", "x")).expect(2).says(&["guard `pii`", &pinned]);
}

#[test]
fn a_cache_that_was_altered_is_fetched_again_or_refused() {
    let Some(mut registry) = Registry::start(Kind::Open) else { return };
    let place = place();
    let pinned = push(&place, &registry.name("guards/pii:1"), "pii.wasm");
    place.configure("", &configured(&registry, &pinned));
    place.check(&inference("a", "x")).expect(0);
    let component = sha256(&place.path("pii.wasm"));
    let cached = |digest: &str| place.path("data/components").join(digest.replace(':', "-"));
    let other = std::fs::read(guard("structure")).unwrap();
    for name in [cached(&component), cached(digest(&pinned))] {
        let good = std::fs::read(&name).unwrap();
        for bad in [Some(other.clone()), Some(Vec::new()), Some(good[..good.len() - 1].to_vec()), None] {
            if let Some(bad) = &bad {
                std::fs::write(&name, bad).unwrap();
            } else {
                std::fs::remove_file(&name).unwrap();
            }
            registry.stop();
            place.check(&inference("b", "x")).expect(2).says(&["guard `pii`", "data/components", "cannot be reached"]);
            registry.resume();
            place.check(&inference("c", "x")).expect(0);
            assert!(std::fs::read(&name).unwrap() == good, "{} is mended", name.display());
        }
    }
}

#[test]
fn a_registry_with_passwords_lets_in_who_knows_one() {
    let Some(registry) = Registry::start(Kind::Basic) else { return };
    let place = place();
    let reference = registry.name("guards/pii:1");
    place.write("password", format!("{PASSWORD}\n"));
    place.write("wrong", "battery staple\n");
    let mode = |name: &str, mode| {
        std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("password", 0o644);
    mode("wrong", 0o600);
    let as_box = |file: &'static str| {
        place.picket(&[
            "guard",
            "push",
            &reference,
            "pii.wasm",
            "--insecure",
            "--username",
            "box",
            "--password-file",
            file,
        ])
    };
    place.picket(&["guard", "push", &reference, "pii.wasm", "--insecure"]).expect(3).says(&["--password-file"]);
    as_box("wrong").expect(3).says(&["does not let us", "are name and password right?"]);
    as_box("password").expect(2).says(&["mode 0644 lets others at this password", "chmod 600"]);
    mode("password", 0o600);
    let pushed = as_box("password").expect(0);
    let pinned = pushed.stdout.lines().find_map(|line| line.strip_prefix("pinned     ")).unwrap().to_owned();

    let with = configured(&registry, &pinned);
    let host = &registry.host;
    let header = format!("[registry.\"{host}\"]\n");
    let known = with.replace(&header, &format!("{header}username = \"box\"\npassword_file = \"password\"\n"));
    place.configure("", &with);
    place.check(&inference("a", "x")).expect(2).says(&["`username` and `password_file` in its [registry] table"]);
    place.configure("", &known);
    let ran = place.check(&inference("a", "x")).expect(0);
    assert!(!ran.stderr.contains(PASSWORD), "{}", ran.stderr);
    mode("password", 0o640);
    let line = "picket.toml:7: registry.";
    place.check(&inference("a", "x")).expect(2).says(&[line, "password_file", "lets others at this password"]);
}

#[test]
fn a_registry_with_tls_is_believed_under_the_named_authority_alone() {
    let folder = tempfile::tempdir().unwrap();
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.path().join(name), params.self_signed(&key).unwrap().pem()).unwrap();
        Issuer::new(params, key)
    };
    let issuer = authority("ca.pem");
    authority("other.pem");
    let (certificate, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    let server = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, params.signed_by(&server, &issuer).unwrap().pem()).unwrap();
    std::fs::write(&key, server.serialize_pem()).unwrap();
    let Some(registry) = Registry::with(Kind::Open, Some((&certificate, &key))) else { return };

    let place = place();
    for name in ["ca.pem", "other.pem"] {
        std::fs::copy(folder.path().join(name), place.path(name)).unwrap();
    }
    let reference = registry.name("guards/pii:1");
    let push = |more: &[&str]| place.picket(&[&["guard", "push", &reference, "pii.wasm"], more].concat());
    push(&[]).expect(2).says(&["nothing says how", "--ca FILE", "--insecure"]);
    push(&["--ca", "other.pem"]).expect(3).says(&["does not come from an authority in the registry's `ca`"]);
    push(&["--insecure"]).expect(3);
    let pushed = push(&["--ca", "ca.pem"]).expect(0);
    let pinned = pushed.stdout.lines().find_map(|line| line.strip_prefix("pinned     ")).unwrap();
    place.configure("", &configured(&registry, pinned).replace("insecure = true", "ca = \"ca.pem\""));
    place.check(&inference("a", "x")).expect(0);
}

#[test]
fn only_guards_are_pushed_and_only_under_a_tag() {
    let place = place();
    let push = |reference: &str, file: &str| place.picket(&["guard", "push", reference, file, "--insecure"]).expect(2);
    place.write("text.wasm", "no component");
    place.write("import.wasm", wat::parse_str("(component (import \"x\" (func)))").unwrap());
    push("127.0.0.1:1/pii:1", "text.wasm").says(&["text.wasm: "]);
    push("127.0.0.1:1/pii:1", "import.wasm").says(&["import.wasm: is no guard or detector"]);
    push("127.0.0.1:1/pii:1", "none.wasm").says(&["there is no such file"]);
    push("127.0.0.1:1/pii", "pii.wasm").says(&["names no tag"]);
    push(&format!("127.0.0.1:1/pii:1@sha256:{}", "0".repeat(64)), "pii.wasm").says(&["carries a digest"]);
    push("pii:1", "pii.wasm").says(&["names no registry and repository"]);
    place.write("pii.wasm.sig", vec![b'x'; (64 << 10) + 1]);
    push("127.0.0.1:1/pii:1", "pii.wasm").says(&["pii.wasm.sig has more than 65536 bytes"]);
    place.picket(&["guard", "pull", "127.0.0.1:1/pii", "--insecure"]).expect(2).says(&["neither a tag nor a digest"]);
}

#[test]
fn a_signature_travels_with_its_guard_and_counts_for_the_trust_policy() {
    let Some(mut registry) = Registry::start(Kind::Open) else { return };
    let vetting = Vetting::new(&["a"]);
    let place = &vetting.place;
    let reference = registry.name("guards/pii:1");
    let push = || {
        let mut push = place.command(&["--json", "guard", "push", &reference, "pii.wasm", "--insecure"]);
        let pushed = Ran::of(push.env("SOURCE_DATE_EPOCH", "1800000000").output().unwrap()).expect(0).json().remove(0);
        pushed["reference"].as_str().unwrap().to_owned()
    };
    let pinned = push();
    let trust = format!("[trust.keys]\na = \"{}\"\n", vetting.public("a"));
    place.configure("", &format!("{}{trust}", configured(&registry, &pinned)));
    place.check(&inference("a", "x")).expect(2).says(&["guard `pii`", &pinned, "nobody signed"]);

    // The component is in the cache by now, and its signature is looked for until there is one.
    vetting.sign("a");
    assert_eq!(push(), pinned, "a signature does not change what it is over");
    place.check(&inference("a", "x")).expect(0);
    registry.stop();
    place.check(&inference("b", "x")).expect(0);
    for load in vetting.loads() {
        assert_eq!(load["signers"], serde_json::json!([vetting.id("a")]), "{load}");
    }
    // The signature in the cache is no more believed than one in a file.
    let cached = place.path("data/components").join(digest(&pinned).replace(':', "-") + ".sig");
    let note = std::fs::read_to_string(&cached).unwrap();
    for bad in [note.replace("name pii", "name pij").into_bytes(), b"\xff".to_vec()] {
        std::fs::write(&cached, bad).unwrap();
        place.check(&inference("c", "x")).expect(2).says(&["guard `pii`", &pinned, "signature"]);
    }
}

#[test]
fn a_running_box_fetches_what_a_reload_names_and_keeps_its_guard_when_it_cannot() {
    let Some(mut registry) = Registry::start(Kind::Open) else { return };
    let place = place();
    let old = push(&place, &registry.name("guards/g:1"), "pii.wasm");
    let new = push(&place, &registry.name("guards/g:2"), &guard("structure"));
    place.configure("", &configured(&registry, &old));
    let service = Service::start(&place);
    place.configure("", &configured(&registry, &new));
    registry.stop();
    place.picket(&["reload"]).expect(2).says(&["guard `pii`", &new, "cannot be reached"]);
    service.post(inference("a", "x").trim()).expect(200);
    registry.resume();
    place.picket(&["reload"]).expect(0);
    service.post(inference("b", "x").trim()).expect(200);
}
