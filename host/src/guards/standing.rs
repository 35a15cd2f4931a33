//! Guards in force, and what a revocation list that changes while the box runs does to them.

use super::revocation::List;
use super::trust::Vouched;
use picket_engine::Failure;
use picket_ledger::Hash;
use picket_ledger::entry::{GuardEvent, GuardEventKind, clip, clip_message};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// The list in force, and everything that it may strike.
#[derive(Debug, Default)]
pub struct Revocations(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    list: List,
    /// Of loaded guards and detectors. Those that were dropped are swept out when another comes.
    standings: Vec<Weak<Standing>>,
}

/// Whether a loaded guard may still be asked. Once it was revoked it may not, whatever later lists say: it has to be
/// loaded anew, and that is an entry of its own.
#[derive(Debug)]
pub struct Standing {
    name: String,
    settings: Hash,
    vouched: Vouched,
    revoked: OnceLock<String>,
}

impl Revocations {
    /// Begins with this list.
    #[must_use]
    pub fn new(list: List) -> Self {
        Self(Mutex::new(Inner { list, standings: Vec::new() }))
    }

    /// From now on lists strike this guard too; the present one does at once, in case it came after the guard was
    /// admitted.
    #[must_use]
    pub fn watch(&self, name: &str, settings: Hash, vouched: Vouched) -> Arc<Standing> {
        let standing = Standing { name: name.to_owned(), settings, vouched, revoked: OnceLock::new() };
        let standing = Arc::new(standing);
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        standing.strike(&inner.list);
        inner.standings.retain(|standing| standing.strong_count() > 0);
        inner.standings.push(Arc::downgrade(&standing));
        standing
    }

    /// Puts a list in force, and returns the guards that it has struck.
    pub fn apply(&self, list: List) -> Vec<Arc<Standing>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let standings = inner.standings.iter().filter_map(Weak::upgrade);
        let struck = standings.filter(|standing| standing.strike(&list)).collect();
        inner.list = list;
        struck
    }
}

impl Standing {
    /// Why it may not be asked any more.
    #[must_use]
    pub fn revoked(&self) -> Option<&str> {
        self.revoked.get().map(String::as_str)
    }

    /// True when this very list was what struck it.
    fn strike(&self, list: &List) -> bool {
        match self.vouched.stands(list) {
            Ok(()) => false,
            Err(refusal) => self.revoked.set(clip(&refusal.to_string(), Failure::MAX_MESSAGE_BYTES)).is_ok(),
        }
    }

    /// What the ledger is told of a guard that was struck.
    #[must_use]
    pub fn event(&self) -> GuardEvent {
        GuardEvent {
            guard: Some(self.name.clone()),
            event: GuardEventKind::Retired,
            component: Some(*self.vouched.component()),
            settings: Some(self.settings),
            action: None,
            message: clip_message(self.revoked().unwrap_or_default()),
        }
    }
}
