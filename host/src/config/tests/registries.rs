//! `[registry]` and components by reference, right and wrong.

use super::*;
use crate::oci::Link;
use std::os::unix::fs::PermissionsExt as _;

/// Loads this table of a registry on loopback, and this reference.
fn with(registry: &str, component: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, mode) in [("password", 0o600), ("loose", 0o644), ("empty", 0o600)] {
        let path = folder.path().join(name);
        std::fs::write(&path, if name == "empty" { "\n" } else { "secret\nsecond line" }).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let file = folder.path().join("picket.toml");
    let guard = format!("[[guard]]\nname = \"pii\"\ncomponent = \"{component}\"\n");
    std::fs::write(&file, format!("[edge]\nid = \"box\"\n{registry}\n{guard}")).unwrap();
    load(&file).map_err(|error| error.to_string().split_once("picket.toml").unwrap().1.to_owned())
}

const PINNED: &str =
    "oci://127.0.0.1:5000/pii:1@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// A table of a registry on loopback with these lines.
fn table(lines: &str) -> String {
    format!("[registry.\"127.0.0.1:5000\"]\n{lines}")
}

#[test]
fn a_guard_by_reference_is_read_with_the_way_to_its_registry() {
    let lines = "insecure = true\nusername = \"box\"\npassword_file = \"password\"\ntoken_server = \"localhost:5001\"\ntimeout = \"3s\"";
    let config = with(&table(lines), PINNED).unwrap();
    let Component::Oci(pinned) = &config.guards[0].component else { panic!("it is a reference") };
    assert_eq!((config.guards[0].component.to_string(), pinned.to_string()), (PINNED.to_owned(), PINNED.to_owned()));
    let access = &config.registries["127.0.0.1:5000"];
    assert!(matches!(access.link, Link::Plain));
    assert_eq!(access.credentials.as_ref().unwrap().password.as_str(), "secret");
    assert_eq!((access.token_server.as_deref(), access.timeout), (Some("localhost:5001"), Duration::from_secs(3)));
    assert!(!format!("{config:?}").contains("secret"), "no configuration shows a password");
    let config = with(&table("insecure = true"), PINNED).unwrap();
    assert_eq!(config.registries["127.0.0.1:5000"].timeout, Duration::from_secs(10));
}

#[test]
fn every_mistake_about_a_registry_is_named_with_line_and_key() {
    let plain = "insecure = true";
    let tag = "oci://127.0.0.1:5000/pii:1";
    let far = "[registry.\"registry.example\"]\ninsecure = true\nusername = \"box\"\npassword_file = \"password\"";
    for (registry, component, expected) in [
        (table(plain), tag, ":7: guard.pii.component: `oci://127.0.0.1:5000/pii:1` names no digest"),
        (table(plain), "oci://pii", ":7: guard.pii.component: `oci://pii` names no registry"),
        (String::new(), PINNED, "guard.pii.component: there is no [registry.\"127.0.0.1:5000\"]; add one with `ca`"),
        (table(""), PINNED, ":3: registry.127.0.0.1:5000: needs `ca`"),
        ("[registry.x]\ninsecure = true".into(), PINNED, ":3: registry.x: is no registry"),
        (table("insecure = true\nca = \"password\""), PINNED, ":5: registry.127.0.0.1:5000.ca: there is no TLS"),
        (table("ca = \"password\""), PINNED, ":4: registry.127.0.0.1:5000.ca: "),
        (table("ca = \"none.pem\""), PINNED, "none.pem cannot be opened"),
        (
            table("insecure = true\nusername = \"box\""),
            PINNED,
            ":5: registry.127.0.0.1:5000.username: needs `password_file`",
        ),
        (table("insecure = true\npassword_file = \"password\""), PINNED, "password_file: needs `username`"),
        (table("insecure = true\nusername = \"b\"\npassword_file = \"loose\""), PINNED, "mode 0644 lets others"),
        (table("insecure = true\nusername = \"b\"\npassword_file = \"empty\""), PINNED, "begins with an empty line"),
        (far.into(), PINNED, ":6: registry.registry.example.password_file: the password would cross the network"),
        (table("insecure = true\ntoken_server = \"http://x\""), PINNED, "token_server: `http://x` is not `host:port`"),
        (
            table("insecure = true\ntimeout = \"3\""),
            PINNED,
            ":5: registry.127.0.0.1:5000.timeout: `3` is not a duration",
        ),
        (table("insecure = true\npassword = \"x\""), PINNED, "unknown field `password`"),
    ] {
        let message = with(&registry, component).unwrap_err();
        assert!(message.contains(expected), "{registry}: {message}");
    }
}
