//! A component of `wasi:messaging`'s `incoming-handler`, whose messages say what it shall answer.
//!
//! | body | answer |
//! |---|---|
//! | `fail` | an error |
//! | `panic` | a trap |
//! | `spin` | never returns |
//! | `told` | ok if topic, content type and metadata are those the test gives, else an error |
//! | `own` | ok if a message of its own keeps what it is given |
//! | `connect` | ok if no client can be connected |
//! | `keep` | ok, and the message is never let go |
//! | `hoard` | makes messages without end |
//! | anything else | ok |

#[rustfmt::skip]
#[allow(
    missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms, dead_code, unused_imports, clippy::all, clippy::pedantic,
    clippy::allow_attributes_without_reason, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic,
    reason = "generated from wit/ by `cargo xtask bindings`"
)]
mod bindings;

use bindings::exports::wasi::messaging::incoming_handler::Guest;
use bindings::wasi::messaging::types::{Client, Error, Message};

struct Handler;

impl Guest for Handler {
    fn handle(message: Message) -> Result<(), Error> {
        match message.data().as_slice() {
            b"fail" => Err(Error::Other("as asked".to_owned())),
            b"panic" => trap(),
            b"spin" => loop {
                std::hint::spin_loop();
            },
            b"told" => told(&message),
            b"own" => own(),
            b"connect" => Client::connect("anywhere").map_or(Ok(()), |_| Err(Error::Timeout)),
            b"keep" => {
                std::mem::forget(message);
                Ok(())
            }
            b"hoard" => hoard(),
            _ => Ok(()),
        }
    }
}

fn told(message: &Message) -> Result<(), Error> {
    let found = (message.topic(), message.content_type(), message.metadata());
    let metadata = [("Content-Type", "text/plain"), ("a", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let wanted = (Some("topic".to_owned()), Some("text/plain".to_owned()), Some(metadata.to_vec()));
    if found == wanted { Ok(()) } else { Err(Error::Other(format!("{found:?}"))) }
}

fn own() -> Result<(), Error> {
    let message = Message::new(b"first");
    message.set_data(b"second");
    message.set_content_type("text/plain");
    message.set_metadata(&[("a".to_owned(), "1".to_owned())]);
    message.add_metadata("b", "2");
    message.add_metadata("b", "3");
    message.remove_metadata("a");
    let found = (message.topic(), message.data(), message.content_type(), message.metadata());
    let metadata = vec![("b".to_owned(), "3".to_owned())];
    let wanted = (None, b"second".to_vec(), Some("text/plain".to_owned()), Some(metadata));
    if found == wanted { Ok(()) } else { Err(Error::Other(format!("{found:?}"))) }
}

fn hoard() -> ! {
    let data = vec![7; 1 << 20];
    loop {
        std::mem::forget(Message::new(&data));
    }
}

#[expect(clippy::panic, reason = "what the script asks for")]
fn trap() -> ! {
    panic!("as asked")
}

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, unreachable_pub, missing_docs, reason = "what the generated macro exports")]
mod exported {
    use super::Handler;

    crate::bindings::export_handler!(Handler with_types_in crate::bindings);
}
