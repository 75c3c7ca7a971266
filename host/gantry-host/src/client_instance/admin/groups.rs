//! Groups as their brokers know them: which there are, who is a member, how far they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use gantry_protocol::body::{
    ConsumeStats, ConsumerConnection, SubscriptionGroupConfig, SubscriptionGroupTable,
};
use gantry_protocol::header::{
    GetAllSubscriptionGroupRequestHeader, GetAllSubscriptionGroupResponseHeader,
    GetConsumeStatsRequestHeader, GetConsumerConnectionListRequestHeader,
};
use gantry_protocol::names::{check_topic, group_of, is_retry};
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};

use crate::client_instance::call::with_json;
use crate::client_instance::{CallError, ClientInstance};

/// Groups asked for at once; brokers give fewer where they are configured to.
const PAGE: i32 = 2_000;
/// Pages asked of one broker, should its settings change all the time.
const MOST_PAGES: usize = 1_000;

impl ClientInstance {
    /// Every group some broker has settings of (GET_ALL_SUBSCRIPTIONGROUP_CONFIG), or that has a retry topic, sorted.
    ///
    /// # Errors
    /// See [`CallError`]; the first broker that cannot be asked ends it.
    pub async fn group_list(&self) -> Result<Vec<String>, CallError> {
        let mut groups = BTreeSet::new();
        for addr in self.masters().await?.values() {
            self.add_configured_groups(addr, &mut groups).await?;
        }
        let topics = self.topic_list().await?;
        // POP names its retry topics after the group and a topic; those are no groups.
        let retry = topics.iter().filter(|topic| is_retry(topic)).filter_map(|topic| group_of(topic));
        let pop = |name: &str| topics.iter().any(|topic| is_pop_retry(name, topic));
        groups.extend(retry.filter(|name| !pop(name)).map(str::to_owned));
        Ok(groups.into_iter().collect())
    }

    async fn add_configured_groups(
        &self,
        addr: &Arc<str>,
        groups: &mut BTreeSet<String>,
    ) -> Result<(), CallError> {
        let (mut read, mut data_version) = (0, None);
        for _ in 0..MOST_PAGES {
            let header = GetAllSubscriptionGroupRequestHeader {
                group_seq: read,
                data_version,
                max_group_num: Some(PAGE),
            };
            let request = RemotingCommand::request(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &header);
            let answer = self.ask(addr, request, self.api_timeout()).await?.success()?;
            let total = answer.header::<GetAllSubscriptionGroupResponseHeader>()?.total_group_num;
            let page: SubscriptionGroupTable = answer.body()?;
            read += i32::try_from(page.subscription_group_table.len()).unwrap_or(i32::MAX);
            let known = groups.len();
            groups.extend(page.subscription_group_table.into_keys());
            if groups.len() == known || total.is_none_or(|total| read >= total) {
                break;
            }
            data_version = Some(page.data_version.to_string());
        }
        Ok(())
    }

