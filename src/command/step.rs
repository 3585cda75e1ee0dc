//! `hapair step ID`: one step alone.

use anyhow::{Result, bail};

use crate::step::{Catalog, Step};

/// The step of this id.
///
/// # Errors
/// When there is none; says the nearest.
pub fn known<'a>(catalog: &'a Catalog, id: &str) -> Result<&'a Step> {
    if let Some(step) = catalog.step(id) {
        return Ok(step);
    }
    let ids: Vec<&str> = catalog.steps.iter().map(|step| step.id.as_str()).collect();
    bail!(NoStep(format!("there is no step {id}; the steps are {}", ids.join(", "))))
}

/// A step that does not exist: wrong usage.
#[derive(Debug)]
pub struct NoStep(String);

impl std::fmt::Display for NoStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoStep {}
