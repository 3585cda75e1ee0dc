//! The real plan with the real actions on a simulated pair: killed at every event, taken back, single steps, secrets.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

mod clock;
mod cut;
mod kill;
mod local;
mod model;
mod secrets;
mod single;
mod undo;

use std::sync::Arc;

use hapair::plan::Plan;
use hapair::secrets::Secrets;

/// The plan of the tutorial's pair with a demo guest.
fn plan() -> Arc<Plan> {
    let folder = tempfile::tempdir().unwrap();
    let answers = model::answers(folder.path(), "password");
    Arc::new(model::plan(&model::setup(&answers, folder.path()), &Secrets::placeholders()))
}

/// In memory where there is such a place: each event is a sync.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
