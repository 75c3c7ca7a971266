//! Instructions of this process's own code, by Valgrind where it is installed: the same whatever else the machine does.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Runs a part of this program and counts the instructions it executes; none without Valgrind. Its children are not counted.
pub(crate) fn of(plugins: &Path, part: [&str; 2], numbers: &[String]) -> Result<Option<u64>> {
    let program = std::env::current_exe().context("this program's file cannot be found")?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    let run = valgrind
        .arg(program)
        .arg("--plugins")
        .arg(plugins)
        .args(part)
        .args(numbers)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = run else { return Ok(None) };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "a run under Valgrind failed: {said}");
    let counted =
        figure(&said).with_context(|| format!("Valgrind does not tell the instructions: {said}"))?;
    Ok(Some(counted))
}

/// Instructions as Cachegrind tells them; versions differ in their blanks.
fn figure(said: &str) -> Option<u64> {
    let (before, figure) = said.lines().find_map(|line| line.split_once("refs:"))?;
    before.trim_end().ends_with(" I").then(|| figure.trim().replace(',', "").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_found_whatever_the_version() {
        assert_eq!(figure("==1== \n==1== I   refs:      100,438,554\n"), Some(100_438_554));
        assert_eq!(figure("==1== I refs:        7\n"), Some(7));
        assert_eq!(figure("==1== D refs:        7\n"), None);
    }
}
