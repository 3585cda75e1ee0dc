//! `hapair drill`: harm on purpose on a running pair, measured.
//!
//! The harm is done by commands on the nodes (or by a [`hand`] at them, in a rehearsal); what it cost is measured from here: a counter ([`guest`]) writes ten times a
//! second, what it acknowledges is heard over the network ([`watch`], [`ledger`]), and what is on disk is read afterwards.

pub mod guest;
pub mod hand;
pub mod ledger;
pub mod order;
pub mod outcome;
pub mod page;
pub mod part;
pub mod run;
pub mod unfinished;
pub mod watch;

pub use outcome::{Outcome, Verdict};
pub use part::Part;
