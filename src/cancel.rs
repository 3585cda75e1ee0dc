//! Ctrl-C: once finishes the running action and stops there; twice leaves at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How often it was pressed. Cheap to copy; all copies count together.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    pressed: Arc<AtomicU8>,
    at_once: Arc<AtomicBool>,
}

impl Cancel {
    /// Counts presses of Ctrl-C and SIGTERM from now on; the second one ends the process with exit code 130.
    ///
    /// # Errors
    /// When the signal can't be handled.
    pub fn listen() -> anyhow::Result<Self> {
        Self::listen_and(|| {})
    }

    /// Like [`Cancel::listen`]; `last` is done right before the second one ends the process.
    ///
    /// # Errors
    /// When the signal can't be handled.
    pub fn listen_and(last: impl Fn() + Send + 'static) -> anyhow::Result<Self> {
        Self::begin(false, last)
    }

    /// As [`Cancel::listen`], but until [`Cancel::patient`] the first press ends the process: nothing has been changed yet.
    ///
    /// # Errors
    /// When the signal can't be handled.
    pub fn listen_at_once() -> anyhow::Result<Self> {
        Self::begin(true, || {})
    }

    /// From now on the running action is finished first.
    pub fn patient(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    fn begin(at_once: bool, last: impl Fn() + Send + 'static) -> anyhow::Result<Self> {
        let cancel = Self { at_once: Arc::new(AtomicBool::new(at_once)), ..Self::default() };
        let counted = cancel.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                else {
                    return;
                };
                loop {
                    tokio::select! {
                        pressed = tokio::signal::ctrl_c() => if pressed.is_err() { return },
                        _ = terminate.recv() => {}
                    }
                    let before = counted.pressed.fetch_add(1, Ordering::SeqCst);
                    if before >= 1 || counted.at_once.load(Ordering::SeqCst) {
                        // The terminal may have its cursor hidden by a progress list, or its keys by a question.
                        crate::wizard::terminal::restore();
                        last();
                        std::process::exit(i32::from(crate::exit::INTERRUPTED));
                    }
                    let _ = console::Term::stderr()
                        .write_line("finishing what is being done; Ctrl-C once more leaves at once");
                }
            });
        })?;
        Ok(cancel)
    }

    /// Whether the run is to stop after the running action.
    pub fn requested(&self) -> bool {
        self.pressed.load(Ordering::SeqCst) > 0
    }

    /// As if Ctrl-C had been pressed.
    pub fn request(&self) {
        self.pressed.fetch_add(1, Ordering::SeqCst);
    }
}
