//! Where the messages come from: the command line, a file, or line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::Context as _;
use gantry_host::client_instance::OutgoingMessage;
use tokio::sync::mpsc;

use super::args::SendArgs;
use super::line;
use crate::commands::written::says_something;

/// Lines that are read ahead.
const READ_AHEAD: usize = 64;
/// Bytes of one line: as many as the largest frame of the protocol has.
const LONGEST_LINE: u64 = 16 * 1_024 * 1_024;

/// A message, and where it is written.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// From 1, where it is one of several.
    pub(super) line: Option<u64>,
    pub(super) message: OutgoingMessage,
    pub(super) arg: String,
}

/// Gives out one message after the other.
pub(super) enum Source {
    One(Option<Item>),
    Lines(mpsc::Receiver<io::Result<(u64, String)>>),
}

impl Source {
    pub(super) fn open(args: &SendArgs) -> anyhow::Result<Self> {
        if args.lines {
            return read_lines(BufReader::new(io::stdin()));
        }
        if let Some(file) = &args.jsonl {
            if file == Path::new("-") {
                return read_lines(BufReader::new(io::stdin()));
            }
            let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
            return read_lines(BufReader::new(opened));
        }
        let body = match (&args.body, &args.file) {
            (Some(body), _) => body.clone().into_bytes(),
            (None, Some(file)) => {
                std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?
            }
            (None, None) => anyhow::bail!("no body: give one, or --file, --lines or --jsonl"),
        };
        Ok(Self::One(Some(item(args, None, body))))
    }

    /// Whether there are as many messages as lines, and nobody knows how many those are.
    pub(super) fn is_of_lines(&self) -> bool {
        matches!(self, Self::Lines(_))
    }

    /// The next message; none at the end. Nothing is lost when this is dropped before it is ready.
    pub(super) async fn next(&mut self, args: &SendArgs) -> anyhow::Result<Option<Item>> {
        let lines = match self {
            Self::One(item) => return Ok(item.take()),
            Self::Lines(lines) => lines,
        };
        while let Some(read) = lines.recv().await {
            let (number, text) = read.context("cannot read the messages")?;
            let read = match args.jsonl {
                Some(_) if !says_something(&text) => continue,
                Some(_) => line::read(&text, args).map(|item| Item { line: Some(number), ..item }),
                None if text.is_empty() => continue,
                None => Ok(item(args, Some(number), text.into_bytes())),
            };
            return read.map(Some).map_err(|rule| anyhow::anyhow!("line {number}: {rule}"));
        }
        Ok(None)
    }
}

/// A message that the arguments say all of, but for its body.
fn item(args: &SendArgs, line: Option<u64>, body: Vec<u8>) -> Item {
    let message = OutgoingMessage {
        tag: args.tag.clone(),
        keys: args.key.clone(),
        properties: args.property.clone(),
        delay: args.delay(),
        ..OutgoingMessage::new(args.topic.clone(), body)
    };
    Item { line, message, arg: args.arg.clone() }
}

/// Reads on a thread of its own, which a terminal may hold for ever: it ends with the process.
fn read_lines(input: impl BufRead + Send + 'static) -> anyhow::Result<Source> {
    let (sender, lines) = mpsc::channel(READ_AHEAD);
    let read = move || {
        let mut input = input;
        for number in 1.. {
            let line = match read_line(&mut input) {
                Ok(Some(line)) => Ok((number, line)),
                Ok(None) => return,
                Err(error) => Err(io::Error::new(error.kind(), format!("line {number}: {error}"))),
            };
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                return;
            }
        }
    };
    std::thread::Builder::new().name("messages".to_owned()).spawn(read)?;
    Ok(Source::Lines(lines))
}

fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if input.by_ref().take(LONGEST_LINE).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    if !line.ends_with('\n') && line.len() as u64 >= LONGEST_LINE {
        let rule = format!("it is longer than {LONGEST_LINE} bytes, and no message is");
        return Err(io::Error::new(io::ErrorKind::InvalidData, rule));
    }
    Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_either_end_or_none_and_have_a_bound() {
        let mut input = io::Cursor::new("one\r\n\ntwo");
        let mut next = || read_line(&mut input).unwrap();
        assert_eq!(
            [next(), next(), next(), next()],
            [Some("one".into()), Some(String::new()), Some("two".into()), None]
        );
        let endless = io::repeat(b'x').take(LONGEST_LINE + 1);
        let error = read_line(&mut BufReader::new(endless)).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        let binary = read_line(&mut io::Cursor::new([0xff, b'\n'])).unwrap_err();
        assert!(binary.to_string().contains("UTF-8"), "{binary}");
    }
}
