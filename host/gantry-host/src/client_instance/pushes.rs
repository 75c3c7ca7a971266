//! What brokers ask of this client (RocketMQ: ClientRemotingProcessor).

use std::sync::Arc;

use gantry_protocol::header::NotifyConsumerIdsChangedRequestHeader;
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};
use gantry_remoting::{RefuseRequests, Reply, RequestProcessor};

use super::groups::Groups;

/// Hands each push to the group it is for.
#[derive(Debug)]
pub(super) struct Pushes {
    groups: Arc<Groups>,
}

impl Pushes {
    pub(super) fn new(groups: Arc<Groups>) -> Self {
        Self { groups }
    }

    fn members_changed(&self, peer: &str, request: &RemotingCommand) -> RemotingCommand {
        let header = match request.header::<NotifyConsumerIdsChangedRequestHeader>() {
            Ok(header) => header,
            Err(error) => {
                tracing::warn!(peer, %error, "a broker's notice of changed members cannot be read");
                return RemotingCommand::response(ResponseCode::SYSTEM_ERROR).with_remark(error.to_string());
            }
        };
        tracing::debug!(peer, group = header.consumer_group, "the group's members changed");
        if let Some(listener) = self.groups.listener(&header.consumer_group) {
            listener.members_changed();
        }
        RemotingCommand::response(ResponseCode::SUCCESS)
    }
}

impl RequestProcessor for Pushes {
    fn process(&self, peer: Arc<str>, request: RemotingCommand) -> Reply<'_> {
        match request.request_code() {
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => {
                let reply = self.members_changed(&peer, &request);
                Box::pin(std::future::ready(Some(reply)))
            }
            _ => RefuseRequests.process(peer, request),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use gantry_protocol::body::ConsumerData;

    use super::super::groups::GroupListener;
    use super::*;

    struct Counting(AtomicUsize);

    impl GroupListener for Counting {
        fn members_changed(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[tokio::test]
    async fn a_change_of_members_reaches_its_group_only() {
        let groups = Arc::new(Groups::default());
        let listeners = ["g", "h"].map(|group| {
            let listener = Arc::new(Counting(AtomicUsize::new(0)));
            let data = ConsumerData { group_name: group.to_owned(), ..ConsumerData::default() };
            groups.add(data, listener.clone());
            listener
        });
        let pushes = Pushes::new(groups);
        for group in ["g", "unknown"] {
            let header = NotifyConsumerIdsChangedRequestHeader { consumer_group: group.to_owned() };
            let push =
                RemotingCommand::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, &header).into_oneway();
            pushes.process("b:1".into(), push).await;
        }
        assert_eq!(listeners.map(|listener| listener.0.load(Relaxed)), [1, 0]);
    }

    #[tokio::test]
    async fn what_is_not_known_is_answered_as_not_supported() {
        let pushes = Pushes::new(Arc::default());
        let reply = pushes.process("b:1".into(), RemotingCommand::bare_request(RequestCode(307))).await;
        assert_eq!(reply.map(|reply| reply.response_code()), Some(ResponseCode::REQUEST_CODE_NOT_SUPPORTED));
    }
}
