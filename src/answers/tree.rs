//! A YAML document with the position of every key and value.
//!
//! Every scalar keeps the text that the user typed: `no`, `0123` and `1e3` stay what they are, and
//! the field that reads them decides what they mean.

use std::collections::HashMap;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

/// Larger than any answers file, small enough to read without a thought.
pub const LIMIT: usize = 1024 * 1024;

/// Block nesting costs at least one column a level, and the parser allows 255 levels of brackets: so
/// this bounds how deep the recursive destructors and hashes of the parser's tree can go.
const LONGEST_LINE: usize = 1000;

/// Enough for that depth many times over; only what is used costs memory.
const STACK: usize = 64 * 1024 * 1024;

/// Deeper than any answers file; what is handed out is read by recursion on any stack.
const DEEPEST: usize = 32;

/// The parser copies what an alias stands for; copies of the whole file for each alias stay below this.
const MOST_COPIED: usize = 64 * LIMIT;

/// After so many duplicate keys the file is not worth more reading.
const MOST_DUPLICATES: u32 = 20;

/// Where something stands: line and column from 1, and the range in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// First character.
    pub start: usize,
    /// One after the last character.
    pub end: usize,
}

impl At {
    /// The first character of the file.
    pub const START: At = At { line: 1, column: 1, start: 0, end: 0 };

    fn of(marker: saphyr::Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1, start: marker.index(), end: marker.index() }
    }
}

/// A value.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it stands.
    pub at: At,
    /// For an alias (`*name`) of a scalar: where its anchor's value stands.
    pub origin: Option<At>,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing, or `~` or `null`.
    Null,
    /// A text as the user typed it, without its quotes.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
    /// Something that means nothing here and is a flaw, such as a value with a tag (`!secret`).
    Flawed,
}

impl Value {
    /// In words, for "found a list".
    pub fn describe(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping (keys with values)",
            Value::Flawed => "something else",
        }
    }
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key; empty when it is not a single word.
    pub key: String,
    /// Where the key stands.
    pub at: At,
    /// Its value.
    pub value: Node,
    /// The same key stands earlier in this mapping: this one is not to be read.
    pub duplicate: bool,
}

/// Something that makes the text no YAML tree, or not a clean one.
#[derive(Debug, Clone)]
pub struct Flaw {
    /// Where.
    pub at: At,
    /// What, and what to do.
    pub message: String,
}

/// A parsed text.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The document; none when it could not be parsed or is empty.
    pub root: Option<Node>,
    /// All that is wrong with it as YAML.
    pub flaws: Vec<Flaw>,
}

/// Parses `source`, which must not begin with a byte order mark.
pub fn parse(source: &str) -> Tree {
    let flaw = match unreadable(source) {
        Some(flaw) => flaw,
        None => match with_room(|| parse_readable(source)) {
            Some(tree) => return tree,
            None => Flaw {
                at: At::START,
                message: "the file could not be parsed; is it an answers file in YAML?".to_owned(),
            },
        },
    };
    Tree { root: None, flaws: vec![flaw] }
}

/// Runs `parse` where the parser's recursion has room; `None` if it fails all the same.
fn with_room(parse: impl FnOnce() -> Tree + Send) -> Option<Tree> {
    std::thread::scope(|scope| {
        let room = std::thread::Builder::new().stack_size(STACK);
        room.spawn_scoped(scope, parse).ok()?.join().ok()
    })
}

fn parse_readable(source: &str) -> Tree {
    let mut chars: Vec<char> = source.chars().collect();
    let mut duplicates = HashMap::new();
    let mut flaws = Vec::new();
    loop {
        let text: String = chars.iter().collect();
        let error = match MarkedYaml::load_from_str(&text) {
            Ok(documents) => {
                let root = root(&documents, &chars, &duplicates, &mut flaws);
                return Tree { root, flaws };
            }
            Err(error) => error,
        };
        let at = At::of(*error.marker());
        if error.info() != "duplicated key in mapping" {
            flaws.push(explain(error.info(), source, at));
            return Tree { root: None, flaws };
        }
        // The parser stops at the first duplicate. The key is made unique, at the same length, and the
        // text parsed again: so one run tells all duplicates and all else that is wrong.
        let Some(key) = word_at(&chars, at.start) else {
            flaws.push(Flaw { at, message: "this key is given twice; keep one".to_owned() });
            return Tree { root: None, flaws };
        };
        let name: String = chars[key.clone()].iter().collect();
        flaws.push(Flaw {
            at: At { end: key.end, ..at },
            message: format!("`{name}` is given twice in the same place; keep one of them"),
        });
        let round = u32::try_from(duplicates.len()).unwrap_or(u32::MAX);
        let Some(stand_in) = char::from_u32(0xE000 + round).filter(|_| round < MOST_DUPLICATES) else {
            return Tree { root: None, flaws };
        };
        chars[key].fill(stand_in);
        duplicates.insert(at.start, name);
    }
}

