//! What can go wrong between here and a registry.

use super::Digest;

/// Why an artifact could not be pulled or pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// No runtime for the connection.
    #[error("no asynchronous runtime: {0}")]
    Runtime(#[source] std::io::Error),
    /// The HTTP client does not take its settings.
    #[error("no HTTP client: {0}")]
    Client(#[source] reqwest::Error),
    /// No answer.
    #[error("{host} cannot be reached{hint}")]
    Unreachable {
        /// The registry, or who it sent us to.
        host: String,
        /// What is known of the cause; empty, or begins with a colon.
        hint: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// No progress within the timeout.
    #[error("{host} has not gone on with {what} for {seconds} s")]
    Stalled {
        /// Who.
        host: String,
        /// With what.
        what: &'static str,
        /// The timeout.
        seconds: f64,
    },
    /// There is no such thing.
    #[error("{host} does not have {what}")]
    NotFound {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// The registry does not let us.
    #[error("{host} does not let us at {what}: {reason}")]
    Denied {
        /// The registry or its token server.
        host: String,
        /// What was asked for.
        what: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// Any other answer.
    #[error("{host} answers {status} to {what}{detail}")]
    Status {
        /// Who.
        host: String,
        /// What was asked for.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// Its words; empty, or begins with a colon.
        detail: String,
    },
    /// More than is allowed.
    #[error("{what} has more than {limit} bytes, which is the most that is taken")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// Another length than announced.
    #[error("{what} has {got} bytes where its manifest says {wanted}")]
    Length {
        /// What.
        what: &'static str,
        /// As announced.
        wanted: usize,
        /// As received, at least.
        got: usize,
    },
    /// Other content than asked for.
    #[error("{what} is not what was asked for: its digest is {got}, wanted is {wanted}")]
    Digest {
        /// What.
        what: &'static str,
        /// As asked for.
        wanted: Digest,
        /// As received.
        got: Digest,
    },
    /// Another kind of content.
    #[error("{what} is of type `{got}`; `{wanted}` is wanted")]
    MediaType {
        /// What.
        what: &'static str,
        /// As it must be.
        wanted: &'static str,
        /// As it is.
        got: String,
    },
    /// Content that cannot be read.
    #[error("{what} is malformed: {message}")]
    Malformed {
        /// What.
        what: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A redirection that is not followed.
    #[error("{host} sends {what} to `{target}`, which is not followed: {reason}")]
    Redirect {
        /// Who.
        host: String,
        /// What was asked for.
        what: &'static str,
        /// Where to.
        target: String,
        /// Why not.
        reason: &'static str,
    },
    /// The reference does not say enough.
    #[error("{reference} {problem}")]
    Reference {
        /// Which.
        reference: String,
        /// What is missing.
        problem: &'static str,
    },
}

impl OciError {
    /// Whether a registry was not there at all, so that a later attempt may go better without anybody's doing.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Stalled { .. })
    }
}
