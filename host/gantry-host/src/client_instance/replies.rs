//! Requests that wait for their replies (RocketMQ: RequestFutureHolder).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gantry_protocol::MessageExt;
use tokio::sync::oneshot;

/// Requests of one client that may wait at once.
const MAX_WAITING: usize = 16_384;

/// As many requests as may be are waiting for their replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_WAITING} requests of this client are waiting for their replies; make fewer at a time")]
pub struct TooManyRequests;

/// Where replies are handed to who waits for them, by correlation id.
#[derive(Debug, Default)]
pub(super) struct Replies(Mutex<HashMap<Arc<str>, oneshot::Sender<MessageExt>>>);

/// A request that waits; dropped, it waits no more.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    replies: &'a Replies,
    correlation_id: Arc<str>,
    reply: oneshot::Receiver<MessageExt>,
}

impl Replies {
    /// Waits for the reply with this correlation id.
    pub(super) fn wait_for(&self, correlation_id: String) -> Result<Waiting<'_>, TooManyRequests> {
        let (sender, reply) = oneshot::channel();
        let correlation_id: Arc<str> = correlation_id.into();
        let mut waiting = self.lock();
        if waiting.len() >= MAX_WAITING {
            return Err(TooManyRequests);
        }
        waiting.insert(Arc::clone(&correlation_id), sender);
        Ok(Waiting { replies: self, correlation_id, reply })
    }

    /// Hands a reply over. False where nobody waits for it any more.
    pub(super) fn arrived(&self, correlation_id: &str, reply: MessageExt) -> bool {
        let waiting = self.lock().remove(correlation_id);
        waiting.is_some_and(|waiting| waiting.send(reply).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, oneshot::Sender<MessageExt>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting<'_> {
    pub(super) fn correlation_id(&self) -> &str {
        &self.correlation_id
    }

    /// The reply, when it comes.
    pub(super) async fn reply(&mut self) -> Option<MessageExt> {
        (&mut self.reply).await.ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.replies.lock().remove(&self.correlation_id);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use gantry_protocol::MessageRecord;

    use super::*;

    fn message(topic: &str) -> MessageExt {
        let mut bytes = BytesMut::new();
        MessageRecord { topic: topic.to_owned(), ..MessageRecord::default() }.encode(&mut bytes).unwrap();
        MessageExt::decode(bytes.freeze()).unwrap()
    }

    #[tokio::test]
    async fn a_reply_reaches_the_request_it_belongs_to_once() {
        let replies = Replies::default();
        let (mut first, second) =
            (replies.wait_for("1".into()).unwrap(), replies.wait_for("2".into()).unwrap());
        assert!(!replies.arrived("3", message("t")));
        assert!(replies.arrived("1", message("one")) && !replies.arrived("1", message("again")));
        assert_eq!(first.reply().await.unwrap().topic(), "one");
        drop(second);
        assert!(!replies.arrived("2", message("t")), "it waits no more");
    }

    #[test]
    fn only_so_many_wait() {
        let replies = Replies::default();
        let waiting: Vec<_> = (0..MAX_WAITING).map(|id| replies.wait_for(id.to_string()).unwrap()).collect();
        assert!(replies.wait_for("more".into()).is_err());
        drop(waiting);
        assert!(replies.wait_for("more".into()).is_ok());
    }
}
