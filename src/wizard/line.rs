//! A line of text that is being typed. Pure.

use console::Key;
use zeroize::Zeroize as _;

/// What has been typed, and where the next character goes.
#[derive(Default)]
pub(super) struct Line {
    chars: Vec<char>,
    at: usize,
}

impl Line {
    /// The text.
    pub(super) fn text(&self) -> String {
        self.chars.iter().collect()
    }

    /// Whether nothing has been typed.
    pub(super) fn is_empty(&self) -> bool {
        self.chars.is_empty()
    }

    /// Replaces what was typed; the next character goes to its end.
    pub(super) fn put(&mut self, text: &str) {
        self.chars = text.chars().collect();
        self.at = self.chars.len();
    }

    /// Takes a key; `false` if it is none for a line.
    pub(super) fn key(&mut self, key: &Key) -> bool {
        match key {
            // Control-U, Control-K and Control-W as in a shell.
            Key::Char('\u{15}') => {
                self.chars.drain(..self.at);
                self.at = 0;
            }
            Key::Char('\u{b}') => self.chars.truncate(self.at),
            Key::Char('\u{17}') => {
                let before = &self.chars[..self.at];
                let word = before.iter().rposition(|c| !c.is_whitespace()).map_or(0, |end| {
                    before[..end].iter().rposition(|c| c.is_whitespace()).map_or(0, |space| space + 1)
                });
                self.chars.drain(word..self.at);
                self.at = word;
            }
            Key::Char(c) if !c.is_control() => {
                self.chars.insert(self.at, *c);
                self.at += 1;
            }
            Key::Backspace if self.at > 0 => {
                self.at -= 1;
                self.chars.remove(self.at);
            }
            Key::Del if self.at < self.chars.len() => drop(self.chars.remove(self.at)),
            Key::ArrowLeft => self.at = self.at.saturating_sub(1),
            Key::ArrowRight => self.at = (self.at + 1).min(self.chars.len()),
            Key::Home => self.at = 0,
            Key::End => self.at = self.chars.len(),
            _ => return false,
        }
        true
    }

    /// The part of it that fits into `room` columns, and the column of the next character in it. Hidden, each character is
    /// a star.
    pub(super) fn window(&self, room: usize, hidden: bool, star: char) -> (String, usize) {
        let shown = |c: &char| if hidden { star } else { *c };
        let width = |chars: &[char]| -> usize {
            chars.iter().map(|c| console::measure_text_width(shown(c).encode_utf8(&mut [0; 4]))).sum()
        };
        let mut from = 0;
        while from < self.at && width(&self.chars[from..self.at]) + 1 > room {
            from += 1;
        }
        let mut to = self.chars.len();
        while to > self.at && width(&self.chars[from..to]) > room {
            to -= 1;
        }
        (self.chars[from..to].iter().map(shown).collect(), width(&self.chars[from..self.at]))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.chars.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[Key]) -> Line {
        let mut line = Line::default();
        for key in keys {
            line.key(key);
        }
        line
    }

    fn text(text: &str) -> Vec<Key> {
        text.chars().map(Key::Char).collect()
    }

    #[test]
    fn a_line_is_edited_as_in_a_shell() {
        let mut keys = text("root@hst");
        keys.extend([Key::ArrowLeft, Key::ArrowLeft, Key::Char('o'), Key::End, Key::Char('!'), Key::Backspace]);
        assert_eq!(typed(&keys).text(), "root@host");
        keys.extend([Key::Home, Key::Del, Key::Char('R'), Key::Backspace, Key::Backspace]);
        assert_eq!(typed(&keys).text(), "oot@host");
        let mut words = text("one two ");
        words.push(Key::Char('\u{17}'));
        assert_eq!(typed(&words).text(), "one ");
        words.push(Key::Char('\u{15}'));
        assert!(typed(&words).is_empty());
        assert!(!Line::default().key(&Key::Enter));
    }

    #[test]
    fn the_place_where_one_types_is_always_seen() {
        let line = typed(&text("0123456789"));
        assert_eq!(line.window(20, false, '*'), ("0123456789".to_owned(), 10));
        assert_eq!(line.window(5, false, '*'), ("6789".to_owned(), 4));
        assert_eq!(line.window(5, true, '*'), ("****".to_owned(), 4));
        let mut line = typed(&text("0123456789"));
        line.key(&Key::Home);
        assert_eq!(line.window(5, false, '*'), ("01234".to_owned(), 0));
    }
}
