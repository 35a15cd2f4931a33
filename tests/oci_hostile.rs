//! Registries that lie, stall and lead astray: each ends in a message that names what is wrong, and in no file.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod oci_support;
mod support;

use oci_support::honest::{
    COMPONENT, INDEX, MANIFEST, SIGNATURE, config, descriptor, digest, honest, is_component, manifest,
};
use oci_support::scripted::{Reply, Request, Scripted};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use support::{Place, Ran, guard};

/// Pulls `reference` with little patience.
#[track_caller]
fn pull(reference: &str, more: &[&str]) -> (Place, Ran) {
    let place = Place::new("", "");
    let fixed = ["guard", "pull", reference, "-o", "x.wasm", "--insecure", "--timeout", "2s"];
    let ran = place.picket(&[&fixed, more].concat());
    assert_eq!(place.path("x.wasm").exists(), ran.code == Some(0), "{ran:?}");
    let left: Vec<_> = std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.len() <= 3, "{left:?}");
    (place, ran)
}

/// A pull from a registry that answers like this fails with these words.
#[track_caller]
fn refused(words: &[&str], answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
    let server = Scripted::start(answer);
    let (_, ran) = pull(&server.name("guards/pii:1"), &[]);
    ran.expect(3).says(words);
}

#[test]
fn what_an_honest_registry_gives_is_taken() {
    let server = Scripted::start(|request| honest(request, &manifest()));
    let (place, ran) = pull(&server.name("guards/pii:1"), &[]);
    let pinned = server.name(&format!("guards/pii:1@{}", digest(manifest().to_string().as_bytes())));
    assert!(ran.expect(0).stdout.contains(&pinned));
    assert_eq!(std::fs::read(place.path("x.wasm")).unwrap(), COMPONENT);
}

#[test]
fn content_that_is_not_what_its_digest_says_is_refused() {
    // As long as what was asked for, and another.
    let mut other = COMPONENT.to_vec();
    other[0] ^= 1;
    refused(&["the component is not what was asked for", &digest(&other), &digest(COMPONENT)], move |request| {
        if is_component(request) { Reply::of("application/wasm", other.clone()) } else { honest(request, &manifest()) }
    });
    let longer = [COMPONENT, b"x"].concat();
    refused(&["the component has 34 bytes where its manifest says 33"], move |request| {
        if is_component(request) { Reply::of("application/wasm", longer.clone()) } else { honest(request, &manifest()) }
    });
    refused(&["the component has 32 bytes where its manifest says 33"], |request| {
        let shorter = &COMPONENT[..32];
        if is_component(request) { Reply::of("application/wasm", shorter) } else { honest(request, &manifest()) }
    });
    refused(&["the manifest is not what was asked for"], |request| match honest(request, &manifest()) {
        Reply::Whole(200, mut headers, body) => {
            headers.push(("docker-content-digest", digest(b"another")));
            Reply::Whole(200, headers, body)
        }
        other => other,
    });
    let server = Scripted::start(|_| Reply::of(MANIFEST, manifest().to_string()));
    let (_, ran) = pull(&server.name(&format!("guards/pii@{}", digest(b"old"))), &[]);
    ran.expect(3).says(&["the manifest is not what was asked for", &digest(b"old")]);
}

#[test]
fn bodies_without_an_end_and_sizes_without_measure_are_cut_off() {
    refused(&["the manifest has more than 4194304 bytes"], |_| {
        Reply::Endless(vec![("content-type", MANIFEST.to_owned())])
    });
    refused(&["the component has 34 bytes where its manifest says 33"], |request| {
        if is_component(request) { Reply::Endless(Vec::new()) } else { honest(request, &manifest()) }
    });
    refused(&["the manifest has more than 4194304 bytes"], |_| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {MANIFEST}\r\ncontent-length: 99999999999\r\n\r\n");
        Reply::Silent(head.into_bytes())
    });
    for size in [json!((64 << 20) + 1), json!(u64::MAX)] {
        let mut huge = manifest();
        huge["layers"][0]["size"] = size;
        refused(&["the component has more than 67108864 bytes"], move |request| honest(request, &huge));
    }
}

