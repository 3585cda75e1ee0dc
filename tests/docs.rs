//! Pages that repeat the steps are generated from them; this fails when they are stale (`make docs` writes them anew).
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;

use hapair::command::explain;
use hapair::step::Catalog;

#[test]
fn the_page_of_the_steps_is_current() {
    let catalog = Catalog::load(None).unwrap();
    let mut page = String::from(
        "# The steps\n\nGenerated from `steps/` by `make docs`; `hapair explain ID` prints the same for one step.\n\n",
    );
    for (index, step) in catalog.steps.iter().enumerate() {
        let _ = writeln!(page, "{}. [`{}`](#{}): {}", index + 1, step.id, step.id, step.title);
    }
    for step in &catalog.steps {
        let _ = write!(page, "\n## {}\n\n```\n{}```\n", step.id, explain::page(step));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/steps.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/steps.md is stale: run `make docs`");
}
