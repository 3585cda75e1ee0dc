//! A datagram to each machine, two hundred times a second.
//!
//! User-Mode Linux is told of a finished disk request by a signal, and an idle kernel sometimes misses it: the request
//! then stands until another device has something to say. Seen with DRBD: `lo:7` in /proc/drbd for seconds with both
//! machines idle, and mkfs.ocfs2 took 66 s instead of 3 s. A packet that arrives is that other device.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a request may stand at most.
const INTERVAL: Duration = Duration::from_millis(5);

/// The discard service's port (RFC 863): nobody answers there, and nothing is meant to.
const PORT: u16 = 9;

/// Sends until it's dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    /// Starts sending to these addresses. A machine that is off doesn't hear it, and that's no error.
    pub(super) fn start(addresses: Vec<String>) -> Result<Pulse> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("open a socket for the machines' pulse")?;
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = thread::Builder::new()
            .name("pulse".to_owned())
            .spawn(move || {
                while !flag.load(Ordering::Relaxed) {
                    for address in &addresses {
                        // "Connection refused" is the machine's answer to the one before: it's awake.
                        let _ = socket.send_to(&[0], (address.as_str(), PORT));
                    }
                    thread::sleep(INTERVAL);
                }
            })
            .context("start a thread for the machines' pulse")?;
        Ok(Pulse { ended, thread: Some(thread) })
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It can't panic, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_until_it_is_dropped() {
        // The port is fixed, so this can only look at how it ends: at once, whether anybody listens or not.
        let pulse = Pulse::start(vec!["127.0.0.1".to_owned()]).unwrap();
        thread::sleep(INTERVAL * 2);
        let flag = Arc::clone(&pulse.ended);
        drop(pulse);
        assert_eq!((flag.load(Ordering::Relaxed), Arc::strong_count(&flag)), (true, 1));
    }
}
