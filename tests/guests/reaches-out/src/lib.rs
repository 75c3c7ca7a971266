//! A listener whose messages say what to reach for beyond the host. Each is answered with a dead letter whose reason is
//! what came of it.
//!
//! | body | reason |
//! |---|---|
//! | `get:AUTHORITY/PATH` | the status and the body of the answer, or the error's name; `http` is the scheme |
//! | `post:AUTHORITY/PATH` | the same |
//! | `read:FILE` | the content of the file in the first directory there is, or the error's name |
//! | `write:FILE=TEXT` | how many bytes were written there, or the error's name |
//! | `env:NAME` | the variable |

#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, dead_code, clippy::all, clippy::allow_attributes_without_reason,
    clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
mod bindings;

use bindings::wasi::{
    cli::environment,
    filesystem::{
        preopens,
        types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags},
    },
    http::{
        outgoing_handler,
        types::{Fields, IncomingResponse, Method, OutgoingRequest, Scheme},
    },
    io::streams::StreamError,
};
use gantry_guest::{Context, Description, Failure, Listener, Message, OrDeadLetter as _, export_listener};

struct ReachesOut;

impl Listener for ReachesOut {
    fn describe() -> Description {
        Description::new("reaches-out", "reaches-out-group").subscribe("reaches-out", "*")
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        let text = message.text().or_dead_letter("not text")?;
        let (verb, argument) = text.split_once(':').or_dead_letter("VERB:ARGUMENT")?;
        let told = match verb {
            "get" => request(Method::Get, argument),
            "post" => request(Method::Post, argument),
            "read" => read(argument),
            "write" => write(argument),
            "env" => variable(argument),
            _ => Err("unknown".into()),
        };
        Err(Failure::dead_letter(told.unwrap_or_else(|error| error)))
    }
}

fn request(method: Method, url: &str) -> Result<String, String> {
    let (authority, path) = url.split_once('/').ok_or("AUTHORITY/PATH")?;
    let request = OutgoingRequest::new(Fields::new());
    let set = request
        .set_method(&method)
        .and_then(|()| request.set_scheme(Some(&Scheme::Http)))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(&format!("/{path}"))));
    set.map_err(|()| "not a request")?;
    let answer = outgoing_handler::handle(request, None).map_err(|error| format!("{error:?}"))?;
    answer.subscribe().block();
    let answer = answer.get().ok_or("no answer")?.map_err(|()| "taken")?;
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    Ok(format!("{} {}", answer.status(), body(&answer)?))
}

fn body(answer: &IncomingResponse) -> Result<String, String> {
    let body = answer.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err("the body broke off".into()),
        }
    }
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn open(file: &str, how: OpenFlags, to: DescriptorFlags) -> Result<Descriptor, String> {
    let (directory, _) = preopens::get_directories().into_iter().next().ok_or("no directory")?;
    directory.open_at(PathFlags::empty(), file, how, to).map_err(|error| error.name().to_owned())
}

fn read(file: &str) -> Result<String, String> {
    let file = open(file, OpenFlags::empty(), DescriptorFlags::READ)?;
    let (bytes, _) = file.read(4096, 0).map_err(|error| error.name().to_owned())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn write(argument: &str) -> Result<String, String> {
    let (file, text) = argument.split_once('=').ok_or("FILE=TEXT")?;
    let file = open(file, OpenFlags::CREATE, DescriptorFlags::WRITE)?;
    let written = file.write(text.as_bytes(), 0).map_err(|error| error.name().to_owned())?;
    Ok(format!("{written} bytes"))
}

fn variable(name: &str) -> Result<String, String> {
    let mut variables = environment::get_environment().into_iter();
    variables.find(|(known, _)| known == name).map(|(_, value)| value).ok_or_else(|| "not set".into())
}

export_listener!(ReachesOut);
