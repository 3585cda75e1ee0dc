//! Random bytes from the system.

use std::fmt::Write as _;
use std::io;

/// So many of them.
///
/// # Errors
/// When the system gives none (getrandom(2)).
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| io::Error::other(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// So many of them as hexadecimal digits, two each.
///
/// # Errors
/// When the system gives none.
pub fn hex<const N: usize>() -> io::Result<String> {
    Ok(bytes::<N>()?.iter().fold(String::with_capacity(2 * N), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
