//! Configuration files as tera templates, embedded in the binary or read from a folder of one's own.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use include_dir::{Dir, include_dir};
use serde_json::Value;
use tera::{Context, Tera};

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// Every template, parsed. A variable that is not defined is an error: these files belong to root.
pub struct Templates {
    tera: Tera,
    sources: Vec<(String, String)>,
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|(name, _)| name)).finish()
    }
}

impl Templates {
    /// Those of the binary, with the ones of `dir` in place of or beside them.
    ///
    /// # Errors
    /// When a template can't be read or parsed; names it, with line and column.
    pub fn load(dir: Option<&Path>) -> Result<Self> {
        let mut sources: Vec<(String, String)> = Vec::new();
        collect(&EMBEDDED, &mut sources)?;
        if let Some(dir) = dir {
            for (name, text) in crate::folder::texts(dir, "tera")? {
                sources.retain(|(known, _)| *known != name);
                sources.push((name, text));
            }
        }
        sources.sort();
        let mut tera = Tera::new();
        // CIB objects are XML, a report is HTML: a `<` or `&` in a value must not change their structure.
        tera.autoescape_on(vec![".xml.tera", ".html.tera"]);
        tera.add_raw_templates(sources.iter().map(|(name, text)| (name.as_str(), text.as_str())))
            .map_err(|error| anyhow!("a template can't be read: {}", words(&error)))?;
        Ok(Self { tera, sources })
    }

    /// Renders a template.
    ///
    /// # Errors
    /// When there is no such template, or it names a variable that is not there.
    pub fn render(&self, name: &str, variables: &Value) -> Result<String> {
        if !self.tera.contains_template(name) {
            return Err(anyhow!("there is no template {name}"));
        }
        let context = Context::from_serialize(variables).context("variables of a template")?;
        self.tera.render(name, &context).map_err(|error| anyhow!("template {name}: {}", words(&error)))
    }

    /// Renders a short text of a step.
    ///
    /// # Errors
    /// When it names a variable that is not there.
    pub fn text(&self, text: &str, variables: &Value) -> Result<String> {
        if !text.contains("{{") && !text.contains("{%") {
            return Ok(text.to_owned());
        }
        let context = Context::from_serialize(variables).context("variables of a step")?;
        Tera::one_off(text, &context, false).map_err(|error| anyhow!("{text:?}: {}", words(&error)))
    }

    /// Names and texts, for the plan's hash.
    pub fn sources(&self) -> &[(String, String)] {
        &self.sources
    }
}

fn collect(dir: &Dir<'_>, into: &mut Vec<(String, String)>) -> Result<()> {
    for file in dir.files() {
        let name = file.path().to_string_lossy().into_owned();
        let text = file.contents_utf8().with_context(|| format!("template {name} is not UTF-8"))?;
        into.push((name, text.to_owned()));
    }
    for inner in dir.dirs() {
        collect(inner, into)?;
    }
    Ok(())
}

/// The error with its causes on one line.
fn words(error: &tera::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_variable_that_is_not_there_is_an_error() {
        let templates = Templates::load(None).expect("embedded templates parse");
        let error = templates.text("{{ nope }}", &json!({"cluster": "x"})).expect_err("undefined");
        assert!(error.to_string().contains("nope"), "{error}");
    }

    #[test]
    fn a_short_text_is_not_escaped() {
        let templates = Templates::load(None).expect("embedded templates parse");
        assert_eq!(templates.text("{{ a }}", &json!({"a": "<&>"})).expect("renders"), "<&>");
    }
}
