//! hapair turns two fresh Linux machines into a high-availability pair: Xen, DRBD, OCFS2, Corosync and Pacemaker.
//!
//! The nouns, and what each knows nothing of:
//!
//! - [`answers::Answers`]: what the user decided. Knows no nodes.
//! - [`facts::Facts`]: what a node is, read in one round trip. Knows no steps.
//! - [`step::Step`]: one section of the tutorial, as data. Knows neither nodes nor terminal.
//! - [`action::kind::Action`]: the smallest thing that is checked, applied and checked again.
//! - [`plan::Plan`]: steps x answers x facts, rendered, ordered and hashed.
//! - [`node::Node`]: a machine that runs commands. One verb: `exec`.
//! - [`journal::Journal`]: what the system itself can't tell later.
//! - [`event::Event`]: everything that is said to a person, a program or the journal.
//!
//! Data flows one way: answers, steps and facts become a plan; the [`engine`] runs it on the nodes and makes events;
//! the journal gets each of them first, then a [`report`]er.

pub mod action;
pub mod answers;
pub mod cancel;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod continuation;
pub mod device;
pub mod drbd;
pub mod drill;
pub mod engine;
pub mod event;
pub mod exit;
pub mod facts;
pub mod fencing;
pub mod first_copy;
pub mod folder;
pub mod health;
pub mod journal;
pub mod lock;
pub mod manual;
pub mod node;
pub mod plan;
pub mod platform;
pub mod preflight;
pub mod random;
pub mod record;
pub mod rehearsal;
pub mod report;
pub mod secrets;
pub mod setup;
pub mod state;
pub mod status;
pub mod step;
pub mod template;
pub mod undo;
pub mod variables;
pub mod wizard;
