//! Puts values into the text of an answers file and leaves all else as it is: order, comments, style.
//!
//! The file is what the wizard fills in, so a half-written one keeps what its author wrote. After every change the text
//! is parsed again: what can't be found where it was put is an error and not a surprise.

use anyhow::{Result, bail};

use super::tree::{self, Node, Value};

/// A place in an answers file, such as `nodes[0].ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Key(String),
    Item(usize),
}

/// Splits `nodes[0].ssh`.
fn parts(path: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for word in path.split('.') {
        let mut rest = word.split('[');
        parts.extend(rest.next().filter(|key| !key.is_empty()).map(|key| Part::Key(key.to_owned())));
        parts.extend(rest.filter_map(|number| number.trim_end_matches(']').parse().ok()).map(Part::Item));
    }
    parts
}

/// The value at a path, as it was typed. `None` where there is nothing or no single value.
pub fn get(source: &str, path: &str) -> Option<String> {
    match find(source, path)?.value {
        Value::Scalar(text) => Some(text),
        _ => None,
    }
}

/// What stands at a path.
pub fn find(source: &str, path: &str) -> Option<Node> {
    at(&tree::parse(source).root?, path).cloned()
}

/// What stands at a path of a text that was parsed already.
pub fn at<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    let mut node = root;
    for part in parts(path) {
        node = child(node, &part)?;
    }
    Some(node)
}

fn child<'a>(node: &'a Node, part: &Part) -> Option<&'a Node> {
    match (&node.value, part) {
        (Value::Map(entries), Part::Key(key)) => {
            entries.iter().find(|entry| entry.key == *key && !entry.duplicate).map(|entry| &entry.value)
        }
        (Value::List(items), Part::Item(number)) => items.get(*number),
        _ => None,
    }
}

/// The text with `value` at `path`; sections and list items that are missing are made. An empty list is written as the
/// value `[]`.
///
/// # Errors
/// When the text is no YAML, or something else stands where the value would have to be.
pub fn set(source: &str, path: &str, value: &str) -> Result<String> {
    let written = write(source, path, value)?;
    let right = match find(&written, path) {
        Some(Node { value: Value::Scalar(text), .. }) => text == value,
        Some(Node { value: Value::List(items), .. }) => items.is_empty() && value == EMPTY_LIST,
        _ => false,
    };
    if !right {
        bail!("`{path}` can't be put into the answers as they are written; give it there by hand");
    }
    Ok(written)
}

/// The value that means a list without items.
pub const EMPTY_LIST: &str = "[]";

fn write(source: &str, path: &str, value: &str) -> Result<String> {
    let tree = tree::parse(source);
    if let Some(flaw) = tree.flaws.first() {
        bail!("line {}: {}", flaw.at.line, flaw.message);
    }
    let chars: Vec<char> = source.chars().collect();
    let parts = parts(path);
    let Some(root) = tree.root.filter(|root| !matches!(root.value, Value::Null)) else {
        let mut text = source.trim_end().to_owned();
        if !text.is_empty() {
            text.push('\n');
        }
        return Ok(format!("{text}{}\n", block(&parts, value, 0).join("\n")));
    };
    let mut node = &root;
    // Column of the mapping or list that `node` stands in, for a value that is not there yet.
    let mut indent = 0;
    for (done, part) in parts.iter().enumerate() {
        let rest = &parts[done..];
        match (&node.value, part) {
            (Value::Map(entries), Part::Key(key)) => {
                let flow = chars.get(node.at.start) == Some(&'{');
                let Some(entry) = entries.iter().find(|entry| entry.key == *key && !entry.duplicate) else {
                    return Ok(if flow {
                        into_flow(&chars, node, &inline(rest, value))
                    } else {
                        let column = entries.first().map_or(indent, |entry| entry.at.column - 1);
                        below(&chars, end(&chars, node), &block(rest, value, column))
                    });
                };
                if matches!(entry.value.value, Value::Null) {
                    let text = if rest.len() == 1 {
                        scalar(value)
                    } else if flow {
                        within(&rest[1..], value)
                    } else {
                        let lines = block(&rest[1..], value, entry.at.column + 1);
                        return Ok(below(&chars, entry.at.end, &lines));
                    };
                    return Ok(splice(&chars, colon(&chars, entry.at.end), 0, &format!(" {text}")));
                }
                indent = entry.at.column + 1;
                node = &entry.value;
            }
            (Value::List(items), Part::Item(number)) if *number < items.len() => node = &items[*number],
            (Value::List(items), Part::Item(_)) => {
                if chars.get(node.at.start) == Some(&'[') {
                    return Ok(into_flow(&chars, node, &within(&rest[1..], value)));
                }
                let first = items.first().map_or(node.at.start, |item| item.at.start);
                let column = dash(&chars, first).unwrap_or(indent);
                return Ok(below(&chars, end(&chars, node), &block(rest, value, column)));
            }
            _ => bail!("`{path}` can't be given: `{}` is {} there", shown(&parts[..done]), node.value.describe()),
        }
    }
    match node.value {
        Value::Scalar(_) => {
            let length = end(&chars, node) - node.at.start;
            Ok(splice(&chars, node.at.start, length, &scalar(value)))
        }
        _ => bail!("`{path}` is {} there, not a single value", node.value.describe()),
    }
}