/// Things that are better said before a YAML parser says them.
fn unreadable(source: &str) -> Option<Flaw> {
    if source.len() > LIMIT {
        return Some(Flaw {
            at: At::START,
            message: "the file is larger than 1 MiB, so it is not an answers file; \
                      give the file that `hapair ask` wrote"
                .to_owned(),
        });
    }
    let aliases = source
        .as_bytes()
        .windows(3)
        .filter(|w| w[1] == b'*' && !w[0].is_ascii_alphanumeric() && w[0] != b'*' && !b"* \t\r\n".contains(&w[2]));
    if aliases.count().saturating_mul(source.len()) > MOST_COPIED {
        let message = "there are too many aliases (`*name`) for an answers file; write the values themselves";
        return Some(Flaw { at: At::START, message: message.to_owned() });
    }
    let mut at = At::START;
    for c in source.chars() {
        if c.is_control() && !matches!(c, '\n' | '\r' | '\t') {
            return Some(Flaw {
                at,
                message: format!(
                    "the file holds the control character U+{:04X}, so it is not a text file; \
                     give an answers file in YAML",
                    u32::from(c)
                ),
            });
        }
        at.start += 1;
        at.end = at.start;
        if matches!(c, '\n' | '\r') {
            at.line += usize::from(c == '\n');
            at.column = 1;
        } else {
            at.column += 1;
        }
        if at.column > LONGEST_LINE {
            return Some(Flaw {
                at: At { column: 1, ..at },
                message: format!("the line is longer than {LONGEST_LINE} characters; break it"),
            });
        }
    }
    None
}

/// The parser's message in the words of somebody who edits a file.
fn explain(info: &str, source: &str, at: At) -> Flaw {
    // The parser stops where the token before the tab begins.
    let tab = source.lines().enumerate().skip(at.line - 1).take(3).find_map(|(n, line)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        indent.find('\t').map(|column| (n + 1, column + 1))
    });
    if let Some((line, column)) = tab {
        return Flaw {
            at: At { line, column, ..at },
            message: "there is a tab in the indentation; YAML takes spaces only: replace the tab \
                      by spaces"
                .to_owned(),
        };
    }
    let message = if info.contains("tab") {
        "there is a tab where YAML takes spaces only; replace it by spaces".to_owned()
    } else if info.contains("quoted scalar") {
        "the quoted text that begins here does not end; add the closing quote".to_owned()
    } else if info.contains("unknown anchor") {
        "this alias (`*name`) has no anchor (`&name`) before it; write the value itself".to_owned()
    } else if info.contains("',' or") {
        "a `[` or `{` before this place is not closed; add the closing bracket".to_owned()
    } else {
        format!("this is not valid YAML: {info}; compare the indentation with the lines around it")
    };
    Flaw { at, message }
}

/// The characters of the plain or quoted key at `start`.
fn word_at(chars: &[char], start: usize) -> Option<std::ops::Range<usize>> {
    let quote = chars.get(start).copied().filter(|c| matches!(c, '"' | '\''));
    let first = start + usize::from(quote.is_some());
    let length = chars
        .get(first..)?
        .iter()
        .take_while(|c| match quote {
            Some(quote) => **c != quote && **c != '\\' && **c != '\n',
            None => c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'),
        })
        .count();
    (length > 0).then_some(first..first + length)
}

