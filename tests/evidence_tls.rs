//! TLS between a box and the real auditor: who is let in, who is not, and what is said about it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod evidence_support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use evidence_support::{Auditor, EdgeBox, Server};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority of the test's own.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Writes `<name>.pem` and `<name>.key` for a host or client.
    fn issue(&self, folder: &Path, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        write(folder, &format!("{name}.pem"), &params.signed_by(&key, &self.issuer).unwrap().pem(), 0o644);
        write(folder, &format!("{name}.key"), &key.serialize_pem(), 0o600);
    }
}

fn write(folder: &Path, name: &str, text: &str, mode: u32) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// An auditor, a box that knows its authority, and one judged inference.
struct Pair {
    edge: EdgeBox,
    auditor: Auditor,
    authority: Authority,
}

impl Pair {
    fn new() -> Self {
        let pair = Self { edge: EdgeBox::new(), auditor: Auditor::new(), authority: Authority::new() };
        pair.edge.judge(&["a"]);
        pair.auditor.enrol(&pair.edge);
        write(pair.edge.folder.path(), "ca.pem", &pair.authority.certificate, 0o644);
        write(pair.auditor.folder.path(), "ca.pem", &pair.authority.certificate, 0o644);
        pair.authority.issue(pair.auditor.folder.path(), "server", |_| {});
        pair
    }

    fn serve(&self, more: &str) -> Server {
        self.auditor.configure(&format!("[tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n{more}\n"));
        self.auditor.serve()
    }

    /// Configures the box for `https` with more lines in `[auditor]`.
    fn https(&self, server: &Server, more: &str) {
        let section = self.auditor.section(&server.address).replace("http://", "https://");
        self.edge.configure(&format!("{section}\n{more}\n"));
    }
}

#[test]
fn a_box_that_knows_the_authority_gets_its_receipts() {
    let pair = Pair::new();
    let server = pair.serve("");
    pair.https(&server, "ca = \"ca.pem\"\nbandwidth = \"1MiB/s\"");
    pair.edge.picket(&["sync", "--once"]).ok();
    // The command line beside the server needs no certificate: it comes by a socket of its own.
    assert!(pair.auditor.run(&["trace", "a", "--json"]).ok().contains("\"a\""));
    server.stop();
    // A certificate that nobody signed but itself is a pin.
    let key = KeyPair::generate().unwrap();
    let alone = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    write(pair.auditor.folder.path(), "server.pem", &alone, 0o644);
    write(pair.auditor.folder.path(), "server.key", &key.serialize_pem(), 0o600);
    write(pair.edge.folder.path(), "pin.pem", &alone, 0o644);
    let server = pair.serve("");
    pair.edge.judge(&["b"]);
    pair.https(&server, "ca = \"pin.pem\"");
    pair.edge.picket(&["sync", "--once"]).ok();
    server.stop();
}

#[test]
fn strangers_expired_certificates_and_plain_text_are_refused_in_so_many_words() {
    let pair = Pair::new();
    let server = pair.serve("");
    // Another authority.
    write(pair.edge.folder.path(), "other.pem", &Authority::new().certificate, 0o644);
    pair.https(&server, "ca = \"other.pem\"");
    pair.edge.picket(&["sync", "--once"]).fails(3, "does not come from an authority in auditor.ca");
    // No TLS towards a port that wants it.
    pair.edge.configure(&pair.auditor.section(&server.address));
    pair.edge.picket(&["sync", "--once"]).fails(3, "");
    server.stop();
    // TLS towards a port that has none.
    pair.auditor.configure("");
    let server = pair.auditor.serve();
    pair.https(&server, "ca = \"ca.pem\"");
    pair.edge.picket(&["sync", "--once"]).fails(3, "does not speak TLS");
    server.stop();
    // Out of date, and for another host.
    pair.authority.issue(pair.auditor.folder.path(), "server", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let server = pair.serve("");
    pair.https(&server, "ca = \"ca.pem\"");
    pair.edge.picket(&["sync", "--once"]).fails(3, "has expired");
    server.stop();
    pair.authority.issue(pair.auditor.folder.path(), "server", |params| {
        params.subject_alt_names =
            CertificateParams::new(vec!["auditor.example".to_owned()]).unwrap().subject_alt_names;
    });
    let server = pair.serve("");
    pair.https(&server, "ca = \"ca.pem\"");
    pair.edge.picket(&["sync", "--once"]).fails(3, "is not for the host in auditor.url");
    server.stop();
}

#[test]
fn an_auditor_that_demands_certificates_serves_nobody_without_one() {
    let pair = Pair::new();
    let folder = pair.edge.folder.path();
    pair.authority.issue(folder, "client", |_| {});
    pair.authority.issue(folder, "old", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    Authority::new().issue(folder, "stranger", |_| {});
    let server = pair.serve("client_ca = \"ca.pem\"");
    let with = |name: &str| {
        let more = format!("ca = \"ca.pem\"\nclient_certificate = \"{name}.pem\"\nclient_key = \"{name}.key\"");
        pair.https(&server, &more);
        pair.edge.picket(&["sync", "--once"])
    };
    pair.https(&server, "ca = \"ca.pem\"");
    pair.edge.picket(&["sync", "--once"]).fails(3, "cannot be reached");
    with("stranger").fails(3, "cannot be reached");
    with("old").fails(3, "cannot be reached");
    with("client").ok();
    server.stop();
}

#[test]
fn files_that_cannot_be_used_are_named_with_their_line() {
    let pair = Pair::new();
    pair.authority.issue(pair.edge.folder.path(), "client", |_| {});
    let refused = |more: &str, words: &[&str]| {
        let section = pair.auditor.section("127.0.0.1:1").replace("http://", "https://");
        pair.edge.configure(&format!("{section}\n{more}\n"));
        let ran = pair.edge.picket(&["sync", "--once"]);
        assert_eq!(ran.code, 2, "{ran:#?}");
        for word in words {
            assert!(ran.stderr.contains(word), "no {word:?} in {ran:#?}");
        }
    };
    refused("", &["picket.toml:", "auditor.url", "https needs `auditor.ca`"]);
    refused("ca = \"none.pem\"", &["picket.toml:", "auditor.ca", "none.pem cannot be opened"]);
    refused("ca = \"client.key\"", &["auditor.ca", "client.key", "holds no certificate"]);
    refused("ca = \"ca.pem\"\nclient_key = \"client.key\"", &["auditor.client_key", "client_certificate"]);
    let both = "ca = \"ca.pem\"\nclient_certificate = \"client.pem\"\nclient_key = \"client.key\"";
    let key = pair.edge.path("client.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    refused(both, &["auditor.client_key", "client.key: mode 0640 lets others at this key"]);
    write(pair.edge.folder.path(), "client.key", &KeyPair::generate().unwrap().serialize_pem(), 0o600);
    refused(both, &["auditor.client_key", "client.key: does not go with"]);

    let auditor = |more: &str, word: &str| {
        pair.auditor.configure(&format!("[tls]\n{more}\n"));
        pair.auditor.run(&["serve"]).fails(2, word);
    };
    let folder = pair.auditor.folder.path();
    auditor("certificate = \"server.pem\"\nkey = \"none.key\"", "([tls] key)");
    auditor("certificate = \"server.key\"\nkey = \"server.key\"", "([tls] certificate)");
    auditor("certificate = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"server.key\"", "([tls] client_ca)");
    std::fs::set_permissions(folder.join("server.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    auditor("certificate = \"server.pem\"\nkey = \"server.key\"", "mode 0644");
}