fn shown(parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Key(key) if text.is_empty() => text.push_str(key),
            Part::Key(key) => text.push_str(&format!(".{key}")),
            Part::Item(number) => text.push_str(&format!("[{number}]")),
        }
    }
    text
}

/// Lines of a block with the value in it, each with its indent.
fn block(parts: &[Part], value: &str, indent: usize) -> Vec<String> {
    let space = " ".repeat(indent);
    match parts {
        [] => vec![format!("{space}{}", scalar(value))],
        [Part::Key(key)] => vec![format!("{space}{key}: {}", scalar(value))],
        [Part::Key(key), rest @ ..] => {
            let mut lines = vec![format!("{space}{key}:")];
            lines.extend(block(rest, value, indent + 2));
            lines
        }
        [Part::Item(_), rest @ ..] => {
            let mut lines = block(rest, value, indent + 2);
            if let Some(first) = lines.first_mut() {
                *first = format!("{space}- {}", first.trim_start());
            }
            lines
        }
    }
}

/// As [`block`], on one line, for a key within `{}`.
fn inline(parts: &[Part], value: &str) -> String {
    match parts {
        [Part::Key(key), rest @ ..] => format!("{key}: {}", within(rest, value)),
        _ => within(parts, value),
    }
}

/// A value on one line, with braces where it has keys.
fn within(parts: &[Part], value: &str) -> String {
    match parts {
        [] => scalar(value),
        [Part::Key(_), ..] => format!("{{ {} }}", inline(parts, value)),
        [Part::Item(_), rest @ ..] => format!("[{}]", within(rest, value)),
    }
}

/// A value as YAML: as it is where that means the same to every reader.
fn scalar(value: &str) -> String {
    if value == EMPTY_LIST {
        return value.to_owned();
    }
    let plain = value.starts_with(|c: char| c.is_ascii_alphanumeric() || "/._".contains(c))
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "/._-@:+=".contains(c))
        && !value.ends_with(':');
    if plain || value.parse::<i64>().is_ok() {
        value.to_owned()
    } else if value.chars().any(char::is_control) {
        // JSON's escapes are YAML's, too.
        serde_json::Value::from(value).to_string()
    } else {
        format!("'{}'", value.replace('\'', "''"))
    }
}

fn splice(chars: &[char], at: usize, remove: usize, text: &str) -> String {
    let (before, behind) = (&chars[..at], &chars[at + remove..]);
    before.iter().copied().chain(text.chars()).chain(behind.iter().copied()).collect()
}

/// Lines behind the line in which `at` is.
fn below(chars: &[char], at: usize, lines: &[String]) -> String {
    let end = chars[at.min(chars.len())..].iter().position(|c| *c == '\n').map_or(chars.len(), |found| at + found);
    splice(chars, end, 0, &format!("\n{}", lines.join("\n")))
}

/// One more in `{...}` or `[...]`.
fn into_flow(chars: &[char], node: &Node, text: &str) -> String {
    let close = if chars.get(node.at.start) == Some(&'{') { '}' } else { ']' };
    let last = end(chars, node);
    let at = chars[..last.min(chars.len())].iter().rposition(|c| *c == close).unwrap_or(last);
    let inside = chars[node.at.start + 1..at].iter().rposition(|c| !c.is_whitespace());
    match inside {
        None => splice(chars, at, 0, text),
        Some(found) => {
            let behind = node.at.start + 2 + found;
            let comma = if chars[behind - 1] == ',' { "" } else { "," };
            splice(chars, behind, 0, &format!("{comma} {text}"))
        }
    }
}

/// One after the last character of a value, and of all that is in it.
fn end(chars: &[char], node: &Node) -> usize {
    let inner = match &node.value {
        Value::List(items) => items.iter().map(|item| end(chars, item)).max(),
        Value::Map(entries) => entries.iter().map(|entry| entry.at.end.max(end(chars, &entry.value))).max(),
        _ => None,
    };
    // The parser's ranges of blocks reach to the next token.
    let close = chars.get(node.at.start).and_then(|c| match c {
        '{' => Some('}'),
        '[' => Some(']'),
        _ => None,
    });
    let own = match (&node.value, inner, close) {
        (Value::List(_) | Value::Map(_), inner, Some(close)) => {
            let from = inner.unwrap_or(node.at.start + 1).min(chars.len());
            return from + chars[from..].iter().position(|c| *c == close).map_or(0, |found| found + 1);
        }
        (Value::List(_) | Value::Map(_), Some(inner), None) => inner,
        _ => node.at.end.min(chars.len()),
    };
    let text = &chars[node.at.start.min(own)..own];
    // The range of a quoted text reaches over the comment behind it.
    if let (Value::Scalar(_), Some(quote @ ('\'' | '"'))) = (&node.value, text.first()) {
        return node.at.start + quoted(text, *quote);
    }
    let trailing = text.iter().rev().take_while(|c| c.is_whitespace()).count();
    own - trailing
}

