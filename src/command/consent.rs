//! Consent to what can't be had back by itself: the cluster's own name, given as an option or typed.

use anyhow::{Context as _, Result};
use console::Term;
use dialoguer::Input;
use dialoguer::theme::SimpleTheme;

/// What is asked of a person.
pub struct Wish<'a> {
    /// Name of the cluster, which is the word of consent.
    pub cluster: &'a str,
    /// What was given with `--confirm`.
    pub given: Option<&'a str>,
    /// What it costs, and what the name begins: `All VMs are stopped. Type ... to take it back`.
    pub question: String,
    /// What is said after a no: `nothing was changed`.
    pub otherwise: &'a str,
}

/// Whether an install may go on without the proof of the fencing, which the option has asked for already: somebody who sits
/// there is asked again, and types the cluster's name a second time. Without a terminal the option alone decides.
///
/// # Errors
/// When the terminal can't be read.
pub fn without_proof(cluster: &str) -> Result<bool> {
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Ok(true);
    }
    super::say(&format!(
        "Without the proof nobody knows whether a node of {cluster} that is lost can be switched off: its VMs may then run \
         twice, or not at all. `hapair status` keeps saying so."
    ));
    given(&Wish {
        cluster,
        given: None,
        question: "Type the cluster's name again to go on without the proof".to_owned(),
        otherwise: "nothing was changed",
    })
}

/// Whether it may be done; a no was told on stderr. Without a terminal nobody is asked.
///
/// # Errors
/// When the terminal can't be read.
pub fn given(wish: &Wish<'_>) -> Result<bool> {
    let Wish { cluster, given, question, otherwise } = wish;
    if let Some(word) = given {
        if word == cluster {
            return Ok(true);
        }
        super::say(&format!("hapair: --confirm {word}: this cluster is {cluster}; {otherwise}"));
        return Ok(false);
    }
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        super::say(&format!("hapair: nobody can be asked here: consent with --confirm {cluster}; {otherwise}"));
        return Ok(false);
    }
    let word: String = Input::with_theme(&SimpleTheme)
        .with_prompt(question)
        .allow_empty(true)
        .interact_on(&Term::stderr())
        .context("reading the answer")?;
    if word.trim() == *cluster {
        return Ok(true);
    }
    super::say(&format!("Not the cluster's name: {otherwise}."));
    Ok(false)
}
