//! Namespaces: of the first kind, a part of every topic's and group's name (RocketMQ: NamespaceUtil); of the second, a
//! field of every request.

use std::borrow::Cow;
use std::sync::Arc;

use crate::MessageQueue;
use crate::names::{self, DLQ_PREFIX, RETRY_PREFIX};

/// The field in which a request names a namespace of the second kind, which leaves topics and groups as they are
/// (RocketMQ: `RPC_REQUEST_HEADER_NAMESPACE_FIELD`).
pub const NAMESPACE: &str = "ns";
/// The field that says that there is [`NAMESPACE`] (RocketMQ: `RPC_REQUEST_HEADER_NAMESPACED_FIELD`).
pub const NAMESPACED: &str = "nsd";

/// What ends a namespace within a name.
const SEPARATOR: char = '%';

/// Keeps a tenant's topics and groups apart on brokers that others use too: `orders` is `ns%orders` there, and the retry
/// topic of `g` is `%RETRY%ns%g`. The default is no namespace, which leaves every name as it is.
///
/// Names of users are plain, names on the wire are wrapped. Both ways are harmless to do twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// The namespace with its separator, `ns%`.
    prefix: Option<Arc<str>>,
}

/// A namespace that could not be taken out of a name again, or that brokers would refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_LENGTH} characters of A-Z a-z 0-9 _ - |, and not {name:?}")]
pub struct NamespaceError {
    name: String,
}

/// Longest namespace: beyond it no topic would have room.
const MAX_LENGTH: usize = 100;

impl Namespace {
    /// The namespace of this name.
    ///
    /// # Errors
    /// The name is empty, longer than 100 characters, or has a character outside `A-Z a-z 0-9 _ - |`.
    pub fn new(name: &str) -> Result<Self, NamespaceError> {
        let sound = |c: char| c.is_ascii_alphanumeric() || "_-|".contains(c);
        if name.is_empty() || name.len() > MAX_LENGTH || !name.chars().all(sound) {
            return Err(NamespaceError { name: name.chars().take(2 * MAX_LENGTH).collect() });
        }
        Ok(Self { prefix: Some(format!("{name}{SEPARATOR}").into()) })
    }

    /// Whether names stay as they are.
    pub fn is_none(&self) -> bool {
        self.prefix.is_none()
    }

    /// The name of the namespace; none for no namespace.
    pub fn name(&self) -> Option<&str> {
        self.prefix.as_deref().and_then(|prefix| prefix.strip_suffix(SEPARATOR))
    }

    /// A topic's or group's name on the wire. One that is in the namespace already, an empty one, and those that brokers
    /// keep for themselves stay as they are.
    pub fn wrap<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let Some(prefix) = &self.prefix else { return name.into() };
        let is_system = names::is_system_topic(name) || names::is_system_group(name);
        if name.is_empty() || is_system || self.contains(name) {
            return name.into();
        }
        let (kind, rest) = split_kind(name);
        [kind, prefix, rest].concat().into()
    }

    /// Whether a name on the wire is one of the namespace's. Without a namespace every name is.
    pub fn contains(&self, name: &str) -> bool {
        let Some(prefix) = &self.prefix else { return true };
        split_kind(name).1.starts_with(&**prefix)
    }

    /// A user's name of what is called so on the wire. A name of another namespace, or of none, stays as it is.
    pub fn unwrap<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let Some(prefix) = &self.prefix else { return name.into() };
        match split_kind(name) {
            ("", rest) => rest.strip_prefix(&**prefix).unwrap_or(name).into(),
            (kind, rest) => {
                rest.strip_prefix(&**prefix).map_or(name.into(), |bare| [kind, bare].concat().into())
            }
        }
    }

    /// As [`Self::unwrap`], without a copy where there is no namespace.
    pub fn unwrap_shared(&self, name: &Arc<str>) -> Arc<str> {
        if self.is_none() { Arc::clone(name) } else { (*self.unwrap(name)).into() }
    }

    /// A queue with its topic's name on the wire.
    pub fn wrap_queue(&self, queue: &MessageQueue) -> MessageQueue {
        if self.is_none() {
            return queue.clone();
        }
        MessageQueue { topic: (*self.wrap(&queue.topic)).into(), ..queue.clone() }
    }

    /// A queue with its topic's name as users have it.
    pub fn unwrap_queue(&self, queue: &MessageQueue) -> MessageQueue {
        MessageQueue { topic: self.unwrap_shared(&queue.topic), ..queue.clone() }
    }

    /// A text for people, with the names in it as they have them.
    pub fn unwrap_text(&self, text: String) -> String {
        let Some(prefix) = &self.prefix else { return text };
        let mut plain = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&**prefix) {
            let (before, found) = rest.split_at(at);
            plain.push_str(before);
            // A name that only ends like the namespace is another one.
            if before.ends_with(|c: char| c.is_ascii_alphanumeric() || "_-|".contains(c)) {
                plain.push_str(prefix);
            }
            rest = found.get(prefix.len()..).unwrap_or_default();
        }
        plain + rest
    }
}

