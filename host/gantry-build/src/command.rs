//! Running a language's tools: bounded in time, silent unless they fail.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{BuildError, at, missing, step};

/// Longest run of one tool, fetching a compiler over a slow line included.
const LONGEST: Duration = Duration::from_secs(20 * 60);
/// How much of a tool's output an error carries, in bytes; compilers say the first cause first, most others last.
const SHOWN: usize = 6 * 1024;

/// Runs a tool to its end; what it says goes to the file `log`, and into the error where it fails. `fix` is how to get the
/// tool where it is not there.
pub(crate) fn run(what: &str, command: &mut Command, log: &Path, fix: &str) -> Result<String, BuildError> {
    if let Some(parent) = log.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    let output = File::create(log).map_err(at(log))?;
    let errors = output.try_clone().map_err(at(log))?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = match command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing(program, fix)),
        Err(error) => return Err(step(what, format!("cannot start `{program}`: {error}"))),
    };
    let deadline = Instant::now() + LONGEST;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
            Ok(None) => {
                drop(child.kill());
                drop(child.wait());
                return Err(step(
                    what,
                    format!("`{program}` took longer than {} minutes", LONGEST.as_secs() / 60),
                ));
            }
            Err(error) => return Err(step(what, error)),
        }
    };
    let said = fs::read(log).map_err(at(log))?;
    let said = String::from_utf8_lossy(&said);
    if status.success() {
        return Ok(said.into_owned());
    }
    Err(step(what, format!("`{program}` ended with {status}\n{}", shown(said.trim()))))
}

/// The beginning and the end of a long text.
fn shown(text: &str) -> String {
    if text.len() <= SHOWN {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(SHOWN / 2);
    let tail = text.ceil_char_boundary(text.len() - SHOWN / 2);
    let (head, tail) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    format!("{head}\n[...]\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_tool_is_told_with_what_it_said_and_a_missing_one_with_its_cure() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut failing = Command::new("sh");
        failing.args(["-c", "echo out; echo bad >&2; exit 3"]);
        let error = run("compiling", &mut failing, &log, "").unwrap_err().to_string();
        assert!(error.starts_with("compiling failed: `sh` ended with exit status: 3\nout\nbad"), "{error}");
        let error = run("x", &mut Command::new("no-such-tool"), &log, "get it").unwrap_err().to_string();
        assert_eq!(error, "no-such-tool is missing: get it");
    }

    #[test]
    fn of_a_flood_the_beginning_and_the_end_are_shown() {
        let flood = format!("first{}last", "é".repeat(SHOWN));
        let text = shown(&flood);
        assert!(text.starts_with("first") && text.ends_with("last") && text.len() < SHOWN + 20);
    }
}