#[test]
fn a_registry_that_stops_talking_is_given_up() {
    refused(&["has not gone on with the manifest for 2 s"], |_| Reply::Silent(Vec::new()));
    refused(&["has not gone on with the manifest for 2 s"], |_| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {MANIFEST}\r\ncontent-length: 100\r\n\r\n{{\"schema");
        Reply::Silent(head.into_bytes())
    });
    refused(&["cannot be reached"], |_| Reply::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()));
    refused(&["cannot be reached"], |request| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 33\r\n\r\nnot".to_vec();
        if is_component(request) { Reply::Raw(head) } else { honest(request, &manifest()) }
    });
}

#[test]
fn manifests_of_something_else_are_refused_by_what_is_wrong() {
    let cases: Vec<(Value, &str)> = vec![
        (json!({ "schemaVersion": 1 }), "its schemaVersion is not 2"),
        (json!({ "schemaVersion": 2, "layers": [] }), "missing field `config`"),
        (json!([]), "the manifest is malformed"),
        (json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }), "an index of 0 artifacts"),
        (
            with("/mediaType", json!("application/vnd.docker.distribution.manifest.v2+json")),
            "is of type `application/vnd.docker",
        ),
        (with("/config/mediaType", json!("application/vnd.oci.image.config.v1+json")), "the configuration is of type"),
        (with("/config/digest", json!("md5:00")), "`md5:00` is no SHA-256 digest"),
        (with("/config/digest", json!("../../x")), "`../../x` is no SHA-256 digest"),
        (with("/layers", json!([])), "it has 0 layers; exactly one is wanted"),
        (
            with("/layers", json!([descriptor("application/wasm", b"a"), descriptor("application/wasm", b"b")])),
            "it has 2 layers",
        ),
        (with("/layers/0/mediaType", json!("application/vnd.oci.image.layer.v1.tar+gzip")), "the layer is of type"),
        (with("/layers/0/size", json!(-1)), "the manifest is malformed"),
        (with("/layers/0/digest", json!("\u{1b}[2J")), "`\\u{1b}[2J` is no SHA-256 digest"),
    ];
    for (manifest, words) in cases {
        refused(&[words], move |request| honest(request, &manifest));
    }
    refused(&["the manifest is malformed"], |_| Reply::of(MANIFEST, "{"));
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let deep = format!("{{\"schemaVersion\":2,\"config\":{{\"x\":{open}{close}}},\"layers\":[]}}");
    refused(&["recursion limit"], move |_| Reply::of(MANIFEST, deep.clone()));
    refused(&["the manifest is of type `text/html`"], |_| Reply::of("text/html; charset=utf-8", "<html>"));
}

fn with(pointer: &str, value: Value) -> Value {
    let mut manifest = manifest();
    *manifest.pointer_mut(pointer).unwrap() = value;
    manifest
}

#[test]
fn a_configuration_about_another_component_is_refused() {
    for (change, words) in [
        (json!({ "architecture": "amd64" }), "its architecture is `amd64`; `wasm` is wanted"),
        (json!({ "os": "linux" }), "its os is `linux`"),
        (json!({ "layerDigests": [digest(b"another")] }), "its layerDigests are not those of the manifest"),
        (json!({ "created": 1 }), "the configuration is malformed"),
    ] {
        let mut config: Value = serde_json::from_slice(&config()).unwrap();
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let config = config.to_string().into_bytes();
        let manifest = with("/config", descriptor("application/vnd.wasm.config.v0+json", &config));
        refused(&[words], move |request| {
            let asked = request.path.ends_with(&digest(&config));
            if asked { Reply::of("application/json", config.clone()) } else { honest(request, &manifest) }
        });
    }
}

