//! QEMU's own control channel (QMP): how a cable is pulled out of a running machine.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Longer than QEMU ever keeps its channel waiting while it saves or emulates something.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open channel to one machine's QEMU.
#[derive(Debug)]
pub(super) struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects and leaves negotiation mode, in which QEMU takes no orders.
    ///
    /// # Errors
    /// When nothing listens there (yet), or speaks something else.
    pub(super) fn connect(socket: &Path) -> Result<Monitor> {
        let stream = UnixStream::connect(socket).with_context(|| format!("connect to QEMU at {}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE)).context("set a time limit for QEMU's answers")?;
        let mut monitor = Monitor { reader: BufReader::new(stream) };
        let greeting = monitor.message()?;
        if greeting.get("QMP").is_none() {
            bail!("QEMU's monitor greeted with something unknown: {greeting}");
        }
        monitor.order("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Plugs the cable into a network card of the machine, or pulls it out; the machine sees its carrier go.
    ///
    /// # Errors
    /// When QEMU refuses or is gone.
    pub(super) fn set_link(&mut self, card: &str, up: bool) -> Result<()> {
        self.order("set_link", &json!({ "name": card, "up": up })).map(drop)
    }

    fn order(&mut self, name: &str, arguments: &Value) -> Result<Value> {
        let line = format!("{}\n", json!({ "execute": name, "arguments": arguments }));
        self.reader.get_mut().write_all(line.as_bytes()).with_context(|| format!("send QEMU the order {name}"))?;
        loop {
            let mut message = self.message().with_context(|| format!("wait for QEMU's answer to {name}"))?;
            if let Some(result) = message.get_mut("return") {
                return Ok(result.take());
            }
            if let Some(error) = message.get("error") {
                bail!("QEMU refused the order {name} {arguments}: {error}");
            }
            // Anything else is an event: a reset, a shutdown.
        }
    }

    fn message(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).context("read from QEMU's monitor")? == 0 {
            bail!("QEMU closed its monitor: the machine has ended");
        }
        serde_json::from_str(&line).with_context(|| format!("understand QEMU's monitor: {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    #[test]
    fn orders_pass_over_events_and_report_refusals() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        let machine = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut orders = BufReader::new(stream.try_clone().unwrap()).lines();
            stream.write_all(b"{\"QMP\": {}}\n").unwrap();
            orders.next().unwrap().unwrap();
            stream.write_all(b"{\"return\": {}}\n").unwrap();
            let order = orders.next().unwrap().unwrap();
            stream.write_all(b"{\"event\": \"RESET\"}\n{\"return\": {}}\n").unwrap();
            orders.next().unwrap().unwrap();
            stream.write_all(b"{\"error\": {\"desc\": \"no such card\"}}\n").unwrap();
            order
        });
        let mut monitor = Monitor::connect(&socket).unwrap();
        monitor.set_link("card", false).unwrap();
        let refusal = monitor.set_link("other", false).unwrap_err().to_string();
        assert!(refusal.contains("no such card"), "{refusal}");
        assert_eq!(machine.join().unwrap(), r#"{"arguments":{"name":"card","up":false},"execute":"set_link"}"#);
    }
}
