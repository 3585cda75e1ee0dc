//! The pair as a picture: two boxes, what is in them, and the wires between. Pure.

use console::measure_text_width;

use crate::report::style::{Style, Tone};

/// One of the two machines.
#[derive(Debug, Clone, Default)]
pub(super) struct Side {
    pub(super) name: String,
    pub(super) lines: Vec<String>,
}

/// A wire: what it is for, and its ends.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) what: String,
    pub(super) ends: [String; 2],
}

/// Columns below which the boxes stand one below the other.
const SIDE_BY_SIDE: usize = 74;

/// Corners and lines.
struct Pen {
    line: char,
    pillar: char,
    corners: [char; 4],
    plugs: [char; 2],
    down: [char; 2],
}

const UNICODE: Pen = Pen {
    line: '─', pillar: '│', corners: ['┌', '┐', '└', '┘'], plugs: ['├', '┤'], down: ['┬', '┴']
};
const ASCII: Pen = Pen { line: '-', pillar: '|', corners: ['+', '+', '+', '+'], plugs: ['+', '+'], down: ['+', '+'] };

fn fit(style: Style, text: &str, width: usize) -> String {
    let cut = Style { colour: false, ..style }.row(&[(Tone::Plain, text)], "", width);
    let missing = width.saturating_sub(measure_text_width(&cut));
    format!("{cut}{}", " ".repeat(missing))
}

/// The picture in lines of at most `width` columns.
pub(super) fn picture(sides: &[Side; 2], wires: &[Wire], width: usize, style: Style) -> Vec<String> {
    let pen = if style.unicode { UNICODE } else { ASCII };
    if width < SIDE_BY_SIDE {
        below(sides, wires, width, &pen, style)
    } else {
        beside(sides, wires, width, &pen, style)
    }
}

fn rule(pen: &Pen, count: usize) -> String {
    std::iter::repeat_n(pen.line, count).collect()
}

fn top(pen: &Pen, name: &str, inner: usize, style: Style) -> String {
    let name = Style { colour: false, ..style }.row(&[(Tone::Plain, name)], "", inner.saturating_sub(4));
    let rest = inner.saturating_sub(measure_text_width(&name) + 3);
    let name = style.paint(Tone::Strong, &name);
    format!("{}{} {name} {}{}", pen.corners[0], pen.line, rule(pen, rest), pen.corners[1])
}

fn beside(sides: &[Side; 2], wires: &[Wire], width: usize, pen: &Pen, style: Style) -> Vec<String> {
    let label = wires.iter().map(|wire| measure_text_width(&wire.what)).max().unwrap_or(0);
    let gap = (label + 4).clamp(12, width.saturating_sub(48).max(12));
    // A space before, and the frames of two boxes.
    let inner = (width - gap - 5) / 2;
    let space = " ".repeat(gap);
    let mut lines =
        vec![format!(" {}{space}{}", top(pen, &sides[0].name, inner, style), top(pen, &sides[1].name, inner, style))];
    for n in 0..sides.iter().map(|side| side.lines.len()).max().unwrap_or(0) {
        let cell = |side: &Side| {
            let text = side.lines.get(n).map_or("", String::as_str);
            format!("{} {} {}", pen.pillar, fit(style, text, inner - 2), pen.pillar)
        };
        lines.push(format!(" {}{space}{}", cell(&sides[0]), cell(&sides[1])));
    }
    for wire in wires {
        let text = fit(style, &wire.what, (gap - 4).min(measure_text_width(&wire.what)));
        let rest = gap - 2 - measure_text_width(&text);
        let cable = format!("{} {text} {}", rule(pen, rest / 2), rule(pen, rest - rest / 2));
        let left = fit(style, &wire.ends[0], inner - 2);
        let pad = left.len() - left.trim_end().len();
        let left = format!("{}{}", " ".repeat(pad), left.trim_end());
        let right = fit(style, &wire.ends[1], inner - 2);
        lines.push(format!(
            " {} {left} {}{}{} {right} {}",
            pen.pillar,
            pen.plugs[0],
            style.paint(Tone::Good, &cable),
            pen.plugs[1],
            pen.pillar
        ));
    }
    let bottom = format!("{}{}{}", pen.corners[2], rule(pen, inner), pen.corners[3]);
    lines.push(format!(" {bottom}{space}{bottom}"));
    lines
}

fn below(sides: &[Side; 2], wires: &[Wire], width: usize, pen: &Pen, style: Style) -> Vec<String> {
    let inner = width.saturating_sub(3).max(10);
    let mut lines = Vec::new();
    let plug = |joint: char| format!("{}{}{}", rule(pen, 2), joint, rule(pen, inner - 3));
    for (n, side) in sides.iter().enumerate() {
        lines.push(format!(" {}", top(pen, &side.name, inner, style)));
        for text in &side.lines {
            lines.push(format!(" {} {} {}", pen.pillar, fit(style, text, inner - 2), pen.pillar));
        }
        let ending = if n == 0 && !wires.is_empty() { plug(pen.down[0]) } else { rule(pen, inner) };
        lines.push(format!(" {}{ending}{}", pen.corners[2], pen.corners[3]));
        if n == 0 {
            for wire in wires {
                let text = format!("{}: {}, {}", wire.what, wire.ends[0], wire.ends[1]);
                let text = style.row(&[(Tone::Good, &text)], "", width.saturating_sub(6));
                lines.push(format!("    {} {text}", pen.pillar));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> ([Side; 2], Vec<Wire>) {
        let side = |name: &str, disk: &str| Side {
            name: name.to_owned(),
            lines: vec!["Debian 12, 16 GiB".to_owned(), disk.to_owned(), "runs vm01".to_owned()],
        };
        let wire = |what: &str, net: u8| Wire {
            what: what.to_owned(),
            ends: [1, 2].map(|n| format!("eth{net} 10.{net}.0.{n}")),
        };
        (
            [side("left", "sda3, 300 GiB"), side("right", "nvme0n1p3, 300 GiB")],
            vec![wire("DRBD, cluster", 1), wire("second link", 2)],
        )
    }

    #[test]
    fn two_boxes_and_their_wires() {
        let (sides, wires) = pair();
        let plain = Style { colour: false, unicode: false };
        let expected = "\x20+- left ----------------------+                 +- right ---------------------+
 | Debian 12, 16 GiB           |                 | Debian 12, 16 GiB           |
 | sda3, 300 GiB               |                 | nvme0n1p3, 300 GiB          |
 | runs vm01                   |                 | runs vm01                   |
 |               eth1 10.1.0.1 +- DRBD, cluster -+ eth1 10.1.0.2               |
 |               eth2 10.2.0.1 +-- second link --+ eth2 10.2.0.2               |
 +-----------------------------+                 +-----------------------------+";
        assert_eq!(picture(&sides, &wires, 80, plain).join("\n"), expected);
    }

    #[test]
    fn it_fits_every_width() {
        let (sides, wires) = pair();
        for width in 20..120 {
            for unicode in [false, true] {
                for line in picture(&sides, &wires, width, Style { colour: true, unicode }) {
                    assert!(measure_text_width(&line) <= width, "{width}: {line}");
                }
            }
        }
    }
}