/// A name behind its retry or dead-letter prefix, and that prefix.
fn split_kind(name: &str) -> (&'static str, &str) {
    for kind in [RETRY_PREFIX, DLQ_PREFIX] {
        if let Some(rest) = name.strip_prefix(kind) {
            return (kind, rest);
        }
    }
    ("", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user's name, the same on the wire, and what comes back; as Java's NamespaceUtil (5.5.0) has them for the namespace INST.
    const NAMES: [(&str, &str, &str); 16] = [
        ("orders", "INST%orders", "orders"),
        ("%RETRY%g", "%RETRY%INST%g", "%RETRY%g"),
        ("%DLQ%g", "%DLQ%INST%g", "%DLQ%g"),
        ("", "", ""),
        // In the namespace already: what comes back is plain.
        ("INST%orders", "INST%orders", "orders"),
        ("%RETRY%INST%g", "%RETRY%INST%g", "%RETRY%g"),
        // Another namespace, and a name that only begins alike.
        ("OTHER%orders", "INST%OTHER%orders", "OTHER%orders"),
        ("INST", "INST%INST", "INST"),
        ("INSTANCE%orders", "INST%INSTANCE%orders", "INSTANCE%orders"),
        // The retry topic of a group that pops.
        ("%RETRY%g_INST%orders", "%RETRY%INST%g_INST%orders", "%RETRY%g_INST%orders"),
        ("%RETRY%", "%RETRY%INST%", "%RETRY%"),
        ("TBW102", "TBW102", "TBW102"),
        ("CHECKPOINT_TOPIC", "CHECKPOINT_TOPIC", "CHECKPOINT_TOPIC"),
        ("SCHEDULE_TOPIC_XXXX", "SCHEDULE_TOPIC_XXXX", "SCHEDULE_TOPIC_XXXX"),
        ("rmq_sys_wheel_timer", "rmq_sys_wheel_timer", "rmq_sys_wheel_timer"),
        ("CID_RMQ_SYS_TRANS", "CID_RMQ_SYS_TRANS", "CID_RMQ_SYS_TRANS"),
    ];

    #[test]
    fn names_go_in_and_out_as_in_java() {
        let namespace = Namespace::new("INST").unwrap();
        for (plain, wire, back) in NAMES {
            assert_eq!(namespace.wrap(plain), wire, "{plain}");
            assert_eq!(namespace.wrap(wire), wire, "twice: {plain}");
            assert_eq!(namespace.unwrap(wire), back, "{wire}");
            assert_eq!(Namespace::default().wrap(plain), plain);
            assert_eq!(Namespace::default().unwrap(wire), wire);
        }
        assert_eq!(namespace.unwrap("%RETRY%OTHER%g"), "%RETRY%OTHER%g");
        assert_eq!(namespace.unwrap("orders"), "orders");
        assert!(namespace.contains("%DLQ%INST%g") && !namespace.contains("orders"));
        assert!(Namespace::default().contains("orders"));
        assert_eq!((namespace.name(), Namespace::default().name()), (Some("INST"), None));
    }

    #[test]
    fn queues_keep_their_broker_and_number() {
        let namespace = Namespace::new("INST").unwrap();
        let queue = MessageQueue::new("orders", "broker-a", 3);
        let wire = namespace.wrap_queue(&queue);
        assert_eq!(wire, MessageQueue::new("INST%orders", "broker-a", 3));
        assert_eq!(namespace.unwrap_queue(&wire), queue);
    }

    #[test]
    fn texts_lose_the_namespace_and_nothing_else() {
        let namespace = Namespace::new("INST").unwrap();
        let text = "INST%orders of %RETRY%INST%g, (INST%a), MYINST%b, 50% of INST";
        let plain = "orders of %RETRY%g, (a), MYINST%b, 50% of INST";
        assert_eq!(namespace.unwrap_text(text.to_owned()), plain);
        assert_eq!(Namespace::default().unwrap_text(text.to_owned()), text);
    }

    #[test]
    fn a_namespace_that_could_not_be_taken_out_again_is_refused() {
        for bad in ["", "a%b", "a b", "ü", &"n".repeat(101)] {
            let error = Namespace::new(bad).unwrap_err().to_string();
            assert!(error.starts_with("expected 1 to 100 characters"), "{error}");
        }
    }
}
