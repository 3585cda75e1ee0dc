//! A hand at the machines themselves. A drill on somebody's pair has none, and does its harm by commands on the nodes; a
//! rehearsal's can pull the very cables.

use std::fmt;

use anyhow::Result;

/// What can be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plug {
    /// The cables between the nodes, of both links.
    Links,
    /// What the BMCs of both nodes answer by.
    Bmcs,
}

impl Plug {
    /// All there are.
    pub const ALL: [Plug; 2] = [Plug::Links, Plug::Bmcs];
}

/// What is done to it, for people.
impl fmt::Display for Plug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Plug::Links => "the cables of both links are pulled by hand",
            Plug::Bmcs => "the plugs of both nodes' BMCs are pulled by hand",
        })
    }
}

/// What a hand at the machines can do.
pub trait Hand {
    /// Whether it pulls plugs; where it does not, commands on the nodes take their place.
    fn pulls(&self) -> bool {
        false
    }

    /// Pulls a plug, or puts it in again.
    ///
    /// # Errors
    /// When it can't be done.
    fn set(&mut self, _plug: Plug, _up: bool) -> Result<()> {
        Ok(())
    }

    /// Done again and again while something is waited for.
    ///
    /// # Errors
    /// When it can't be done.
    fn meanwhile(&mut self) -> Result<()> {
        Ok(())
    }
}

/// No hand at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Hand for Nobody {}