fn root(
    documents: &[MarkedYaml<'_>],
    chars: &[char],
    duplicates: &HashMap<usize, String>,
    flaws: &mut Vec<Flaw>,
) -> Option<Node> {
    let mut reader = Reader { chars, duplicates, anchors: HashMap::new(), flaws, depth: 0 };
    let root = reader.node(documents.first()?);
    if let Some(second) = documents.get(1) {
        let at = At::of(second.span.start);
        let message = "a second document begins here (`---`); keep one per file".to_owned();
        flaws.push(Flaw { at, message });
    }
    Some(root)
}

struct Reader<'a> {
    chars: &'a [char],
    duplicates: &'a HashMap<usize, String>,
    /// What an anchor's scalar is, as typed: an alias of `0123` must not become `123`.
    anchors: HashMap<String, (String, At)>,
    flaws: &'a mut Vec<Flaw>,
    depth: usize,
}

impl Reader<'_> {
    fn node(&mut self, yaml: &MarkedYaml<'_>) -> Node {
        self.depth += 1;
        let node = self.node_at_depth(yaml);
        self.depth -= 1;
        node
    }

    fn node_at_depth(&mut self, yaml: &MarkedYaml<'_>) -> Node {
        let at = At { end: yaml.span.end.index(), ..At::of(yaml.span.start) };
        let mut origin = None;
        let value = match &yaml.data {
            YamlData::Sequence(_) | YamlData::Mapping(_) if self.depth > DEEPEST => {
                let message = "this is nested too deeply for an answers file";
                self.flaws.push(Flaw { at, message: message.to_owned() });
                Value::Flawed
            }
            YamlData::Sequence(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            YamlData::Mapping(entries) => {
                Value::Map(entries.iter().map(|(key, value)| self.entry(key, value)).collect())
            }
            YamlData::Value(scalar) => {
                let (value, anchor) = self.scalar(scalar, at);
                origin = anchor;
                value
            }
            YamlData::Representation(text, _, _) => Value::Scalar(text.to_string()),
            YamlData::Tagged(..) | YamlData::BadValue | YamlData::Alias(_) => {
                let message = "YAML tags (`!word`) have no meaning here; write the value itself";
                self.flaws.push(Flaw { at, message: message.to_owned() });
                Value::Flawed
            }
        };
        Node { at, origin, value }
    }

    fn entry(&mut self, key: &MarkedYaml<'_>, value: &MarkedYaml<'_>) -> Entry {
        let node = self.node(key);
        let text = match node.value {
            Value::Scalar(text) => text,
            Value::Null => self.slice(node.at),
            Value::List(_) | Value::Map(_) | Value::Flawed => {
                let message = "a key must be a single word; quote values that contain `{` or `[`";
                self.flaws.push(Flaw { at: node.at, message: message.to_owned() });
                String::new()
            }
        };
        let original =
            self.duplicates.get(&node.at.start).filter(|_| text.starts_with(|c| ('\u{E000}'..'\u{F8FF}').contains(&c)));
        Entry {
            duplicate: original.is_some(),
            key: original.cloned().unwrap_or(text),
            at: node.at,
            value: self.node(value),
        }
    }

    /// The scalar as typed, and for an alias where its anchor stands.
    fn scalar(&mut self, scalar: &Scalar<'_>, at: At) -> (Value, Option<At>) {
        let typed = self.slice(at);
        if let Some(name) = typed.strip_prefix('*') {
            if matches!(scalar, Scalar::Null) {
                return (Value::Null, None);
            }
            if let Some((text, anchor)) = self.anchors.get(name) {
                return (Value::Scalar(text.clone()), Some(*anchor));
            }
        }
        let mut rest = typed.as_str();
        let mut anchor = None;
        while let Some(c) = rest.chars().next().filter(|c| matches!(c, '&' | '!')) {
            let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if c == '&' {
                anchor = Some(word[1..].to_owned());
            }
            rest = behind.trim_start();
        }
        let value = match scalar {
            Scalar::Null => return (Value::Null, None),
            Scalar::String(text) => text.to_string(),
            Scalar::Boolean(_) | Scalar::Integer(_) | Scalar::FloatingPoint(_) => rest.trim_end().to_owned(),
        };
        if let Some(name) = anchor {
            self.anchors.insert(name, (value.clone(), at));
        }
        (Value::Scalar(value), None)
    }

    fn slice(&self, at: At) -> String {
        self.chars.get(at.start..at.end).unwrap_or_default().iter().collect()
    }
}
