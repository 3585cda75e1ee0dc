//! How a question looks: lines of text from what is known of it. Pure, so that it can be read in tests.

use console::measure_text_width;

use super::line::Line;
use super::question::{Choice, Kind, Question, Take};
use crate::report::style::{Style, Tone};

/// Wider is not easier to read.
const WIDEST: usize = 100;

/// What has been done at a question so far.
pub(super) struct Entry {
    /// Place in the list.
    pub(super) at: usize,
    /// Text typed.
    pub(super) line: Line,
    /// What is wrong with it.
    pub(super) wrong: Option<String>,
}

impl Entry {
    /// Another place in the list; what was typed to find one is forgotten.
    pub(super) fn to(&mut self, at: usize) {
        (self.at, self.wrong) = (at, None);
        self.line.put("");
    }
}

/// Lines, and where the cursor stands in them: line and column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sheet {
    pub(super) lines: Vec<String>,
    pub(super) cursor: Option<(usize, usize)>,
}

/// A question as it stands. `heading`: it is the first below its heading.
pub(super) fn sheet(
    question: &Question,
    entry: &Entry,
    heading: bool,
    (height, width): (usize, usize),
    style: Style,
) -> Sheet {
    let width = columns(width);
    let mut head = Vec::new();
    if heading {
        head.extend(self::heading(question.part, style));
    }
    head.extend(style.wrap(Tone::Strong, &question.text, 1, 0, width));
    let why = if question.why.is_empty() { Vec::new() } else { style.wrap(Tone::Faint, &question.why, 1, 0, width) };
    let mut foot = Vec::new();
    if let Some(wrong) = &entry.wrong {
        foot.extend(style.wrap(Tone::Bad, wrong, 1, 2, width));
    }
    foot.extend(style.wrap(Tone::Faint, &keys(question, style), 1, 0, width));
    // The cursor needs a line of its own on a small screen.
    let room = height.saturating_sub(head.len() + foot.len() + 1);
    let mut lines = head;
    let (body, cursor) = match &question.kind {
        Kind::Choose { choices, .. } => (list(choices, entry.at, width, room.max(1), style), None),
        Kind::Text { default, .. } => {
            let (line, column) = typed(&entry.line, default.as_deref(), false, width, style);
            (vec![line], Some(column))
        }
        Kind::Secret { .. } => {
            let (line, column) = typed(&entry.line, None, true, width, style);
            (vec![line], Some(column))
        }
    };
    // Where there is not enough room, the reason is what can be had with `?`.
    if body.len() + why.len() <= room {
        lines.extend(why);
    }
    let cursor = cursor.map(|column| (lines.len(), column));
    lines.extend(body);
    lines.extend(foot);
    Sheet { lines, cursor }
}

/// An empty line and a heading.
pub(super) fn heading(part: &str, style: Style) -> [String; 2] {
    let rule = if style.unicode { "──" } else { "--" };
    [String::new(), style.paint(Tone::Good, &format!("{rule} {part}"))]
}

/// The line that stays when a question is answered.
pub(super) fn answered(question: &Question, answer: &str, width: usize, style: Style) -> String {
    let mark = if style.unicode { "✔" } else { "+" };
    let text = question.text.trim_end_matches(['?', ':', '.']);
    style.row(
        &[(Tone::Good, &format!(" {mark} ")), (Tone::Faint, &format!("{text}: ")), (Tone::Plain, answer)],
        "",
        columns(width),
    )
}

/// Columns that are used: never the last, since writing there may begin a new line.
pub(super) fn columns(width: usize) -> usize {
    width.saturating_sub(1).clamp(20, WIDEST)
}

fn keys(question: &Question, style: Style) -> String {
    let explain = if question.more.is_empty() { "" } else { ", ? explains" };
    match &question.kind {
        Kind::Choose { .. } => {
            let arrows = if style.unicode { "↑ ↓" } else { "Up, Down" };
            format!("{arrows} and Enter choose, Esc goes back{explain}")
        }
        Kind::Text { default: Some(default), .. } => {
            format!("Enter takes {}, Esc goes back{explain}", if default.is_empty() { "nothing" } else { default })
        }
        Kind::Text { .. } => format!("Esc goes back{explain}"),
        Kind::Secret { .. } => "Nothing of it is shown. Esc goes back, ? and Enter explains".to_owned(),
    }
}

fn typed(line: &Line, default: Option<&str>, hidden: bool, width: usize, style: Style) -> (String, usize) {
    let sign = if style.unicode { " ❯ " } else { " > " };
    let lead = measure_text_width(sign);
    let sign = style.paint(Tone::Good, sign);
    if line.is_empty() {
        let shown = style.row(&[(Tone::Faint, default.unwrap_or_default())], "", width.saturating_sub(lead));
        return (format!("{sign}{shown}"), lead);
    }
    let star = if style.unicode { '•' } else { '*' };
    let (text, column) = line.window(width.saturating_sub(lead), hidden, star);
    (format!("{sign}{text}"), lead + column)
}