#[test]
fn redirections_end_and_stay_with_http() {
    refused(&["it has been sent on too often"], |request| Reply::to(request.path.clone()));
    refused(&["`file:///etc/passwd`, which is not followed: it is neither http nor https"], |_| {
        Reply::to("file:///etc/passwd")
    });
    refused(&["no valid Location"], |_| Reply::status(302));
    // Storage behind a registry is followed, and what it gives is verified like everything else.
    let storage = Scripted::start(|request| honest(request, &manifest()));
    let elsewhere = storage.host.clone();
    let server = Scripted::start(move |request| match is_component(request) {
        true => Reply::to(format!("http://{elsewhere}{}", request.path)),
        false => honest(request, &manifest()),
    });
    pull(&server.name("guards/pii:1"), &[]).1.expect(0);
    assert_eq!(storage.seen().len(), 1);
}

/// Writes a password and pulls with it.
fn pull_as_box(reference: &str, more: &[&str]) -> Ran {
    let place = Place::new("", "");
    place.write("password", "correct horse");
    std::fs::set_permissions(place.path("password"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let fixed = ["guard", "pull", reference, "--insecure", "--username", "box", "--password-file", "password"];
    let ran = place.picket(&[&fixed, more].concat());
    // Neither the password nor its base64.
    for secret in ["correct horse", "Ym94OmNvcnJlY3QgaG9yc2U"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran:?}");
    }
    ran
}

const BASIC: &str = "Basic Ym94OmNvcnJlY3QgaG9yc2U=";

#[test]
fn credentials_are_shown_to_the_registry_that_asks_and_to_nobody_else() {
    let storage = Scripted::start(|request| match request.header("authorization") {
        Some(_) => Reply::status(500),
        None => honest(request, &manifest()),
    });
    let elsewhere = storage.host.clone();
    let server = Scripted::start(move |request| match request.header("authorization") {
        Some(BASIC) if is_component(request) => Reply::to(format!("http://{elsewhere}{}", request.path)),
        Some(BASIC) => honest(request, &manifest()),
        _ => Reply::challenge("Basic realm=\"x\""),
    });
    pull_as_box(&server.name("guards/pii:1"), &[]).expect(0);
    assert_eq!(storage.seen().len(), 1);
    assert!(server.seen()[0].header("authorization").is_none(), "nothing is shown before it is asked for");

    // Storage that asks as well gets nothing.
    let greedy = Scripted::start(|_| Reply::challenge("Basic realm=\"x\""));
    let elsewhere = greedy.host.clone();
    let server = Scripted::start(move |request| match is_component(request) {
        true => Reply::to(format!("http://{elsewhere}{}", request.path)),
        false => honest(request, &manifest()),
    });
    pull_as_box(&server.name("guards/pii:1"), &[])
        .expect(3)
        .says(&["is not the registry that the credentials are for"]);
    assert!(greedy.seen().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn a_registry_that_is_never_content_is_asked_twice_at_most() {
    let server = Scripted::start(|_| Reply::challenge("Basic realm=\"x\""));
    pull_as_box(&server.name("guards/pii:1"), &[]).expect(3).says(&["says no all the same"]);
    assert_eq!(server.seen().len(), 2);
    for (challenge, words) in [
        ("Negotiate", "in no way that is known here"),
        ("Bearer realm=\"nowhere\"", "names `nowhere` for tokens, which is no address"),
        ("Bearer realm=\"ftp://127.0.0.1/\"", "it is neither http nor https"),
    ] {
        let server = Scripted::start(move |_| Reply::challenge(challenge));
        pull_as_box(&server.name("guards/pii:1"), &[]).expect(3).says(&[words]);
    }
}

/// A registry that wants a token, and the server that gives it to whom it likes.
fn with_tokens(give: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Scripted, Scripted) {
    let tokens = Scripted::start(give);
    let realm =
        format!("Bearer realm=\"http://{}/token\",service=\"r\",scope=\"repository:guards/pii:pull\"", tokens.host);
    let server = Scripted::start(move |request| match request.header("authorization") {
        Some("Bearer secret-token") => honest(request, &manifest()),
        _ => Reply::challenge(realm.clone()),
    });
    (server, tokens)
}

#[test]
fn tokens_are_fetched_and_credentials_go_only_to_a_token_server_that_is_named() {
    // Anybody gets a token: the credentials stay here all the same.
    let (server, tokens) = with_tokens(|_| Reply::of("application/json", r#"{"token":"secret-token"}"#));
    pull_as_box(&server.name("guards/pii:1"), &[]).expect(0);
    let asked = tokens.seen();
    assert_eq!(asked.len(), 1, "one token serves for all requests");
    assert_eq!(asked[0].path, "/token?service=r&scope=repository%3Aguards%2Fpii%3Apull");
    assert!(asked[0].header("authorization").is_none());

    let for_box = |request: &Request| match request.header("authorization") {
        Some(BASIC) => Reply::of("application/json", r#"{"access_token":"secret-token","expires_in":60}"#),
        _ => Reply::status(401),
    };
    let (server, tokens) = with_tokens(for_box);
    let ran = pull_as_box(&server.name("guards/pii:1"), &[]).expect(3);
    ran.says(&[&format!("set `token_server = \"{}\"`", tokens.host)]);
    let ran = pull_as_box(&server.name("guards/pii:1"), &["--token-server", &tokens.host]).expect(0);
    assert!(!ran.stderr.contains("secret-token"), "{}", ran.stderr);
}

#[test]
fn answers_of_token_servers_are_bounded_and_not_repeated() {
    for (body, words) in [
        (r#"{"token":7,"x":"secret"}"#.to_owned(), "it is not JSON with a `token`"),
        ("{}".to_owned(), "the answer has no `token`"),
        (r#"{"token":"a\nb"}"#.to_owned(), "characters that no header may have"),
        (" ".repeat(70_000), "a request for a token has more than 65536 bytes"),
    ] {
        let (server, _tokens) = with_tokens(move |_| Reply::of("application/json", body.clone()));
        let ran = pull_as_box(&server.name("guards/pii:1"), &[]).expect(3).says(&[words]);
        assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    }
    let (server, _tokens) = with_tokens(|_| Reply::to("http://127.0.0.1:1/"));
    pull_as_box(&server.name("guards/pii:1"), &[]).expect(3).says(&["answers 307 to a request for a token"]);
}

#[test]
fn complaints_of_a_registry_are_shown_without_what_a_terminal_would_obey() {
    refused(&["answers 500 to the manifest: NAME_INVALID: \\u{1b}]0;x"], |_| {
        let body = r#"{"errors":[{"code":"NAME_INVALID","message":"\u001b]0;x"}]}"#;
        Reply::Whole(500, Vec::new(), body.into())
    });
    refused(&["answers 502 to the manifest"], |_| Reply::Whole(502, Vec::new(), vec![b'x'; 1 << 20]));
    refused(&["does not let us at the manifest: DENIED"], |_| {
        Reply::Whole(403, Vec::new(), r#"{"errors":[{"code":"DENIED"}]}"#.into())
    });
    refused(&["does not have oci://"], |_| Reply::status(404));
}

/// A manifest of a signature, and an index that lists it.
fn signed(signature: &[u8], subject: &[u8]) -> (Vec<u8>, Value) {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": SIGNATURE,
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor(SIGNATURE, signature)], "subject": descriptor(MANIFEST, subject),
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["artifactType"] = SIGNATURE.into();
    (manifest, json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] }))
}

#[test]
fn signatures_come_through_the_referrers_interface_and_are_checked() {
    let guard = manifest().to_string().into_bytes();
    let serve = |signature: &'static [u8], about: Vec<u8>, given: &'static [u8]| {
        let (manifest_of, index) = signed(signature, &about);
        move |request: &Request| match request.path.split('?').next().unwrap() {
            path if path.contains("/referrers/sha256:") => Reply::of(INDEX, index.to_string()),
            path if path.ends_with(&digest(&manifest_of)) => Reply::of(MANIFEST, manifest_of.clone()),
            path if path.ends_with(&digest(signature)) => Reply::of("application/octet-stream", given),
            _ => honest(request, &manifest()),
        }
    };
    let server = Scripted::start(serve(b"a note", guard.clone(), b"a note"));
    let (place, ran) = pull(&server.name("guards/pii:1"), &[]);
    ran.expect(0);
    assert_eq!(std::fs::read(place.path("x.wasm.sig")).unwrap(), b"a note");
    refused(&["the signature is not what was asked for"], serve(b"a note", guard.clone(), b"b note"));
    refused(&["it is about another guard"], serve(b"a note", b"another".to_vec(), b"a note"));
    const HUGE: &[u8] = &[b'x'; (64 << 10) + 1];
    refused(&["the signature has more than 65536 bytes"], serve(HUGE, guard, HUGE));
}

/// Just enough of a registry that lists what refers to what, as version 1.1 of the specification says.
#[test]
fn a_registry_that_knows_subjects_gets_no_index_of_ours() {
    let stored: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = stored.clone();
    let server = Scripted::start(move |request| {
        let path = request.path.split('?').next().unwrap().to_owned();
        match request.method.as_str() {
            "POST" => Reply::Whole(202, vec![("location", format!("{path}session?state=a%2Fb"))], Vec::new()),
            "PUT" => {
                kept.lock().unwrap().push(request.path.clone());
                let subject = serde_json::from_slice::<Value>(&request.body).ok();
                let subject =
                    subject.and_then(|manifest| Some(manifest.get("subject")?["digest"].as_str()?.to_owned()));
                let header = subject.map(|subject| ("oci-subject", subject));
                Reply::Whole(201, header.into_iter().collect(), Vec::new())
            }
            _ => Reply::status(404),
        }
    });
    let place = Place::new("", "");
    std::fs::copy(guard("pii"), place.path("pii.wasm")).unwrap();
    place.write("pii.wasm.sig", "note");
    place.picket(&["guard", "push", &server.name("guards/pii:1"), "pii.wasm", "--insecure"]).expect(0);
    let paths = stored.lock().unwrap().clone();
    let component = digest(&std::fs::read(place.path("pii.wasm")).unwrap()).replace(':', "%3A");
    let upload = format!("/v2/guards/pii/blobs/uploads/session?state=a%2Fb&digest={component}");
    assert!(paths.contains(&upload), "{paths:?}");
    assert!(paths.contains(&"/v2/guards/pii/manifests/1".to_owned()), "{paths:?}");
    assert!(!paths.iter().any(|path| path.contains("manifests/sha256-")), "{paths:?}");
}

#[test]
fn uploads_go_to_the_registry_alone_and_what_it_stored_is_checked() {
    let push = |answer: fn(&Request) -> Reply| {
        let server = Scripted::start(answer);
        let place = Place::new("", "");
        let component = guard("pii");
        place
            .picket(&["guard", "push", &server.name("guards/pii:1"), &component, "--insecure", "--timeout", "2s"])
            .expect(3)
    };
    push(|request| match request.method.as_str() {
        "POST" => Reply::Whole(202, vec![("location", "http://127.0.0.1:1/upload".into())], Vec::new()),
        _ => Reply::status(404),
    })
    .says(&["`127.0.0.1:1`, which is not followed: uploads go to the registry itself"]);
    push(|request| match request.method.as_str() {
        "HEAD" => Reply::status(200),
        _ => Reply::Whole(201, vec![("docker-content-digest", digest(b"another"))], Vec::new()),
    })
    .says(&["the manifest is not what was asked for"]);
    push(|request| Reply::status(if request.method == "HEAD" { 200 } else { 507 }))
        .says(&["answers 507 to the manifest"]);
    push(|request| Reply::status(if request.method == "HEAD" { 404 } else { 200 }))
        .says(&["answers 200 to the configuration"]);
}