    /// Whether any broker knows the group: it is configured, has a retry topic, is online or has offsets.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn group_exists(&self, group: &str) -> Result<bool, CallError> {
        Ok(self.group_connection(group).await?.is_some()
            || self.group_list().await?.iter().any(|known| known == group)
            || !self.consume_stats(group, None).await?.offset_table.is_empty())
    }

    /// The connected members of any group and what they subscribe, as all masters together know them
    /// (GET_CONSUMER_CONNECTION_LIST); `None` when no member is online.
    ///
    /// # Errors
    /// See [`CallError`]; the first broker that cannot be asked ends it.
    pub async fn group_connection(&self, group: &str) -> Result<Option<ConsumerConnection>, CallError> {
        let header =
            GetConsumerConnectionListRequestHeader { consumer_group: group.to_owned(), broker_name: None };
        let request = RemotingCommand::request(RequestCode::GET_CONSUMER_CONNECTION_LIST, &header);
        let mut whole: Option<ConsumerConnection> = None;
        for addr in self.masters().await?.values() {
            let answer = self.ask(addr, request.clone(), self.api_timeout()).await?;
            if answer.code() == ResponseCode::CONSUMER_NOT_ONLINE {
                continue;
            }
            let part: ConsumerConnection = answer.success()?.body()?;
            match &mut whole {
                None => whole = Some(part),
                Some(whole) => merge(whole, part),
            }
        }
        Ok(whole)
    }

    /// How far the group is in each queue of its topics, or of the one named, at all masters (GET_CONSUME_STATS).
    /// Empty where the group has stored no offset.
    ///
    /// # Errors
    /// See [`CallError`]; the first broker that cannot be asked ends it.
    pub async fn consume_stats(&self, group: &str, topic: Option<&str>) -> Result<ConsumeStats, CallError> {
        let header = GetConsumeStatsRequestHeader {
            consumer_group: group.to_owned(),
            topic: topic.map(str::to_owned),
            broker_name: None,
        };
        let request = RemotingCommand::request(RequestCode::GET_CONSUME_STATS, &header);
        let mut whole = ConsumeStats::default();
        for addr in self.masters().await?.values() {
            let part: ConsumeStats =
                self.ask(addr, request.clone(), self.api_timeout()).await?.success()?.body()?;
            whole.offset_table.0.extend(part.offset_table.0);
            whole.consume_tps += part.consume_tps;
        }
        Ok(whole)
    }

    /// Creates a consumer group, or changes it where it exists, at every master (UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).
    ///
    /// # Errors
    /// See [`CallError`]; the first broker that refuses, or cannot be asked, ends it.
    pub async fn create_group(&self, settings: &SubscriptionGroupConfig) -> Result<(), CallError> {
        for addr in self.masters().await?.values() {
            let request = with_json(addr, RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, settings)?;
            self.ask(addr, request, self.api_timeout()).await?.success()?;
        }
        Ok(())
    }
}

/// Whether `name`, of a retry topic, is that of a group with `topic` after it.
fn is_pop_retry(name: &str, topic: &str) -> bool {
    let group = |separator: &str| name.strip_suffix(topic)?.strip_suffix(separator);
    check_topic(topic).is_ok()
        && (group("_").is_some_and(|group| !group.is_empty())
            || group("+").is_some_and(|group| !group.is_empty()))
}

fn merge(whole: &mut ConsumerConnection, part: ConsumerConnection) {
    for connection in part.connection_set {
        if !whole.connection_set.iter().any(|known| known.client_id == connection.client_id) {
            whole.connection_set.push(connection);
        }
    }
    for (topic, subscription) in part.subscription_table {
        let newest = whole.subscription_table.entry(topic).or_default();
        if subscription.sub_version >= newest.sub_version {
            *newest = subscription;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_protocol::body::{Connection, SubscriptionData};

    #[test]
    fn retry_topics_of_pop_are_no_groups() {
        assert!(is_pop_retry("billing_orders", "orders") && is_pop_retry("billing+orders", "orders"));
        assert!(!is_pop_retry("billing", "orders") && !is_pop_retry("_orders", "orders"));
    }

    #[test]
    fn what_two_brokers_know_of_a_group_is_put_together() {
        let known = |client_id: &str, sub_version: i64| ConsumerConnection {
            connection_set: vec![Connection { client_id: client_id.to_owned(), ..Connection::default() }],
            subscription_table: [(
                "t".to_owned(),
                SubscriptionData { sub_version, ..SubscriptionData::default() },
            )]
            .into(),
            ..ConsumerConnection::default()
        };
        let mut whole = known("a", 2);
        merge(&mut whole, known("a", 1));
        merge(&mut whole, known("b", 3));
        let ids: Vec<_> = whole.connection_set.iter().map(|member| member.client_id.as_str()).collect();
        assert_eq!((ids, whole.subscription_table["t"].sub_version), (vec!["a", "b"], 3));
    }
}
