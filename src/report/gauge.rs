//! The bar, drawn by indicatif.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// A bar of so many cells, drawn by indicatif into a string: its own drawing end fills each line up to the edge with
/// blanks, which fall apart when a window is made narrower.
pub(super) fn gauge(percent: f64, cells: usize, unicode: bool) -> String {
    let drawn = Drawn::default();
    let target = ProgressDrawTarget::term_like(Box::new(drawn.clone()));
    let bar = ProgressBar::with_draw_target(Some(10_000), target);
    let Ok(template) = ProgressStyle::with_template(&format!("{{bar:{cells}}}")) else { return String::new() };
    bar.set_style(template.progress_chars(if unicode { "█▉▊▋▌▍▎▏░" } else { "##-" }));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 100, as words::percent gives it
    bar.update(|state| state.set_pos((percent * 100.0) as u64));
    bar.force_draw();
    drawn.take()
}

/// A terminal that is a string.
#[derive(Clone, Default)]
struct Drawn(Arc<Mutex<String>>);

impl Drawn {
    fn take(&self) -> String {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *text).trim_end().to_owned()
    }
}

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drawn")
    }
}

impl TermLike for Drawn {
    fn width(&self) -> u16 {
        80
    }
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }
    fn clear_line(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills() {
        let drawn = |percent| (gauge(percent, 10, true), gauge(percent, 10, false));
        let pair = |unicode: &str, ascii: &str| (unicode.to_owned(), ascii.to_owned());
        assert_eq!(drawn(0.0), pair("░░░░░░░░░░", "----------"));
        assert_eq!(drawn(43.75), pair("████▍░░░░░", "#####-----"));
        assert_eq!(drawn(100.0), pair("██████████", "##########"));
    }
}