/// The part of a list around the chosen one that fits. The chosen one is shown whole, the others in a line each.
fn list(choices: &[Choice], at: usize, width: usize, room: usize, style: Style) -> Vec<String> {
    let sign = if style.unicode { " ❯ " } else { " > " };
    let text = |choice: &Choice| match &choice.take {
        Take::Values(_) => choice.label.clone(),
        Take::Not(why) => format!("{} ({why})", choice.label),
    };
    let tone = |choice: &Choice| if choice.open() { Tone::Plain } else { Tone::Faint };
    let mut chosen: Vec<String> = Vec::new();
    if let Some(choice) = choices.get(at) {
        let plain = Style { colour: false, ..style };
        for (n, line) in plain.wrap(Tone::Plain, &text(choice), 3, 2, width).into_iter().enumerate() {
            let line = if n == 0 { line.trim_start().to_owned() } else { line };
            let tone = if choice.open() { Tone::Strong } else { Tone::Faint };
            chosen.push(if n == 0 {
                format!("{}{}", style.paint(Tone::Good, sign), style.paint(tone, &line))
            } else {
                style.paint(tone, &line)
            });
        }
    }
    let other = |choice: &Choice| style.row(&[(tone(choice), &format!("   {}", text(choice)))], "", width);
    let total = choices.len() + chosen.len().saturating_sub(1);
    if total <= room {
        return choices
            .iter()
            .enumerate()
            .flat_map(|(n, choice)| if n == at { chosen.clone() } else { vec![other(choice)] })
            .collect();
    }
    // One line above and one below say how many more there are.
    let others = room.saturating_sub(chosen.len() + 2);
    let before = (others / 2).min(at);
    let from = at - before;
    let to = (at + 1 + others - before).min(choices.len());
    let mut lines = Vec::new();
    let more = |count: usize, word: &str| style.row(&[(Tone::Faint, &format!("   {count} more {word}"))], "", width);
    if from > 0 && room > 2 {
        lines.push(more(from, "above"));
    }
    lines.extend(choices[from..at].iter().map(other));
    lines.extend(chosen);
    lines.extend(choices[(at + 1).min(to)..to].iter().map(other));
    if to < choices.len() && room > 2 {
        lines.push(more(choices.len() - to, "below"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { colour: false, unicode: false };

    fn entry(at: usize) -> Entry {
        Entry { at, line: Line::default(), wrong: None }
    }

    fn disks(count: usize) -> Question {
        let mut choices: Vec<Choice> =
            (0..count).map(|n| Choice::value(format!("sda{n}, 300 GiB"), "storage.device", "/dev/sda1")).collect();
        choices.push(Choice::not("sdz1, 10 GiB", "mounted on /"));
        Question::choose("storage.device", "Storage", "Which device of node1?", choices)
            .because(("DRBD mirrors one partition of each node to the other.".to_owned(), "More.".to_owned()))
    }

    #[test]
    fn a_question_with_a_list() {
        let seen = sheet(&disks(2), &entry(1), true, (24, 60), PLAIN);
        assert_eq!(
            seen.lines.join("\n"),
            "\n-- Storage\n Which device of node1?\n DRBD mirrors one partition of each node to the other.\n   sda0, 300 GiB\n \
             > sda1, 300 GiB\n   sdz1, 10 GiB (mounted on /)\n Up, Down and Enter choose, Esc goes back, ? explains"
        );
        assert_eq!(seen.cursor, None);
    }

    #[test]
    fn a_long_list_on_a_small_screen_shows_the_part_around_the_chosen_one() {
        for height in 6..30 {
            for at in [0, 1, 20, 39, 40] {
                let seen = sheet(&disks(40), &entry(at), true, (height, 50), PLAIN);
                assert!(seen.lines.len() < height.max(7), "{height}: {}", seen.lines.join("\n"));
                assert!(seen.lines.iter().any(|line| line.starts_with(" > ")), "{}", seen.lines.join("\n"));
            }
        }
    }

    #[test]
    fn a_line_of_text_with_its_default_and_what_is_wrong_with_it() {
        let question = Question::text("cluster", "Names", "Name of the cluster", Some("web".to_owned()));
        let seen = sheet(&question, &entry(0), false, (24, 60), PLAIN);
        assert_eq!(seen.lines.join("\n"), " Name of the cluster\n > web\n Enter takes web, Esc goes back");
        assert_eq!(seen.cursor, Some((1, 3)));
        let mut entry = entry(0);
        entry.line.put("Web");
        entry.wrong = Some("`Web` is not a cluster name".to_owned());
        let seen = sheet(&question, &entry, false, (24, 60), PLAIN);
        assert_eq!(seen.lines[1..3], [" > Web", " `Web` is not a cluster name"]);
        assert_eq!(seen.cursor, Some((1, 6)));
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        let unicode = Style { colour: true, unicode: true };
        for width in 20..90 {
            for style in [PLAIN, unicode] {
                let seen = sheet(&disks(3), &entry(2), true, (24, width), style);
                for line in &seen.lines {
                    assert!(measure_text_width(line) < width.max(21), "{width}: {line}");
                }
            }
        }
    }
}
