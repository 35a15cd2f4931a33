//! A guard, those who sign it, and a box that knows some of them.

use super::{Place, Ran, guard, inference};
use picket_ledger::SigningKey;
use picket_ledger::note::Note;
use serde_json::Value;

/// A folder with a copy of the guard `pii`, and keys by name.
pub struct Vetting {
    pub place: Place,
    keys: Vec<(String, String)>,
}

impl Vetting {
    /// Keys of these names, and their public halves in `[trust.keys]` when it is configured.
    pub fn new(keys: &[&str]) -> Self {
        let place = Place::new("", "");
        std::fs::copy(guard("pii"), place.path("pii.wasm")).unwrap();
        let made = |name: &&str| {
            let file = format!("{name}.key");
            let made = place.picket(&["guard", "keygen", "--name", name, "-o", &file]).expect(0);
            ((*name).to_owned(), made.stdout.trim().to_owned())
        };
        let keys = keys.iter().map(made).collect();
        Self { place, keys }
    }

    pub fn public(&self, name: &str) -> &str {
        &self.keys.iter().find(|key| key.0 == name).unwrap().1
    }

    /// `name+id`. Base64 may hold a plus of its own.
    pub fn id(&self, name: &str) -> String {
        self.public(name).splitn(3, '+').take(2).collect::<Vec<_>>().join("+")
    }

    /// `trust` are lines of `[trust]`, `more` are tables after `[trust.keys]`, with all keys but those called `stranger`.
    pub fn configure(&self, edge: &str, trust: &str, more: &str) {
        let known = self.keys.iter().filter(|key| key.0 != "stranger");
        let keys: String = known.map(|(name, public)| format!("{name} = \"{public}\"\n")).collect();
        let guard = "[[guard]]\nname = \"pii\"\ncomponent = \"pii.wasm\"\n";
        self.place.configure(edge, &format!("[trust]\n{trust}\n[trust.keys]\n{keys}{guard}\n{more}\n"));
    }

    #[track_caller]
    pub fn sign(&self, key: &str) -> Ran {
        self.place.picket(&["guard", "sign", "pii.wasm", "--key", &format!("{key}.key")]).expect(0)
    }

    pub fn check(&self) -> Ran {
        self.place.check(&inference("a", "x"))
    }

    #[track_caller]
    pub fn refused(&self, words: &[&str]) {
        self.check().expect(2).says(&["guard `pii`"]).says(words);
        // The flag lets in what has no signature, and nothing that has a wrong one.
        self.place.pipe(&["check", "--allow-unsigned"], &inference("a", "x")).expect(2).says(words);
    }

    #[track_caller]
    pub fn loads(&self) -> Vec<Value> {
        self.place.entries("guard-load").iter().map(|entry| entry["body"]["guard-load"].clone()).collect()
    }

    pub fn signature(&self) -> String {
        std::fs::read_to_string(self.place.path("pii.wasm.sig")).unwrap()
    }

    /// The same statement with something else in it, signed by `key` as if it were true.
    pub fn lie(&self, key: &str, from: &str, to: &str) {
        let file = self.signature();
        let text = Note::parse(&file).unwrap().text().replace(from, to);
        assert!(!file.contains(&text), "{from} is in the statement");
        let secret = std::fs::read_to_string(self.place.path(&format!("{key}.key"))).unwrap();
        let key = SigningKey::parse(secret.trim()).unwrap();
        self.place.write("pii.wasm.sig", format!("{text}\n{}", key.sign(&text)));
    }

    /// Gives the component limits that it declares.
    pub fn declare(&self, limits: &str) {
        let mut wasm = std::fs::read(guard("pii")).unwrap();
        let name = b"picket:limits";
        let length = u8::try_from(1 + name.len() + limits.len()).unwrap();
        assert!(length < 128, "one byte of LEB128");
        wasm.extend([0, length, u8::try_from(name.len()).unwrap()]);
        wasm.extend(name);
        wasm.extend(limits.as_bytes());
        self.place.write("pii.wasm", wasm);
    }
}
