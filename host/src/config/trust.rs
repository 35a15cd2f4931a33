//! `[trust]`: whose guards may run.

/// Who vouches for guards, and what becomes of those for whom nobody does.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// What becomes of a guard or detector without a signature.
    pub unsigned: Unsigned,
}

/// What becomes of a guard or detector without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unsigned {
    /// It does not run.
    #[default]
    Refuse,
    /// It runs, and its entry says so.
    Allow,
}
