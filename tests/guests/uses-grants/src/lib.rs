//! A listener whose messages say what to ask of the services that are granted. Each is answered with a dead letter whose
//! reason is what came of it.
//!
//! | body | reason |
//! |---|---|
//! | `send:TOPIC=BODY`, `one-way:TOPIC=BODY` | the message's id, or the error |
//! | `ordered:TOPIC ARG=BODY`, `random:…`, `plugin:…` | the queue it went to, or the error |
//! | `later:TOPIC MS=BODY` | as `send`, to be delivered in so many milliseconds |
//! | `reply:BODY` | `replied`, as a request message, or the error |
//! | `config:KEY` | the value; of `*` all keys |
//! | `set:KEY=VALUE`, `get:KEY`, `delete:KEY`, `add:KEY=N`, `keys:` | what the store says |
//! | `swap:KEY=OLD>NEW` | `swapped`, or what the key has instead of OLD |
//! | `stale:KEY=NEW` | what comes of a swap whose key another changed in between |
//! | `many:N` | sets, gets and deletes so many keys at once |
//! | `log:TEXT`, `flood:N` | `logged`: a line, or N lines |
//! | `count:NAME=N`, `gauge:NAME=X`, `observe:NAME=X` | `ok`, or the rule that was broken |
//! | `ok` | success, in place of a dead letter |

use std::time::Duration;

use gantry_guest::keyvalue::{Bucket, Swap};
use gantry_guest::producer::{self, OutgoingMessage, Selector};
use gantry_guest::{
    Context, Description, Failure, Listener, Message, OrDeadLetter as _, config, export_listener, logging,
    metrics,
};

struct UsesGrants;

impl Listener for UsesGrants {
    fn describe() -> Description {
        Description::new("uses-grants", "uses-grants-group").subscribe("uses-grants", "*")
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        let text = message.text().or_dead_letter("not text")?;
        if text == "ok" {
            return Ok(());
        }
        let (verb, argument) = text.split_once(':').or_dead_letter("VERB:ARGUMENT")?;
        let told = match verb {
            "send" | "one-way" | "later" => send(verb, argument),
            "ordered" | "random" | "plugin" => ordered(verb, argument),
            "reply" => reply(message, argument),
            "config" => Ok(configured(argument)),
            "log" | "flood" => Ok(log(verb, argument)),
            "count" | "gauge" | "observe" => figure(verb, argument),
            _ => stored(verb, argument),
        };
        Err(Failure::dead_letter(told.unwrap_or_else(|error| error)))
    }
}

fn pair(argument: &str) -> (&str, &str) {
    argument.split_once('=').unwrap_or((argument, ""))
}

fn send(verb: &str, argument: &str) -> Result<String, String> {
    let (to, body) = pair(argument);
    let (topic, ms) = to.split_once(' ').unwrap_or((to, "0"));
    let mut message = OutgoingMessage::new(topic, body).key("k1").tag("sent").property("by", "uses-grants");
    if verb == "later" {
        let ms: u64 = ms.parse().map_err(|_| "not milliseconds")?;
        message = message.delay(Duration::from_millis(ms));
    }
    let told = |error: producer::SendError| error.to_string();
    match verb {
        "one-way" => producer::send_one_way(&message).map(|()| "handed on".into()).map_err(told),
        _ => producer::send(&message).map(|receipt| receipt.message_id).map_err(told),
    }
}

fn reply(request: &Message, body: &str) -> Result<String, String> {
    let sent = OutgoingMessage::reply_to(request, body).and_then(|reply| producer::send(&reply));
    sent.map(|_| "replied".into()).map_err(|error| error.to_string())
}

fn ordered(verb: &str, argument: &str) -> Result<String, String> {
    let (to, body) = pair(argument);
    let (topic, arg) = to.split_once(' ').ok_or("TOPIC ARG=BODY")?;
    let selector = match verb {
        "ordered" => Selector::ByHash,
        "random" => Selector::ByRandom,
        _ => Selector::plugin("nearest"),
    };
    let sent = producer::send_ordered(&OutgoingMessage::new(topic, body), &selector, arg);
    sent.map(|receipt| receipt.queue_id.to_string()).map_err(|error| error.to_string())
}

fn configured(key: &str) -> String {
    match key {
        "*" => config::all().into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "),
        key => config::get(key).unwrap_or_else(|| "not set".into()),
    }
}

fn log(verb: &str, argument: &str) -> String {
    match verb {
        "flood" => (0..argument.parse().unwrap_or(0)).for_each(|n| logging::info(&format!("line {n}"))),
        _ => logging::warn(argument),
    }
    "logged".into()
}

fn figure(verb: &str, argument: &str) -> Result<String, String> {
    let (name, value) = pair(argument);
    let labels = [("kind", "test")];
    let number = || value.parse::<f64>().map_err(|error| error.to_string());
    match verb {
        "count" => metrics::count(name, &labels, value.parse().map_err(|_| "not a number")?)?,
        "gauge" => metrics::gauge(name, &labels, number()?)?,
        _ => metrics::observe(name, &labels, number()?)?,
    }
    Ok("ok".into())
}

fn stored(verb: &str, argument: &str) -> Result<String, String> {
    let bucket = Bucket::open("").map_err(|error| error.to_string())?;
    in_bucket(&bucket, verb, argument).map_err(|error| error.to_string())
}

fn in_bucket(bucket: &Bucket, verb: &str, argument: &str) -> Result<String, gantry_guest::keyvalue::Error> {
    let (key, value) = pair(argument);
    let text = |value: Option<Vec<u8>>| {
        value.map_or("absent".into(), |value| String::from_utf8_lossy(&value).into())
    };
    Ok(match verb {
        "set" => bucket.set(key, value.as_bytes()).map(|()| "set".into())?,
        "get" => text(bucket.get(key)?),
        "delete" => bucket.delete(key).map(|()| "deleted".into())?,
        "add" => bucket.increment(key, value.parse().unwrap_or(1))?.to_string(),
        "keys" => bucket.keys()?.join(" "),
        "swap" => {
            let (old, new) = value.split_once('>').unwrap_or((value, ""));
            let swap = Swap::begin(bucket, key)?;
            match swap.current()? {
                Some(found) if found != old.as_bytes() => text(Some(found)),
                _ => swap.set(new.as_bytes())?.map_or("swapped".into(), |_again| "changed in between".into()),
            }
        }
        "stale" => {
            let swap = Swap::begin(bucket, key)?;
            bucket.increment(key, 1)?;
            match swap.set(value.as_bytes())? {
                None => "swapped".into(),
                Some(again) => format!("it is {} now", text(again.current()?)),
            }
        }
        "many" => {
            let names: Vec<String> = (0..value_of(argument)).map(|n| format!("many-{n:04}")).collect();
            let pairs: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
            bucket.set_many(&pairs)?;
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let found = bucket.get_many(&names)?.into_iter().flatten().count();
            bucket.delete_many(&names)?;
            format!("{found} found")
        }
        _ => "unknown".into(),
    })
}

fn value_of(argument: &str) -> u32 {
    argument.parse().unwrap_or(0)
}

export_listener!(UsesGrants);
