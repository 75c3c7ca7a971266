//! The bar that shows how far a command is.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, where a person may look at it; a mere count where it is not known how many messages there are.
pub(crate) fn progress(messages: Option<u64>, hidden: bool) -> ProgressBar {
    if hidden || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match messages {
        Some(messages) => {
            (ProgressBar::new(messages), "{bar:40} {pos}/{len} messages, {per_sec}, {eta} left")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {pos} messages, {per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