/// How many characters a quoted text has, with its quotes.
fn quoted(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while let Some(c) = text.get(at) {
        match *c {
            '\\' if quote == '"' => at += 1,
            c if c == quote && quote == '\'' && text.get(at + 1) == Some(&quote) => at += 1,
            c if c == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Where a list item's dash stands in its line.
fn dash(chars: &[char], item: usize) -> Option<usize> {
    let line = chars[..item].iter().rposition(|c| *c == '\n').map_or(0, |found| found + 1);
    chars[line..item].iter().position(|c| *c == '-')
}

/// One after the colon behind a key.
fn colon(chars: &[char], key: usize) -> usize {
    chars[key.min(chars.len())..].iter().position(|c| *c == ':').map_or(key, |found| key + found + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(source: &str, values: &[(&str, &str)]) -> String {
        values.iter().fold(source.to_owned(), |text, (path, value)| set(&text, path, value).expect(path))
    }

    #[test]
    fn a_file_is_written_from_nothing() {
        let text = all(
            "",
            &[
                ("cluster", "web"),
                ("nodes[0].name", "a"),
                ("nodes[0].ssh", "root@192.0.2.1:2222"),
                ("nodes[1].name", "b"),
                ("storage.device", "/dev/sda3"),
                ("fencing.method", "ipmi"),
                ("fencing.a.password", "it's: \"x\" #1"),
                ("nodes[0].address", "10.0.0.1"),
                ("vms", "[]"),
            ],
        );
        let expected = "cluster: web\nnodes:\n  - name: a\n    ssh: root@192.0.2.1:2222\n    address: 10.0.0.1\n  - name: b\n\
                        storage:\n  device: /dev/sda3\nfencing:\n  method: ipmi\n  a:\n    password: 'it''s: \"x\" #1'\nvms: []\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn comments_order_and_style_of_a_half_written_file_stay() {
        let half = "# our pair\ncluster: web   # short\n\nnodes:\n  # left\n  - { name: a, ssh: root@h }\n  - name: b # right\n\
                    # no device yet\nstorage:\nfencing: {}\n";
        let text = all(
            half,
            &[
                ("nodes[0].address", "10.0.0.1"),
                ("nodes[1].address", "10.0.0.2"),
                ("storage.device", "/dev/sda3"),
                ("storage.create", "rest"),
                ("fencing.method", "ssh"),
                ("fencing.accept_unsafe", "ssh"),
                ("vms[0].name", "vm01"),
                ("vms[1].name", "vm02"),
                ("vms[1].image", "blank"),
                ("cluster", "mail"),
            ],
        );
        let expected = "# our pair\ncluster: mail   # short\n\nnodes:\n  # left\n  - { name: a, ssh: root@h, address: 10.0.0.1 }\n  \
                        - name: b # right\n    address: 10.0.0.2\n# no device yet\nstorage:\n  device: /dev/sda3\n  create: rest\n\
                        fencing: {method: ssh, accept_unsafe: ssh}\nvms:\n  - name: vm01\n  - name: vm02\n    image: blank\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_in_the_way_is_told_and_not_overwritten() {
        let error = |source: &str, path: &str| format!("{:#}", set(source, path, "x").expect_err(path));
        assert!(error("storage: /dev/sda3\n", "storage.device").contains("`storage` is a single value"));
        assert!(error("storage:\n  device: x\n", "storage").contains("a mapping"));
        assert!(error("a: [\n", "b").contains("line"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn every_value_is_read_back_and_no_other_changes(
            values in proptest::collection::vec(
                (proptest::sample::select(vec!["a", "b.c", "b.d", "l[0].x", "l[0].y", "l[1].x", "m[0]", "m[1]", "n.o.p"]), "\\PC{0,20}"),
                1..12,
            ),
            start in proptest::sample::select(vec!["", "# nothing\n", "b: { c: old }\n", "l:\n- x: old # kept\n", "l: [{x: old}]\nz: 1"]),
        ) {
            let mut text = start.to_owned();
            let mut want: std::collections::BTreeMap<&str, String> = std::collections::BTreeMap::new();
            for (path, value) in &values {
                // Items come in order, and the name of an empty list is taken.
                let missing = (*path == "l[1].x" && find(&text, "l[0]").is_none()) || (*path == "m[1]" && find(&text, "m[0]").is_none());
                if missing || value == EMPTY_LIST {
                    continue;
                }
                text = set(&text, path, value).unwrap();
                want.insert(path, value.clone());
                for (path, value) in &want {
                    let got = get(&text, path);
                    proptest::prop_assert_eq!(got.as_ref(), Some(value), "{} in\n{}", path, text);
                }
            }
            proptest::prop_assert!(!start.contains("kept") || text.contains("# kept"));
        }
    }
}
