//! Exit codes: a contract with scripts that call hapair.

/// All that was asked for is done.
pub const DONE: u8 = 0;
/// A step failed.
pub const STEP_FAILED: u8 = 1;
/// Wrong usage of the command line.
pub const USAGE: u8 = 2;
/// Answers invalid or incomplete; all problems are listed at once.
pub const ANSWERS: u8 = 3;
/// The preflight refused: a node is not what it must be.
pub const PREFLIGHT: u8 = 4;
/// A node can't be reached, or its host key is not the known one.
pub const UNREACHABLE: u8 = 5;
/// Consent to destroy data is missing.
pub const CONSENT: u8 = 6;
/// Another run holds the lock.
pub const LOCKED: u8 = 7;
/// Interrupted by Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// Wrong usage that the command line's own rules can't find: exit code [`USAGE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongUsage(pub String);

impl std::fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}
