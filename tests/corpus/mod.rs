//! The hostile corpus: every way we know in which a guard may attack its host, by name.

pub(crate) mod checks;
pub(crate) mod loads;

use crate::support::{Place, guard};

/// A guard that attacks.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) component: Component,
    /// Further lines of its `[[guard]]`.
    pub(crate) table: &'static str,
    pub(crate) ends: Ends,
}

/// What it is made of.
pub(crate) enum Component {
    /// `plugins/hostile` with this attack, as a compiler makes it.
    Attack(&'static str),
    /// What no compiler makes.
    Bytes(Vec<u8>),
    /// So many bytes of nothing: the file is sparse.
    Empty(u64),
}

/// What becomes of it.
#[derive(Clone, Copy)]
pub(crate) enum Ends {
    /// It is refused at load, with these words.
    Refused(&'static str),
    /// Each check fails with this cause.
    Fails(&'static str),
    /// It does no harm, and judges.
    Judges,
}

impl Case {
    /// The `[[guard]]` of this case, for model `model`. Writes the component beside the configuration.
    pub(crate) fn table(&self, place: &Place, more: &str) -> String {
        let name = self.name;
        let component = match &self.component {
            Component::Attack(_) => guard("hostile"),
            Component::Bytes(bytes) => {
                place.write(&format!("{name}.wasm"), bytes);
                format!("{name}.wasm")
            }
            Component::Empty(length) => {
                let file = std::fs::File::create(place.path(&format!("{name}.wasm"))).unwrap();
                file.set_len(*length).unwrap();
                format!("{name}.wasm")
            }
        };
        let settings = match &self.component {
            Component::Attack(attack) if !self.table.contains("settings") => {
                format!("settings = {{ attack = \"{attack}\" }}")
            }
            _ => String::new(),
        };
        // No honest answer takes five seconds, and none of these is to end by a deadline unless it says so.
        let deadline = if self.table.contains("deadline") { "" } else { "deadline = \"5s\"" };
        let table = self.table;
        format!(
            "[[guard]]\nname = \"{name}\"\ncomponent = \"{component}\"\n{deadline}\n{settings}\nbreaker = \"off\"\n{table}\n{more}\n"
        )
    }

    /// The deadline of its table, in milliseconds.
    pub(crate) fn deadline(&self) -> u64 {
        let written = self.table.split_once("deadline = \"").and_then(|(_, rest)| rest.split_once("ms\""));
        written.map_or(5000, |(millis, _)| millis.parse().unwrap())
    }
}

/// The guard that must not notice any of it.
pub(crate) fn honest() -> String {
    format!(
        "[[guard]]\nname = \"honest\"\ncomponent = \"{}\"\ndeadline = \"5s\"\n\
         settings = {{ entities = [\"email\"], placeholder = \"[email]\" }}\n",
        guard("pii")
    )
}
